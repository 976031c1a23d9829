"""Deliveries become rows exactly once, whatever dies when, and are read again when the mapping was corrected."""

import logging
import random
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collect.deliveries import MINUTE, START, receive, told
from tests.conftest import Data, Script
from wallet_pipeline.collect import wallet_events
from wallet_pipeline.collect.wallet_events import (
    Replay,
    ReplayError,
    Selection,
    TakenEvents,
    replay,
    take_events,
    taken_up_to,
)
from wallet_pipeline.collect.webhooks import inbox
from wallet_pipeline.collect.webhooks.inbox import InboxError, newest_delivery, read_deliveries, read_state
from wallet_pipeline.collect.webhooks.understanding import EventMapping
from wallet_pipeline.settings import Settings
from wallet_pipeline.warehouse.connection import OpenWarehouse, migrate

StartScript = Callable[[str], Script]

MAPPING = EventMapping.from_settings(Settings.model_construct())
ELSEWHERE = replace(MAPPING, pass_id=(("pass",),))
EITHER = replace(MAPPING, pass_id=(("passId",), ("pass",)))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TABLES = ("raw.wallet_events", "raw.unusable_deliveries", "raw.inbox_cursor")
CREATED = "event type is no install or uninstall: Pass:Created"


@pytest.fixture
def inbox_file(data: Data) -> Path:
    """Give the name of an inbox to be, in the data folder."""
    return data.folder / "inbox.sqlite"


def take(data: Data, mapping: EventMapping = MAPPING, open_warehouse: OpenWarehouse | None = None) -> TakenEvents:
    """Take over what is new in the inbox."""
    return take_events(open_warehouse or data.open, data.folder / "inbox.sqlite", mapping)


def again(
    data: Data, mapping: EventMapping = MAPPING, selection: Selection | None = None, *, dry_run: bool = False
) -> Replay:
    """Read deliveries again; all of them unless told otherwise."""
    return replay(data.open, data.folder / "inbox.sqlite", mapping, selection or Selection(), dry_run=dry_run)


def rows(data: Data) -> dict[str, list[tuple[Any, ...]]]:
    """Return what a take-over writes, less the touched passes."""
    return {table: data.rows(f"FROM {table} ORDER BY ALL") for table in TABLES}


def events(data: Data, columns: str = "event_id") -> list[Any]:
    """Return a column of the events, or several, in the order of their deliveries."""
    found = data.rows(f"SELECT {columns} FROM raw.wallet_events ORDER BY delivery_id")
    return [row[0] for row in found] if "," not in columns else found


def touched(data: Data) -> list[str]:
    """Return the touched passes, each once."""
    return [one for (one,) in data.rows("SELECT DISTINCT pass_id FROM raw.touched_passes ORDER BY 1")]


def forget_touched(data: Data) -> None:
    """Do as a derivation does."""
    data.rows("DELETE FROM raw.touched_passes")


def ids_in_warehouse(data: Data) -> list[int]:
    """Return the ids of all deliveries in the warehouse, one for each row."""
    found = data.rows(
        "SELECT delivery_id FROM raw.wallet_events UNION ALL SELECT delivery_id FROM raw.unusable_deliveries ORDER BY 1"
    )
    return [one for (one,) in found]


def at(microseconds: int) -> datetime:
    """Return a time of the inbox, aware, UTC."""
    return EPOCH + timedelta(microseconds=microseconds)


# Taking over


def test_event_becomes_a_row(data: Data, inbox_file: Path) -> None:
    """A delivery that is understood is one row, each of its values in its column."""
    uninstalled = told(2, eventType="pass.uninstalled", device="Google", activeRegistrationCount=0)
    bare = {"eventType": "Pass:Installed", "passId": "pass-3", "device": "samsung", "id": 7}
    first, second = receive(inbox_file, [told(1), uninstalled])
    (third,) = receive(inbox_file, [bare], source="connector")
    take(data)
    half_past = datetime(2026, 1, 11, 8, 30)  # noqa: DTZ001  as the warehouse keeps it
    eight, micro = half_past - timedelta(minutes=30), timedelta(microseconds=1)
    assert events(
        data,
        "delivery_id, received_at, source, pass_id, wallet, kind, event_id, occurred_at, time_is_receipt,"
        " active_registrations, pass_type, identifiers",
    ) == [
        (
            *(first, half_past, "webhook", "pass-00001", "apple", "installed", "event-00001", eight, False),
            *(None, "loyalty", '{"customerId":"C-1"}'),
        ),
        (
            *(second, half_past + micro, "webhook", "pass-00002", "google", "uninstalled", "event-00002", eight, False),
            *(0, "loyalty", '{"customerId":"C-2"}'),
        ),
        (third, half_past, "connector", "pass-3", "samsung", "installed", "7", half_past, True, None, None, None),
    ]


