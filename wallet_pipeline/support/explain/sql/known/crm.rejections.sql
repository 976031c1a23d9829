-- Customers whose truth the CRM did not hold at $known_at (UTC), as far as it does not hold it still. Grain and key:
-- customer_key. How many attempts there had been by then is not kept.
SELECT
    * REPLACE (
        CASE WHEN last_at <= $known_at THEN last_at END AS last_at,
        CASE WHEN last_at <= $known_at THEN attempts END AS attempts
    )
FROM crm.rejections
SEMI JOIN concerned_customers USING (customer_key)
WHERE first_at <= $known_at
