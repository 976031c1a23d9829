-- To which customer each pass belongs. Grain and key: pass_id. Read by every table of customers.
SELECT
    i.pass_id,
    i.pass_type,
    i.created_at,
    CASE
        WHEN r.pass_id IS NULL THEN 'unmatched'
        WHEN r.customer_key IS NULL THEN 'conflict'
        ELSE 'customer'
    END AS resolution,
    r.customer_key,
    r.identifier_name,
    r.identifier_value,
    i.identifiers
FROM pass_identities i
LEFT JOIN pass_resolutions r USING (pass_id)
