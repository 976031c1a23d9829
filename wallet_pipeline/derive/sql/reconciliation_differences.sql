-- All that differs, whichever is compared, with the customer of each pass. Grain: day, wallet, comparison, pass or customer, event.
-- Times in UTC. Read by operators, and counted for the certificate.
SELECT day, wallet, comparison, explanation, d.pass_id, p.customer_key, difference, happened_at
FROM (FROM delivery_differences UNION ALL BY NAME FROM list_differences UNION ALL BY NAME FROM insights_differences) d
LEFT JOIN wallet.pass_customers p ON p.pass_id = d.pass_id
UNION ALL
SELECT day, wallet, comparison, explanation, NULL, customer_key, difference, happened_at
FROM crm_differences
