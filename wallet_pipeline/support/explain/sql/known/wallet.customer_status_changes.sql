-- Versions that had been derived by $known_at (UTC), standing as they stood then. Grain and key: customer_key, valid_from.
SELECT * REPLACE (CASE WHEN valid_to <= $known_at THEN valid_to END AS valid_to)
FROM wallet.customer_status_changes
SEMI JOIN concerned_customers USING (customer_key)
WHERE valid_from <= $known_at
