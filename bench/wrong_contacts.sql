-- Customers whom the CRM does not show as they are. Grain and key: customer_id. Times in UTC. Read by crm_world.
-- $contacts is the file of all contacts, a JSON object a line. They are found by the customer id that they carry, not by our links.
WITH held AS (
    SELECT unnest(properties)
    FROM read_json(
        $contacts, format = 'newline_delimited',
        columns = {
            properties: 'STRUCT(customer_id VARCHAR, wallet_status VARCHAR, apple_wallet_installed_at TIMESTAMP,
                google_wallet_installed_at TIMESTAMP, wallet_last_changed_at TIMESTAMP, wallet_last_event VARCHAR)'
        }
    )
)
SELECT t.identifier_value AS customer_id
FROM wallet.customer_wallet_status t
LEFT JOIN held h ON h.customer_id = t.identifier_value
GROUP BY ALL
HAVING count(*) FILTER (
    h.wallet_status IS NOT DISTINCT FROM t.wallet_status
    AND h.apple_wallet_installed_at IS NOT DISTINCT FROM t.apple_wallet_installed_at
    AND h.google_wallet_installed_at IS NOT DISTINCT FROM t.google_wallet_installed_at
    AND h.wallet_last_changed_at IS NOT DISTINCT FROM t.wallet_last_changed_at
    AND h.wallet_last_event IS NOT DISTINCT FROM t.wallet_last_event
) <> 1
    OR count(*) <> 1
