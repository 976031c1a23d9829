-- The answer of events.kql with types, null where a value is not of its type. Grain and key: as the answer. Times in UTC; one
-- without a zone is UTC. Read by insights.py.
SELECT
    try_cast(occurred_at AS TIMESTAMPTZ) AT TIME ZONE 'UTC' AS occurred_at,
    nullif(event_type, '') AS event_type,
    coalesce(pass_type, '') AS pass_type,
    coalesce(wallet, '') AS wallet,
    coalesce(pass_id, '') AS pass_id,
    try_cast(events AS BIGINT) AS events,
    try_cast(passes AS BIGINT) AS passes,
    try_cast(total AS BIGINT) AS total
FROM answer
