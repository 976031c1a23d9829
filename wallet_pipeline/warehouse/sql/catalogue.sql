-- Tables and views of an empty warehouse with their comments, in the order in which they were made, and their columns: name,
-- type, comment. Grain and key: table_name, as `schema.table`. Read by read_catalogue.
WITH tables AS (
    SELECT schema_name, table_name, table_oid, comment FROM duckdb_tables() WHERE NOT internal
    UNION ALL
    SELECT schema_name, view_name, view_oid, comment FROM duckdb_views() WHERE NOT internal
)
SELECT
    t.schema_name || '.' || t.table_name AS table_name,
    t.comment,
    list(row(c.column_name, c.data_type, c.comment) ORDER BY c.column_index) AS columns
FROM tables t
JOIN duckdb_columns() c USING (schema_name, table_name)
WHERE schema_name <> 'main'
GROUP BY t.schema_name, t.table_name, t.table_oid, t.comment
ORDER BY t.table_oid
