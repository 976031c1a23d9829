"""What Insights counted and what arrived of it, from rows to rows."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pytest

from tests.derive.evidence import add_events
from wallet_pipeline.derive.arrivals import (
    Arrivals,
    Silence,
    derive_event_arrivals,
    measure_silence,
    sum_up_arrivals,
)

NOW = datetime(2026, 3, 20, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)


def read_insights(con: duckdb.DuckDBPyConnection, *days: int, at: str = "2026-03-20 02:30:00") -> None:
    """Note that these days of March were read from Insights."""
    con.executemany("INSERT INTO raw.insights_days VALUES (?, ?)", [[date(2026, 3, day), at] for day in days])


def count(
    con: duckdb.DuckDBPyConnection, day: int, events: int, wallet: str = "apple", kind: str = "Installed"
) -> None:
    """Let Insights have counted events of one pass type."""
    con.execute(
        "INSERT INTO raw.insights_daily VALUES (?, ?, 'loyalty', ?, ?, 1)",
        [date(2026, 3, day), f"Pass:{kind}", wallet, events],
    )


def event(at: str, event_id: str = "e", **members: Any) -> dict[str, Any]:
    """Return an install in Apple Wallet at a time of March, such as `10T12:00:00`."""
    received = {"received_at": f"2026-03-{members.pop('received')}Z"} if "received" in members else {}
    base = {"pass_id": "p", "wallet": "apple", "kind": "installed"}
    return base | {"event_id": event_id, "at": f"2026-03-{at}Z"} | received | members


def begin(con: duckdb.DuckDBPyConnection, day: int = 1) -> None:
    """Let the first delivery ever come on a day of March; it cannot be understood."""
    con.execute("INSERT INTO raw.unusable_deliveries VALUES (1, ?, 'webhook', 'no pass id')", [datetime(2026, 3, day)])  # noqa: DTZ001  as stored


def rows(con: duckdb.DuckDBPyConnection, columns: str, where: str = "TRUE") -> list[tuple[Any, ...]]:
    """Return columns of the rows of installs in Apple Wallet."""
    derive_event_arrivals(con)
    query = f"SELECT {columns} FROM wallet.event_arrivals WHERE wallet = 'apple' AND kind = 'installed' AND {where}"
    return con.execute(f"{query} ORDER BY day").fetchall()


def test_every_day_has_a_row_per_wallet_and_kind(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Counts stand with their wallet and kind, and what did not happen is zero."""
    begin(warehouse)
    read_insights(warehouse, 10)
    count(warehouse, 10, 3)
    count(warehouse, 10, 2, "google", "Uninstalled")
    count(warehouse, 10, 7, "")
    count(warehouse, 10, 9, "apple", "Updated")
    add_events(warehouse, [event("10T12:00:00"), event("10T13:00:00", wallet="google", kind="uninstalled")])
    derive_event_arrivals(warehouse)
    compared = "SELECT wallet, kind, insights_events, arrived_events, missing_share FROM wallet.event_arrivals"
    assert warehouse.execute(f"{compared} ORDER BY ALL").fetchall() == [
        ("apple", "installed", 3, 1, pytest.approx(2 / 3)),
        ("apple", "uninstalled", 0, 0, None),
        ("google", "installed", 0, 0, None),
        ("google", "uninstalled", 2, 1, 0.5),
    ]


