-- The CRM records of the person's keys, but for those that another customer is linked to. Grain: record_id. Read by
-- find_person.
WITH theirs AS (
    SELECT record_id FROM crm.links SEMI JOIN temp.person_keys USING (customer_key)
    UNION
    SELECT record_id FROM crm.deliveries SEMI JOIN temp.person_keys USING (customer_key)
)
SELECT record_id
FROM theirs
WHERE record_id IS NOT NULL
    AND record_id NOT IN (SELECT record_id FROM crm.links ANTI JOIN temp.person_keys USING (customer_key))
ORDER BY record_id
