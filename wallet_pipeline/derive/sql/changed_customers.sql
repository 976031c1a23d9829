-- Touched customers whose row is another one since $now (UTC). Grain: customer_key.
-- Read by the CRM sync: what it is to look at before the next plan of all customers.
SELECT customer_key, nextval('wallet.change_numbers') AS number, $now AS changed_at
FROM (SELECT DISTINCT customer_key FROM wallet.customer_status_changes WHERE valid_from = $now OR valid_to = $now)
SEMI JOIN touched_customers USING (customer_key)
