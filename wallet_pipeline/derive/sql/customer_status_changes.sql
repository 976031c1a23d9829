-- The versions that begin: customers whose row has no standing version. Grain: customer_key. $now in UTC.
-- Added to the history by derive_customers; read by the CRM sync (settle window) and analysts.
SELECT
    customer_key, wallet_status, apple_wallet_installed_at, google_wallet_installed_at, wallet_last_changed_at,
    wallet_last_event,
    $now AS valid_from
FROM wallet.customer_wallet_status
ANTI JOIN (SELECT customer_key FROM wallet.customer_status_changes WHERE valid_to IS NULL) USING (customer_key)
