-- Events that are no evidence. Grain and key: pass_id, wallet, kind, event_id. Times in UTC. Read by operators.
SELECT pass_id, wallet, kind, event_id, occurred_at, received_at, no_evidence AS reason
FROM evidence_events
WHERE no_evidence IS NOT NULL
