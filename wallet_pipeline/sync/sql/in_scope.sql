-- Customers that a plan looks at: all ($all), or those whom events have changed. Grain and key: customer_key.
-- $now in UTC. Read by candidates. A customer of whom the CRM gave no answer waits until its retry is due.
SELECT customer_key FROM wallet.customer_wallet_status WHERE $all
UNION
SELECT customer_key FROM crm.links WHERE $all
UNION
SELECT customer_key FROM wallet.changed_customers WHERE NOT $all AND coalesce(retry_at <= $now, TRUE)
