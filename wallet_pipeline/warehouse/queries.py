"""What all packages share in speaking to DuckDB: queries from files of their own, and rows as Python has them."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import duckdb


def read_query(package: str, name: str) -> str:
    """Return the text of `sql/<name>.sql` in a package."""
    return (files(package) / "sql" / f"{name}.sql").read_text()


def named_values(sql: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the values that a query names: DuckDB takes no others."""
    return {name: value for name, value in values.items() if re.search(rf"\${name}\b", sql)}


def one_row(
    con: duckdb.DuckDBPyConnection, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()
) -> tuple[Any, ...]:
    """Return the first row of a query that has one for sure."""
    row = con.execute(sql, values).fetchone()
    if row is None:
        raise LookupError(sql)
    return row


def row_count(con: duckdb.DuckDBPyConnection, source: str) -> int:
    """Return the number of rows of a table, with a condition where one follows its name."""
    return int(one_row(con, f"SELECT count(*) FROM {source}")[0])


def aware(moment: datetime) -> datetime:
    """Return a time of the warehouse with its zone, which is UTC."""
    return moment.replace(tzinfo=UTC)
