"""What the parts of the sync share in speaking to DuckDB: the texts of `sql/`, and values on their way in and out."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any

import duckdb

from wallet_pipeline.warehouse.connection import naive


def query(name: str) -> str:
    """Return the text of `sql/<name>.sql`."""
    return (files("wallet_pipeline.sync") / "sql" / f"{name}.sql").read_text()


def one_row(
    con: duckdb.DuckDBPyConnection, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()
) -> tuple[Any, ...]:
    """Return the first row of a query that has one for sure."""
    row = con.execute(sql, values).fetchone()
    if row is None:
        raise LookupError(sql)
    return row


def count(con: duckdb.DuckDBPyConnection, sql: str) -> int:
    """Return the number that a query counts."""
    return int(one_row(con, sql)[0])


def as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values in the form in which a JSON row takes them into a table: times as text, UTC, without a zone."""
    return {name: naive(value).isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
