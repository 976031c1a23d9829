-- Each candidate's truth beside what the CRM holds, what was last verified there, and what was last tried in vain.
-- Grain and key: customer_key. UTC. Read by plan and drift. row_hash: what would be sent, and under which keys. Times apart by less than $tolerance_ms, status and last event being equal, are no difference.
WITH attempts AS (
    SELECT
        customer_key, intended_at, verified_at, outcome,
        struct_pack(
            wallet_status, apple_wallet_installed_at, google_wallet_installed_at, wallet_last_changed_at,
            wallet_last_event, intended_at
        ) AS delivery
    FROM crm.deliveries
),
told AS (
    SELECT
        customer_key,
        max_by(delivery, verified_at) AS delivery,
        max_by(delivery, intended_at) AS last_delivery,
        max_by(outcome, intended_at) AS last_outcome
    FROM attempts
    GROUP BY customer_key
),
beside AS (
    SELECT
        c.* EXCLUDE (wallet_last_changed_at, wallet_last_event),
        CASE WHEN c.is_departed THEN r.wallet_last_changed_at ELSE c.wallet_last_changed_at END AS wallet_last_changed_at,
        CASE WHEN c.is_departed THEN r.wallet_last_event ELSE c.wallet_last_event END AS wallet_last_event,
        m.record_id, m.via, m.conflict, m.claims,
        r.customer_id AS held_customer_id,
        r.wallet_status AS held_wallet_status,
        r.apple_wallet_installed_at AS held_apple_wallet_installed_at,
        r.google_wallet_installed_at AS held_google_wallet_installed_at,
        r.wallet_last_changed_at AS held_wallet_last_changed_at,
        r.wallet_last_event AS held_wallet_last_event,
        t.delivery, t.last_delivery, t.last_outcome
    FROM work.candidates c
    JOIN work.matches m USING (customer_key)
    LEFT JOIN work.records r USING (record_id)
    LEFT JOIN told t USING (customer_key)
)
SELECT
    *,
    wallet_status IS DISTINCT FROM held_wallet_status
        OR wallet_last_event IS DISTINCT FROM held_wallet_last_event
        OR apart(apple_wallet_installed_at, held_apple_wallet_installed_at, $tolerance_ms)
        OR apart(google_wallet_installed_at, held_google_wallet_installed_at, $tolerance_ms)
        OR apart(wallet_last_changed_at, held_wallet_last_changed_at, $tolerance_ms)
        OR (customer_id IS NOT NULL AND held_customer_id IS NULL AND NOT is_departed) AS differs,
    wallet_status IS NOT DISTINCT FROM delivery.wallet_status
        AND wallet_last_event IS NOT DISTINCT FROM delivery.wallet_last_event
        AND NOT apart(apple_wallet_installed_at, delivery.apple_wallet_installed_at, $tolerance_ms)
        AND NOT apart(google_wallet_installed_at, delivery.google_wallet_installed_at, $tolerance_ms)
        AND NOT apart(wallet_last_changed_at, delivery.wallet_last_changed_at, $tolerance_ms) AS is_as_delivered,
    last_outcome <> 'verified'
        AND wallet_status IS NOT DISTINCT FROM last_delivery.wallet_status
        AND wallet_last_event IS NOT DISTINCT FROM last_delivery.wallet_last_event
        AND apple_wallet_installed_at IS NOT DISTINCT FROM last_delivery.apple_wallet_installed_at
        AND google_wallet_installed_at IS NOT DISTINCT FROM last_delivery.google_wallet_installed_at
        AND wallet_last_changed_at IS NOT DISTINCT FROM last_delivery.wallet_last_changed_at AS was_tried_in_vain,
    (held_wallet_status IN ('apple', 'both') AND wallet_status NOT IN ('apple', 'both'))
        OR (held_wallet_status IN ('google', 'both') AND wallet_status NOT IN ('google', 'both')) AS loses_a_wallet,
    md5(
        row(
            customer_id, email, record_id, wallet_status, apple_wallet_installed_at, google_wallet_installed_at,
            wallet_last_changed_at, wallet_last_event
        )::VARCHAR
    ) AS row_hash
FROM beside
