-- The pieces of evidence that can matter for a register. Grain: pass_id, wallet, piece. Times in UTC.
-- A run of equal observations counts as its first, its last, and the first one after each anchor inside it: an event, or
-- an observation of "installed" that another run or an incomplete snapshot puts there. is_missing: the list lacks the pass;
-- given_at: the date of installation as the list gives it, believed or not. Read by ordered_evidence.
WITH accepted AS (
    SELECT
        snapshot_id, started_at, complete,
        count(*) FILTER (complete) OVER (ORDER BY snapshot_id) AS complete_until
    FROM raw.snapshots
    WHERE verdict = 'accepted'
),
complete_snapshots AS (
    SELECT snapshot_id, complete_until AS nth FROM accepted WHERE complete
),
newest AS (
    SELECT max(snapshot_id) AS snapshot_id, coalesce(max(complete_until), 0) AS complete_snapshots FROM accepted
),
coverage AS (  -- stretches of complete snapshots, by number, that list the pass
    SELECT
        p.pass_id,
        f.complete_until - f.complete::INT + 1 AS from_nth,
        l.complete_until AS to_nth
    FROM raw.passes p
    CROSS JOIN newest n
    JOIN accepted f ON f.snapshot_id = p.first_snapshot
    JOIN accepted l ON l.snapshot_id = coalesce(p.last_snapshot, n.snapshot_id)
    WHERE to_nth >= from_nth
),
gaps AS (  -- stretches of complete snapshots that do not list the pass
    SELECT
        pass_id,
        coalesce(lag(to_nth) OVER (PARTITION BY pass_id ORDER BY from_nth), 0) + 1 AS from_nth,
        from_nth - 1 AS to_nth
    FROM coverage
    UNION ALL
    SELECT c.pass_id, max(c.to_nth) + 1, any_value(n.complete_snapshots) FROM coverage c CROSS JOIN newest n GROUP BY c.pass_id
    UNION ALL
    SELECT known.pass_id, 1, n.complete_snapshots
    FROM (SELECT pass_id FROM evidence_events WHERE no_evidence IS NULL UNION SELECT pass_id FROM raw.passes) known
    ANTI JOIN coverage c USING (pass_id)
    CROSS JOIN newest n
),
runs AS (
    SELECT
        o.pass_id, o.wallet, o.present, o.installed_at, o.first_snapshot,
        coalesce(o.last_snapshot, n.snapshot_id) AS last_snapshot,
        FALSE AS complete_only
    FROM raw.wallet_observations o
    CROSS JOIN newest n
    UNION ALL
    -- Missed by one complete snapshot says nothing; by the second, and each further one, the pass is gone.
    SELECT g.pass_id, w.wallet, FALSE, NULL, f.snapshot_id, l.snapshot_id, TRUE
    FROM gaps g
    JOIN complete_snapshots f ON f.nth = g.from_nth + 1
    JOIN complete_snapshots l ON l.nth = g.to_nth
    CROSS JOIN (VALUES ('apple'), ('google')) w (wallet)
    WHERE g.to_nth > g.from_nth
),
bounded AS (
    SELECT r.*, f.started_at AS first_at, l.started_at AS last_at
    FROM runs r
    JOIN accepted f ON f.snapshot_id = r.first_snapshot
    JOIN accepted l ON l.snapshot_id = r.last_snapshot
),
anchors AS (
    SELECT pass_id, wallet, occurred_at AS anchored_at FROM evidence_events WHERE no_evidence IS NULL
    UNION
    -- A date counts only if it is believed, so an observation takes effect at one of these: one too many does no harm.
    SELECT
        pass_id, wallet,
        unnest([installed_at, first_at - getvariable('staleness'), last_at - getvariable('staleness')])
    FROM bounded
    WHERE present
),
anchored AS (
    SELECT b.pass_id, b.wallet, b.present, b.installed_at, b.complete_only, a.anchored_at + getvariable('staleness') AS after_at
    FROM bounded b
    JOIN anchors a
        ON a.pass_id = b.pass_id AND a.wallet = b.wallet
        AND a.anchored_at > b.first_at - getvariable('staleness')
        AND a.anchored_at < b.last_at - getvariable('staleness')
),
snapshot_times AS (
    SELECT FALSE AS complete_only, started_at, min(snapshot_id) AS snapshot_id FROM accepted GROUP BY started_at
    UNION ALL
    SELECT TRUE, started_at, min(snapshot_id) FROM accepted WHERE complete GROUP BY started_at
),
observations AS (
    SELECT
        pass_id, wallet, present, installed_at AS given_at, complete_only AS is_missing, first_at AS observed_at,
        first_snapshot AS snapshot_id
    FROM bounded
    UNION
    SELECT pass_id, wallet, present, installed_at, complete_only, last_at, last_snapshot FROM bounded
    UNION
    SELECT a.pass_id, a.wallet, a.present, a.installed_at, a.complete_only, s.started_at, s.snapshot_id
    FROM anchored a
    ASOF JOIN snapshot_times s ON a.complete_only = s.complete_only AND a.after_at <= s.started_at
),
dated AS (
    SELECT
        *,
        CASE WHEN given_at BETWEEN TIMESTAMP '2000-01-01' AND observed_at + INTERVAL 5 MINUTE THEN given_at END AS installed_at
    FROM observations
)
SELECT
    pass_id, wallet, TRUE AS is_event,
    kind = 'installed' AS installed,
    occurred_at AS piece_at,
    NULL::TIMESTAMP AS installed_at,
    occurred_at AS effective_at,
    event_id AS piece_id,
    NULL::TIMESTAMP AS given_at,
    FALSE AS is_missing
FROM evidence_events
WHERE no_evidence IS NULL
UNION ALL
SELECT
    pass_id, wallet, FALSE,
    present,
    observed_at,
    installed_at,
    greatest(installed_at, observed_at - getvariable('staleness')),
    snapshot_id,
    given_at,
    is_missing
FROM dated
