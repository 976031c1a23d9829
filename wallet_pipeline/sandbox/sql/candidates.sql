-- Passes that a change of one kind may fall on, one a customer, in the order of the draw: clean ones, whose customer is
-- not taken yet and whose history lies before the time of the change.
SELECT
    id,
    wallet,
    body,
    customer_id,
    apple_devices,
    google_devices
FROM (
    SELECT
        *,
        unnest(['apple', 'google']) AS wallet,
        unnest([apple_devices, google_devices]) AS devices,
        hash(seed, changes, $kind, id, wallet) AS draw
    FROM backstage.passes, backstage.state
    WHERE clean AND touched_at < $at::TIMESTAMP AND NOT list_contains($taken, customer_id)
)
WHERE CASE $kind
    WHEN 'installs' THEN devices = 0
    WHEN 'uninstalls' THEN devices = 1
    WHEN 'second_devices' THEN devices = 1
    ELSE wallet = 'apple'
END
QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY draw) = 1
ORDER BY draw
LIMIT $wanted
