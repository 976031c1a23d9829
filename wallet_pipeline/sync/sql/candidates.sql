-- Customers whose state the CRM shall hold, and linked ones that no pass resolves to any more (departed).
-- Grain and key: customer_key. Times in UTC. $customer_identifier is the identifier that the CRM's customer property
-- holds. work.in_scope says which of them the plan looks at. Read by make_plan, before the CRM is read and again after.
-- A departed customer's last change is left to what the CRM holds.
WITH shared_emails AS (
    SELECT email FROM wallet.customer_wallet_status WHERE email IS NOT NULL GROUP BY email HAVING count(*) > 1
    UNION
    SELECT identifier_value
    FROM wallet.identity_conflicts
    WHERE identifier_name = 'email' OR identifier_name LIKE '%.email'
),
disputed_keys AS (
    SELECT unnest(customer_keys) AS customer_key FROM wallet.identity_conflicts WHERE kind = 'conflict'
    UNION
    SELECT identifier_name || '=' || identifier_value FROM wallet.identity_conflicts WHERE kind = 'conflict'
),
departed AS (
    SELECT
        customer_key,
        split_part(customer_key, '=', 1) AS identifier_name,
        substr(customer_key, strpos(customer_key, '=') + 1) AS identifier_value
    FROM crm.links
    ANTI JOIN wallet.customer_wallet_status USING (customer_key)
    WHERE departed_at IS NULL
),
joined_keys AS (  -- identifiers that passes of some customer bear
    SELECT DISTINCT i.name || '=' || i.value AS customer_key
    FROM wallet.pass_identifiers i
    JOIN wallet.pass_customers p USING (pass_id)
    WHERE p.resolution = 'customer'
),
told AS (
    SELECT customer_key, count(*) AS verified_deliveries
    FROM crm.deliveries
    WHERE verified_at IS NOT NULL
    GROUP BY customer_key
),
customers AS (
    SELECT
        customer_key, identifier_name, identifier_value, email, wallet_status, apple_wallet_installed_at,
        google_wallet_installed_at, wallet_last_changed_at, wallet_last_event, FALSE AS is_departed
    FROM wallet.customer_wallet_status
    UNION ALL
    SELECT customer_key, identifier_name, identifier_value, NULL, 'none', NULL, NULL, NULL, NULL, TRUE FROM departed
)
SELECT
    c.* EXCLUDE (email),
    coalesce(t.verified_deliveries, 0) AS verified_deliveries,
    CASE WHEN c.identifier_name = $customer_identifier THEN c.identifier_value END AS customer_id,
    CASE WHEN s.email IS NULL THEN c.email END AS email,
    s.email IS NOT NULL AS email_is_shared,
    l.record_id AS linked_record_id,
    j.customer_key IS NOT NULL AS has_joined_another,
    d.customer_key IS NOT NULL AS is_disputed
FROM customers c
LEFT JOIN told t ON t.customer_key = c.customer_key
LEFT JOIN shared_emails s ON s.email = c.email
LEFT JOIN crm.links l ON l.customer_key = c.customer_key
LEFT JOIN joined_keys j ON c.is_departed AND j.customer_key = c.customer_key
LEFT JOIN disputed_keys d ON d.customer_key = c.customer_key
WHERE c.customer_key IN (FROM work.in_scope)
