-- What happened to each customer, was seen of them or done about them, as one list. All times are UTC.
ALTER TABLE raw.snapshots ADD COLUMN approved_at TIMESTAMP;
COMMENT ON COLUMN raw.snapshots.approved_at IS 'When a held snapshot was approved, and so became evidence, UTC; null when it never was, or before this was kept.';

-- Grain: thing that happened. In the file for analysts this is a view, too, over its tables: what it uses must be known to
-- DuckDB 1.4, and names columns with the alias of their table.
CREATE VIEW wallet.customer_timeline AS
WITH accepted AS (
    SELECT s.snapshot_id, s.started_at, lead(s.started_at) OVER later AS next_at, lead(s.snapshot_id) OVER later AS next_id
    FROM raw.snapshots s
    WHERE s.verdict = 'accepted'
    WINDOW later AS (ORDER BY s.snapshot_id)
),
events AS (
    SELECT
        e.pass_id, e.wallet, e.kind, e.event_id,
        min(e.occurred_at) AS occurred_at,
        min(e.received_at) AS received_at,
        bool_and(coalesce(e.time_is_receipt, FALSE)) AS time_is_receipt
    FROM raw.wallet_events e
    GROUP BY e.pass_id, e.wallet, e.kind, e.event_id
),
of_passes AS (
    SELECT
        e.occurred_at AS happened_at, 'event' AS kind, e.pass_id, e.wallet, e.kind AS what,
        'event ' || e.event_id || ', received ' || strftime(e.received_at, '%Y-%m-%d %H:%M:%S')
            || CASE WHEN e.time_is_receipt THEN ', without a time of its own' ELSE '' END
            || coalesce('; no evidence: ' || i.reason, '') AS detail
    FROM events e
    LEFT JOIN wallet.ignored_events i
        ON i.pass_id = e.pass_id AND i.wallet = e.wallet AND i.kind = e.kind AND i.event_id = e.event_id
    UNION ALL
    SELECT
        f.started_at, 'list', o.pass_id, o.wallet,
        CASE WHEN o.present THEN 'listed as installed' ELSE 'listed as not installed' END,
        coalesce('since ' || strftime(o.installed_at, '%Y-%m-%d %H:%M:%S') || '; ', '')
            || CASE
                WHEN o.last_snapshot IS NULL THEN 'still so in the newest list'
                WHEN o.last_snapshot = o.first_snapshot THEN 'in this list alone'
                ELSE 'last so in the list of ' || strftime(l.started_at, '%Y-%m-%d %H:%M:%S')
            END
    FROM raw.wallet_observations o
    JOIN accepted f ON f.snapshot_id = o.first_snapshot
    LEFT JOIN accepted l ON l.snapshot_id = o.last_snapshot
    UNION ALL
    -- A pass is listed for both wallets, so one of them tells when it no longer is.
    SELECT l.next_at, 'list', o.pass_id, NULL, 'not in the list', 'last listed ' || strftime(l.started_at, '%Y-%m-%d %H:%M:%S')
    FROM raw.wallet_observations o
    JOIN accepted l ON l.snapshot_id = o.last_snapshot
    LEFT JOIN raw.wallet_observations n
        ON n.pass_id = o.pass_id AND n.wallet = o.wallet AND n.first_snapshot = l.next_id
    WHERE o.wallet = 'apple' AND l.next_id IS NOT NULL AND n.pass_id IS NULL
),
versions AS (
    SELECT v.*, lead(v.valid_from) OVER (PARTITION BY v.customer_key ORDER BY v.valid_from) AS next_from
    FROM wallet.customer_status_changes v
),
sent AS (
    SELECT
        d.*,
        d.wallet_status
            || coalesce('; Apple since ' || strftime(d.apple_wallet_installed_at, '%Y-%m-%d %H:%M:%S'), '')
            || coalesce('; Google since ' || strftime(d.google_wallet_installed_at, '%Y-%m-%d %H:%M:%S'), '')
            || coalesce('; ' || d.wallet_last_event || ' ' || strftime(d.wallet_last_changed_at, '%Y-%m-%d %H:%M:%S'), '') AS text
    FROM crm.deliveries d
),
fields AS (
    SELECT
        p.customer_key, p.record_id, p.planned_at, p.action, p.reason,
        CASE WHEN p.held_wallet_status IS DISTINCT FROM p.wallet_status THEN
            'wallet_status ' || coalesce(p.held_wallet_status, 'nothing') || ' → ' || coalesce(p.wallet_status, 'nothing')
        END AS status,
        CASE WHEN p.held_apple_wallet_installed_at IS DISTINCT FROM p.apple_wallet_installed_at THEN
            'apple_wallet_installed_at ' || coalesce(strftime(p.held_apple_wallet_installed_at, '%Y-%m-%d %H:%M:%S'), 'nothing')
                || ' → ' || coalesce(strftime(p.apple_wallet_installed_at, '%Y-%m-%d %H:%M:%S'), 'nothing')
        END AS apple_at,
        CASE WHEN p.held_google_wallet_installed_at IS DISTINCT FROM p.google_wallet_installed_at THEN
            'google_wallet_installed_at ' || coalesce(strftime(p.held_google_wallet_installed_at, '%Y-%m-%d %H:%M:%S'), 'nothing')
                || ' → ' || coalesce(strftime(p.google_wallet_installed_at, '%Y-%m-%d %H:%M:%S'), 'nothing')
        END AS google_at,
        CASE WHEN p.held_wallet_last_changed_at IS DISTINCT FROM p.wallet_last_changed_at THEN
            'wallet_last_changed_at ' || coalesce(strftime(p.held_wallet_last_changed_at, '%Y-%m-%d %H:%M:%S'), 'nothing')
                || ' → ' || coalesce(strftime(p.wallet_last_changed_at, '%Y-%m-%d %H:%M:%S'), 'nothing')
        END AS changed_at,
        CASE WHEN p.held_wallet_last_event IS DISTINCT FROM p.wallet_last_event THEN
            'wallet_last_event ' || coalesce(p.held_wallet_last_event, 'nothing') || ' → ' || coalesce(p.wallet_last_event, 'nothing')
        END AS last_event
    FROM crm.plan p
),
of_customers AS (
    SELECT
        v.customer_key, v.valid_from AS happened_at, 'status' AS kind, NULL AS record_id, v.wallet_status AS what,
        concat_ws(
            '; ',
            'Apple since ' || strftime(v.apple_wallet_installed_at, '%Y-%m-%d %H:%M:%S'),
            'Google since ' || strftime(v.google_wallet_installed_at, '%Y-%m-%d %H:%M:%S'),
            v.wallet_last_event || ' ' || strftime(v.wallet_last_changed_at, '%Y-%m-%d %H:%M:%S')
        ) AS detail
    FROM versions v
    UNION ALL
    SELECT v.customer_key, v.valid_to, 'status', NULL, 'no customer', 'no pass belongs to the customer any more'
    FROM versions v
    WHERE v.valid_to IS NOT NULL AND v.next_from IS DISTINCT FROM v.valid_to
    UNION ALL
    SELECT
        l.customer_key, l.linked_at, 'linked', l.record_id,
        CASE l.via WHEN 'created' THEN 'created by this pipeline' WHEN 'email' THEN 'found by e-mail' ELSE 'found by customer id' END,
        NULL
    FROM crm.links l
    WHERE l.linked_at IS NOT NULL
    UNION ALL
    SELECT l.customer_key, l.departed_at, 'departed', l.record_id, 'the record is left alone from now on', NULL
    FROM crm.links l
    WHERE l.departed_at IS NOT NULL
    UNION ALL
    SELECT
        f.customer_key, f.planned_at, 'planned', f.record_id, f.action || ': ' || f.reason,
        concat_ws('; ', f.status, f.apple_at, f.google_at, f.changed_at, f.last_event)
    FROM fields f
    UNION ALL
    SELECT s.customer_key, s.intended_at, 'sent', s.record_id, s.action || ': ' || s.reason, s.text
    FROM sent s
    UNION ALL
    SELECT
        s.customer_key, s.verified_at, 'verified', s.record_id, 'read to hold it',
        CASE
            WHEN s.accepted_at IS NULL THEN 'it held it before anything was sent'
            ELSE 'accepted ' || strftime(s.accepted_at, '%Y-%m-%d %H:%M:%S')
        END
    FROM sent s
    WHERE s.verified_at IS NOT NULL
    UNION ALL
    SELECT
        s.customer_key, coalesce(s.accepted_at, s.intended_at), s.outcome, s.record_id,
        coalesce(s.error_class, 'no class'), s.message
    FROM sent s
    WHERE s.outcome NOT IN ('verified', 'intended')
    UNION ALL
    SELECT
        r.customer_key, coalesce(r.last_at, r.first_at), 'not held', r.record_id, r.error_class,
        r.message || ' (' || coalesce(r.attempts || ' attempts, ', '') || 'since ' || strftime(r.first_at, '%Y-%m-%d %H:%M:%S')
            || '). ' || r.next_step
    FROM crm.rejections r
    UNION ALL
    SELECT
        d.customer_key, d.changed_at, 'drift', d.record_id, d.field || ' changed by ' || coalesce(nullif(d.changed_by, 'unknown'), 'somebody'),
        coalesce(d.expected, 'nothing') || ' → ' || coalesce(d.found, 'nothing')
    FROM crm.drift d
    WHERE d.changed_at IS NOT NULL
    UNION ALL
    SELECT
        d.customer_key, d.found_at, 'drift found', d.record_id, d.field,
        'expected ' || coalesce(d.expected, 'nothing') || ', found ' || coalesce(d.found, 'nothing')
            || coalesce('; by ' || nullif(d.changed_by, 'unknown'), '')
    FROM crm.drift d
    UNION ALL
    SELECT d.customer_key, d.repaired_at, 'drift repaired', d.record_id, d.field, NULL
    FROM crm.drift d
    WHERE d.repaired_at IS NOT NULL
)
SELECT p.customer_key, o.happened_at, o.kind, o.pass_id, o.wallet, NULL AS record_id, o.what, o.detail
FROM of_passes o
LEFT JOIN wallet.pass_customers p ON p.pass_id = o.pass_id
UNION ALL
SELECT c.customer_key, c.happened_at, c.kind, NULL, NULL, c.record_id, c.what, c.detail
FROM of_customers c;
COMMENT ON VIEW wallet.customer_timeline IS 'What happened to customers and passes, was seen of them, or done about them: one row each. Events and lists stand under the customer to whom the pass belongs now. Of plans only the newest is kept. Times in UTC.';
COMMENT ON COLUMN wallet.customer_timeline.customer_key IS 'Key of the customer; null for a pass that belongs to nobody.';
COMMENT ON COLUMN wallet.customer_timeline.happened_at IS 'When, UTC: an event when it happened, a list when it was begun, a status when it was derived.';
COMMENT ON COLUMN wallet.customer_timeline.kind IS 'event, list (what the list of passes shows from then on), status (a version of the customer''s row begins); linked, planned, sent, verified, rejected, unverified, conflict, unknown, not held, departed; drift (somebody changed a field), drift found, drift repaired.';
COMMENT ON COLUMN wallet.customer_timeline.pass_id IS 'The pass, for event and list.';
COMMENT ON COLUMN wallet.customer_timeline.wallet IS 'The wallet, for event and list.';
COMMENT ON COLUMN wallet.customer_timeline.record_id IS 'The CRM record, for what concerns the CRM.';
COMMENT ON COLUMN wallet.customer_timeline.what IS 'What happened, in a word or two: installed, apple, update: changed, the field that drifted, …';
COMMENT ON COLUMN wallet.customer_timeline.detail IS 'The particulars as a sentence: dates, values, old → new, the message of the CRM.';
