-- Passes by the time from their creation to their first installation in any wallet; all pass types. Grain and key: month of
-- creation, the newest $months of them. The columns add up to the passes created. Read by the report.
SELECT
    created_month,
    sum(within_1_hour)::BIGINT AS hour,
    sum(within_1_day - within_1_hour)::BIGINT AS day,
    sum(within_7_days - within_1_day)::BIGINT AS days_7,
    sum(within_30_days - within_7_days)::BIGINT AS days_30,
    sum(installed_passes - within_30_days)::BIGINT AS later,
    sum(passes - installed_passes)::BIGINT AS not_yet
FROM adoption.time_to_install
WHERE wallet = 'any' AND created_month > (SELECT max(created_month) - to_months($months::INTEGER) FROM adoption.time_to_install)
GROUP BY created_month
ORDER BY created_month
