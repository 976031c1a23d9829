-- Of the installations that ended, how many of the passes were in the same wallet again within 1, 7 and 30 days; all pass
-- types, both wallets. Grain and key: month of the end, the newest $months of them. Read by the report.
SELECT
    month,
    sum(uninstalls)::BIGINT AS uninstalls,
    sum(back_within_1_day) / sum(uninstalls) AS within_1_day,
    sum(back_within_7_days) / sum(uninstalls) AS within_7_days,
    sum(back_within_30_days) / sum(uninstalls) AS within_30_days
FROM adoption.churn
WHERE month > (SELECT max(month) - to_months($months::INTEGER) FROM adoption.churn)
GROUP BY month
ORDER BY month
