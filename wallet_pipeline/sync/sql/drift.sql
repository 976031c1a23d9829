-- Fields that differ from what was last verified though our truth did not change them, nor did an attempt of ours that was
-- never answered. Grain: customer_key, field. UTC. Added to crm.drift, each discovery once.
WITH sides AS (
    SELECT
        customer_key, record_id,
        unsure_delivery IS NOT NULL AS is_unsure,
        unnest([
            {
                'field': 'wallet_status', 'expected': delivery.wallet_status, 'found': held_wallet_status,
                'drifted': delivery.wallet_status IS NOT DISTINCT FROM wallet_status AND held_wallet_status IS DISTINCT FROM wallet_status,
                'is_ours': held_wallet_status IS NOT DISTINCT FROM unsure_delivery.wallet_status
            },
            {
                'field': 'apple_wallet_installed_at', 'expected': delivery.apple_wallet_installed_at::VARCHAR, 'found': held_apple_wallet_installed_at::VARCHAR,
                'drifted': NOT crm.apart(delivery.apple_wallet_installed_at, apple_wallet_installed_at, $tolerance_ms) AND crm.apart(held_apple_wallet_installed_at, apple_wallet_installed_at, $tolerance_ms),
                'is_ours': held_apple_wallet_installed_at IS NOT DISTINCT FROM unsure_delivery.apple_wallet_installed_at
            },
            {
                'field': 'google_wallet_installed_at', 'expected': delivery.google_wallet_installed_at::VARCHAR, 'found': held_google_wallet_installed_at::VARCHAR,
                'drifted': NOT crm.apart(delivery.google_wallet_installed_at, google_wallet_installed_at, $tolerance_ms) AND crm.apart(held_google_wallet_installed_at, google_wallet_installed_at, $tolerance_ms),
                'is_ours': held_google_wallet_installed_at IS NOT DISTINCT FROM unsure_delivery.google_wallet_installed_at
            },
            {
                'field': 'wallet_last_changed_at', 'expected': delivery.wallet_last_changed_at::VARCHAR, 'found': held_wallet_last_changed_at::VARCHAR,
                'drifted': NOT crm.apart(delivery.wallet_last_changed_at, wallet_last_changed_at, $tolerance_ms) AND crm.apart(held_wallet_last_changed_at, wallet_last_changed_at, $tolerance_ms),
                'is_ours': held_wallet_last_changed_at IS NOT DISTINCT FROM unsure_delivery.wallet_last_changed_at
            },
            {
                'field': 'wallet_last_event', 'expected': delivery.wallet_last_event, 'found': held_wallet_last_event,
                'drifted': delivery.wallet_last_event IS NOT DISTINCT FROM wallet_last_event AND held_wallet_last_event IS DISTINCT FROM wallet_last_event,
                'is_ours': held_wallet_last_event IS NOT DISTINCT FROM unsure_delivery.wallet_last_event
            },
            {
                'field': 'customer_id', 'expected': customer_id, 'found': held_customer_id,
                'drifted': customer_id IS NOT NULL AND held_customer_id IS NULL,
                'is_ours': FALSE
            }
        ], recursive := TRUE)
    FROM work.compared
    WHERE record_id IS NOT NULL AND delivery IS NOT NULL AND NOT is_departed AND conflict IS NULL AND differs
)
SELECT s.customer_key, s.record_id, s.field, s.expected, s.found, $now AS found_at
FROM sides s
ANTI JOIN (SELECT * FROM crm.drift WHERE repaired_at IS NULL) known
    ON known.customer_key = s.customer_key AND known.field = s.field AND known.found IS NOT DISTINCT FROM s.found
WHERE s.drifted AND NOT (s.is_unsure AND s.is_ours)
