"""The texts of `sql/`, and what one row of a query says."""

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import duckdb


def query(name: str) -> str:
    """Return the text of `sql/<name>.sql`."""
    return (files("wallet_pipeline.support.doctor") / "sql" / f"{name}.sql").read_text()


def row(con: duckdb.DuckDBPyConnection, sql: str, values: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
    """Return the first row of a query; empty when there is none."""
    return con.execute(sql, values or {}).fetchone() or ()


def aware(moment: datetime) -> datetime:
    """Return a time of the warehouse with its zone, which is UTC."""
    return moment.replace(tzinfo=UTC)
