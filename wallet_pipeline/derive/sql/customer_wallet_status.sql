-- Wallet status of every customer. Grain and key: customer_key. Times in UTC, cut to milliseconds.
-- Read by the CRM sync, customer_status_changes and analysts.
WITH customers AS (
    SELECT
        customer_key,
        split_part(customer_key, '=', 1) AS identifier_name,
        substr(customer_key, strpos(customer_key, '=') + 1) AS identifier_value,
        count(*) AS passes
    FROM wallet.pass_customers
    WHERE resolution = 'customer'
    GROUP BY customer_key
),
emails AS (
    SELECT p.customer_key, max_by(v.value, (v.carried_at, v.value)) AS email
    FROM wallet.pass_identifiers v
    JOIN wallet.pass_customers p USING (pass_id)
    WHERE v.is_email AND p.resolution = 'customer'
    GROUP BY p.customer_key
),
customer_registers AS (
    SELECT p.customer_key, r.*
    FROM wallet.registers r
    JOIN wallet.pass_customers p USING (pass_id)
    WHERE p.resolution = 'customer'
),
installations AS (
    SELECT
        customer_key,
        min(installed_at) FILTER (wallet = 'apple') AS apple_at,
        min(installed_at) FILTER (wallet = 'google') AS google_at
    FROM customer_registers
    WHERE installed
    GROUP BY customer_key
),
transitions AS (  -- at equal time `uninstalled`, the greater word, wins
    SELECT
        customer_key,
        max(changed_at) AS changed_at,
        max_by(last_event, (changed_at, last_event)) AS last_event,
        max_by(changed_at_inferred, (changed_at, last_event, NOT changed_at_inferred)) AS changed_at_inferred
    FROM customer_registers
    WHERE changed_at IS NOT NULL
    GROUP BY customer_key
)
SELECT
    c.customer_key,
    c.identifier_name,
    c.identifier_value,
    e.email,
    CASE
        WHEN i.apple_at IS NOT NULL AND i.google_at IS NOT NULL THEN 'both'
        WHEN i.apple_at IS NOT NULL THEN 'apple'
        WHEN i.google_at IS NOT NULL THEN 'google'
        ELSE 'none'
    END AS wallet_status,
    date_trunc('millisecond', i.apple_at) AS apple_wallet_installed_at,
    date_trunc('millisecond', i.google_at) AS google_wallet_installed_at,
    date_trunc('millisecond', t.changed_at) AS wallet_last_changed_at,
    t.last_event AS wallet_last_event,
    c.passes,
    coalesce(t.changed_at_inferred, FALSE) AS changed_at_inferred
FROM customers c
LEFT JOIN emails e USING (customer_key)
LEFT JOIN installations i USING (customer_key)
LEFT JOIN transitions t USING (customer_key)
