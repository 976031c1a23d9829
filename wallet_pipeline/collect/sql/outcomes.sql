-- What the deliveries of a batch say: an event, or the reason why not. Grain and key: delivery_id. Times in UTC.
-- Read by take_events and replay. The lists are bound, times in them as microseconds since 1970.
SELECT
    unnest($delivery_id::BIGINT[]) AS delivery_id,
    make_timestamp(unnest($received_at::BIGINT[])) AS received_at,
    unnest($source::VARCHAR[]) AS source,
    unnest($pass_id::VARCHAR[]) AS pass_id,
    unnest($wallet::VARCHAR[]) AS wallet,
    unnest($kind::VARCHAR[]) AS kind,
    unnest($event_id::VARCHAR[]) AS event_id,
    make_timestamp(unnest($occurred_at::BIGINT[])) AS occurred_at,
    unnest($time_is_receipt::BOOLEAN[]) AS time_is_receipt,
    unnest($active_registrations::BIGINT[]) AS active_registrations,
    unnest($pass_type::VARCHAR[]) AS pass_type,
    unnest($identifiers::VARCHAR[]) AS identifiers,
    unnest($acquisition_source::VARCHAR[]) AS acquisition_source,
    unnest($reason::VARCHAR[]) AS reason
