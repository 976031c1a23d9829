-- All evidence of the registers to explain, in the order of the rules. Grain: pass_id, wallet and stretch of pieces that say
-- the same one right after the other: an event, or lists from the first one to the last. Times in UTC.
-- decides, times, proves: what a piece of the stretch is to the register. Read by explain, from the small warehouse.
WITH marked AS (
    SELECT
        o.*,
        CASE WHEN o.is_event THEN 'event' WHEN o.is_missing THEN 'missing' ELSE 'list' END AS kind,
        o.nth = d.decided_by AS decides,
        coalesce(o.nth = d.timed_by, FALSE) AS times,
        coalesce(o.nth = d.proved_by, FALSE) AS proves
    FROM ordered_evidence o
    JOIN register_decisions d USING (pass_id, wallet)
    JOIN explained_passes USING (pass_id)
),
stretched AS (
    SELECT
        *,
        nth - row_number() OVER (
            PARTITION BY pass_id, wallet, kind, installed, installed_at, given_at, if(is_event, piece_id, NULL) ORDER BY nth
        ) AS stretch
    FROM marked
)
SELECT
    s.pass_id, s.wallet, s.kind, s.installed,
    min(s.piece_at) AS first_at,
    max(s.piece_at) AS last_at,
    min_by(s.piece_id, s.nth) AS first_id,
    max_by(s.piece_id, s.nth) AS last_id,
    s.installed_at, s.given_at,
    any_value(e.received_at) AS received_at,
    bool_or(s.decides) AS decides,
    bool_or(s.times) AS times,
    bool_or(s.proves) AS proves
FROM stretched s
LEFT JOIN evidence_events e
    ON s.is_event AND e.no_evidence IS NULL AND e.pass_id = s.pass_id AND e.wallet = s.wallet
    AND e.kind = if(s.installed, 'installed', 'uninstalled') AND e.event_id = s.piece_id
GROUP BY s.pass_id, s.wallet, s.kind, s.installed, s.installed_at, s.given_at, s.stretch, if(s.is_event, s.piece_id, NULL)
ORDER BY s.pass_id, s.wallet, min(s.nth)
