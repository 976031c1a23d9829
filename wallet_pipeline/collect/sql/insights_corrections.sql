-- Counts that differ from those of an earlier reading of the same day. Grain and key: UTC day, event type, pass type, wallet.
-- Only of days that were over when they were read: the counts of a day that goes on grow anyway. Read by insights.py.
SELECT day, event_type, pass_type, wallet, coalesce(b.events, 0) AS events_before, coalesce(a.events, 0) AS events_after
FROM (FROM raw.insights_daily WHERE day >= $start AND day < $end) b
FULL JOIN insights_counts a USING (day, event_type, pass_type, wallet)
SEMI JOIN (FROM raw.insights_days WHERE fetched_at >= day + INTERVAL 1 DAY) USING (day)
WHERE coalesce(b.events, 0) <> coalesce(a.events, 0)
