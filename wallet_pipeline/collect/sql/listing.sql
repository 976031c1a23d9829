-- The staged passes with their values read. Grain: pass as listed. Times in UTC. A view of the staging file.
-- unreadable names the wallets whose installation date is no date; identifiers is JSON with sorted keys.
WITH written AS (
    SELECT
        * EXCLUDE (providers),
        nullif(trim(providers['apple']), '') AS apple,
        nullif(trim(providers['google']), '') AS google,
        len(list_filter(map_keys(providers), lambda wallet: wallet NOT IN ('apple', 'google'))) AS other_wallets
    FROM pages
),
dated AS (
    SELECT
        *,
        TRY_CAST(apple AS TIMESTAMPTZ)::TIMESTAMP AS apple_date,
        TRY_CAST(google AS TIMESTAMPTZ)::TIMESTAMP AS google_date
    FROM written
)
SELECT
    page,
    pass_id,
    pass_type,
    TRY_CAST(created_at AS TIMESTAMPTZ)::TIMESTAMP AS created_at,
    CASE
        WHEN json_type(identifiers) <> 'OBJECT' OR identifiers = '{}' THEN '{}'
        ELSE coalesce(to_json(map_from_entries(list_sort(map_entries(identifiers::MAP(VARCHAR, JSON)))))::VARCHAR, '{}')
    END AS identifiers,
    CASE WHEN isfinite(apple_date) THEN apple_date END AS apple_at,
    CASE WHEN isfinite(google_date) THEN google_date END AS google_at,
    CASE WHEN apple IS NOT NULL AND apple_at IS NULL THEN ['apple'] ELSE [] END
        || CASE WHEN google IS NOT NULL AND google_at IS NULL THEN ['google'] ELSE [] END AS unreadable,
    other_wallets
FROM dated
