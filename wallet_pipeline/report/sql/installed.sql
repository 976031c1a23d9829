-- Passes installed at the end of each $period ('day', 'week' or 'month'). Grain and key: first day of the period, in the time
-- zone of the calendar; of one that is not over, its newest day. Read by the report.
WITH days AS (
    SELECT
        day,
        sum(installed_passes) FILTER (wallet = 'apple') AS apple,
        sum(installed_passes) FILTER (wallet = 'google') AS google
    FROM adoption.adoption_daily
    GROUP BY day
)
SELECT
    date_trunc($period, day)::DATE AS period,
    max_by(apple, day)::BIGINT AS apple,
    max_by(google, day)::BIGINT AS google
FROM days
GROUP BY period
ORDER BY period
