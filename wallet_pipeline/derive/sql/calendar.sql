-- Days that trends are counted by: those of which Insights was read. Grain and key: day, in the time zone $zone; the bounds in
-- UTC. A day counts as read when every UTC day that it touches was read, or is still to come. Read by the tables of adoption.
WITH midnights AS (
    SELECT day, timezone($zone, day::TIMESTAMP) AT TIME ZONE 'UTC' AS midnight
    FROM (SELECT unnest(generate_series(min(day), max(day) + 1, INTERVAL 1 DAY))::DATE AS day FROM raw.insights_days)
),
beginnings AS (
    -- Where clocks go back to midnight it comes twice: above is the second one, the day begins with the first.
    SELECT
        day,
        midnight - greatest(
            timezone($zone, (midnight - INTERVAL 1 MICROSECOND) AT TIME ZONE 'UTC') + INTERVAL 1 MICROSECOND - day::TIMESTAMP,
            INTERVAL 0 DAY
        ) AS starts_at
    FROM midnights
),
-- A day that a time zone skipped, as Samoa did on its way over the date line, has no length.
bounds AS (
    SELECT day, starts_at, lead(starts_at) OVER (ORDER BY day) AS ends_at
    FROM beginnings
    QUALIFY starts_at < ends_at
)
SELECT
    b.day,
    date_trunc('week', b.day)::DATE AS week,
    strftime(b.day, '%G-W%V') AS iso_week,
    date_trunc('month', b.day)::DATE AS month,
    b.starts_at,
    b.ends_at,
    b.ends_at <= $now AS is_over,
    $zone AS time_zone
FROM bounds b
WHERE NOT EXISTS (
    SELECT 1
    FROM (
        SELECT unnest(
            generate_series(b.starts_at::DATE, (b.ends_at - INTERVAL 1 MICROSECOND)::DATE, INTERVAL 1 DAY)
        )::DATE AS utc_day
    )
    WHERE utc_day NOT IN (SELECT day FROM raw.insights_days) AND utc_day <= (SELECT max(day) FROM raw.insights_days)
)
