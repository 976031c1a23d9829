-- Events that were delivered several times. One row: deliveries since $since (UTC), those of them that told nothing new,
-- and when the first event that came again was first received. Read by the doctor.
WITH events AS (
    SELECT count(*) AS deliveries, min(received_at) AS first_at
    FROM raw.wallet_events
    WHERE received_at >= $since
    GROUP BY pass_id, wallet, kind, event_id
)
SELECT
    coalesce(sum(deliveries), 0)::BIGINT AS deliveries,
    coalesce(sum(deliveries - 1), 0)::BIGINT AS again,
    min(first_at) FILTER (deliveries > 1) AS since
FROM events
