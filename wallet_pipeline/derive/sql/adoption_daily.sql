-- Installs and uninstalls. Grain and key: UTC day, pass type, wallet. Days without events are rows of zeros.
-- installed_passes: the registers say how many are installed now; walking back, each later day's installs are taken off
-- and its uninstalls put back, a pass counted once a day; null before a day that was not read. Read by analysts.
WITH moves AS (
    SELECT
        day, pass_type, wallet,
        coalesce(sum(events) FILTER (event_type = 'Pass:Installed'), 0) AS installs,
        coalesce(sum(events) FILTER (event_type = 'Pass:Uninstalled'), 0) AS uninstalls,
        coalesce(sum(passes) FILTER (event_type = 'Pass:Installed'), 0)
            - coalesce(sum(passes) FILTER (event_type = 'Pass:Uninstalled'), 0) AS net_passes
    FROM raw.insights_daily
    WHERE wallet IN ('apple', 'google')
    GROUP BY day, pass_type, wallet
),
installed_now AS (
    SELECT coalesce(p.pass_type, '') AS pass_type, r.wallet, count(*) AS passes
    FROM wallet.registers r
    JOIN wallet.pass_customers p USING (pass_id)
    WHERE r.installed
    GROUP BY ALL
),
series AS (SELECT pass_type, wallet FROM moves UNION SELECT pass_type, wallet FROM installed_now),
filled AS (
    SELECT
        d.day, s.pass_type, s.wallet,
        coalesce(m.installs, 0) AS installs,
        coalesce(m.uninstalls, 0) AS uninstalls,
        coalesce(m.net_passes, 0) AS net_passes
    FROM raw.insights_days d
    CROSS JOIN series s
    LEFT JOIN moves m ON m.day = d.day AND m.pass_type = s.pass_type AND m.wallet = s.wallet
)
SELECT
    f.day,
    f.pass_type,
    f.wallet,
    f.installs::BIGINT AS installs,
    f.uninstalls::BIGINT AS uninstalls,
    (f.installs - f.uninstalls)::BIGINT AS net,
    avg(f.installs) OVER week AS installs_7d_mean,
    avg(f.uninstalls) OVER week AS uninstalls_7d_mean,
    CASE
        WHEN max(f.day) OVER () - f.day = count(*) OVER later
            THEN greatest(0, coalesce(n.passes, 0) - coalesce(sum(f.net_passes) OVER later, 0))
    END::BIGINT AS installed_passes
FROM filled f
LEFT JOIN installed_now n USING (pass_type, wallet)
WINDOW
    week AS (PARTITION BY f.pass_type, f.wallet ORDER BY f.day RANGE BETWEEN INTERVAL 6 DAY PRECEDING AND CURRENT ROW),
    later AS (PARTITION BY f.pass_type, f.wallet ORDER BY f.day ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
ORDER BY f.day, f.pass_type, f.wallet
