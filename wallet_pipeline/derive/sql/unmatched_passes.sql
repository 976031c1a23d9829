-- Passes that bear no identifier of IDENTIFIER_ORDER. Grain and key: pass_id. Read by operators and analysts.
SELECT
    p.pass_id,
    p.pass_type,
    p.identifiers,
    coalesce(bool_or(r.installed), FALSE) AS installed
FROM wallet.pass_customers p
LEFT JOIN wallet.registers r USING (pass_id)
WHERE p.resolution = 'unmatched'
GROUP BY p.pass_id, p.pass_type, p.identifiers
