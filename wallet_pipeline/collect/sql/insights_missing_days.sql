-- UTC days to ask Insights for. Grain and key: day, from $first until before $until, without those that a reading which broke off
-- within the last day had read, and that were over then. Those from $again on are always asked for: events come late. Read by
-- insights.py.
SELECT day
FROM (SELECT unnest(generate_series($first, $until - 1, INTERVAL 1 DAY))::DATE AS day) days
WHERE day >= $again OR NOT EXISTS (
    FROM raw.insights_readings r
    JOIN raw.insights_days d ON d.fetched_at >= r.begun_at AND d.fetched_at >= d.day + INTERVAL 1 DAY
    WHERE d.day = days.day AND d.day >= r.first AND d.day < r.until AND r.begun_at > $now - INTERVAL 1 DAY
)
ORDER BY day
