-- The next rows of the plan to send, as far as they are still the truth. Grain and key: customer_key. Times in UTC.
-- Read by deliver. A customer whose row has moved since, or is disputed by now, is left to the next plan; so is a row that
-- the CRM has refused since, as when the same plan is sent twice.
WITH next_rows AS (
    SELECT *
    FROM crm.plan
    WHERE plan_id = $plan_id AND position > $after AND position <= $until
),
current_rows AS (
    SELECT c.*
    FROM wallet.customer_wallet_status c
    SEMI JOIN next_rows USING (customer_key)
),
disputed AS (
    SELECT unnest(customer_keys) AS customer_key FROM wallet.identity_conflicts WHERE kind = 'conflict'
)
SELECT
    uuid()::VARCHAR AS delivery_id,
    p.* EXCLUDE (plan_hash, planned_at)
FROM next_rows p
LEFT JOIN current_rows c USING (customer_key)
ANTI JOIN crm.rejections r
    ON r.customer_key = p.customer_key AND r.row_hash = p.row_hash AND r.last_at >= p.planned_at
WHERE CASE
        WHEN p.reason = 'departed' THEN c.customer_key IS NULL
        ELSE c.customer_key IS NOT NULL
            AND crm.same_state(c, p, 1)
            AND (
                p.held_wallet_status IS NULL
                OR p.held_wallet_status IN ('none', p.wallet_status)
                OR p.wallet_status = 'both'
                OR p.customer_key NOT IN (SELECT customer_key FROM disputed)
            )
    END
ORDER BY p.position
