-- How long passes took from creation to their first installation. Grain and key: month of creation, pass type, wallet (apple,
-- google or any). A date before the creation counts as at once; a pass that was installed before Insights was read has no time.
-- Read by analysts.
WITH firsts AS (
    SELECT
        date_trunc('month', timezone($zone, p.created_at AT TIME ZONE 'UTC'))::DATE AS created_month,
        p.pass_type, w.wallet,
        CASE
            WHEN isfinite(min(s.begins_at)) THEN epoch(greatest(min(s.begins_at), p.created_at) - p.created_at) / 3600
        END AS hours
    FROM adoption.created_passes p
    CROSS JOIN (VALUES ('apple'), ('google'), ('any')) w (wallet)
    LEFT JOIN installed_spans s ON s.pass_id = p.pass_id AND s.wallet = w.wallet
    GROUP BY p.pass_id, p.pass_type, p.created_at, w.wallet
)
SELECT
    created_month, pass_type, wallet,
    count(*) AS passes,
    count(hours) AS installed_passes,
    median(hours) AS p50_hours,
    quantile_cont(hours, 0.9) AS p90_hours,
    count(*) FILTER (hours <= 1) AS within_1_hour,
    count(*) FILTER (hours <= 24) AS within_1_day,
    count(*) FILTER (hours <= 24 * 7) AS within_7_days,
    count(*) FILTER (hours <= 24 * 30) AS within_30_days
FROM firsts
GROUP BY ALL
ORDER BY ALL
