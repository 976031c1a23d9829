-- What is true of each listed pass, without its secret; of one pass when an id is given.
SELECT
    id AS pass_id,
    strftime(apple_at, '%Y-%m-%dT%H:%M:%S.%fZ') AS apple_at,
    strftime(google_at, '%Y-%m-%dT%H:%M:%S.%fZ') AS google_at,
    identifiers::VARCHAR AS identifiers
FROM backstage.passes
WHERE $pass_id IS NULL OR id = $pass_id
ORDER BY id
