"""The texts of `sql/`, and rows as objects."""

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, TypeVar

import duckdb

T = TypeVar("T")


def query(name: str) -> str:
    """Return the text of `sql/<name>.sql`."""
    return (files("wallet_pipeline.support.explain") / "sql" / f"{name}.sql").read_text()


def rows(con: duckdb.DuckDBPyConnection, sql: str, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the rows of a query by column; times aware, in UTC."""
    cursor = con.execute(sql, values or {})
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, map(_aware, row), strict=True)) for row in cursor.fetchall()]


def _aware(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
