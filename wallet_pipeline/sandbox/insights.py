"""The Insights query service: real KQL over the world's events, a limited number of calls a minute."""

import json
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import duckdb_kql
from duckdb_kql import engine, ir, translate
from duckdb_kql.lower import lower

_WINDOW_SECONDS = 60.0


class QueryError(ValueError):
    """A query that cannot be run; the text says why."""


def run(connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, str], most: int) -> list[list[Any]]:
    """Return the rows of a KQL query, as JSON values; no more than `most` of them."""
    try:
        relation = duckdb_kql.kql(connection, query, parameters=parameters or None, allow_write=False)
        _refuse_dynamic_keys(connection, query)
        kinds = [str(kind) for kind in relation.types]
        rows = relation.fetchall()[:most]
    except (duckdb_kql.KqlError, duckdb.Error) as error:
        raise QueryError(str(error)) from error
    return [[_json_value(value, kind) for value, kind in zip(row, kinds, strict=True)] for row in rows]


def _refuse_dynamic_keys(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Raise QueryError where the query groups by a dynamic value: Kusto refuses that, duckdb-kql does not."""
    lowered = lower(query)
    for place, operator in enumerate(lowered.operators):
        keys = _group_keys(operator)
        if not keys or lowered.parameters:
            continue
        up_to_keys = replace(lowered, operators=[*lowered.operators[:place], ir.Project(keys)])
        shown = connection.sql(translate.to_sql(up_to_keys, engine.schema(connection)))
        for name, kind in zip(shown.columns, shown.types, strict=True):
            if str(kind) == "JSON":
                raise QueryError(f"Group key '{name}' is of a 'dynamic' type. Please use an explicit cast.")


def _group_keys(operator: ir.Operator) -> tuple[ir.NamedExpr, ...]:
    if isinstance(operator, ir.Summarize):
        return operator.by
    return operator.expressions if isinstance(operator, ir.Distinct) else ()


class CallLimit:
    """Counts calls in a sliding minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._calls: deque[float] = deque()

    def take(self, allowed: int) -> int:
        """Count a call and return 0, or return the seconds to wait when there are too many."""
        now = self._clock()
        while self._calls and self._calls[0] <= now - _WINDOW_SECONDS:
            self._calls.popleft()
        if len(self._calls) < allowed:
            self._calls.append(now)
            return 0
        oldest = self._calls[0] if self._calls else now
        return max(1, math.ceil(oldest + _WINDOW_SECONDS - now))


def _json_value(value: Any, kind: str) -> Any:
    if kind == "JSON" and value is not None:
        return json.loads(value)
    if isinstance(value, datetime):
        # As .NET writes it: seven digits, or none.
        return value.strftime("%Y-%m-%dT%H:%M:%S.%f0Z" if value.microsecond else "%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, timedelta):
        return _timespan(value)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _timespan(value: timedelta) -> str:
    """Return a time span as Kusto writes it: `[-][d.]hh:mm:ss[.fffffff]`."""
    sign = "-" if value < timedelta(0) else ""
    seconds, micros = divmod(abs(value) // timedelta(microseconds=1), 1_000_000)
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    day_part = f"{days}." if days else ""
    fraction = f".{micros:06}0" if micros else ""
    return f"{sign}{day_part}{hours:02}:{minutes:02}:{seconds % 60:02}{fraction}"
