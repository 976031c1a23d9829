-- Identifiers, type and creation date of each pass by the newest evidence that carries them. Grain and key: pass_id.
-- carried_at is the UTC time of the evidence that carries the identifiers. Read by pass_identifiers and pass_customers.
WITH accepted AS (
    SELECT snapshot_id, started_at, max(snapshot_id) OVER () AS newest FROM raw.snapshots WHERE verdict = 'accepted'
),
listings AS (
    SELECT
        p.pass_id, s.started_at - getvariable('staleness') AS carried_at, TRUE AS is_listing,
        p.identifiers, p.pass_type, p.created_at
    FROM raw.passes p
    JOIN accepted s ON s.snapshot_id = coalesce(p.last_snapshot, (SELECT max(snapshot_id) FROM accepted))
),
carriers AS (
    SELECT * FROM listings
    UNION ALL
    SELECT pass_id, occurred_at, FALSE, identifiers, pass_type, NULL FROM evidence_events WHERE no_evidence IS NULL
)
SELECT
    pass_id,
    coalesce(
        max_by(identifiers, (carried_at, is_listing, identifiers)) FILTER (identifiers IS NOT NULL), '{}'
    ) AS identifiers,
    max(carried_at) FILTER (identifiers IS NOT NULL) AS carried_at,
    max_by(pass_type, (carried_at, is_listing, pass_type)) FILTER (pass_type IS NOT NULL) AS pass_type,
    max_by(created_at, carried_at) FILTER (created_at IS NOT NULL) AS created_at
FROM carriers
GROUP BY pass_id
