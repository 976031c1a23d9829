-- Another truth for a share of the customers, half an hour ago, and the versions of it. Times in UTC.
-- Variables: changed (the share), now. Run by crm_world.
CREATE TEMP TABLE changed AS
SELECT customer_key, getvariable('now') - INTERVAL 30 MINUTE AS moment
FROM wallet.customer_wallet_status
WHERE hash(customer_key) % 100000 < 100000 * getvariable('changed');

UPDATE wallet.customer_wallet_status c
SET wallet_status = CASE c.wallet_status WHEN 'none' THEN 'google' WHEN 'both' THEN 'apple' ELSE 'both' END,
    apple_wallet_installed_at = CASE c.wallet_status WHEN 'google' THEN moment ELSE apple_wallet_installed_at END,
    google_wallet_installed_at = CASE
        WHEN c.wallet_status IN ('none', 'apple') THEN moment
        WHEN c.wallet_status = 'google' THEN google_wallet_installed_at
    END,
    wallet_last_changed_at = moment,
    wallet_last_event = CASE c.wallet_status WHEN 'both' THEN 'uninstalled' ELSE 'installed' END
FROM changed
WHERE c.customer_key = changed.customer_key;

UPDATE wallet.customer_status_changes v SET valid_to = moment FROM changed WHERE v.customer_key = changed.customer_key;

INSERT INTO wallet.customer_status_changes BY NAME
SELECT c.* EXCLUDE (identifier_name, identifier_value, email, passes, changed_at_inferred), moment AS valid_from
FROM wallet.customer_wallet_status c
JOIN changed USING (customer_key);
