-- Passes installed at the end of each $period ('day', 'week' or 'month'), both wallets added. Grain and key: first day of the
-- period, in the time zone of the calendar, and pass type, the $largest with most passes; rows without a name sum up the
-- others. Read by the report.
WITH days AS (
    SELECT d.day, least(s.place, $largest + 1) AS place, CASE WHEN s.place <= $largest THEN s.pass_type END AS pass_type,
        sum(d.installed_passes) AS installed
    FROM adoption.adoption_daily d
    JOIN shown_types s USING (pass_type)
    GROUP BY ALL
)
SELECT date_trunc($period, day)::DATE AS period, pass_type, max_by(installed, day)::BIGINT AS installed
FROM days
GROUP BY period, place, pass_type
ORDER BY place, period
