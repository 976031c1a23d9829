-- Drift whose author the CRM was not asked for yet, of the next $records records after $after. Grain: customer_key, field,
-- found_at, found; in the order of record_id. UTC. Read by name_authors. What was found before $since is let rest: a history
-- that did not answer for so long never will.
WITH unasked AS (
    SELECT *
    FROM crm.drift
    WHERE changed_by IS NULL AND found_at >= $since AND record_id > $after
),
next_records AS (
    SELECT DISTINCT record_id FROM unasked ORDER BY record_id LIMIT $records
)
SELECT customer_key, record_id, field, expected, found, found_at, repaired_at IS NOT NULL AS is_repaired
FROM unasked
SEMI JOIN next_records USING (record_id)
ORDER BY record_id
