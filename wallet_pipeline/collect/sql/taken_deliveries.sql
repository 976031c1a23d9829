-- The deliveries that were taken over, with what they were understood to say. Grain and key: delivery_id. Times in UTC.
-- Read by replay. The columns are those of outcomes, in the same order.
SELECT
    delivery_id, received_at, source, pass_id, wallet, kind, event_id, occurred_at, time_is_receipt,
    active_registrations, pass_type, identifiers, acquisition_source, NULL::VARCHAR AS reason
FROM raw.wallet_events
WHERE delivery_id IS NOT NULL
UNION ALL BY NAME
SELECT delivery_id, received_at, source, reason FROM raw.unusable_deliveries
