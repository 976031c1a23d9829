-- Identifier values that the customer $customer_key shares with others, and passes in conflict over them. Grain: kind, value,
-- pass_id. Read by explain, from the small warehouse.
SELECT kind, identifier_name, identifier_value, pass_id, list_filter(customer_keys, lambda k: k <> $customer_key) AS others
FROM wallet.identity_conflicts
WHERE list_contains(customer_keys, $customer_key)
ORDER BY kind DESC, identifier_name, identifier_value, pass_id
