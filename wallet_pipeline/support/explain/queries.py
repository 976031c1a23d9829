"""The texts of `sql/` that explain reads, and rows as objects."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

import duckdb

from wallet_pipeline.warehouse.queries import aware, read_query

query = partial(read_query, "wallet_pipeline.support.explain")


def rows(con: duckdb.DuckDBPyConnection, sql: str, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the rows of a query by column; times aware, in UTC."""
    cursor = con.execute(sql, values or {})
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, map(_aware, row), strict=True)) for row in cursor.fetchall()]


def _aware(value: Any) -> Any:
    return aware(value) if isinstance(value, datetime) else value
