"""What the report shows, read from the warehouse: counts, and nothing else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

import duckdb

from wallet_pipeline.report.charts import Rows
from wallet_pipeline.report.figures import FIGURES, Figure
from wallet_pipeline.report.names import OTHERS, labels
from wallet_pipeline.warehouse.connection import transaction
from wallet_pipeline.warehouse.queries import read_query

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
        names = con.execute("SELECT pass_type FROM shown_types ORDER BY place").fetchall()
        shown = labels(name for (name,) in names)
        rows = {one.name: [_readable(row, shown) for row in _read(con, one, period)] for one in FIGURES}
        con.execute("DROP TABLE shown_types")
    return Content(headline, rows, period)


def _period(days: int) -> str:
    if days <= _BY_DAY:
        return "day"
    return "week" if days <= _BY_WEEK else "month"


def _read(con: duckdb.DuckDBPyConnection, figure: Figure, period: str) -> Iterable[dict[str, Any]]:
    sql = query(figure.name)
    return _rows(con.execute(sql, dict(figure.limits) | ({"period": period} if "$period" in sql else {})))


def _rows(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _readable(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a row with its dates and pass types as they are shown."""
    return {
        name: names.get(value, OTHERS)
        if name == "pass_type"
        else _as_text(value, name)
        if isinstance(value, date)
        else value
        for name, value in row.items()
    }


def _as_text(day: date, column: str) -> str:
    return f"{day:%Y-%m}" if column in _MONTHS else day.isoformat()
