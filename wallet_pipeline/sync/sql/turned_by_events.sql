-- How many customers with a wallet plans of changes have turned to none since the last plan of all customers that was sent,
-- within a day. One row. $now in UTC. Read by the mass change check: many small plans are one large change.
WITH told AS (
    SELECT
        d.customer_key, d.wallet_status, d.verified_at, p.scope,
        lag(d.wallet_status) OVER (PARTITION BY d.customer_key ORDER BY d.verified_at) AS status_before
    FROM crm.deliveries d
    JOIN crm.plans p USING (plan_id)
    WHERE d.verified_at IS NOT NULL
)
SELECT count(DISTINCT customer_key)
FROM told
WHERE scope = 'changes'
    AND wallet_status = 'none'
    AND status_before <> 'none'
    AND verified_at > $now - INTERVAL 1 DAY
    AND verified_at > coalesce(
        (SELECT max(planned_at) FROM crm.plans WHERE scope = 'all' AND admitted), TIMESTAMP '-infinity'
    )
