-- Customers by wallet_status at the end of each $period ('day', 'week' or 'month'), as it was held true then. Grain and key:
-- first day of the period, in the time zone of the calendar; of one that is not over, its newest day. Read by the report.
SELECT
    date_trunc($period, day)::DATE AS period,
    max_by(customers, day) FILTER (wallet_status = 'both') AS "both",
    max_by(customers, day) FILTER (wallet_status = 'apple') AS apple,
    max_by(customers, day) FILTER (wallet_status = 'google') AS google,
    max_by(customers, day) FILTER (wallet_status = 'none') AS "none"
FROM adoption.status_daily
GROUP BY period
ORDER BY period
