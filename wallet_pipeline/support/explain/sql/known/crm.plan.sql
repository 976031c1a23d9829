-- What is planned, if it was by $known_at (UTC). Grain and key: customer_key.
FROM crm.plan SEMI JOIN concerned_customers USING (customer_key) WHERE planned_at <= $known_at
