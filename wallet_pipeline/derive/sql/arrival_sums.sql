-- How the events of the last $days complete days arrived. One row: days, counted, missing, late_p50, late_p99 (seconds).
-- By wallet and kind over all the days: one that came a day late, without a time of its own, is not missing.
-- Read by the check events_arrive.
WITH days AS (SELECT DISTINCT day FROM wallet.event_arrivals WHERE complete ORDER BY day DESC LIMIT $days),
sums AS (
    SELECT sum(insights_events) AS counted, sum(arrived_events) AS arrived
    FROM wallet.event_arrivals
    SEMI JOIN days USING (day)
    GROUP BY wallet, kind
)
SELECT
    (SELECT count(*) FROM days) AS days,
    coalesce(sum(counted), 0)::BIGINT AS counted,
    coalesce(sum(greatest(0, counted - arrived)), 0)::BIGINT AS missing,
    (SELECT quantile_cont(late_seconds, 0.5) FROM arrived_events WHERE occurred_at::DATE IN (FROM days)) AS late_p50,
    (SELECT quantile_cont(late_seconds, 0.99) FROM arrived_events WHERE occurred_at::DATE IN (FROM days)) AS late_p99
FROM sums
