-- What Insights counted, and what arrived of it. Grain and key: UTC day, wallet, kind. Days without events are rows of
-- zeros. Only days that were read from Insights, from the day of the first delivery on: nothing could arrive before.
-- Read by the check events_arrive and by analysts.
WITH first_delivery AS (
    SELECT min(received_at)::DATE AS day
    FROM (SELECT received_at FROM raw.wallet_events UNION ALL SELECT received_at FROM raw.unusable_deliveries)
),
series AS (
    SELECT wallet, kind
    FROM (VALUES ('apple'), ('google')) wallets (wallet)
    CROSS JOIN (VALUES ('installed'), ('uninstalled')) kinds (kind)
),
counted AS (
    SELECT
        day, wallet,
        CASE event_type WHEN 'Pass:Installed' THEN 'installed' WHEN 'Pass:Uninstalled' THEN 'uninstalled' END AS kind,
        sum(events) AS events
    FROM raw.insights_daily
    GROUP BY ALL
),
arrived AS (
    SELECT
        occurred_at::DATE AS day, wallet, kind,
        count(*) AS events,
        quantile_cont(late_seconds, 0.5) AS late_p50_seconds,
        quantile_cont(late_seconds, 0.99) AS late_p99_seconds
    FROM arrived_events
    GROUP BY ALL
),
compared AS (
    SELECT
        d.day, s.wallet, s.kind,
        coalesce(c.events, 0)::BIGINT AS insights_events,
        coalesce(a.events, 0)::BIGINT AS arrived_events,
        d.day > f.day AND d.fetched_at >= d.day + INTERVAL 1 DAY AS complete,
        a.late_p50_seconds, a.late_p99_seconds
    FROM raw.insights_days d
    JOIN first_delivery f ON d.day >= f.day
    CROSS JOIN series s
    LEFT JOIN counted c ON c.day = d.day AND c.wallet = s.wallet AND c.kind = s.kind
    LEFT JOIN arrived a ON a.day = d.day AND a.wallet = s.wallet AND a.kind = s.kind
)
SELECT
    day, wallet, kind, insights_events, arrived_events, complete,
    CASE WHEN complete AND insights_events > 0 THEN greatest(0, 1 - arrived_events / insights_events) END
        AS missing_share,
    late_p50_seconds, late_p99_seconds
FROM compared
ORDER BY day, wallet, kind
