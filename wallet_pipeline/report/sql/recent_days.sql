-- Installations begun and ended on each of the last 30 days that are over, of all pass types. Grain and key: day, in the time
-- zone of the calendar. Read by the report.
SELECT
    d.day,
    sum(d.installs) FILTER (d.wallet = 'apple')::BIGINT AS apple_installs,
    sum(d.installs) FILTER (d.wallet = 'google')::BIGINT AS google_installs,
    sum(d.uninstalls) FILTER (d.wallet = 'apple')::BIGINT AS apple_uninstalls,
    sum(d.uninstalls) FILTER (d.wallet = 'google')::BIGINT AS google_uninstalls
FROM adoption.adoption_daily d
WHERE d.day <= (SELECT max(day) FROM adoption.calendar WHERE is_over)
    AND d.day > (SELECT max(day) - 30 FROM adoption.calendar WHERE is_over)
GROUP BY d.day
ORDER BY d.day
