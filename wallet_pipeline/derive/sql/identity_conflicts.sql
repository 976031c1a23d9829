-- Values that several customers bear, and the passes in no customer because of one. Grain: kind, value, pass_id.
-- Read by the CRM sync, which holds what is disputed, and by operators.
WITH bearers AS (
    SELECT v.name, v.value, list_sort(list(DISTINCT p.customer_key)) AS customer_keys
    FROM wallet.pass_identifiers v
    JOIN wallet.pass_customers p USING (pass_id)
    WHERE p.resolution = 'customer'
    GROUP BY v.name, v.value
)
SELECT
    'shared' AS kind,
    name AS identifier_name,
    value AS identifier_value,
    NULL AS pass_id,
    customer_keys
FROM bearers
WHERE len(customer_keys) > 1
UNION ALL
SELECT 'conflict', p.identifier_name, p.identifier_value, p.pass_id, coalesce(b.customer_keys, [])
FROM wallet.pass_customers p
LEFT JOIN bearers b ON b.name = p.identifier_name AND b.value = p.identifier_value
WHERE p.resolution = 'conflict'