def test_pass_types_are_added_up(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Insights counts by pass type, the comparison does not."""
    begin(warehouse)
    read_insights(warehouse, 10)
    count(warehouse, 10, 3)
    count(warehouse, 10, 4)
    assert rows(warehouse, "insights_events") == [(7,)]


def test_repeated_deliveries_are_one_event(warehouse: duckdb.DuckDBPyConnection) -> None:
    """An event counts once, on the day of its earliest time, and is as late as its first receipt."""
    begin(warehouse)
    read_insights(warehouse, 10, 11)
    again = event("11T12:00:00", received="11T12:00:09")
    add_events(warehouse, [event("10T12:00:00", received="10T12:00:04"), again, again])
    assert rows(warehouse, "arrived_events, late_p50_seconds") == [(1, 4.0), (0, None)]


def test_same_id_of_another_pass_is_another_event(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Pass, wallet, kind and event id together are one event."""
    begin(warehouse)
    read_insights(warehouse, 10)
    add_events(warehouse, [event("10T12:00:00"), event("10T12:00:00", pass_id="q"), event("10T12:00:00", "f")])
    assert rows(warehouse, "arrived_events") == [(3,)]


def test_lateness_is_from_happening_to_receipt(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Half of the events, and 99 % of them, came within the seconds that the quantiles tell."""
    begin(warehouse)
    read_insights(warehouse, 10)
    late = [event("10T12:00:00", str(seconds), received=f"10T12:00:{seconds:02}.500") for seconds in (1, 2, 4)]
    add_events(warehouse, late)
    assert rows(warehouse, "late_p50_seconds, late_p99_seconds") == [(2.5, pytest.approx(4.46))]


def test_event_without_a_time_arrived_but_is_not_late(warehouse: duckdb.DuckDBPyConnection) -> None:
    """An event that has the time of its receipt counts as arrived; its lateness is unknown."""
    begin(warehouse)
    read_insights(warehouse, 10)
    count(warehouse, 10, 1)
    add_events(warehouse, [event("10T12:00:00")])
    warehouse.execute("UPDATE raw.wallet_events SET time_is_receipt = TRUE")
    assert rows(warehouse, "arrived_events, missing_share, late_p50_seconds") == [(1, 0.0, None)]


def test_days_before_the_first_delivery_are_left_out(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Nothing could arrive before the first delivery, and its own day had begun without it."""
    begin(warehouse, 10)
    read_insights(warehouse, 9, 10, 11)
    count(warehouse, 10, 5)
    assert rows(warehouse, "day, complete, missing_share") == [
        (date(2026, 3, 10), False, None),
        (date(2026, 3, 11), True, None),
    ]


def test_without_a_delivery_there_is_no_row(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Who has not set up real time has nothing to compare."""
    read_insights(warehouse, 10)
    count(warehouse, 10, 5)
    assert rows(warehouse, "day") == []


def test_day_that_was_not_read_is_left_out(warehouse: duckdb.DuckDBPyConnection) -> None:
    """What Insights was not asked for cannot be compared."""
    begin(warehouse)
    read_insights(warehouse, 11)
    add_events(warehouse, [event("10T12:00:00")])
    assert rows(warehouse, "day, arrived_events") == [(date(2026, 3, 11), 0)]


def test_day_that_was_read_before_its_end_is_not_judged(warehouse: duckdb.DuckDBPyConnection) -> None:
    """A day is complete once Insights was read after midnight."""
    begin(warehouse)
    read_insights(warehouse, 10, at="2026-03-10 23:59:59")
    read_insights(warehouse, 11, at="2026-03-12 00:00:00")
    count(warehouse, 10, 5)
    count(warehouse, 11, 5)
    assert rows(warehouse, "complete, missing_share") == [(False, None), (True, 1.0)]


def test_more_events_than_counted_are_not_missing(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Where webhook and connector both tell of an event the share is zero, not negative."""
    begin(warehouse)
    read_insights(warehouse, 10)
    count(warehouse, 10, 1)
    add_events(warehouse, [event("10T12:00:00", "webhook"), event("10T12:00:00", "connector")])
    assert rows(warehouse, "arrived_events, missing_share") == [(2, 0.0)]


def sum_up(con: duckdb.DuckDBPyConnection) -> Arrivals:
    """Derive the table and sum up its last days."""
    derive_event_arrivals(con)
    return sum_up_arrivals(con)


def test_sum_is_of_the_last_seven_complete_days(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Older days and those that are not over have no part in it."""
    begin(warehouse)
    read_insights(warehouse, *range(2, 11))
    read_insights(warehouse, 11, at="2026-03-11 12:00:00")
    for day in range(2, 12):
        count(warehouse, day, 10)
    add_events(warehouse, [event("03T12:00:00", "old", received="03T13:00:00")])
    add_events(warehouse, [event("04T12:00:00", "in", received="04T12:00:02"), event("11T12:00:00", "today")])
    assert sum_up(warehouse) == Arrivals(7, 70, 69, 2.0, 2.0)


def test_event_on_the_next_day_is_not_missing(warehouse: duckdb.DuckDBPyConnection) -> None:
    """An event that arrived a day late, without a time of its own, did arrive."""
    begin(warehouse)
    read_insights(warehouse, 10, 11)
    count(warehouse, 10, 1)
    add_events(warehouse, [event("11T00:00:01")])
    assert sum_up(warehouse).missing == 0


def test_other_wallets_do_not_make_up_for_missing_events(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Too many events in one wallet hide none that is missing in the other."""
    begin(warehouse)
    read_insights(warehouse, 10)
    count(warehouse, 10, 2)
    count(warehouse, 10, 2, "google")
    add_events(warehouse, [event("10T12:00:00", str(number)) for number in range(4)])
    arrivals = sum_up(warehouse)
    assert (arrivals.missing, arrivals.missing_share) == (2, 0.5)


def test_nothing_to_sum_up(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Without a complete day nothing is missing and nothing is late."""
    arrivals = sum_up(warehouse)
    assert (arrivals, arrivals.missing_share) == (Arrivals(0, 0, 0, None, None), 0.0)


def receive(con: duckdb.DuckDBPyConnection, times: Iterable[datetime]) -> None:
    """Let deliveries come at these times, by turns understood and not."""
    for number, time in enumerate(times):
        if number % 2:
            con.execute("INSERT INTO raw.unusable_deliveries VALUES (?, ?, 'webhook', 'no pass id')", [number, time])
        else:
            con.execute("INSERT INTO raw.wallet_events (delivery_id, received_at) VALUES (?, ?)", [number, time])


@pytest.mark.parametrize(
    ("ages", "usual"),
    [
        ([timedelta(minutes=5)], HOUR),
        ([HOUR * 2, HOUR * 2.5], HOUR),
        ([HOUR, HOUR * 6, HOUR * 7], HOUR * 5),
        # A pause that ended within 30 days counts from where it began.
        ([HOUR, timedelta(days=29), timedelta(days=40)], timedelta(days=29) - HOUR),
        ([timedelta(days=31), timedelta(days=40)], HOUR),
    ],
)  # fmt: skip
def test_usual_silence_is_the_longest_pause_of_a_month(
    warehouse: duckdb.DuckDBPyConnection, ages: list[timedelta], usual: timedelta
) -> None:
    """The pauses of the last 30 days say what is usual, and an hour always is."""
    receive(warehouse, [NOW - age for age in ages])
    assert measure_silence(warehouse, NOW) == Silence(NOW - ages[0], ages[0], usual)


@pytest.mark.parametrize(("lasts", "unusual"), [(HOUR * 2, False), (HOUR * 2 + timedelta(seconds=1), True)])
def test_silence_is_unusual_beyond_twice_the_usual(lasts: timedelta, unusual: bool) -> None:  # noqa: FBT001  a case
    """Exactly twice as long as usual is not too long yet."""
    assert Silence(NOW - lasts, lasts, HOUR).unusual is unusual


def test_who_never_received_anything_is_not_silent(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Without any delivery there is no silence to measure."""
    assert measure_silence(warehouse, NOW) is None
