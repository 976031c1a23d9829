-- Installations that ended, by how old they were; all pass types, both wallets. Grain and key: month of the end, the newest
-- $months of them. Read by the report.
SELECT
    month,
    coalesce(sum(uninstalls) FILTER (younger_than_days = 1), 0)::BIGINT AS day,
    coalesce(sum(uninstalls) FILTER (younger_than_days = 7), 0)::BIGINT AS days_7,
    coalesce(sum(uninstalls) FILTER (younger_than_days = 30), 0)::BIGINT AS days_30,
    coalesce(sum(uninstalls) FILTER (younger_than_days = 90), 0)::BIGINT AS days_90,
    coalesce(sum(uninstalls) FILTER (younger_than_days = 365), 0)::BIGINT AS days_365,
    coalesce(sum(uninstalls) FILTER (younger_than_days IS NULL), 0)::BIGINT AS older
FROM adoption.churn
WHERE month > (SELECT max(month) - to_months($months::INTEGER) FROM adoption.churn)
GROUP BY month
ORDER BY month
