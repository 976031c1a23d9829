-- Up to three customers of each action and reason, twenty in all, with what would change. Grain and key: customer_key. UTC.
-- Read by summarise, from the plan's work file.
WITH told AS (
    SELECT
        customer_key, record_id, action, reason, position,
        [
            ['wallet_status', held_wallet_status, wallet_status],
            ['apple_wallet_installed_at', held_apple_wallet_installed_at::VARCHAR, apple_wallet_installed_at::VARCHAR],
            [
                'google_wallet_installed_at', held_google_wallet_installed_at::VARCHAR,
                google_wallet_installed_at::VARCHAR
            ],
            ['wallet_last_changed_at', held_wallet_last_changed_at::VARCHAR, wallet_last_changed_at::VARCHAR],
            ['wallet_last_event', held_wallet_last_event, wallet_last_event]
        ] AS fields
    FROM work.plan
    QUALIFY row_number() OVER (PARTITION BY action, reason ORDER BY position, customer_key) <= 3
)
SELECT
    customer_key, record_id, action, reason,
    list_transform(
        list_filter(fields, lambda f: f[2] IS DISTINCT FROM f[3]),
        lambda f: f[1] || ': ' || coalesce(f[2], 'nothing') || ' → ' || coalesce(f[3], 'nothing')
    ) AS changes
FROM told
ORDER BY action, reason, position, customer_key
LIMIT 20
