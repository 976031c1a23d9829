-- What is known of the customer $customer_key in the CRM, beside the version of their row that stands. One row. UTC.
-- is_told: the record was last verified to hold that version; times apart by less than $tolerance_ms are equal.
-- is_compared: the newest plan of all customers is no older than the version, and found nothing to do for them.
-- Read by explain, from the small warehouse.
WITH standing AS (
    SELECT * FROM wallet.customer_status_changes WHERE customer_key = $customer_key AND valid_to IS NULL
),
told AS (
    SELECT * FROM crm.deliveries WHERE customer_key = $customer_key AND verified_at IS NOT NULL
    ORDER BY verified_at DESC LIMIT 1
),
newest AS (SELECT max(planned_at) AS planned_at FROM crm.plans WHERE scope = 'all')
SELECT
    s.valid_from AS stands_since,
    t.verified_at,
    t.wallet_status AS told_status,
    coalesce(crm.same_state(s, t, $tolerance_ms), FALSE) AS is_told,
    n.planned_at AS compared_at,
    coalesce(n.planned_at >= s.valid_from, FALSE)
        AND NOT EXISTS (FROM crm.plan p WHERE p.customer_key = $customer_key AND p.planned_at = n.planned_at) AS is_compared,
    EXISTS (FROM wallet.changed_customers c WHERE c.customer_key = $customer_key) AS is_changed
FROM newest n
LEFT JOIN standing s ON TRUE
LEFT JOIN told t ON TRUE
