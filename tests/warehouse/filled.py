"""Rows in every table that is published, for whoever reads the published file rather than what it says."""

import duckdb

from wallet_pipeline.warehouse.publish import ENUMS, PUBLISHED

ROWS = 3000
_VALUES = {
    "BIGINT": "n",
    "BOOLEAN": "n % 2 = 0",
    "DATE": "DATE '2026-01-02' + n",
    "DOUBLE": "n / 7",
    "TIMESTAMP": "TIMESTAMP '2026-01-02 03:04:05.678901' + to_minutes(n)",
    "VARCHAR": "'it''s ünïcode ' || n",
    "VARCHAR[]": "['customerId=' || n, 'email=' || n || '@x.test']",
}


def fill(con: duckdb.DuckDBPyConnection) -> set[str]:
    """Put rows into each table that is published, but views: all types, every ENUM value, nulls. Return their names."""
    views = {name for (name,) in con.execute("SELECT schema_name || '.' || view_name FROM duckdb_views()").fetchall()}
    tables = {name for name, source in PUBLISHED.items() if source not in views}
    for name in tables:
        source = PUBLISHED[name]
        columns = con.execute(f"SELECT column_name, column_type FROM (DESCRIBE {source})").fetchall()
        values = ", ".join(f"if(n % 10 = 1, NULL, {_value(name, *column)})" for column in columns)
        con.execute(f"INSERT INTO {source} SELECT {values} FROM (SELECT range::INTEGER AS n FROM range({ROWS}))")
    return tables


def _value(name: str, column: str, kind: str) -> str:
    if column == "identifiers":
        return "json_object('customerId', n, 'email', n || '@x.test')::VARCHAR"
    values = ENUMS.get(name, {}).get(column)
    return f"{list(values)}[n % {len(values)} + 1]" if values else _VALUES[kind]
