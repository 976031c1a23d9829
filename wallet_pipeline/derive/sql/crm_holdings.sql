-- What the CRM holds of each customer's wallets, as it was read last. Grain and key: customer_key. Times in UTC. Of what was read
-- at the newest plan of all customers and what was verified since, the later counts; who is in no plan held the truth of then.
-- action and reason: what the newest plan means to do about it. Read by crm_differences and reconciliation.
WITH read_last AS (
    SELECT plan_id, planned_at FROM crm.plans WHERE scope = 'all' QUALIFY row_number() OVER (ORDER BY planned_at DESC) = 1
),
planned AS (
    SELECT p.*
    FROM crm.plan p
    JOIN read_last USING (plan_id)
),
verified AS (
    SELECT
        d.customer_key,
        max_by({
            'apple': d.apple_wallet_installed_at, 'google': d.google_wallet_installed_at,
            'wallet_status': d.wallet_status
        }, d.verified_at) AS told
    FROM crm.deliveries d
    JOIN read_last l ON d.verified_at >= l.planned_at
    GROUP BY ALL
),
versions AS (
    SELECT v.*
    FROM wallet.customer_status_changes v
    JOIN read_last l ON v.valid_from <= l.planned_at AND (v.valid_to IS NULL OR v.valid_to > l.planned_at)
)
SELECT
    customer_key,
    CASE
        WHEN d.told IS NOT NULL THEN d.told.wallet_status
        WHEN p.customer_key IS NOT NULL THEN p.held_wallet_status
        ELSE v.wallet_status
    END AS wallet_status,
    CASE
        WHEN d.told IS NOT NULL THEN d.told.apple
        WHEN p.customer_key IS NOT NULL THEN p.held_apple_wallet_installed_at
        ELSE v.apple_wallet_installed_at
    END AS apple_wallet_installed_at,
    CASE
        WHEN d.told IS NOT NULL THEN d.told.google
        WHEN p.customer_key IS NOT NULL THEN p.held_google_wallet_installed_at
        ELSE v.google_wallet_installed_at
    END AS google_wallet_installed_at,
    p.action, p.reason
FROM versions v
FULL JOIN planned p USING (customer_key)
FULL JOIN verified d USING (customer_key)
