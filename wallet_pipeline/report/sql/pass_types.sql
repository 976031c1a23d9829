-- What is installed of each pass type now, and what the last 30 days of the calendar brought that are over, in its time zone.
-- Grain and key: pass_type, the $largest with most passes; one more row, without a name, sums up the others. Read by the
-- report.
WITH last_day AS (SELECT max(day) AS day FROM adoption.calendar WHERE is_over),
created AS (
    SELECT
        pass_type,
        count(*) AS passes,
        count(*) FILTER (pass_id IN (SELECT pass_id FROM adoption.installations WHERE uninstalled_at IS NULL)) AS passes_installed
    FROM adoption.created_passes
    GROUP BY pass_type
),
installed AS (
    SELECT pass_type, count(*) FILTER (wallet = 'apple') AS apple, count(*) FILTER (wallet = 'google') AS google
    FROM adoption.installations
    WHERE uninstalled_at IS NULL
    GROUP BY pass_type
),
flows AS (
    SELECT d.pass_type, sum(d.installs) AS installs, sum(d.uninstalls) AS uninstalls
    FROM adoption.adoption_daily d
    JOIN last_day l ON d.day BETWEEN l.day - 29 AND l.day
    GROUP BY d.pass_type
)
SELECT
    CASE WHEN s.place <= $largest THEN s.pass_type END AS pass_type,
    coalesce(sum(i.apple), 0)::BIGINT AS apple,
    coalesce(sum(i.google), 0)::BIGINT AS google,
    coalesce(sum(c.passes), 0)::BIGINT AS passes,
    sum(c.passes_installed) / sum(c.passes) AS installed_share,
    coalesce(sum(f.installs), 0)::BIGINT AS installs_30,
    coalesce(sum(f.uninstalls), 0)::BIGINT AS uninstalls_30
FROM shown_types s
LEFT JOIN created c USING (pass_type)
LEFT JOIN installed i USING (pass_type)
LEFT JOIN flows f USING (pass_type)
GROUP BY least(s.place, $largest + 1), 1
ORDER BY least(s.place, $largest + 1)
