-- Customers whose history is needed: of the passes in question, at the moment and now, and those that the question itself
-- names. Grain and key: customer_key. Read by the queries in known/.
SELECT customer_key FROM memory.wallet.pass_customers WHERE customer_key IS NOT NULL
UNION
SELECT customer_key FROM wallet.pass_customers SEMI JOIN component USING (pass_id) WHERE customer_key IS NOT NULL
UNION
SELECT $asked
UNION
SELECT $name || '=' || $value WHERE $value IS NOT NULL
UNION
SELECT customer_key FROM crm.links WHERE record_id = $asked
UNION
SELECT customer_key FROM crm.deliveries WHERE record_id = $asked
