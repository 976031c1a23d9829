-- Customers who went from one wallet_status to another. Grain and key: day of the calendar, from_status, to_status. `new` and
-- `gone` stand for customers who came in, or of whom no pass is left. Read by analysts.
WITH versions AS (
    SELECT
        customer_key, valid_from, valid_to, wallet_status,
        lag(wallet_status) OVER customer AS status_before,
        lag(valid_to) OVER customer AS ended_before,
        lead(valid_from) OVER customer AS next_from
    FROM wallet.customer_status_changes
    WINDOW customer AS (PARTITION BY customer_key ORDER BY valid_from)
),
switches AS (
    SELECT
        valid_from AS moment,
        CASE WHEN ended_before = valid_from THEN status_before ELSE 'new' END AS from_status,
        wallet_status AS to_status
    FROM versions
    UNION ALL
    SELECT valid_to, wallet_status, 'gone' FROM versions WHERE valid_to IS NOT NULL AND next_from IS DISTINCT FROM valid_to
)
SELECT c.day, s.from_status, s.to_status, count(*) AS customers
FROM switches s
-- Not a join by both bounds: of two million switches that one takes eight times as long.
ASOF JOIN (FROM adoption.calendar) c ON s.moment >= c.starts_at
WHERE s.moment < c.ends_at AND s.from_status <> s.to_status
GROUP BY ALL
ORDER BY ALL
