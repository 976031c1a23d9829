-- One page of passes, as listed. Grain: pass as listed. Times in UTC. Written to the staging file; the secret is no column.
-- unreadable names the wallets whose installation date is no date; identifiers is JSON with sorted keys.
WITH page AS (
    FROM read_json($file, format = 'array', maximum_object_size = 104857600, columns = {
        id: 'VARCHAR', passType: 'VARCHAR', creationDate: 'VARCHAR', identifiers: 'JSON', providers: 'MAP(VARCHAR, VARCHAR)'
    })
),
dated AS (
    SELECT
        *,
        list_transform(
            list_filter(map_entries(providers), lambda p: trim(coalesce(p.value, '')) <> ''),
            lambda p: {
                'wallet': p.key,
                'installed_at': CASE WHEN isfinite(TRY_CAST(p.value AS TIMESTAMPTZ)) THEN TRY_CAST(p.value AS TIMESTAMPTZ) END
            }
        ) AS installations
    FROM page
)
SELECT
    id AS pass_id,
    passType AS pass_type,
    TRY_CAST(creationDate AS TIMESTAMPTZ)::TIMESTAMP AS created_at,
    CASE
        WHEN json_type(identifiers) = 'OBJECT' AND identifiers <> '{}'
            THEN to_json(map_from_entries(list_sort(map_entries(identifiers::MAP(VARCHAR, JSON)))))::VARCHAR
        ELSE '{}'
    END AS identifiers,
    list_extract(list_filter(installations, lambda p: p.wallet = 'apple'), 1).installed_at::TIMESTAMP AS apple_at,
    list_extract(list_filter(installations, lambda p: p.wallet = 'google'), 1).installed_at::TIMESTAMP AS google_at,
    list_transform(list_filter(installations, lambda p: p.installed_at IS NULL), lambda p: p.wallet) AS unreadable,
    len(list_filter(installations, lambda p: p.wallet NOT IN ('apple', 'google'))) AS other_wallets
FROM dated
