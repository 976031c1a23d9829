"""What happened to passes, from Insights, a month a call, into raw.insights_events and raw.insights_daily."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from importlib.resources import files
from typing import Any

import duckdb

from wallet_pipeline.clients.http import UnexpectedAnswerError
from wallet_pipeline.clients.wallet_crew import QueryTimeoutError, WalletCrew
from wallet_pipeline.collect.queries import query
from wallet_pipeline.warehouse.connection import OpenWarehouse, naive, transaction
from wallet_pipeline.warehouse.queries import one_row

log = logging.getLogger(__name__)

DAYS_READ_AGAIN = 3
_CHUNK = timedelta(days=31)
_ONE_DAY = timedelta(days=1)
_SLOT = re.compile(r"\{(\w+)\}")
_COLUMNS = ("occurred_at", "event_type", "pass_type", "wallet", "pass_id", "events", "passes", "total")
_EVENT_TYPES = ["Pass:Created", "Pass:Installed", "Pass:Uninstalled", "Pass:Updated"]
_FAULTS = """
    SELECT
        count(*) FILTER (NOT coalesce(
            occurred_at >= $start AND occurred_at < $end AND event_type IN $types AND least(events, passes, total) > 0
            AND events IS NOT NULL AND passes IS NOT NULL AND total IS NOT NULL, FALSE
        )),
        coalesce(max(total), 0) - count(*)
    FROM insights_rows
