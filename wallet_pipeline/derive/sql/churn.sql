-- Installations that ended: how old they were, and how many of their passes came back to the same wallet. Grain and key: month
-- of the end, pass type, wallet, age. Age: the upper bound in days of 0-1, 1-7, 7-30, 30-90, 90-365 days, null beyond or
-- unknown. Read by analysts.
WITH ended AS (
    SELECT
        c.month, i.pass_type, i.wallet, i.uninstalled_at,
        CASE
            WHEN i.uninstalled_at < i.installed_at + INTERVAL 1 DAY THEN 1
            WHEN i.uninstalled_at < i.installed_at + INTERVAL 7 DAY THEN 7
            WHEN i.uninstalled_at < i.installed_at + INTERVAL 30 DAY THEN 30
            WHEN i.uninstalled_at < i.installed_at + INTERVAL 90 DAY THEN 90
            WHEN i.uninstalled_at < i.installed_at + INTERVAL 365 DAY THEN 365
        END AS younger_than_days,
        lead(i.installed_at) OVER (PARTITION BY i.pass_id, i.wallet ORDER BY i.number) AS back_at
    FROM adoption.installations i
    LEFT JOIN adoption.calendar c ON i.uninstalled_at >= c.starts_at AND i.uninstalled_at < c.ends_at
)
SELECT
    month, pass_type, wallet, younger_than_days,
    count(*) AS uninstalls,
    count(*) FILTER (back_at < uninstalled_at + INTERVAL 1 DAY) AS back_within_1_day,
    count(*) FILTER (back_at < uninstalled_at + INTERVAL 7 DAY) AS back_within_7_days,
    count(*) FILTER (back_at < uninstalled_at + INTERVAL 30 DAY) AS back_within_30_days
FROM ended
WHERE month IS NOT NULL
GROUP BY ALL
ORDER BY ALL
