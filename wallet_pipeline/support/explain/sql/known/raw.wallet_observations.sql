-- What the lists known by then say of the component's passes. Grain: pass, wallet and stretch of lists that say the same.
WITH lists AS (SELECT snapshot_id, max(snapshot_id) OVER () AS newest FROM memory.raw.snapshots WHERE verdict = 'accepted')
SELECT
    o.pass_id, o.wallet, o.present, o.installed_at,
    min(l.snapshot_id) AS first_snapshot,
    nullif(max(l.snapshot_id), any_value(l.newest)) AS last_snapshot
FROM (FROM raw.wallet_observations SEMI JOIN component USING (pass_id)) o
JOIN lists l ON l.snapshot_id BETWEEN o.first_snapshot AND coalesce(o.last_snapshot, l.snapshot_id)
GROUP BY o.pass_id, o.wallet, o.present, o.installed_at, o.first_snapshot
