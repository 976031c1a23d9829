-- adoption_daily summed up by week or month. Grain and key: first day of the $period ('week', an ISO week from Monday, or
-- 'month'), pass type, wallet. Stocks are those of the last day there is. Read by analysts, as adoption_weekly and
-- adoption_monthly.
SELECT
    date_trunc($period, day)::DATE AS period,
    pass_type, wallet,
    count(*) AS days,
    sum(installs)::BIGINT AS installs,
    sum(uninstalls)::BIGINT AS uninstalls,
    sum(net)::BIGINT AS net,
    sum(first_installs)::BIGINT AS first_installs,
    sum(reinstalls)::BIGINT AS reinstalls,
    max_by(installed_passes, day) AS installed_passes,
    sum(created_passes)::BIGINT AS created_passes,
    max_by(passes_so_far, day) AS passes_so_far,
    max_by(installed_share, day) AS installed_share
FROM adoption.adoption_daily
GROUP BY ALL
ORDER BY ALL
