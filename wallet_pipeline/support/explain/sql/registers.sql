-- The registers of the passes to explain, with the rule that made each. Grain and key: pass_id, wallet. Times in UTC.
-- Read by explain, from the small warehouse, where register_decisions is that of the rules.
SELECT pass_id, wallet, installed, installed_at, changed_at, last_event, changed_at_inferred, rule
FROM register_decisions
JOIN explained_passes USING (pass_id)
ORDER BY pass_id, wallet
