"""What the report shows, read from the warehouse: counts, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

import duckdb

from wallet_pipeline.report.charts import Rows
from wallet_pipeline.report.figures import FIGURES, Figure
from wallet_pipeline.report.names import OTHERS, labels
from wallet_pipeline.warehouse.connection import transaction
from wallet_pipeline.warehouse.queries import named_values, read_query

query = partial(read_query, "wallet_pipeline.report")

_MONTHS = {"month", "created_month"}
# The longest history that is shown by the day, and by the week; beyond it, by the month.
_BY_DAY, _BY_WEEK = 120, 5 * 366


@dataclass(frozen=True)
class Content:
    """The numbers at the top, the rows of each figure, and what a point of the charts over time stands for."""

    headline: Mapping[str, Any]
    rows: Mapping[str, Rows]
    period: str


def read_content(con: duckdb.DuckDBPyConnection) -> Content:
    """Read all that the report shows, in one transaction."""
    with transaction(con):
        (headline,) = _rows(con.execute(query("headline")))
        period = _period(headline["days"])
        con.execute(f"CREATE OR REPLACE TEMP TABLE shown_types AS {query('shown_types')}")
        types = con.execute("SELECT pass_type FROM shown_types ORDER BY place").fetchall()
        found = {one.name: _read(con, one, period) for one in FIGURES}
        con.execute("DROP TABLE shown_types")
    sources = [row["acquisition_source"] for row in found["sources"]]
    names = {
        "pass_type": labels(name for (name,) in types),
        "acquisition_source": labels(name for name in sources if name is not None),
    }
    rows = {figure: [_readable(row, names) for row in some] for figure, some in found.items()}
    return Content(headline, rows, period)


def _period(days: int) -> str:
    if days <= _BY_DAY:
        return "day"
    return "week" if days <= _BY_WEEK else "month"


def _read(con: duckdb.DuckDBPyConnection, figure: Figure, period: str) -> list[dict[str, Any]]:
    sql = query(figure.name)
    return _rows(con.execute(sql, dict(figure.limits) | named_values(sql, {"period": period})))


def _rows(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _readable(row: Mapping[str, Any], names: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Return a row with its dates and names as they are shown."""
    return {column: _shown(column, value, names) for column, value in row.items()}


def _shown(column: str, value: Any, names: Mapping[str, Mapping[str, str]]) -> Any:
    if column in names:
        return names[column].get(value, OTHERS)
    if isinstance(value, date):
        return f"{value:%Y-%m}" if column in _MONTHS else value.isoformat()
    return value
