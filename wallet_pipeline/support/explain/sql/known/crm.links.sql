-- Which record held which customer at $known_at (UTC). Grain and key: customer_key. Of a customer who was linked anew since,
-- the record that was told last by then; how and when that one was found is not kept.
SELECT * REPLACE (CASE WHEN departed_at <= $known_at THEN departed_at END AS departed_at)
FROM crm.links
SEMI JOIN concerned_customers USING (customer_key)
WHERE linked_at <= $known_at
UNION ALL BY NAME
SELECT customer_key, max_by(record_id, verified_at) AS record_id
FROM crm.deliveries
SEMI JOIN concerned_customers USING (customer_key)
SEMI JOIN (FROM crm.links WHERE linked_at > $known_at) USING (customer_key)
WHERE verified_at <= $known_at
GROUP BY customer_key
