-- Installations begun and ended in each $period ('day', 'week' or 'month'), of all pass types in both wallets. Grain and key:
-- first day of the period, in the time zone of the calendar. Read by the report.
SELECT
    date_trunc($period, day)::DATE AS period,
    sum(first_installs)::BIGINT AS first_installs,
    sum(reinstalls)::BIGINT AS reinstalls,
    sum(uninstalls)::BIGINT AS uninstalls,
    sum(net)::BIGINT AS net
FROM adoption.adoption_daily
GROUP BY period
ORDER BY period
