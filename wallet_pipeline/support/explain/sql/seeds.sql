-- Passes that a question may be about, now or ever. Grain and key: pass_id. $asked is what was asked; $name and $value are
-- the identifier in it, normalised, or null. Read by recall; find_customer says afterwards who is meant.
WITH keys AS (
    SELECT $asked AS customer_key
    UNION
    SELECT $name || '=' || $value
    UNION
    SELECT customer_key FROM crm.links WHERE record_id = $asked
    UNION
    SELECT customer_key FROM crm.deliveries WHERE record_id = $asked
)
SELECT pass_id FROM raw.passes WHERE pass_id = $asked
UNION
SELECT pass_id FROM raw.wallet_events WHERE pass_id = $asked
UNION
SELECT pass_id
FROM borne
WHERE value = $value AND (name = $name OR (contains($asked, '@') AND NOT contains($asked, '=') AND is_email))
UNION
SELECT pass_id FROM wallet.pass_customers SEMI JOIN keys USING (customer_key)
UNION
SELECT b.pass_id FROM borne b JOIN keys k ON k.customer_key = b.name || '=' || b.value
