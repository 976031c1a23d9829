-- Events, each once, with the reason why it is no evidence, if it is none.
-- Grain and key: pass_id, wallet, kind, event_id. Times in UTC. Read by wallet_evidence and pass_identities.
WITH folded AS (
    SELECT
        pass_id, wallet, kind, event_id,
        min(occurred_at) AS occurred_at,
        min(received_at) AS received_at,
        max(active_registrations) AS active_registrations,
        max(pass_type) AS pass_type,
        max(identifiers) FILTER (identifiers <> '{}') AS identifiers
    FROM raw.wallet_events
    GROUP BY pass_id, wallet, kind, event_id
)
SELECT
    pass_id, wallet, kind, event_id, occurred_at, received_at, pass_type, identifiers,
    CASE
        WHEN wallet NOT IN ('apple', 'google') THEN 'unknown wallet'
        WHEN occurred_at > received_at + INTERVAL 5 MINUTE THEN 'quarantined: dated after its receipt'
        WHEN kind = 'uninstalled' AND active_registrations > 0 THEN 'still registered on another device'
    END AS no_evidence
FROM folded
