-- Some differences of a day, those without a reason first. Grain: difference. Times in UTC. Read by the certificate's page.
SELECT wallet, comparison, difference, explanation, pass_id, customer_key,
    date_trunc('second', happened_at) AS happened_at
FROM wallet.reconciliation_differences
WHERE day = $day
ORDER BY explanation IS NOT NULL, comparison, wallet, happened_at DESC, pass_id, customer_key
LIMIT $rows
