-- Customers of passes with new events, whether or not these change a row: an earlier run may have changed it and died before
-- the CRM was told; and touched customers whose row is another one since $now (UTC). Grain: customer_key.
-- Read by the CRM sync: what it is to look at before the next plan of all customers.
SELECT customer_key, nextval('wallet.change_numbers') AS number, $now AS changed_at
FROM (
    SELECT customer_key
    FROM wallet.customer_status_changes
    SEMI JOIN touched_customers USING (customer_key)
    WHERE valid_from = $now OR valid_to = $now
    UNION
    SELECT customer_key FROM wallet.pass_customers SEMI JOIN raw.touched_passes USING (pass_id) WHERE customer_key IS NOT NULL
)
