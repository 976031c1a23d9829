-- Events of the passes to explain that are no evidence, each once. Grain and key: pass_id, wallet, kind, event_id. UTC.
-- Read by explain, from the small warehouse.
SELECT pass_id, wallet, kind, event_id, occurred_at, received_at, no_evidence AS reason
FROM evidence_events
JOIN explained_passes USING (pass_id)
WHERE no_evidence IS NOT NULL
ORDER BY pass_id, occurred_at, wallet, event_id
