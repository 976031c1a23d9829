-- The component's passes as the lists known by then show them. Grain: pass and stretch of lists that show it alike.
-- A stretch ends where it does, or with the newest list; null, as ever, when that is the newest one.
WITH lists AS (SELECT snapshot_id, max(snapshot_id) OVER () AS newest FROM memory.raw.snapshots WHERE verdict = 'accepted')
SELECT
    p.pass_id, p.pass_type, p.created_at, p.identifiers,
    min(l.snapshot_id) AS first_snapshot,
    nullif(max(l.snapshot_id), any_value(l.newest)) AS last_snapshot
FROM (FROM raw.passes SEMI JOIN component USING (pass_id)) p
JOIN lists l ON l.snapshot_id BETWEEN p.first_snapshot AND coalesce(p.last_snapshot, l.snapshot_id)
GROUP BY p.pass_id, p.pass_type, p.created_at, p.identifiers, p.first_snapshot
