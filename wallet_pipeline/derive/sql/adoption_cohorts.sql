-- Of the passes created in a month, how many had been installed, and how many still were, by the end of that and each later
-- month. Grain and key: month of creation, pass type, wallet (apple, google or any), months since. Months of the calendar that
-- are over; installations of passes whose creation is unknown do not count. Read by analysts.
WITH months AS (
    SELECT month, max(ends_at) AS ends_at
    FROM adoption.calendar
    GROUP BY month
    HAVING bool_and(is_over) AND max(day) = last_day(month)
),
passes AS (
    SELECT pass_id, pass_type, created_at, date_trunc('month', timezone($zone, created_at AT TIME ZONE 'UTC'))::DATE AS cohort
    FROM adoption.created_passes
),
sizes AS (SELECT cohort, pass_type, count(*) AS passes FROM passes GROUP BY ALL),
first_installs AS (
    SELECT p.cohort, p.pass_type, s.wallet, min(s.begins_at) AS moment
    FROM passes p
    JOIN installed_spans s USING (pass_id)
    GROUP BY p.cohort, p.pass_type, s.wallet, p.pass_id
),
moves AS (
    SELECT cohort, pass_type, wallet, moment, 1 AS installed, 0 AS retained FROM first_installs
    UNION ALL
    SELECT p.cohort, p.pass_type, s.wallet, s.begins_at, 0, 1 FROM passes p JOIN installed_spans s USING (pass_id)
    UNION ALL
    SELECT p.cohort, p.pass_type, s.wallet, s.ends_at, 0, -1 FROM passes p JOIN installed_spans s USING (pass_id)
),
by_month AS (
    SELECT
        v.cohort, v.pass_type, v.wallet,
        greatest(m.month, v.cohort) AS month,
        sum(v.installed) AS installed,
        sum(v.retained) AS retained
    FROM moves v
    ASOF JOIN months m ON v.moment < m.ends_at
    GROUP BY ALL
),
spine AS (
    SELECT s.*, w.wallet, m.month
    FROM sizes s
    CROSS JOIN (VALUES ('apple'), ('google'), ('any')) w (wallet)
    JOIN months m ON m.month >= s.cohort
)
SELECT
    s.cohort AS created_month, s.pass_type, s.wallet,
    date_diff('month', s.cohort, s.month) AS months_since,
    s.passes,
    (sum(coalesce(b.installed, 0)) OVER so_far)::BIGINT AS installed_passes,
    (sum(coalesce(b.retained, 0)) OVER so_far)::BIGINT AS retained_passes,
    installed_passes / s.passes AS installed_share,
    retained_passes / s.passes AS retained_share
FROM spine s
LEFT JOIN by_month b USING (cohort, pass_type, wallet, month)
WINDOW so_far AS (PARTITION BY s.cohort, s.pass_type, s.wallet ORDER BY s.month)
ORDER BY ALL
