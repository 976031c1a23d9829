-- Customers of the touched passes, as they are resolved now. Grain: customer_key. Read by changed_customers, before and
-- after a derivation.
SELECT DISTINCT customer_key
FROM wallet.pass_customers
SEMI JOIN raw.touched_passes USING (pass_id)
WHERE customer_key IS NOT NULL
