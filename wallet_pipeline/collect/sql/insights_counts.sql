-- Daily counts of insights_rows. Grain and key: UTC day, event type, pass type, wallet. A pass counts once a day; updates come
-- counted. Read by insights.py, into raw.insights_daily.
SELECT
    occurred_at::DATE AS day, event_type, pass_type, wallet,
    sum(events)::BIGINT AS events,
    (count(DISTINCT pass_id) FILTER (pass_id <> '') + coalesce(sum(passes) FILTER (pass_id = ''), 0))::BIGINT AS passes
FROM insights_rows
GROUP BY ALL
