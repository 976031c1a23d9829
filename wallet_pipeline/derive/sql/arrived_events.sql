-- Events that arrived, each once, folded as evidence_events does. Grain and key: pass_id, wallet, kind, event_id. Times in
-- UTC. late_seconds: from when it happened to its first receipt; null for one that never had a time of its own.
-- Read by event_arrivals, verified_changes, delivery_differences, reconciliation, and the check events_arrive.
SELECT
    pass_id, wallet, kind, event_id,
    min(occurred_at) AS occurred_at,
    date_diff(
        'microsecond', min(occurred_at) FILTER (NOT coalesce(time_is_receipt, FALSE)), min(received_at)
    ) / 1e6 AS late_seconds
FROM raw.wallet_events
GROUP BY pass_id, wallet, kind, event_id
