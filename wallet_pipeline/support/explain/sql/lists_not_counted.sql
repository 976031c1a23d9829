-- Lists that do not show a pass to explain and say nothing by that, since the first evidence of it. Grain: pass_id, reason.
-- Times in UTC. Read by explain, from the small warehouse.
WITH since AS (
    SELECT pass_id, min(moment) AS since
    FROM (
        SELECT p.pass_id, s.started_at AS moment FROM raw.passes p JOIN raw.snapshots s ON s.snapshot_id = p.first_snapshot
        UNION ALL
        SELECT pass_id, occurred_at FROM raw.wallet_events
    )
    GROUP BY pass_id
),
seen AS (
    SELECT
        e.pass_id, s.snapshot_id, s.started_at, s.complete, s.verdict,
        EXISTS (
            FROM raw.passes p
            WHERE p.pass_id = e.pass_id AND s.snapshot_id BETWEEN p.first_snapshot AND coalesce(p.last_snapshot, s.snapshot_id)
        ) AS is_listed
    FROM explained_passes e
    CROSS JOIN raw.snapshots s
),
judged AS (
    SELECT
        pass_id, started_at,
        CASE
            WHEN verdict <> 'accepted' THEN 'held'
            WHEN NOT complete AND NOT is_listed THEN 'incomplete'
            WHEN NOT is_listed AND coalesce(lag(is_listed) OVER complete_ones, TRUE) THEN 'missed once'
        END AS reason
    FROM seen
    WINDOW complete_ones AS (PARTITION BY pass_id, complete AND verdict = 'accepted' ORDER BY snapshot_id)
)
SELECT j.pass_id, j.reason, count(*) AS lists, min(j.started_at) AS first_at, max(j.started_at) AS last_at
FROM judged j
JOIN since USING (pass_id)
WHERE j.reason IS NOT NULL AND j.started_at >= since.since
GROUP BY j.pass_id, j.reason
ORDER BY j.pass_id, first_at
