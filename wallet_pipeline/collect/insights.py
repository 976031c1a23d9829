"""Daily event counts from Insights, a month a call, into raw.insights_daily."""

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from typing import Any

import duckdb

from wallet_pipeline.clients.http import UnexpectedAnswerError
from wallet_pipeline.clients.wallet_crew import QueryTimeoutError, WalletCrew
from wallet_pipeline.warehouse.connection import OpenWarehouse, naive, transaction

log = logging.getLogger(__name__)

_CHUNK = timedelta(days=31)
_ONE_DAY = timedelta(days=1)
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class EventProperties:
    """Names of the properties that hold pass id, pass type and wallet in the events of Insights."""

    pass_id: str
    pass_type: str
    device: str


@dataclass(frozen=True)
class InsightsRead:
    """What a reading took in: UTC days from `first` until before `until`, calls made, rows kept, events counted."""

    first: date
    until: date
    calls: int
    rows: int
    events: int


def read_insights(
    open_warehouse: OpenWarehouse,
    client: WalletCrew,
    properties: EventProperties,
    first: date,
    until: date,
    clock: Callable[[], datetime],
) -> InsightsRead:
    """Replace the counts of the UTC days from `first` until before `until`, and of a gap that an outage left before.

    Each chunk is stored as soon as it is there, in one transaction, so that a reading that dies is continued by running
    it again. A chunk that takes the service too long is halved, down to a day. Raises ServiceError.
    """
    calls = rows = events = 0
    with open_warehouse() as con:
        first = _from_the_last_day_read(con, first)
    todo = list(_chunks(first, until))[::-1]
    while todo:
        start, end = todo.pop()
        calls += 1
        try:
            answer = client.query_insights(_kql(properties, start, end))
        except QueryTimeoutError as error:
            if end - start <= _ONE_DAY:
                raise QueryTimeoutError(
                    f"Insights took too long even over the single day {start}. The days before it are stored: run the"
                    f" rest later, or ask the vendor's support for a longer time limit. {error}"
                ) from error
            middle = start + (end - start) // 2
            log.warning("Insights took too long over %s to %s: asking in two halves", start, end)
            todo += [(middle, end), (start, middle)]
            continue
        counts = [_count(row, start, end) for row in answer]
        with open_warehouse() as con:
            _store(con, counts, start, end, clock())
        rows += len(counts)
        events += sum(count[4] for count in counts)
        log.info("Insights %s to %s: %d rows, %d calls so far", start, end, len(counts), calls)
    return InsightsRead(first, until, calls, rows, events)


def _from_the_last_day_read(con: duckdb.DuckDBPyConnection, first: date) -> date:
    (last,) = con.execute("SELECT max(day) FROM raw.insights_days").fetchone() or (None,)
    return first if last is None else min(first, last + _ONE_DAY)


def _chunks(first: date, until: date) -> Iterator[tuple[date, date]]:
    while first < until:
        end = min(first + _CHUNK, until)
        yield first, end
        first = end


def _kql(properties: EventProperties, start: date, end: date) -> str:
    text = (files("wallet_pipeline.collect") / "kql" / "daily_events.kql").read_text()
    values = vars(properties) | {"from": f"datetime({start}T00:00:00Z)", "until": f"datetime({end}T00:00:00Z)"}
    code = "\n".join(line for line in text.splitlines() if not line.startswith("//"))
    return _SLOT.sub(lambda slot: values[slot[1]], code)


def _count(row: list[Any], start: date, end: date) -> tuple[date, str, str, str, int, int]:
    try:
        day, event_type, pass_type, wallet, events, passes = row
        moment = datetime.fromisoformat(day)
        utc_day = (moment.astimezone(UTC) if moment.tzinfo else moment).date()
        count = (utc_day, str(event_type), str(pass_type or ""), str(wallet or ""), int(events), int(passes))
    except (TypeError, ValueError, OverflowError) as error:
        raise _misshapen(start, end) from error
    if not start <= utc_day < end:
        raise _misshapen(start, end)
    return count


def _misshapen(start: date, end: date) -> UnexpectedAnswerError:
    return UnexpectedAnswerError(
        f"Insights answered a row for {start} to {end} that is not a day of that window, event type, pass type, wallet,"
        " events, passes. Nothing of the window was taken over; the API may have changed: compare with its reference."
    )


def _store(
    con: duckdb.DuckDBPyConnection,
    counts: list[tuple[date, str, str, str, int, int]],
    start: date,
    end: date,
    fetched_at: datetime,
) -> None:
    window = {"start": start, "end": end}
    columns = list(zip(*counts, strict=True)) or [()] * 6
    with transaction(con):
        con.execute("DELETE FROM raw.insights_daily WHERE day >= $start AND day < $end", window)
        con.execute(
            "INSERT INTO raw.insights_daily SELECT unnest($1::DATE[]), unnest($2::VARCHAR[]), unnest($3::VARCHAR[]),"
            " unnest($4::VARCHAR[]), unnest($5::BIGINT[]), unnest($6::BIGINT[])",
            [list(column) for column in columns],
        )
        con.execute("DELETE FROM raw.insights_days WHERE day >= $start AND day < $end", window)
        con.execute(
            "INSERT INTO raw.insights_days"
            " SELECT unnest(generate_series($start, $end - 1, INTERVAL 1 DAY))::DATE, $fetched",
            window | {"fetched": naive(fetched_at)},
        )
