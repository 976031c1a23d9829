-- Pages of passes as they came, less the secret, which is no column. Grain: pass as listed. Written to the staging file.
SELECT
    regexp_extract(filename, '(\d+)\.json$', 1)::BIGINT AS page,
    id AS pass_id,
    passType AS pass_type,
    creationDate AS created_at,
    identifiers,
    providers
FROM read_json($files, format = 'array', filename = TRUE, columns = {
    id: 'VARCHAR', passType: 'VARCHAR', creationDate: 'VARCHAR', identifiers: 'JSON', providers: 'MAP(VARCHAR, VARCHAR)'
})
