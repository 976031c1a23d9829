-- All that happened to the customer $customer_key, or to the passes to explain, in order of time. Read by explain, from the
-- small warehouse. Times in UTC.
SELECT happened_at, kind, pass_id, wallet, record_id, what, detail
FROM wallet.customer_timeline
WHERE happened_at IS NOT NULL AND (customer_key = $customer_key OR pass_id IN (FROM explained_passes))
ORDER BY
    happened_at,
    list_position(
        ['event', 'list', 'status', 'drift', 'drift found', 'linked', 'planned', 'sent', 'verified', 'drift repaired'], kind
    ) NULLS LAST,
    pass_id, wallet, what