def test_source_of_old_deliveries_is_read_again(data: Data, inbox_file: Path) -> None:
    """Deliveries that were taken before their source was looked for tell it when they are read again."""
    receive(inbox_file, [told(1, registrationSource={"medium": "email", "origin": "shop", "tags": []}), told(2)])
    take(data, replace(MAPPING, source=()))
    assert events(data, "acquisition_source") == [None, None]
    assert again(data).understood_differently == 1
    assert events(data, "acquisition_source") == ["email/shop", None]


def test_delivery_that_is_not_understood_is_kept_with_its_reason(data: Data, inbox_file: Path) -> None:
    """What says nothing of an install is a row of its own, with the reason."""
    first, second = receive(inbox_file, [b"\xff", told(1, eventType="Pass:Created")], at=START)
    take(data)
    half_past = datetime(2026, 1, 11, 8, 30)  # noqa: DTZ001  as the warehouse keeps it
    assert data.rows("FROM raw.unusable_deliveries ORDER BY delivery_id") == [
        (first, half_past, "webhook", "not UTF-8"),
        (second, half_past + timedelta(microseconds=1), "webhook", CREATED),
    ]
    assert events(data) == []


def test_result_counts_what_was_taken(data: Data, inbox_file: Path) -> None:
    """The result tells deliveries, events, the others by reason, and the last id."""
    ids = receive(inbox_file, [told(1), told(2), b"", b"x", told(3, eventType="Pass:Created")])
    assert take(data) == TakenEvents(5, 2, {"not JSON": 2, CREATED: 1}, ids[-1])


def test_next_time_only_what_is_new_is_taken(data: Data, inbox_file: Path) -> None:
    """A second take-over finds nothing, and a third what arrived since; the clock may even have gone back."""
    first, second = receive(inbox_file, [told(1), told(2)])
    assert take(data).deliveries == 2
    assert take(data) == TakenEvents(0, 0, {}, second)
    (third,) = receive(inbox_file, [told(3)], at=START - MINUTE)
    assert take(data) == TakenEvents(1, 1, {}, third)
    assert events(data, "delivery_id") == [first, second, third]


def test_repeated_delivery_is_kept(data: Data, inbox_file: Path) -> None:
    """Deliveries of one event are all rows: the status rules fold them."""
    receive(inbox_file, [told(1), told(1), told(1)])
    take(data)
    assert events(data) == ["event-00001"] * 3


def test_passes_of_the_events_are_touched(data: Data, inbox_file: Path) -> None:
    """The derivation is told of each pass with a new event, and of no other."""
    receive(inbox_file, [told(1), told(2), told(2), told(3, eventType="Pass:Created")])
    take(data)
    assert touched(data) == ["pass-00001", "pass-00002"]


def test_without_an_inbox_nothing_is_taken(
    data: Data, inbox_file: Path, everything_logged: pytest.LogCaptureFixture
) -> None:
    """Where nothing was ever received nothing is taken, it is told, and no inbox comes into being."""
    assert take(data) == TakenEvents(0, 0, {}, 0)
    assert "nothing was ever received" in everything_logged.text
    assert not inbox_file.exists()


UNUSUAL: dict[str, dict[str, Any]] = {
    "first year": {"timestamp": "0001-01-01T00:00:00Z"},
    "last year": {"timestamp": "9999-12-31T23:59:59.999999Z"},
    "large count": {"activeRegistrationCount": 10**18 - 1},
    "quotes": {"passId": "x'; DROP TABLE raw.wallet_events; --"},
    "all kinds of characters": {"identifiers": {"name": 'O\'Neil "é" 😀 \\ \u001f'}},
    "long identifiers": {"identifiers": {"long": "x" * 9_900}},
    "long event id": {"eventId": "e" * 10_000},
}


