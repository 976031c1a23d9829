-- Fields that differ from what was last verified though our truth did not change them, nor did an attempt of ours that
-- was never answered. Grain: customer_key, field. UTC. Added to crm.drift, each discovery once.
WITH changed AS (
    SELECT *, unsure_delivery IS NOT NULL AS is_unsure
    FROM work.compared
    WHERE record_id IS NOT NULL AND delivery IS NOT NULL AND NOT is_departed AND conflict IS NULL AND differs
),
texts AS (
    SELECT
        customer_key, record_id, is_unsure,
        unnest([
            {
                'field': 'wallet_status', 'told': delivery.wallet_status,
                'truth': state.wallet_status, 'found': held.wallet_status,
                'unsure': unsure_delivery.wallet_status
            },
            {
                'field': 'wallet_last_event', 'told': delivery.wallet_last_event,
                'truth': state.wallet_last_event, 'found': held.wallet_last_event,
                'unsure': unsure_delivery.wallet_last_event
            }
        ], recursive := TRUE)
    FROM changed
),
times AS (
    SELECT
        customer_key, record_id, is_unsure,
        unnest([
            {
                'field': 'apple_wallet_installed_at', 'told': delivery.apple_wallet_installed_at,
                'truth': state.apple_wallet_installed_at, 'found': held.apple_wallet_installed_at,
                'unsure': unsure_delivery.apple_wallet_installed_at
            },
            {
                'field': 'google_wallet_installed_at', 'told': delivery.google_wallet_installed_at,
                'truth': state.google_wallet_installed_at, 'found': held.google_wallet_installed_at,
                'unsure': unsure_delivery.google_wallet_installed_at
            },
            {
                'field': 'wallet_last_changed_at', 'told': delivery.wallet_last_changed_at,
                'truth': state.wallet_last_changed_at, 'found': held.wallet_last_changed_at,
                'unsure': unsure_delivery.wallet_last_changed_at
            }
        ], recursive := TRUE)
    FROM changed
),
drifted AS (
    SELECT customer_key, record_id, field, told AS expected, found
    FROM texts
    WHERE told IS NOT DISTINCT FROM truth
        AND found IS DISTINCT FROM truth
        AND NOT (is_unsure AND found IS NOT DISTINCT FROM unsure)
    UNION ALL
    SELECT customer_key, record_id, field, told::VARCHAR, found::VARCHAR
    FROM times
    WHERE NOT crm.apart(told, truth, $tolerance_ms)
        AND crm.apart(found, truth, $tolerance_ms)
        AND NOT (is_unsure AND found IS NOT DISTINCT FROM unsure)
    UNION ALL
    SELECT customer_key, record_id, 'customer_id', customer_id, NULL
    FROM changed
    WHERE customer_id IS NOT NULL AND held_customer_id IS NULL
)
SELECT d.customer_key, d.record_id, d.field, d.expected, d.found, $now AS found_at
FROM drifted d
ANTI JOIN (SELECT * FROM crm.drift WHERE repaired_at IS NULL) known
    ON known.customer_key = d.customer_key AND known.field = d.field AND known.found IS NOT DISTINCT FROM d.found
