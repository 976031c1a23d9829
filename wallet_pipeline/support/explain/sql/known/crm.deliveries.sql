-- What had been sent by $known_at (UTC), and had become of it. Grain and key: delivery_id. An answer that failed has no time
-- of its own: it is taken to have come at once.
SELECT
    * REPLACE (
        CASE WHEN accepted_at <= $known_at THEN accepted_at END AS accepted_at,
        CASE WHEN verified_at <= $known_at THEN verified_at END AS verified_at,
        CASE WHEN verified_at > $known_at OR accepted_at > $known_at THEN 'intended' ELSE outcome END AS outcome
    )
FROM crm.deliveries
SEMI JOIN concerned_customers USING (customer_key)
WHERE intended_at <= $known_at
