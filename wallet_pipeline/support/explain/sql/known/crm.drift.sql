-- Drift that had been found by $known_at (UTC). Grain: customer_key, field, discovery.
SELECT * REPLACE (CASE WHEN repaired_at <= $known_at THEN repaired_at END AS repaired_at)
FROM crm.drift
SEMI JOIN concerned_customers USING (customer_key)
WHERE found_at <= $known_at
