-- Deliveries since $since (UTC) that could not be understood, or of which nothing counts. Grain and key: reason.
-- is_foreign: events of another kind, of which nothing is missing. Read by the doctor.
SELECT
    split_part(reason, ':', 1) AS reason,
    count(*) AS deliveries,
    max(received_at) AS last_at,
    split_part(reason, ':', 1) = 'event type is no install or uninstall' AS is_foreign
FROM raw.unusable_deliveries
WHERE received_at >= $since
GROUP BY ALL
ORDER BY deliveries DESC, reason
