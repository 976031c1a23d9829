-- The comments of a database's tables, views and columns. Grain and key: source, as `schema.table`, and column_name, which is
-- null for the table or view itself. Read by publish and write_set: once for all tables, since each look takes the whole
-- catalogue.
SELECT schema_name || '.' || table_name AS source, NULL AS column_name, comment
FROM duckdb_tables()
WHERE database_name = current_database() AND NOT internal
UNION ALL
SELECT schema_name || '.' || view_name, NULL, comment
FROM duckdb_views()
WHERE database_name = current_database() AND NOT internal
UNION ALL
SELECT schema_name || '.' || table_name, column_name, comment
FROM duckdb_columns()
WHERE database_name = current_database() AND NOT internal
