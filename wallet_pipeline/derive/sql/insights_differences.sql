-- Passes that Insights' last word has otherwise than the registers. Grain and key: wallet, pass_id, for the day that is
-- counted. Times in UTC. $staleness: by how much the Pass API may lag. Read by reconciliation_differences.
WITH bounds AS (
    SELECT
        (SELECT max(started_at) FROM raw.snapshots WHERE verdict = 'accepted') - $staleness AS listed_until,
        (SELECT min(started_at) FROM raw.snapshots WHERE verdict = 'accepted') AS listed_from,
        (SELECT min(day)::TIMESTAMP FROM raw.insights_days) AS read_from,
        -- Insights may lag by an hour.
        (SELECT max(least(fetched_at, day + INTERVAL 1 DAY)) - INTERVAL 1 HOUR FROM raw.insights_days) AS read_until
),
said AS (
    SELECT
        pass_id, wallet,
        last(kind ORDER BY occurred_at, kind) = 'installed' AS installed,
        max(occurred_at) AS occurred_at,
        count(*) FILTER (kind = 'installed') - count(*) FILTER (kind = 'uninstalled') AS devices
    FROM raw.insights_events
    WHERE kind IN ('installed', 'uninstalled') AND wallet IN ('apple', 'google')
    GROUP BY ALL
),
differing AS (
    SELECT
        coalesce(s.pass_id, r.pass_id) AS pass_id,
        coalesce(s.wallet, r.wallet) AS wallet,
        s.pass_id IS NOT NULL AS is_said,
        s.occurred_at, s.devices,
        coalesce(r.installed, FALSE) AS installed,
        r.pass_id IS NOT NULL AS is_known,
        r.installed_at, r.changed_at, r.changed_at_inferred
    FROM said s
    FULL JOIN wallet.registers r ON r.pass_id = s.pass_id AND r.wallet = s.wallet
    WHERE coalesce(s.installed, FALSE) <> coalesce(r.installed, FALSE)
)
SELECT
    d.day, f.wallet, 'insights' AS comparison, f.pass_id,
    CASE
        WHEN NOT f.installed THEN 'installed by Insights, not by the registers'
        WHEN f.is_said THEN 'installed by the registers, uninstalled by Insights'
        ELSE 'installed by the registers, Insights has no event'
    END AS difference,
    coalesce(f.changed_at, f.occurred_at) AS happened_at,
    CASE
        WHEN f.occurred_at > b.listed_until THEN 'happened after the list was read'
        WHEN NOT f.installed AND p.is_gone THEN 'the pass is gone from the list'
        WHEN f.changed_at >= b.read_until THEN 'happened after Insights was read'
        WHEN NOT f.installed AND p.pass_id IS NULL AND f.occurred_at < b.listed_from
            THEN 'in no list: deleted before the first one'
        WHEN NOT f.installed AND f.changed_at_inferred THEN 'nobody told the uninstall: the list shows it'
        WHEN f.installed AND f.is_said AND f.occurred_at >= f.installed_at - INTERVAL 5 MINUTE
            AND (f.devices > 0 OR f.installed_at < b.read_from OR e.pass_id IS NOT NULL)
            THEN 'the list still shows it: removed from one of several devices'
        WHEN NOT f.is_said AND f.installed_at < b.read_from THEN 'installed before the first day read from Insights'
        WHEN n.pass_id IS NOT NULL THEN 'Insights does not name the wallet'
    END AS explanation
FROM differing f
CROSS JOIN bounds b
JOIN (FROM reconciled_days WHERE is_counted) d ON TRUE
LEFT JOIN (
    SELECT pass_id, bool_and(last_snapshot IS NOT NULL) AS is_gone
    FROM raw.passes
    GROUP BY pass_id
) p ON p.pass_id = f.pass_id
LEFT JOIN (
    SELECT DISTINCT pass_id, wallet FROM wallet.ignored_events WHERE reason = 'still registered on another device'
) e ON e.pass_id = f.pass_id AND e.wallet = f.wallet
LEFT JOIN (SELECT DISTINCT pass_id FROM raw.insights_events WHERE kind <> 'created' AND wallet NOT IN ('apple', 'google')) n
    ON n.pass_id = f.pass_id
