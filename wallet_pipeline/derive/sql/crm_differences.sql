-- Customers of whom the CRM holds a wallet, or its date, otherwise than it should. Grain and key: wallet, customer_key, for
-- the day that is counted. Times in UTC. $tolerance_ms: times apart by less are equal. Read by reconciliation_differences and
-- reconciliation.
WITH beside AS (
    SELECT
        wallet,
        coalesce(t.customer_key, h.customer_key) AS customer_key,
        coalesce(t.wallet_status IN (wallet, 'both'), FALSE) AS has_wallet,
        coalesce(h.wallet_status IN (wallet, 'both'), FALSE) AS holds_wallet,
        CASE wallet WHEN 'apple' THEN t.apple_wallet_installed_at ELSE t.google_wallet_installed_at END AS installed_at,
        CASE wallet WHEN 'apple' THEN h.apple_wallet_installed_at ELSE h.google_wallet_installed_at END AS held_installed_at,
        t.wallet_last_changed_at
    FROM wallet.customer_wallet_status t
    FULL JOIN crm_holdings h ON h.customer_key = t.customer_key
    CROSS JOIN (VALUES ('apple'), ('google')) wallets (wallet)
)
SELECT
    d.day, b.wallet, 'crm' AS comparison, b.customer_key,
    CASE
        WHEN b.has_wallet AND NOT b.holds_wallet THEN 'the customer has the wallet, the CRM does not say so'
        WHEN b.holds_wallet AND NOT b.has_wallet THEN 'the CRM says that the customer has the wallet'
        ELSE 'the CRM holds another date'
    END AS difference,
    b.wallet_last_changed_at AS happened_at,
    CASE
        WHEN p.action = 'hold' THEN 'held: ' || p.reason
        WHEN p.action = 'skip' THEN 'skipped: ' || p.reason
        WHEN x.customer_key IS NOT NULL THEN 'listed in crm_rejections: ' || x.error_class
        WHEN c.customer_key IS NOT NULL THEN 'changed since the CRM was read; it is told next'
    END AS explanation
FROM beside b
JOIN (FROM reconciled_days WHERE is_counted) d ON TRUE
LEFT JOIN crm.plan p ON p.customer_key = b.customer_key
LEFT JOIN crm.rejections x ON x.customer_key = b.customer_key
LEFT JOIN (
    SELECT DISTINCT v.customer_key
    FROM wallet.customer_status_changes v
    LEFT JOIN crm_holdings h ON h.customer_key = v.customer_key
    WHERE greatest(v.valid_from, v.valid_to)
        > coalesce(h.read_at, (SELECT max(planned_at) FROM crm.plans WHERE scope = 'all'))
) c ON c.customer_key = b.customer_key
WHERE EXISTS (FROM crm.plans WHERE scope = 'all')
    AND (b.has_wallet <> b.holds_wallet OR crm.apart(b.installed_at, b.held_installed_at, $tolerance_ms))
