-- The staged passes with their values read. Grain: pass as listed. Times in UTC. A view of the staging file.
-- unreadable names the wallets whose installation date is no date; identifiers is JSON with sorted keys.
WITH written AS (
    SELECT
        * EXCLUDE (providers),
        nullif(trim(providers['apple']), '') AS apple,
        nullif(trim(providers['google']), '') AS google,
        len(list_filter(
            map_entries(providers), lambda p: p.key NOT IN ('apple', 'google') AND trim(coalesce(p.value, '')) <> ''
        )) AS other_wallets
    FROM pages
),
dated AS (
    SELECT
        *,
        -- The cast knows words too, such as infinity: a date begins with digits.
        CASE WHEN regexp_matches(apple, '^\d{4}-') THEN TRY_CAST(apple AS TIMESTAMPTZ)::TIMESTAMP END AS apple_at,
        CASE WHEN regexp_matches(google, '^\d{4}-') THEN TRY_CAST(google AS TIMESTAMPTZ)::TIMESTAMP END AS google_at
    FROM written
)
SELECT
    page,
    pass_id,
    pass_type,
    TRY_CAST(created_at AS TIMESTAMPTZ)::TIMESTAMP AS created_at,
    CASE
        WHEN json_type(identifiers) <> 'OBJECT' OR identifiers = '{}' THEN '{}'
        -- A name that is there twice cannot be sorted into a map; the text as it came still says both.
        ELSE coalesce(
            to_json(map_from_entries(list_sort(map_entries(TRY_CAST(identifiers AS MAP(VARCHAR, JSON))))))::VARCHAR,
            identifiers::VARCHAR,
            '{}'
        )
    END AS identifiers,
    apple_at,
    google_at,
    CASE WHEN apple IS NOT NULL AND apple_at IS NULL THEN ['apple'] ELSE [] END
        || CASE WHEN google IS NOT NULL AND google_at IS NULL THEN ['google'] ELSE [] END AS unreadable,
    other_wallets
FROM dated
