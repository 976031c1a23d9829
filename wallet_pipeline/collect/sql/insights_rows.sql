-- The answer of events.kql with types, null where a value is not of its type. Grain and key: as the answer. Times in UTC; one
-- without a zone is UTC. Read by insights.py.
SELECT
    try_cast(occurred_at AS TIMESTAMPTZ) AT TIME ZONE 'UTC' AS occurred_at,
    nullif(event_type, '') AS event_type,
    coalesce(pass_type, '') AS pass_type,
    lower(trim(coalesce(wallet, ''))) AS wallet,
    coalesce(pass_id, '') AS pass_id,
    CASE WHEN regexp_full_match(events, '\d+(\.0+)?') THEN try_cast(events AS BIGINT) END AS events,
    CASE WHEN regexp_full_match(passes, '\d+(\.0+)?') THEN try_cast(passes AS BIGINT) END AS passes,
    CASE WHEN regexp_full_match(total, '\d+(\.0+)?') THEN try_cast(total AS BIGINT) END AS total
FROM answer
