-- What the CRM holds of each customer, as it was just read in the customer's own record. Grain and key: customer_key; who has no
-- record of their own has no row. Times in UTC. $now: when the plan was begun. Becomes crm.holdings, read by the reconciliation.
SELECT
    customer_key, record_id,
    held_wallet_status AS wallet_status,
    held_apple_wallet_installed_at AS apple_wallet_installed_at,
    held_google_wallet_installed_at AS google_wallet_installed_at,
    $now AS read_at
FROM work.compared
WHERE record_id IS NOT NULL AND conflict IS NULL AND NOT (is_departed AND (has_joined_another OR claims > 0))
