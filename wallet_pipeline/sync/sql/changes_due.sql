-- How many customers whom events have changed are due, and how many are not yet. One row. $now in UTC.
-- Read by the sensor. Due: quiet for $settle_window, or changed $settle_cap ago, and no retry is waited for.
WITH changed AS (
    SELECT customer_key, min(changed_at) AS first_changed_at, max(retry_at) AS retry_at
    FROM wallet.changed_customers
    GROUP BY customer_key
),
judged AS (
    SELECT
        coalesce(retry_at <= $now, TRUE)
            AND (
                coalesce($now - c.wallet_last_changed_at >= $settle_window, TRUE)
                OR $now - first_changed_at >= $settle_cap
            ) AS is_due
    FROM changed
    LEFT JOIN wallet.customer_wallet_status c USING (customer_key)
)
SELECT count(*) FILTER (is_due) AS due, count(*) FILTER (NOT is_due) AS waiting
FROM judged
