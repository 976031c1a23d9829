-- When each pass was installed, in each wallet and in any of them, overlapping installations joined. Grain and key: pass_id,
-- wallet (apple, google or any), begins_at. Times in UTC; '-infinity' began before Insights was read, 'infinity' goes on. Read
-- by the tables of adoption.
WITH each_wallet AS (
    SELECT
        pass_id, wallet,
        coalesce(installed_at, '-infinity') AS begins_at,
        coalesce(uninstalled_at, 'infinity') AS ends_at
    FROM adoption.installations
),
joined AS (
    SELECT
        pass_id, begins_at, ends_at,
        max(ends_at) OVER (
            PARTITION BY pass_id ORDER BY begins_at, ends_at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS reached
    FROM each_wallet
),
numbered AS (
    SELECT
        *,
        count(*) FILTER (reached IS NULL OR begins_at > reached) OVER (
            PARTITION BY pass_id ORDER BY begins_at, ends_at
        ) AS span
    FROM joined
)
FROM each_wallet
UNION ALL
SELECT pass_id, 'any', min(begins_at), max(ends_at)
FROM numbered
GROUP BY pass_id, span
