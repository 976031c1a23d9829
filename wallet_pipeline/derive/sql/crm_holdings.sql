-- What the CRM holds of each customer's wallets, as it was read last: by a plan, or after a write of ours since. Grain and key:
-- customer_key; who has no record of their own has no row. Times in UTC. Read by crm_differences and reconciliation.
SELECT *
FROM (
    SELECT customer_key, record_id, wallet_status, apple_wallet_installed_at, google_wallet_installed_at, read_at
    FROM crm.holdings
    UNION ALL
    SELECT customer_key, record_id, wallet_status, apple_wallet_installed_at, google_wallet_installed_at, verified_at
    FROM crm.deliveries
    WHERE verified_at >= (SELECT max(planned_at) FROM crm.plans WHERE scope = 'all')
)
QUALIFY row_number() OVER (PARTITION BY customer_key ORDER BY read_at DESC) = 1
