-- Changes that wait for the CRM, derived by $known_at (UTC). Grain: customer_key, number. Those struck since are not kept.
FROM wallet.changed_customers SEMI JOIN concerned_customers USING (customer_key) WHERE changed_at <= $known_at
