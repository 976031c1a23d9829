-- Events whose time the CRM was verified to hold, and after how long. Grain and key: day, wallet, pass, kind, moment. Times in
-- UTC. Events that both Insights and the inbox tell count once. $tolerance_ms: times apart by less are equal. Read by
-- reconciliation.
WITH told AS (
    SELECT pass_id, wallet, kind, occurred_at FROM raw.insights_events
    UNION ALL
    SELECT pass_id, wallet, kind, occurred_at FROM arrived_events WHERE late_seconds IS NOT NULL
),
of_days AS (
    SELECT DISTINCT d.day, t.wallet, t.pass_id, t.kind, date_trunc('millisecond', t.occurred_at) AS occurred_at
    FROM told t
    JOIN reconciled_days d ON t.occurred_at >= d.starts_at AND t.occurred_at < d.ends_at
    WHERE t.wallet IN ('apple', 'google')
)
SELECT
    e.day, e.wallet, e.pass_id, e.kind, e.occurred_at,
    date_diff('millisecond', e.occurred_at, min(v.verified_at)) / 1e3 AS seconds
FROM of_days e
JOIN wallet.pass_customers p ON p.pass_id = e.pass_id
JOIN crm.deliveries v
    ON v.customer_key = p.customer_key
    AND v.verified_at >= e.occurred_at
    AND v.wallet_last_event = e.kind
    AND abs(epoch_ms(v.wallet_last_changed_at) - epoch_ms(e.occurred_at)) < $tolerance_ms
GROUP BY e.day, e.wallet, e.pass_id, e.kind, e.occurred_at
