-- Customers, or passes in no customer, whom a name fits. Grain: customer_key, pass_id; either may be null. Read by
-- find_customer. $asked is what was written; $name and $value are the identifier in it, normalised, or null.
-- Of the ways of naming somebody the first that finds anybody counts.
WITH found AS (
    SELECT 1 AS way, p.customer_key, pass_id
    FROM (
        SELECT pass_id FROM raw.passes WHERE pass_id = $asked
        UNION
        SELECT pass_id FROM raw.wallet_events WHERE pass_id = $asked
    )
    LEFT JOIN wallet.pass_customers p USING (pass_id)
    UNION ALL
    SELECT 2, customer_key, NULL FROM wallet.customer_wallet_status WHERE customer_key IN ($asked, $name || '=' || $value)
    UNION ALL
    SELECT 3, p.customer_key, pass_id
    FROM wallet.pass_identifiers i
    JOIN wallet.pass_customers p USING (pass_id)
    WHERE i.value = $value AND (i.name = $name OR (contains($asked, '@') AND NOT contains($asked, '=') AND i.is_email))
    UNION ALL
    SELECT 4, customer_key, NULL FROM crm.links WHERE record_id = $asked
    UNION ALL
    SELECT 5, customer_key, NULL
    FROM (
        SELECT customer_key FROM wallet.customer_status_changes
        UNION
        SELECT customer_key FROM crm.links
        UNION
        SELECT customer_key FROM crm.deliveries
    )
    WHERE customer_key IN ($asked, $name || '=' || $value)
)
SELECT DISTINCT customer_key, pass_id
FROM found
QUALIFY way = min(way) OVER ()
