-- Ends the versions that stand no longer: the customer's row is another one now, or there is none. $now in UTC.
UPDATE wallet.customer_status_changes AS v
SET valid_to = $now
WHERE v.valid_to IS NULL
    AND NOT EXISTS (
        SELECT 1
        FROM wallet.customer_wallet_status c
        WHERE c.customer_key = v.customer_key
            AND c.wallet_status = v.wallet_status
            AND c.apple_wallet_installed_at IS NOT DISTINCT FROM v.apple_wallet_installed_at
            AND c.google_wallet_installed_at IS NOT DISTINCT FROM v.google_wallet_installed_at
            AND c.wallet_last_changed_at IS NOT DISTINCT FROM v.wallet_last_changed_at
            AND c.wallet_last_event IS NOT DISTINCT FROM v.wallet_last_event
    )
