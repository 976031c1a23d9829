-- Customers that a plan looks at: all ($all), or those whom events have changed. Grain and key: customer_key.
-- $now in UTC. Read by candidates. Among all are those who are no more, but of whom something is still booked as open; a
-- customer of whom the CRM gave no answer waits until its retry is due.
SELECT customer_key FROM wallet.customer_wallet_status WHERE $all
UNION
SELECT customer_key FROM crm.links WHERE $all
UNION
SELECT customer_key FROM crm.rejections WHERE $all
UNION
SELECT customer_key FROM crm.drift WHERE $all AND repaired_at IS NULL
UNION
SELECT customer_key
FROM wallet.changed_customers
WHERE NOT $all
GROUP BY customer_key
HAVING coalesce(max(retry_at) <= $now, TRUE)
