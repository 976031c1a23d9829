-- What the staged snapshot says of each pass and wallet. Grain and key: pass_id, wallet. Times in UTC.
-- Of a pass listed twice, present wins, then the later date. Forgotten passes are left out.
WITH passes AS (
    SELECT pass_id, max(apple_at) AS apple_at, max(google_at) AS google_at
    FROM staging.listing
    WHERE NOT raw.is_forgotten(pass_id)
    GROUP BY pass_id
)
SELECT pass_id, 'apple' AS wallet, apple_at IS NOT NULL AS present, apple_at AS installed_at FROM passes
UNION ALL
SELECT pass_id, 'google', google_at IS NOT NULL, google_at FROM passes
