-- Lists passes, or lists them anew under the ids they have. What the Pass API sorts and filters by is read from the body,
-- leniently: a test may put a body of any shape.
MERGE INTO backstage.passes AS listed
USING (
    SELECT
        id,
        body,
        body ->> '$.passType' AS pass_type,
        TRY_CAST(body ->> '$.creationDate' AS TIMESTAMPTZ)::TIMESTAMP AS created_at,
        TRY_CAST(body ->> '$.lastUpdateDate' AS TIMESTAMPTZ)::TIMESTAMP AS updated_at,
        TRY_CAST(body ->> '$.providers.apple' AS TIMESTAMPTZ)::TIMESTAMP AS apple_at,
        TRY_CAST(body ->> '$.providers.google' AS TIMESTAMPTZ)::TIMESTAMP AS google_at,
        apple_devices,
        google_devices,
        (body -> '$.identifiers')::JSON AS identifiers,
        (body -> '$.metadata')::JSON AS metadata,
        customer_id,
        clean,
        touched_at::TIMESTAMP AS touched_at
    FROM (SELECT unnest(from_json($passes, '[{
        "id": "VARCHAR", "body": "VARCHAR", "apple_devices": "INTEGER", "google_devices": "INTEGER",
        "customer_id": "VARCHAR", "clean": "BOOLEAN", "touched_at": "VARCHAR"}]'), recursive := true))
) AS put
ON listed.id = put.id
WHEN MATCHED THEN UPDATE
WHEN NOT MATCHED THEN INSERT
