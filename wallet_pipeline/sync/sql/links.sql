-- Links found, or found to lead to another record than before. Grain and key: customer_key. Merged into crm.links.
SELECT customer_key, record_id, CASE WHEN via = 'link' THEN NULL ELSE via END AS via
FROM work.compared
WHERE record_id IS NOT NULL
    AND record_id IS DISTINCT FROM linked_record_id
    AND (conflict IS NULL OR via = 'link')