@pytest.mark.parametrize("changes", UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_values_are_stored_as_understood(data: Data, inbox_file: Path, changes: dict[str, Any]) -> None:
    """Whatever an event holds, its row holds the same."""
    receive(inbox_file, [told(1, **changes)])
    take(data)
    (kept,) = read_deliveries(inbox_file, 0, 1)
    understood = wallet_events.understand(kept, MAPPING)
    columns = [name for name in understood._fields if name not in {"received_at", "occurred_at"}]  # type: ignore[union-attr]
    (row,) = data.rows(f"SELECT {', '.join(columns)}, epoch_us(occurred_at) FROM raw.wallet_events")
    assert row == (*(getattr(understood, name) for name in columns), understood.occurred_at)  # type: ignore[union-attr]


# Batches


@contextmanager
def noted(data: Data, openings: list[int]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse and note up to which delivery it has them when it is closed."""
    with data.open() as con:
        yield con
        openings.append(taken_up_to(con))


@pytest.mark.parametrize("limit", ["_BATCH", "_BATCH_BYTES"])
def test_batches_are_bounded(data: Data, inbox_file: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    """Many deliveries, or large ones, are taken over a batch at a time, each with the cursor that belongs to it."""
    ids = receive(inbox_file, [told(n) for n in range(10)])
    monkeypatch.setattr(wallet_events, "_READ_AT_ONCE", 2)
    monkeypatch.setattr(wallet_events, limit, 4 if limit == "_BATCH" else 4 * len(str(told(0))) - 50)
    openings: list[int] = []
    take(data, open_warehouse=lambda: noted(data, openings))
    assert openings == [0, ids[3], ids[7], ids[9]]
    assert events(data, "delivery_id") == ids


def test_warehouse_is_closed_while_deliveries_are_read(
    data: Data, inbox_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is shut out of the warehouse while bodies are read and mapped."""
    receive(inbox_file, [told(n) for n in range(3)])
    is_open: list[bool] = [False]
    seen: list[bool] = []

    @contextmanager
    def watched() -> Iterator[duckdb.DuckDBPyConnection]:
        with data.open() as con:
            is_open[0] = True
            yield con
        is_open[0] = False

    def watching(name: str) -> None:
        real = getattr(wallet_events, name)
        monkeypatch.setattr(wallet_events, name, lambda *some: seen.append(is_open[0]) or real(*some))

    watching("read_deliveries")
    watching("understand")
    take(data, open_warehouse=watched)
    assert len(seen) >= 4
    assert not any(seen)


def test_long_take_over_tells_how_it_gets_on(
    data: Data, inbox_file: Path, monkeypatch: pytest.MonkeyPatch, everything_logged: pytest.LogCaptureFixture
) -> None:
    """After each batch the log says how many deliveries there were so far, and how many per second."""
    receive(inbox_file, [told(n) for n in range(4)])
    monkeypatch.setattr(wallet_events, "_READ_AT_ONCE", 2)
    monkeypatch.setattr(wallet_events, "_BATCH", 2)
    take(data)
    progress = [line for line in everything_logged.messages if line.startswith("took over")]
    assert [line.split(" deliveries")[0] for line in progress] == ["took over 2", "took over 4"]
    assert all(line.endswith("per second") for line in progress)


def test_what_arrives_meanwhile_is_left(data: Data, inbox_file: Path) -> None:
    """A take-over ends where the inbox ended when it began, however much goes on arriving."""
    receive(inbox_file, [told(1)])
    arrivals = iter(range(2, 50))

    @contextmanager
    def busy() -> Iterator[duckdb.DuckDBPyConnection]:
        with data.open() as con:
            yield con
        if taken_up_to_now(data):
            receive(inbox_file, [told(next(arrivals))])

    assert take(data, open_warehouse=busy).deliveries == 1


def taken_up_to_now(data: Data) -> int:
    """Return the cursor."""
    with data.open() as con:
        return taken_up_to(con)


# Another inbox


def test_inbox_begun_anew_after_a_clock_had_been_ahead_is_taken_over(data: Data, inbox_file: Path) -> None:
    """Its ids lie below the cursor; its deliveries are taken over all the same, and once."""
    receive(inbox_file, [told(1)], at=START + 60 * MINUTE)
    take(data)
    for file in data.folder.glob("inbox.sqlite*"):
        file.unlink()
    receive(inbox_file, [told(2)])
    take(data)
    receive(inbox_file, [told(3)], at=START + MINUTE)
    assert take(data).deliveries == 1
    assert sorted(events(data)) == ["event-00001", "event-00002", "event-00003"]


def test_inbox_put_back_brings_nothing_twice(data: Data, inbox_file: Path) -> None:
    """An older copy holds deliveries that were taken over, and gets new ones."""
    receive(inbox_file, [told(1)])
    copy = data.folder / "copy"
    with closing(sqlite3.connect(inbox_file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    receive(inbox_file, [told(2)], at=START + MINUTE)
    take(data)
    for file in data.folder.glob("inbox.sqlite*"):
        file.unlink()
    copy.rename(inbox_file)
    take(data)
    receive(inbox_file, [told(3)], at=START + 2 * MINUTE)
    take(data)
    assert events(data) == ["event-00001", "event-00002", "event-00003"]


# Exactly once


def disturbed(data: Data, opening: int, disturb: Callable[[], object]) -> OpenWarehouse:
    """Return a way to open the warehouse before whose n-th opening something else happens."""
    count = iter(range(1, 100))

    def opened() -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        if next(count) == opening:
            disturb()
        return data.open()

    return opened


@pytest.mark.parametrize("opening", [2, 3])
def test_faster_run_takes_its_deliveries_away(
    data: Data, inbox_file: Path, monkeypatch: pytest.MonkeyPatch, opening: int
) -> None:
    """What another run took over between reading and writing is not written again, nor counted."""
    ids = receive(inbox_file, [told(n) for n in range(6)])
    monkeypatch.setattr(wallet_events, "_READ_AT_ONCE", 2)
    monkeypatch.setattr(wallet_events, "_BATCH", 2)
    other: list[TakenEvents] = []
    taken = take(data, open_warehouse=disturbed(data, opening, lambda: other.append(take(data))))
    assert (taken.deliveries + other[0].deliveries, taken.up_to) == (6, ids[-1])
    assert events(data, "delivery_id") == ids


def test_faster_run_may_have_taken_a_part(data: Data, inbox_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a batch that another run took over in part the rest is written."""
    ids = receive(inbox_file, [told(n) for n in range(6)])

    def take_two() -> None:
        with monkeypatch.context() as small:
            small.setattr(wallet_events, "newest_delivery", lambda _: ids[1])
            assert take(data).deliveries == 2

    assert take(data, open_warehouse=disturbed(data, 2, take_two)).deliveries == 4
    assert events(data, "delivery_id") == ids


def test_warehouse_that_was_put_back_meanwhile_gets_everything(
    data: Data, inbox_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When an older warehouse takes the place of the present one between two batches no delivery is skipped."""
    ids = receive(inbox_file, [told(n) for n in range(6)])
    monkeypatch.setattr(wallet_events, "_READ_AT_ONCE", 2)
    monkeypatch.setattr(wallet_events, "_BATCH", 2)
    take(data, open_warehouse=disturbed(data, 4, data.warehouse.unlink))
    assert events(data, "delivery_id") == ids


def test_deleted_warehouse_gets_the_whole_inbox_anew(data: Data, inbox_file: Path) -> None:
    """With a new warehouse the same rows come out of the inbox again."""
    receive(inbox_file, [told(1), b"x", told(2), told(1)])
    take(data)
    before = rows(data), touched(data)
    data.warehouse.unlink()
    assert take(data).deliveries == 4
    assert (rows(data), touched(data)) == before


class DiedError(Exception):
    """Stands for the end of a process."""


@dataclass
class Dying:
    """A connection whose process dies right before one of its statements, and so runs none after it either."""

    con: duckdb.DuckDBPyConnection
    statements: Iterator[int]

    def execute(self, *arguments: Any) -> duckdb.DuckDBPyConnection:
        """Run a statement, while there is life."""
        if next(self.statements, None) is None:
            raise DiedError
        return self.con.execute(*arguments)


def dying(data: Data, statements: int) -> OpenWarehouse:
    """Return a way to open the warehouse for a process that lives for some statements."""
    left = iter(range(statements))

    @contextmanager
    def opened() -> Iterator[Any]:
        with data.open() as con:
            yield Dying(con, left)

    return opened


def test_death_before_any_statement_leaves_rows_and_cursor_together(data: Data, inbox_file: Path) -> None:
    """Wherever a take-over ends, the warehouse has just what its cursor says and the touched passes of these events."""
    ids = receive(inbox_file, [told(1), b"x", told(2)])
    for statements in range(100):
        with suppress(DiedError):
            take(data, open_warehouse=dying(data, statements))
        cursor = taken_up_to_now(data)
        assert ids_in_warehouse(data) == [one for one in ids if one <= cursor]
        assert touched(data) == events(data, "pass_id")
        if cursor:
            break
    assert 5 < statements < 50
    assert ids_in_warehouse(data) == ids


def test_death_before_any_statement_leaves_each_delivery_read_as_before_or_again(data: Data, inbox_file: Path) -> None:
    """Wherever reading again ends, all of a batch is as before, or all of it as now, with its passes touched."""
    ids = receive(inbox_file, [elsewhere(1), elsewhere(2)])
    take(data)
    for statements in range(100):
        with suppress(DiedError):
            replay(dying(data, statements), inbox_file, EITHER, Selection(), dry_run=False)
        assert ids_in_warehouse(data) == ids
        assert touched(data) == events(data, "pass_id")
        if events(data):
            break
    assert 5 < statements < 50
    assert events(data, "delivery_id") == ids


TAKE_OVER = """
    import logging, sys
    from pathlib import Path
    from wallet_pipeline.collect import wallet_events
    from wallet_pipeline.collect.webhooks.understanding import EventMapping
    from wallet_pipeline.settings import Settings
    from wallet_pipeline.warehouse.connection import connect

    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
    wallet_events._READ_AT_ONCE = wallet_events._BATCH = {batch}
    mapping = EventMapping.from_settings(Settings.model_construct({mapping}))
    folder = Path("{folder}")
    print("ready", flush=True)
    sys.stdin.readline()
    {call}
"""
TAKE = (
    'taken = wallet_events.take_events(lambda: connect(folder / "warehouse.duckdb", 60), folder / "inbox.sqlite",'
    ' mapping)\n    print("deliveries", taken.deliveries)'
)
READ_AGAIN = (
    'wallet_events.replay(lambda: connect(folder / "warehouse.duckdb", 60), folder / "inbox.sqlite", mapping,'
    " wallet_events.Selection(), dry_run=False)"
)


def started(start_script: StartScript, data: Data, *, batch: int, call: str = TAKE, mapping: str = "") -> Script:
    """Start a process that takes deliveries over, or reads them again, as soon as it is sent a line."""
    script = start_script(TAKE_OVER.format(folder=data.folder, batch=batch, call=call, mapping=mapping))
    script.wait_for("ready")
    return script


def go(script: Script) -> None:
    """Let a started process begin."""
    assert script.process.stdin is not None
    script.process.stdin.write("\n")
    script.process.stdin.flush()


def kill_later(script: Script, batches: int) -> None:
    """Let a started process write some batches, and kill it at a random moment soon after."""
    go(script)
    assert script.process.stdout is not None
    for _ in range(batches):
        assert script.process.stdout.readline()
    with suppress(subprocess.TimeoutExpired):
        script.process.wait(random.uniform(0, 0.3))  # noqa: S311  a moment, no secret
    script.process.send_signal(signal.SIGKILL)
    assert script.process.wait() == -signal.SIGKILL


def test_kill_at_any_moment_neither_loses_nor_doubles(data: Data, inbox_file: Path, start_script: StartScript) -> None:
    """After each kill the warehouse has just what its cursor says, and a last run completes it: each delivery once."""
    ids = receive(inbox_file, [told(n) if n % 5 else b"x" for n in range(5000)])
    assert taken_up_to_now(data) == 0
    for batches in (0, 1, 2, 0, 1, 2):
        kill_later(started(start_script, data, batch=20), batches)
        cursor = taken_up_to_now(data)
        assert ids_in_warehouse(data) == [one for one in ids if one <= cursor]
    assert 0 < taken_up_to_now(data) < ids[-1]
    take(data)
    assert ids_in_warehouse(data) == ids
    assert touched(data) == [f"pass-{n:05}" for n in range(5000) if n % 5]


def test_two_runs_at_once_take_each_delivery_once(data: Data, inbox_file: Path, start_script: StartScript) -> None:
    """Two processes that take over at the same time share the deliveries."""
    ids = receive(inbox_file, [told(n) for n in range(600)])
    assert taken_up_to_now(data) == 0
    scripts = [started(start_script, data, batch=20) for _ in range(2)]
    for script in scripts:
        go(script)
    counts = [int(script.finish().rpartition("deliveries ")[2]) for script in scripts]
    assert sum(counts) == 600
    assert ids_in_warehouse(data) == ids


# What the receiver is told


def test_receiver_is_told_what_was_taken(data: Data, inbox_file: Path) -> None:
    """After a take-over nothing waits in the inbox, as its metrics see it."""
    receive(inbox_file, [told(1)])
    assert read_state(inbox_file).oldest_waiting == START
    take(data)
    assert read_state(inbox_file).oldest_waiting is None


def test_receiver_is_told_later_when_a_run_died_before(data: Data, inbox_file: Path) -> None:
    """A take-over without anything new tells what the last one, which died, did not."""
    receive(inbox_file, [told(1)])
    take(data)
    with closing(sqlite3.connect(inbox_file, isolation_level=None)) as con:
        con.execute("DELETE FROM progress")
    take(data)
    assert read_state(inbox_file).oldest_waiting is None


def test_inbox_that_is_locked_delays_nothing_but_the_metrics(
    data: Data, inbox_file: Path, monkeypatch: pytest.MonkeyPatch, everything_logged: pytest.LogCaptureFixture
) -> None:
    """When the receiver cannot be told, the deliveries are taken over all the same, with a warning."""
    receive(inbox_file, [told(1)])
    monkeypatch.setattr(inbox, "_LOCK_WAIT_S", 0.01)
    with closing(sqlite3.connect(inbox_file, isolation_level=None)) as con:
        con.execute("BEGIN IMMEDIATE")
        assert take(data).deliveries == 1
    assert [record.levelname for record in everything_logged.records if "metrics" in record.message] == ["WARNING"] * 2
    assert events(data) == ["event-00001"]


def test_inbox_that_cannot_be_read_is_an_error(data: Data, inbox_file: Path) -> None:
    """A file that is no inbox is told, and nothing is written."""
    inbox_file.parent.mkdir()
    inbox_file.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(InboxError, match="cannot be used"):
        take(data)
    assert rows(data) == {"raw.wallet_events": [], "raw.unusable_deliveries": [], "raw.inbox_cursor": [(0,)]}


# Reading again


def elsewhere(number: int, **changes: Any) -> dict[str, Any]:
    """Return a delivery whose pass id stands where the settings do not expect it."""
    return told(number, **changes) | {"passId": None, "pass": f"pass-{number:05}"}


def test_corrected_mapping_makes_events_of_deliveries(data: Data, inbox_file: Path) -> None:
    """Deliveries that were not understood become events, their passes are touched, and their reasons are gone."""
    receive(inbox_file, [told(1), elsewhere(2), elsewhere(3)])
    take(data)
    forget_touched(data)
    assert again(data, EITHER) == Replay(unchanged=1, now_understood=2)
    assert events(data) == ["event-00001", "event-00002", "event-00003"]
    assert data.rows("FROM raw.unusable_deliveries") == []
    assert touched(data) == ["pass-00002", "pass-00003"]


def test_event_that_is_understood_differently_touches_both_passes(data: Data, inbox_file: Path) -> None:
    """When an event turns out to be another pass's, the passes that it named before and names now are touched."""
    receive(inbox_file, [told(1) | {"pass": "other"}, told(2)])
    take(data)
    forget_touched(data)
    assert again(data, ELSEWHERE) == Replay(understood_differently=1, no_longer_understood=1)
    assert touched(data) == ["other", "pass-00001", "pass-00002"]
    assert events(data, "pass_id") == ["other"]
    assert data.rows("SELECT reason FROM raw.unusable_deliveries") == [("no pass id",)]


def test_other_reason_takes_the_place_of_the_old_one(data: Data, inbox_file: Path) -> None:
    """A delivery that is still not understood says why now."""
    receive(inbox_file, [elsewhere(1, device=None)])
    take(data)
    assert again(data, EITHER) == Replay(other_reason=1)
    assert data.rows("SELECT reason FROM raw.unusable_deliveries") == [("no wallet",)]


def test_dry_run_counts_the_same_and_changes_nothing(data: Data, inbox_file: Path) -> None:
    """A dry run leaves the file as it is, byte for byte, and tells what the run then does."""
    receive(inbox_file, [told(1), elsewhere(2), told(3) | {"pass": "other"}, elsewhere(4, device=None), b"x"])
    take(data)
    before = data.warehouse.read_bytes()
    expected = again(data, ELSEWHERE, dry_run=True)
    assert data.warehouse.read_bytes() == before
    assert again(data, ELSEWHERE) == expected
    assert (expected.changed, expected.unchanged) == (4, 1)


def test_same_mapping_writes_nothing(data: Data, inbox_file: Path) -> None:
    """Reading again without a change touches no pass and no row."""
    receive(inbox_file, [told(1), b"x", told(2, timestamp=None)])
    take(data)
    forget_touched(data)
    before = data.warehouse.read_bytes()
    assert again(data) == Replay(unchanged=3)
    assert data.warehouse.read_bytes() == before


members = st.fixed_dictionaries(
    {},
    optional={
        "eventType": st.sampled_from(["Pass:Installed", "pass.uninstalled", "Pass:Created"]),
        "passId": st.sampled_from(["a", "b", ""]),
        "pass": st.sampled_from(["c", "b", 5]),
        "device": st.sampled_from(["apple", "google", 1]),
        "timestamp": st.sampled_from(["2026-01-11T08:00:00Z", "2026-01-11T08:00:00"]),
        "at": st.sampled_from(["2026-01-11T07:00:00Z", None]),
        "identifiers": st.sampled_from([{"customerId": "C"}, {}, "C"]),
    },
)
mappings = st.builds(
    replace,
    st.just(MAPPING),
    pass_id=st.permutations([("passId",), ("pass",)]).map(tuple),
    time=st.sampled_from([(("timestamp",),), (("at",),), (("at",), ("timestamp",))]),
)


@pytest.fixture(scope="module")
def warehouse() -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a warehouse that the examples of a property share."""
    with duckdb.connect() as con:
        migrate(con)
        yield con


def begin_anew(con: duckdb.DuckDBPyConnection) -> None:
    """Empty what a take-over writes."""
    con.execute("DELETE FROM raw.wallet_events; DELETE FROM raw.unusable_deliveries; DELETE FROM raw.touched_passes")
    con.execute("UPDATE raw.inbox_cursor SET delivery_id = 0")


def everything(con: duckdb.DuckDBPyConnection) -> list[list[tuple[Any, ...]]]:
    """Return what a take-over writes, less the touched passes."""
    return [con.execute(f"FROM {table} ORDER BY ALL").fetchall() for table in TABLES]


def named(con: duckdb.DuckDBPyConnection) -> set[tuple[Any, ...]]:
    """Return which pass each event names."""
    return set(con.execute("SELECT delivery_id, pass_id FROM raw.wallet_events").fetchall())


@settings(deadline=None)
@given(st.lists(members, min_size=1, max_size=8), mappings, mappings)
def test_reading_again_equals_reading_with_the_new_mapping_from_the_first(
    warehouse: duckdb.DuckDBPyConnection, bodies: list[dict[str, Any]], before: EventMapping, after: EventMapping
) -> None:
    """Whatever the deliveries and the two mappings, all rows are then as if the new mapping had always been there."""
    with TemporaryDirectory() as folder:
        where = (lambda: nullcontext(warehouse)), Path(folder) / "inbox.sqlite"
        receive(where[1], bodies)
        begin_anew(warehouse)
        take_events(*where, before)
        old = named(warehouse)
        expected = replay(*where, after, Selection(), dry_run=True)
        warehouse.execute("DELETE FROM raw.touched_passes")
        assert replay(*where, after, Selection(), dry_run=False) == expected
        corrected, new = everything(warehouse), named(warehouse)
        told_of = {one for (one,) in warehouse.execute("SELECT pass_id FROM raw.touched_passes").fetchall()}
        begin_anew(warehouse)
        take_events(*where, after)
    assert corrected == everything(warehouse)
    assert expected.changed + expected.unchanged == len(bodies)
    assert {pass_id for _, pass_id in old ^ new} <= told_of <= {pass_id for _, pass_id in old | new}


# Choosing


@pytest.fixture
def three(data: Data, inbox_file: Path) -> list[int]:
    """Take over three deliveries, a minute apart, whose pass ids stand elsewhere; the second is no JSON."""
    for minute, body in enumerate([elsewhere(0), b"x", elsewhere(2)]):
        receive(inbox_file, [body], at=START + minute * MINUTE)
    take(data)
    return ids_in_warehouse(data)


def chosen(data: Data, **selection: Any) -> int:
    """Return how many deliveries a selection holds."""
    result = again(data, EITHER, Selection(**selection), dry_run=True)
    return result.unchanged + result.changed


def test_deliveries_are_chosen_by_id(data: Data, three: list[int]) -> None:
    """Just the named deliveries are read again."""
    again(data, EITHER, Selection(ids=(three[0], three[0])))
    assert events(data) == ["event-00000"]
    assert chosen(data, ids=tuple(three)) == 3


@pytest.mark.parametrize(
    ("first", "end", "count"), [(0, None, 3), (1, None, 2), (None, 1, 1), (1, 2, 1), (None, 3, 3), (3, None, 0)]
)
def test_deliveries_are_chosen_by_receipt(
    data: Data, three: list[int], first: int | None, end: int | None, count: int
) -> None:
    """The first moment belongs to the range, the last one does not."""
    assert len(three) == 3
    since = None if first is None else at(START + first * MINUTE)
    until = None if end is None else at(START + end * MINUTE)
    assert chosen(data, since=since, until=until) == count


@pytest.mark.usefixtures("three")
def test_range_counts_in_any_zone(data: Data) -> None:
    """Bounds in another time zone mean the same moments."""
    zone = datetime.fromisoformat("2026-01-01T00:00:00+02:00").tzinfo
    assert chosen(data, since=at(START + MINUTE).astimezone(zone)) == 2


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(("reason", "count"), [("no pass id", 2), ("no", 3), ("not JSON", 1), ("pass id", 0), ("", 3)])
def test_deliveries_are_chosen_by_the_beginning_of_their_reason(data: Data, reason: str, count: int) -> None:
    """The stored reason begins with the given text; an event has none."""
    again(data, EITHER, Selection(ids=()), dry_run=True)
    assert chosen(data, reason=reason) == count


def test_events_have_no_reason(data: Data, inbox_file: Path) -> None:
    """A delivery that was understood is not chosen by any reason."""
    receive(inbox_file, [told(1)])
    take(data)
    assert chosen(data, reason="") == 0


@pytest.mark.usefixtures("three")
def test_all_conditions_must_hold(data: Data) -> None:
    """Of several conditions a delivery meets each."""
    assert chosen(data, reason="no pass id", since=at(START + MINUTE)) == 1


def test_id_that_was_never_taken_over_is_refused(data: Data, inbox_file: Path, three: list[int]) -> None:
    """Ids that the warehouse does not know are named, those that wait in the inbox too, and nothing is read again."""
    (waiting,) = receive(inbox_file, [told(9)])
    with pytest.raises(ReplayError, match=f"2 of the chosen deliveries were never taken over: 7, {waiting}"):
        again(data, EITHER, Selection(ids=(three[0], waiting, 7)))
    assert events(data) == []


def test_what_waits_in_the_inbox_is_left(data: Data, inbox_file: Path, three: list[int]) -> None:
    """Reading all again takes over nothing that is new."""
    receive(inbox_file, [told(9)])
    again(data, EITHER)
    assert ids_in_warehouse(data) == three
    assert taken_up_to_now(data) == three[-1] < newest_delivery(inbox_file)


def test_without_an_inbox_nothing_can_be_read_again(data: Data) -> None:
    """A missing inbox is told, and is not created."""
    with pytest.raises(InboxError, match="There is no inbox"):
        again(data)
    assert not data.folder.exists()


def test_delivery_that_left_the_inbox_stays_as_it_is(data: Data, inbox_file: Path, three: list[int]) -> None:
    """A body that is gone cannot be read again: it is counted, and its row stays."""
    with closing(sqlite3.connect(inbox_file, isolation_level=None)) as con:
        con.execute("DELETE FROM deliveries WHERE delivery_id = ?", [three[2]])
    assert again(data, EITHER) == Replay(unchanged=1, now_understood=1, missing=1)
    assert data.rows("SELECT delivery_id, reason FROM raw.unusable_deliveries ORDER BY 1") == [
        (three[1], "not JSON"),
        (three[2], "no pass id"),
    ]
    with closing(sqlite3.connect(inbox_file, isolation_level=None)) as con:
        con.execute("DELETE FROM deliveries")
    assert again(data, MAPPING) == Replay(missing=3)


def test_delivery_that_left_the_warehouse_does_not_come_back(data: Data, three: list[int]) -> None:
    """What was removed from the warehouse is not read again, though the inbox still has it."""
    data.rows(f"DELETE FROM raw.unusable_deliveries WHERE delivery_id = {three[0]}")
    assert again(data, EITHER) == Replay(unchanged=1, now_understood=1)
    assert ids_in_warehouse(data) == three[1:]


def test_delivery_that_leaves_the_warehouse_meanwhile_does_not_come_back(
    data: Data, inbox_file: Path, three: list[int]
) -> None:
    """What is removed from the warehouse while its body is read again stays removed."""

    def remove() -> None:
        data.rows(f"DELETE FROM raw.unusable_deliveries WHERE delivery_id = {three[0]}")

    result = replay(disturbed(data, 2, remove), inbox_file, EITHER, Selection(), dry_run=False)
    assert result == Replay(unchanged=1, now_understood=1)
    assert ids_in_warehouse(data) == three[1:]


@pytest.mark.parametrize("limit", ["_BATCH", "_BATCH_BYTES"])
def test_many_deliveries_are_read_again_in_batches(
    data: Data, inbox_file: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """Batches, by number or by size, leave out nothing, also where single bodies are gone."""
    ids = receive(inbox_file, [elsewhere(n) for n in range(11)])
    take(data)
    with closing(sqlite3.connect(inbox_file, isolation_level=None)) as con:
        con.execute("DELETE FROM deliveries WHERE delivery_id IN (?, ?)", [ids[3], ids[10]])
    monkeypatch.setattr(wallet_events, "_READ_AT_ONCE", 2)
    monkeypatch.setattr(wallet_events, limit, 4)
    assert again(data, EITHER, dry_run=True) == again(data, EITHER) == Replay(now_understood=9, missing=2)
    assert ids_in_warehouse(data) == ids


def test_kill_while_reading_again_neither_loses_nor_doubles(
    data: Data, inbox_file: Path, start_script: StartScript
) -> None:
    """Killed at random moments, reading again keeps one row for each delivery, and a last run completes it."""
    ids = receive(inbox_file, [elsewhere(n) for n in range(3000)])
    take(data)
    for batches in (0, 1, 2):
        script = started(start_script, data, batch=20, call=READ_AGAIN, mapping='event_pass_id_at=("passId", "pass")')
        kill_later(script, batches)
        assert ids_in_warehouse(data) == ids
        assert touched(data) == events(data, "pass_id")
    assert 0 < len(events(data)) < len(ids)
    again(data, EITHER)
    assert events(data, "delivery_id") == ids
    assert touched(data) == events(data, "pass_id")


def test_logging_is_quiet_about_bodies(
    data: Data, inbox_file: Path, everything_logged: pytest.LogCaptureFixture
) -> None:
    """Nothing that a delivery says is logged."""
    receive(inbox_file, [told(1, identifiers={"email": "anna@example.com"}), told(2, passId=["anna@example.com"])])
    everything_logged.set_level(logging.DEBUG)
    take(data)
    again(data, ELSEWHERE)
    assert "anna@example.com" not in everything_logged.text
