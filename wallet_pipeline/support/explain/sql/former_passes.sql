-- Passes that bore the key $customer_key, or would be asked for by $name and $value, before and bear something else now.
-- Grain and key: pass_id. Read by explain, from the small warehouse.
SELECT DISTINCT e.pass_id, p.customer_key, p.resolution
FROM earlier_identifiers e
JOIN wallet.pass_customers p USING (pass_id)
WHERE (e.name || '=' || e.value = $customer_key OR (e.name = $name AND e.value = $value))
    AND p.customer_key IS DISTINCT FROM $customer_key
ORDER BY e.pass_id
