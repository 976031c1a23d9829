-- When each customer first moved away from what the CRM was last told, or holds. Grain and key: customer_key. UTC.
-- Read by plan, for the settle cap: a change that never comes to rest is sent after a while all the same.
WITH versions AS (
    SELECT
        v.customer_key, v.valid_from, v.valid_to, c.delivery.intended_at AS told_at,
        crm.same_state(v, c.held, $tolerance_ms) AS is_held
    FROM wallet.customer_status_changes v
    JOIN work.compared c USING (customer_key)
    WHERE c.differs
),
told AS (
    SELECT *, greatest(told_at, max(valid_to) FILTER (is_held) OVER (PARTITION BY customer_key)) AS agreed_until
    FROM versions
)
SELECT customer_key, min(valid_from) AS first_changed_at
FROM told
WHERE agreed_until IS NULL OR valid_from >= agreed_until
GROUP BY customer_key
