-- Installations begun and ended, and what is installed at the end. Grain and key: day of the calendar, pass type, wallet; a day
-- without any is a row of zeros. Read by analysts, and by adoption_weekly and adoption_monthly.
WITH series AS (
    SELECT pass_type, wallet
    FROM (SELECT DISTINCT pass_type FROM adoption.installations UNION SELECT DISTINCT pass_type FROM adoption.created_passes)
    CROSS JOIN (VALUES ('apple'), ('google')) wallets (wallet)
),
begun AS (
    SELECT c.day, i.pass_type, i.wallet, count(*) AS installs, count(*) FILTER (i.number = 1) AS first_installs
    FROM adoption.installations i
    JOIN adoption.calendar c ON i.installed_at >= c.starts_at AND i.installed_at < c.ends_at
    GROUP BY ALL
),
ended AS (
    SELECT c.day, i.pass_type, i.wallet, count(*) AS uninstalls
    FROM adoption.installations i
    JOIN adoption.calendar c ON i.uninstalled_at >= c.starts_at AND i.uninstalled_at < c.ends_at
    GROUP BY ALL
),
-- What began and what ended before each day's end, also before the first day and on days that were not read.
begun_by AS (
    SELECT c.day, i.pass_type, i.wallet, count(*) AS passes
    FROM (SELECT pass_type, wallet, coalesce(installed_at, '-infinity'::TIMESTAMP) AS moment FROM adoption.installations) i
    ASOF JOIN (FROM adoption.calendar) c ON i.moment < c.ends_at
    GROUP BY ALL
),
ended_by AS (
    SELECT c.day, i.pass_type, i.wallet, count(*) AS passes
    FROM (SELECT pass_type, wallet, uninstalled_at AS moment FROM adoption.installations WHERE uninstalled_at IS NOT NULL) i
    ASOF JOIN (FROM adoption.calendar) c ON i.moment < c.ends_at
    GROUP BY ALL
),
created_by AS (
    SELECT c.day, p.pass_type, count(*) AS passes,
        count(*) FILTER (p.created_at >= c.starts_at) AS on_the_day
    FROM adoption.created_passes p
    ASOF JOIN (FROM adoption.calendar) c ON p.created_at < c.ends_at
    GROUP BY ALL
)
SELECT
    c.day, s.pass_type, s.wallet,
    coalesce(b.installs, 0) AS installs,
    coalesce(e.uninstalls, 0) AS uninstalls,
    coalesce(b.installs, 0) - coalesce(e.uninstalls, 0) AS net,
    coalesce(b.first_installs, 0) AS first_installs,
    coalesce(b.installs, 0) - coalesce(b.first_installs, 0) AS reinstalls,
    avg(coalesce(b.installs, 0)) OVER week AS installs_7d_mean,
    avg(coalesce(e.uninstalls, 0)) OVER week AS uninstalls_7d_mean,
    (sum(coalesce(bb.passes, 0) - coalesce(eb.passes, 0)) OVER so_far)::BIGINT AS installed_passes,
    coalesce(cb.on_the_day, 0) AS created_passes,
    (sum(coalesce(cb.passes, 0)) OVER so_far)::BIGINT AS passes_so_far,
    installed_passes / nullif(passes_so_far, 0) AS installed_share
FROM adoption.calendar c
CROSS JOIN series s
LEFT JOIN begun b ON b.day = c.day AND b.pass_type = s.pass_type AND b.wallet = s.wallet
LEFT JOIN ended e ON e.day = c.day AND e.pass_type = s.pass_type AND e.wallet = s.wallet
LEFT JOIN begun_by bb ON bb.day = c.day AND bb.pass_type = s.pass_type AND bb.wallet = s.wallet
LEFT JOIN ended_by eb ON eb.day = c.day AND eb.pass_type = s.pass_type AND eb.wallet = s.wallet
LEFT JOIN created_by cb ON cb.day = c.day AND cb.pass_type = s.pass_type
WINDOW
    week AS (PARTITION BY s.pass_type, s.wallet ORDER BY c.day RANGE BETWEEN INTERVAL 6 DAY PRECEDING AND CURRENT ROW),
    so_far AS (PARTITION BY s.pass_type, s.wallet ORDER BY c.day)
ORDER BY c.day, s.pass_type, s.wallet