"""


@dataclass(frozen=True)
class EventProperties:
    """Names of the properties that hold pass id, pass type and wallet in the events of Insights."""

    pass_id: str
    pass_type: str
    device: str


@dataclass(frozen=True)
class InsightsRead:
    """What a reading took in: UTC days from `first` until before `until`, calls, daily counts kept, events counted.

    `corrected` are the days that an earlier reading had counted otherwise, after they were over; `read_before` is the
    number of days that an earlier reading which broke off had read, and that were not asked for again.
    """

    first: date
    until: date
    calls: int
    rows: int
    events: int
    corrected: tuple[date, ...]
    read_before: int = 0


class _CutError(Exception):
    """An answer has fewer rows than it says that there are."""


def read_insights(
    open_warehouse: OpenWarehouse,
    client: WalletCrew,
    properties: EventProperties,
    first: date,
    until: date,
    clock: Callable[[], datetime],
) -> InsightsRead:
    """Replace what is known of the UTC days from `first` until before `until`, and of a gap that an outage left before.

    Each chunk is stored as soon as it is there, in one transaction: a reading that dies is continued by running it
    again, without the days that it has, but for the last three. A chunk that is too large for the service, by time or
    by rows, is halved, down to a day. Raises ServiceError.
    """
    calls = rows = events = 0
    corrected: set[date] = set()
    with open_warehouse() as con:
        first = _from_the_last_day_read(con, first)
        missing = _begin(con, first, until, clock())
    read_before = done = max(0, (until - first).days) - len(missing)
    if read_before:
        log.info("Insights: %d days were read by a reading that broke off, and are not asked for again", read_before)
    todo = _chunks(missing)[::-1]
    while todo:
        start, end = todo.pop()
        calls += 1
        # What happens while Insights answers may be missing from the answer.
        asked_at = clock()
        try:
            answer = client.query_insights(_kql(properties, start, end))
            with open_warehouse() as con, _typed(con, answer, start, end):
                counted, changed = _store(con, start, end, asked_at)
        except (QueryTimeoutError, _CutError) as error:
            if end - start <= _ONE_DAY:
                raise _too_large(start, error) from error
            middle = start + (end - start) // 2
            log.warning("Insights gives no whole answer for %s to %s: asking in two halves", start, end)
            todo += [(middle, end), (start, middle)]
            continue
        rows, events, done = rows + counted[0], events + counted[1], done + (end - start).days
        corrected.update(changed)
        progress = "Insights %s to %s: %d events; %d of %d days, %d calls so far"
        log.info(progress, start, end, counted[1], done, (until - first).days, calls)
    with open_warehouse() as con:
        con.execute("DELETE FROM raw.insights_readings WHERE first >= ? AND until <= ?", [first, until])
    return InsightsRead(first, until, calls, rows, events, tuple(sorted(corrected)), read_before)


def _too_large(day: date, error: Exception) -> QueryTimeoutError:
    cause = "cut off its answer" if isinstance(error, _CutError) else "took too long"
    return QueryTimeoutError(
        f"Insights {cause} even over the single day {day}. The days before it are stored: run the rest later, or ask"
        f" the vendor's support for a higher limit. {error}"
    )


def _from_the_last_day_read(con: duckdb.DuckDBPyConnection, first: date) -> date:
    (last,) = con.execute("SELECT max(day) FROM raw.insights_days").fetchone() or (None,)
    return first if last is None else min(first, last + _ONE_DAY)


def _begin(con: duckdb.DuckDBPyConnection, first: date, until: date, now: datetime) -> list[date]:
    """Book a reading as begun, and return the days that it has to ask for."""
    with transaction(con):
        window = {"first": first, "until": until, "again": until - DAYS_READ_AGAIN * _ONE_DAY, "now": naive(now)}
        days = con.execute(query("insights_missing_days"), window).fetchall()
        con.execute("INSERT INTO raw.insights_readings VALUES (?, ?, ?)", [first, until, naive(now)])
    return [day for (day,) in days]


def _chunks(days: list[date]) -> list[tuple[date, date]]:
    """Return the stretches without a gap that days make up, in their order, of no more than a month each."""
    chunks: list[tuple[date, date]] = []
    for day in days:
        start, end = chunks[-1] if chunks else (day, None)
        if day == end and end - start < _CHUNK:
            chunks[-1] = (start, day + _ONE_DAY)
        else:
            chunks.append((day, day + _ONE_DAY))
    return chunks


def _kql(properties: EventProperties, start: date, end: date) -> str:
    text = (files("wallet_pipeline.collect") / "kql" / "events.kql").read_text()
    values = vars(properties) | {"from": f"datetime({start}T00:00:00Z)", "until": f"datetime({end}T00:00:00Z)"}
    code = "\n".join(line for line in text.splitlines() if not line.startswith("//"))
    return _SLOT.sub(lambda slot: values[slot[1]], code)


@contextmanager
def _typed(con: duckdb.DuckDBPyConnection, answer: list[list[Any]], start: date, end: date) -> Iterator[None]:
    """Lay an answer down as the temporary tables insights_rows and insights_counts for the length of a block."""
    if any(len(row) != len(_COLUMNS) or isinstance(cell, bool | list | dict) for row in answer for cell in row):
        raise _misshapen(start, end)
    import pandas as pd  # noqa: PLC0415  loading it takes each process longer than this step, and no other needs it

    texts = [[_whole(cell) for cell in row] for row in answer]
    con.register("answer", pd.DataFrame(texts, columns=_COLUMNS, dtype="string"))
    con.execute(f"CREATE OR REPLACE TEMP TABLE insights_rows AS {query('insights_rows')}").fetchall()
    con.unregister("answer")
    try:
        misshapen, missing = one_row(con, _FAULTS, {"start": start, "end": end, "types": _EVENT_TYPES})
        if misshapen:
            raise _misshapen(start, end)
        if missing > 0:
            raise _CutError(f"{missing} rows are missing.")
        con.execute(f"CREATE OR REPLACE TEMP TABLE insights_counts AS {query('insights_counts')}")
        yield
    finally:
        con.execute("DROP TABLE IF EXISTS insights_counts; DROP TABLE IF EXISTS insights_rows")


def _whole(cell: Any) -> Any:
    """Return a text with what is but half of a character replaced, as a name is that was cut to a length."""
    if isinstance(cell, str) and not cell.isascii():
        return cell.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return cell


def _misshapen(start: date, end: date) -> UnexpectedAnswerError:
    return UnexpectedAnswerError(
        f"Insights answered a row for {start} to {end} that is not a time of that window, event type, pass type,"
        " wallet, pass, events, passes, number of rows. Nothing of the window was taken over; the API may have changed:"
        " compare with its reference."
    )


def _store(
    con: duckdb.DuckDBPyConnection, start: date, end: date, fetched_at: datetime
) -> tuple[tuple[int, int], list[date]]:
    """Replace the window; return the numbers of daily counts and events, and the past days that have changed."""
    window = {"start": start, "end": end}
    fetched = {"fetched": naive(fetched_at)}
    with transaction(con):
        corrections = f"SELECT *, $fetched FROM ({query('insights_corrections')})"
        changed = con.execute(
            f"INSERT INTO raw.insights_corrections {corrections} RETURNING day", window | fetched
        ).fetchall()
        con.execute("DELETE FROM raw.insights_daily WHERE day >= $start AND day < $end", window)
        con.execute("INSERT INTO raw.insights_daily BY NAME FROM insights_counts")
        con.execute("DELETE FROM raw.insights_events WHERE occurred_at >= $start AND occurred_at < $end", window)
        con.execute(f"INSERT INTO raw.insights_events BY NAME {query('insights_events')}")
        con.execute("DELETE FROM raw.insights_days WHERE day >= $start AND day < $end", window)
        con.execute(
            "INSERT INTO raw.insights_days"
            " SELECT unnest(generate_series($start, $end - 1, INTERVAL 1 DAY))::DATE, $fetched",
            window | fetched,
        )
    counted = one_row(con, "SELECT count(*), coalesce(sum(events), 0)::BIGINT FROM insights_counts")
    return (int(counted[0]), int(counted[1])), [day for (day,) in changed]
