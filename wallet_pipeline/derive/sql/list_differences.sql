-- Passes that the newest accepted list shows otherwise than the registers have them. Grain and key: wallet, pass_id, for the
-- day that is counted. Times in UTC. $staleness: by how much the Pass API may lag. Read by reconciliation_differences.
WITH newest AS (
    SELECT started_at - $staleness AS speaks_for
    FROM raw.snapshots
    WHERE verdict = 'accepted'
    ORDER BY started_at DESC
    LIMIT 1
),
listed AS (
    SELECT pass_id, wallet FROM raw.wallet_observations WHERE present AND last_snapshot IS NULL
),
differing AS (
    SELECT
        coalesce(l.pass_id, r.pass_id) AS pass_id,
        coalesce(l.wallet, r.wallet) AS wallet,
        l.pass_id IS NOT NULL AS is_listed
    FROM listed l
    FULL JOIN (FROM wallet.registers WHERE installed) r ON r.pass_id = l.pass_id AND r.wallet = l.wallet
    WHERE l.pass_id IS NULL OR r.pass_id IS NULL
)
SELECT
    d.day, f.wallet, 'list' AS comparison, f.pass_id,
    CASE WHEN f.is_listed THEN 'listed as installed, not by the registers' ELSE 'installed by the registers, not by the list' END
        AS difference,
    r.changed_at AS happened_at,
    CASE
        WHEN r.changed_at > (SELECT speaks_for FROM newest) THEN 'an event newer than the list'
        WHEN NOT f.is_listed AND p.pass_id IS NULL THEN 'not in the newest list; gone only when the next one lacks it, too'
    END AS explanation
FROM differing f
JOIN (FROM reconciled_days WHERE is_counted) d ON TRUE
LEFT JOIN wallet.registers r ON r.pass_id = f.pass_id AND r.wallet = f.wallet
LEFT JOIN (SELECT DISTINCT pass_id FROM raw.passes WHERE last_snapshot IS NULL) p ON p.pass_id = f.pass_id
