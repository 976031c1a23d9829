-- Customers of the touched passes and of all passes that share an identifier with them, to the last one, as they are
-- resolved now. Grain and key: customer_key. Read by changed_customers, before and after a derivation.
WITH RECURSIVE component AS (
    SELECT pass_id FROM raw.touched_passes
    UNION
    SELECT o.pass_id
    FROM component
    JOIN wallet.pass_identifiers i USING (pass_id)
    JOIN wallet.pass_identifiers o ON o.name = i.name AND o.value = i.value
)
SELECT DISTINCT customer_key
FROM wallet.pass_customers
SEMI JOIN component USING (pass_id)
WHERE customer_key IS NOT NULL
