-- Each candidate's truth beside what the CRM holds, what was last verified there, and what was last tried in vain.
-- Grain and key: customer_key. UTC. Read by plan and drift. row_hash: what would be sent, and under which keys.
-- Times apart by less than $tolerance_ms, status and last event being equal, are no difference.
WITH attempts AS (
    SELECT
        customer_key, intended_at, verified_at, outcome,
        struct_pack(
            wallet_status, apple_wallet_installed_at, google_wallet_installed_at, wallet_last_changed_at,
            wallet_last_event, intended_at, record_id
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
        -- What another record was told, which is gone by now, nobody has told this one.
        CASE WHEN m.via = 'link' OR m.record_id = t.delivery.record_id THEN t.delivery END AS delivery,
        t.last_delivery, t.last_outcome,
        -- An attempt without a sure answer may have happened all the same, and later than we looked.
        CASE WHEN t.last_outcome IN ('intended', 'unknown', 'unverified') THEN t.last_delivery END AS unsure_delivery
    FROM work.candidates c
    JOIN work.matches m USING (customer_key)
    LEFT JOIN work.records r USING (record_id)
    LEFT JOIN told t USING (customer_key)
),
packed AS (
    SELECT
        *,
        struct_pack(
            wallet_status, apple_wallet_installed_at, google_wallet_installed_at, wallet_last_changed_at,
            wallet_last_event
        ) AS state,
        struct_pack(
            wallet_status := held_wallet_status, apple_wallet_installed_at := held_apple_wallet_installed_at,
            google_wallet_installed_at := held_google_wallet_installed_at,
            wallet_last_changed_at := held_wallet_last_changed_at, wallet_last_event := held_wallet_last_event
        ) AS held
    FROM beside
)
SELECT
    *,
    NOT crm.same_state(state, held, $tolerance_ms)
        OR (customer_id IS NOT NULL AND held_customer_id IS NULL AND NOT is_departed) AS differs,
    crm.same_state(state, delivery, $tolerance_ms) AS is_as_delivered,
    unsure_delivery IS NOT NULL AND crm.same_state(held, unsure_delivery, 1) AS holds_unsure_delivery,
    last_outcome <> 'verified' AND crm.same_state(state, last_delivery, 1) AS was_tried_in_vain,
    (held_wallet_status IN ('apple', 'both') AND wallet_status NOT IN ('apple', 'both'))
        OR (held_wallet_status IN ('google', 'both') AND wallet_status NOT IN ('google', 'both')) AS loses_a_wallet,
    md5(row(customer_id, email, record_id, state)::VARCHAR) AS row_hash
FROM packed
