-- Customers by wallet_status at the end of each day, as it was held true then. Grain and key: day of the calendar, wallet_status;
-- from the first day that statuses were derived on. Read by analysts.
WITH moves AS (
    SELECT wallet_status, valid_from AS moment, 1 AS customers FROM wallet.customer_status_changes
    UNION ALL
    SELECT wallet_status, valid_to, -1 FROM wallet.customer_status_changes WHERE valid_to IS NOT NULL
),
by_day AS (
    SELECT c.day, m.wallet_status, sum(m.customers) AS customers
    FROM moves m
    ASOF JOIN (FROM adoption.calendar) c ON m.moment < c.ends_at
    GROUP BY ALL
)
SELECT
    c.day,
    s.wallet_status,
    (sum(coalesce(b.customers, 0)) OVER (PARTITION BY s.wallet_status ORDER BY c.day))::BIGINT AS customers
FROM adoption.calendar c
CROSS JOIN (VALUES ('none'), ('apple'), ('google'), ('both')) s (wallet_status)
LEFT JOIN by_day b USING (day, wallet_status)
WHERE c.ends_at > (SELECT min(valid_from) FROM wallet.customer_status_changes)
ORDER BY ALL
