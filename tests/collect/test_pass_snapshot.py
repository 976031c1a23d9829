"""A snapshot is the whole list or nothing: read in parallel, judged, and stored as runs."""

import itertools
import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import duckdb
import pytest

from tests.collect.snapshots import accepted, everything_told, now, stage, take
from tests.conftest import Data, Script, Tenant, make_pass, make_passes
from tests.waiting import wait_until
from wallet_pipeline.clients.http import AuthenticationError, NotFoundError, ScopeError, UnexpectedAnswerError
from wallet_pipeline.collect.page_loader import SnapshotError
from wallet_pipeline.collect.pass_snapshot import approve_snapshot, take_over
from wallet_pipeline.warehouse.connection import naive
from wallet_pipeline.warehouse.staging import attached

StartScript = Callable[[str], Script]
APPLE = {"apple": "2026-01-03T00:00:00Z"}
APPROVED = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)


def pass_ids(data: Data) -> list[str]:
    """Return the ids of all passes in the warehouse, one for each row."""
    return [pass_id for (pass_id,) in data.rows("SELECT pass_id FROM raw.passes ORDER BY 1")]


# Reading the list


@pytest.mark.parametrize(("page_size", "concurrency"), [(7, 1), (7, 4), (30, 32), (150, 4), (300, 4), (1000, 4)])
def test_every_pass_is_read_once(world: Tenant, data: Data, page_size: int, concurrency: int) -> None:
    """Whatever the size of the pages and however many are read at once, each pass is stored once."""
    take(data, world, page_size=page_size, concurrency=concurrency)
    assert pass_ids(data) == sorted(listed["id"] for listed in world.all_passes())


def test_pages_are_read_at_once(tenant: Tenant, data: Data) -> None:
    """Slow pages are waited for together, not one after the other."""
    tenant.put(*make_passes(24))
    tenant.spoil({"type": "delay", "seconds": 0.4}, path=r"pageIndex=[1-9]")
    begun = time.monotonic()
    take(data, tenant, page_size=2, concurrency=12)
    assert time.monotonic() - begun < 11 * 0.4


def test_page_size_that_the_server_cuts_loses_nothing(tenant: Tenant, data: Data) -> None:
    """A server that gives 20 passes where 1000 were asked for is read in pages of 20."""
    tenant.put(*make_passes(45))
    tenant.configure(max_page_size=20)
    snapshot = take(data, tenant, page_size=1000)
    assert (snapshot.passes, snapshot.pages, len(pass_ids(data))) == (45, 3, 45)


def test_empty_tenant_is_accepted(tenant: Tenant, data: Data) -> None:
    """A tenant without passes is a complete snapshot of none."""
    snapshot = take(data, tenant)
    assert (snapshot.verdict, snapshot.complete, snapshot.passes, snapshot.pages) == ("accepted", True, 0, 1)


def test_total_that_is_too_high_is_held(tenant: Tenant, data: Data) -> None:
    """A list that never reaches its total is read three times, held as incomplete, and is no evidence."""
    tenant.put(*make_passes(3))
    tenant.spoil({"type": "headers", "set": {"x-pagination-total": "4"}})
    snapshot = take(data, tenant)
    assert (snapshot.verdict, snapshot.complete, snapshot.attempts, snapshot.reason, pass_ids(data)) == (
        "held",
        False,
        3,
        "incomplete: 3 different passes of 4 after 3 readings; the list moves, or its total is wrong",
        [],
    )


@pytest.mark.parametrize(("total", "largest_page"), [("10", 10), ("3", 10), ("0", 10), ("20", 20), ("5", 20)])
def test_total_that_is_too_low_loses_nothing(tenant: Tenant, data: Data, total: str, largest_page: int) -> None:
    """Passes beyond an announced total are read all the same, also when the server cuts the pages."""
    tenant.put(*make_passes(45))
    tenant.configure(max_page_size=largest_page)
    tenant.spoil({"type": "headers", "set": {"x-pagination-total": total}})
    take(data, tenant, page_size=50)
    assert len(pass_ids(data)) == 45


def test_missing_total_is_refused(tenant: Tenant, data: Data) -> None:
    """Without a total nobody can tell whether the list is whole, so it is not taken."""
    tenant.configure(send_total=False)
    with pytest.raises(SnapshotError, match="x-pagination-total"):
        take(data, tenant)


def test_highest_total_counts(tenant: Tenant, data: Data) -> None:
    """When pages disagree about the total, the list must reach the highest."""
    tenant.put(*make_passes(25))
    tenant.spoil({"type": "headers", "set": {"x-pagination-total": "26"}}, path="pageIndex=1&")
    assert (take(data, tenant).highest_total, take(data, tenant).verdict) == (26, "held")


def test_list_that_moves_once_is_read_again(tenant: Tenant, data: Data) -> None:
    """A pass that came while the list was read is found by a second reading."""
    tenant.put(*make_passes(25))
    tenant.move(reads=1, every=1)
    snapshot = take(data, tenant)
    assert (snapshot.verdict, snapshot.attempts, snapshot.passes, len(pass_ids(data))) == ("accepted", 2, 26, 26)


def test_list_that_never_stands_still_is_held(tenant: Tenant, data: Data) -> None:
    """A list that moves during each of three readings is held, and is no evidence."""
    tenant.put(*make_passes(25))
    tenant.move(reads=1000, every=3)
    snapshot = take(data, tenant, concurrency=1)
    assert (snapshot.verdict, snapshot.attempts, pass_ids(data)) == ("held", 3, [])


def test_pass_on_two_pages_is_one_pass(tenant: Tenant, data: Data) -> None:
    """Of a pass that is listed twice the later installation counts."""
    headers = {"x-pagination-total": "3", "content-type": "application/json"}
    pages = [
        [make_pass("pass-a", providers=APPLE), make_pass("pass-b")],
        [make_pass("pass-a", providers={"apple": "2026-01-04T00:00:00Z"}), make_pass("pass-c")],
    ]
    for index, page in enumerate(pages):
        action = {"type": "replace", "body": json.dumps(page), "headers": headers}
        tenant.spoil(action, path=f"pageIndex={index}&")
    take(data, tenant, page_size=2)
    query = "SELECT pass_id, installed_at FROM raw.wallet_observations WHERE present"
    assert data.rows(query) == [("pass-a", datetime(2026, 1, 4))]  # noqa: DTZ001


PASSING_FAULTS: list[dict[str, Any]] = [
    {"type": "status", "status": 503, "headers": {"Retry-After": "0"}},
    {"type": "status", "status": 429, "headers": {"Retry-After": "1"}},
    {"type": "status", "status": 502, "html": True},
    {"type": "drop"},
    {"type": "truncate"},
]


@pytest.mark.parametrize("fault", PASSING_FAULTS, ids=lambda fault: " ".join(map(str, fault.values())))
def test_passing_fault_is_outlasted(tenant: Tenant, data: Data, fault: dict[str, Any]) -> None:
    """Faults that pass cost time and no passes: each request is sent again, the list is not."""
    tenant.put(*make_passes(25))
    tenant.spoil(fault, path="pageIndex=[012]&", times=2)
    snapshot = take(data, tenant)
    assert (snapshot.verdict, snapshot.attempts, snapshot.passes) == ("accepted", 1, 25)


# What fails leaves everything as it was


def listed_as(**members: Any) -> dict[str, Any]:
    """Return the fault that lists a pass like this on the second page."""
    return {
        "type": "replace",
        "body": json.dumps([make_pass("pass-x", **members)]),
        "headers": {"x-pagination-total": "25", "content-type": "application/json"},
    }


LASTING_FAULTS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "401": ({"type": "status", "status": 401}, AuthenticationError, "WALLET_CREW_API_KEY"),
    "403": ({"type": "status", "status": 403}, ScopeError, "lacks the scope Pass.Read"),
    "404": ({"type": "status", "status": 404}, NotFoundError, "knows no tenant 'sandbox-tenant'"),
    "503": ({"type": "status", "status": 503, "headers": {"Retry-After": "0"}}, UnexpectedAnswerError, "answered 503"),
    "HTML": ({"type": "replace", "html": True}, UnexpectedAnswerError, "page 1 of the passes with text/html"),
    "no list": ({"type": "replace", "body": {"items": []}}, UnexpectedAnswerError, "page 1 .* is not a JSON list"),
    "providers": (listed_as(providers=["apple"]), SnapshotError, "Page 1 .* OBJECT was expected, ARRAY came"),
    "no id": (listed_as(id=None), SnapshotError, "1 of the listed passes have no id"),
    "no date": (listed_as(providers={"apple": "soon"}), SnapshotError, r"no date: pass-x \(apple\)"),
}


@pytest.fixture
def before(tenant: Tenant, data: Data) -> dict[str, list[tuple[Any, ...]]]:
    """Give the content of a warehouse that has accepted a snapshot, while the tenant has changed since."""
    tenant.put(*make_passes(25))
    take(data, tenant)
    tenant.put(make_pass("pass-0000", providers=APPLE), make_pass("pass-9999"))
    tenant.delete("pass-0001")
    return data.content()


@pytest.mark.parametrize(("fault", "kind", "says"), LASTING_FAULTS.values(), ids=LASTING_FAULTS)
def test_failure_is_explained(tenant: Tenant, data: Data, fault: Any, kind: type[Exception], says: str) -> None:
    """A fault on one page ends the snapshot with an error that says what is wrong."""
    tenant.put(*make_passes(25))
    tenant.spoil(fault, path="pageIndex=1&")
    with pytest.raises(kind, match=says):
        take(data, tenant)


@pytest.mark.parametrize("fault", [fault for fault, _, _ in LASTING_FAULTS.values()], ids=LASTING_FAULTS)
def test_failure_changes_nothing(
    tenant: Tenant, data: Data, before: dict[str, list[tuple[Any, ...]]], fault: dict[str, Any]
) -> None:
    """After a failure the warehouse holds the rows that it held, and no staging file is left."""
    tenant.spoil(fault, path="pageIndex=1&")
    with pytest.raises((SnapshotError, UnexpectedAnswerError, AuthenticationError, ScopeError, NotFoundError)):
        take(data, tenant)
    assert (data.content(), data.staged_files()) == (before, [])


READING = """
    import sys
    from datetime import UTC, datetime
    from pathlib import Path
    from pydantic import SecretStr
    from wallet_pipeline.clients.wallet_crew import WalletCrew
    from wallet_pipeline.collect.pass_snapshot import take_snapshot
    from wallet_pipeline.warehouse.connection import connect

    def open_warehouse():
        print("all pages are read", flush=True)
        sys.stdin.readline()
        return connect(Path("data/warehouse.duckdb"), 30)

    with WalletCrew({url!r}, {tenant!r}, SecretStr({key!r})) as client:
        print(take_snapshot(
            open_warehouse, client, Path("data/staging"), page_size=10, concurrency=2, min_share=0.9,
            clock=lambda: datetime.now(UTC),
        ).verdict)
"""


def start_reading(start_script: StartScript, tenant: Tenant) -> Script:
    """Start a snapshot in a process of its own; it waits for a line of input before it opens the warehouse."""
    facts = tenant.facts
    return start_script(READING.format(url=tenant.url, tenant=facts["tenant_id"], key=facts["api_key"]))


def kill_while_pages_are_read(tenant: Tenant, start_script: StartScript) -> None:
    """Kill a snapshot that has read its first page and waits for the next ones."""
    tenant.control("DELETE", "/requests")
    tenant.spoil({"type": "delay", "seconds": 1}, path="pageIndex=[12]&")
    reading = start_reading(start_script, tenant)
    wait_until(lambda: tenant.page_reads() >= 2)
    reading.process.send_signal(signal.SIGKILL)
    reading.process.wait()
    tenant.reset()


def kill_before_the_merge(tenant: Tenant, start_script: StartScript) -> None:
    """Kill a snapshot that has read all pages and is about to open the warehouse."""
    reading = start_reading(start_script, tenant)
    reading.wait_for("all pages are read")
    reading.process.send_signal(signal.SIGKILL)
    reading.process.wait()


KILLS = [kill_while_pages_are_read, kill_before_the_merge]


@pytest.mark.parametrize("kill", KILLS)
def test_killed_reading_changes_nothing(
    tenant: Tenant,
    data: Data,
    before: dict[str, list[tuple[Any, ...]]],
    start_script: StartScript,
    kill: Callable[[Tenant, StartScript], None],
) -> None:
    """A process that is killed halfway leaves the last accepted state as it was."""
    kill(tenant, start_script)
    assert data.content() == before


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize("kill", KILLS)
def test_run_after_a_killed_one_works(
    tenant: Tenant, data: Data, start_script: StartScript, kill: Callable[[Tenant, StartScript], None]
) -> None:
    """The next snapshot after a killed one takes over what is listed now."""
    kill(tenant, start_script)
    take(data, tenant)
    query = "SELECT pass_id FROM raw.passes WHERE last_snapshot IS NULL ORDER BY 1"
    listed = sorted(listed["id"] for listed in tenant.all_passes())
    assert [pass_id for (pass_id,) in data.rows(query)] == listed


@pytest.mark.parametrize("kill", KILLS)
def test_leftovers_of_a_killed_reading_are_removed(
    tenant: Tenant, data: Data, start_script: StartScript, kill: Callable[[Tenant, StartScript], None]
) -> None:
    """A killed process leaves its staging file, and the next snapshot removes it."""
    tenant.put(*make_passes(25))
    kill(tenant, start_script)
    left = data.staged_files()
    take(data, tenant)
    assert (bool(left), data.staged_files()) == (True, [])


def test_reading_in_progress_keeps_its_file(tenant: Tenant, data: Data, start_script: StartScript) -> None:
    """A snapshot that starts while another waits for the warehouse leaves that one's staging file alone."""
    tenant.put(*make_passes(25))
    reading = start_reading(start_script, tenant)
    reading.wait_for("all pages are read")
    take(data, tenant)
    assert reading.process.communicate("go on\n", timeout=60)[0].strip() == "accepted"


# Held snapshots


@pytest.fixture
def held(tenant: Tenant, data: Data) -> str:
    """Give the id of a held snapshot: of ten passes eight are left."""
    tenant.put(*make_passes(10))
    take(data, tenant)
    tenant.delete("pass-0000", "pass-0001")
    return take(data, tenant).snapshot_id


def test_shrunken_list_is_held(tenant: Tenant, data: Data) -> None:
    """A list with less than the least share of the last one is held, with the numbers."""
    tenant.put(*make_passes(10))
    take(data, tenant)
    tenant.delete("pass-0000", "pass-0001")
    snapshot = take(data, tenant)
    assert (snapshot.verdict, snapshot.complete, snapshot.reason) == (
        "held",
        True,
        "shrunken: 8 passes, 10 in the last accepted snapshot; the limit is 90%",
    )


def test_list_at_the_limit_is_accepted(tenant: Tenant, data: Data) -> None:
    """A list with exactly the least share of the last one is accepted."""
    tenant.put(*make_passes(10))
    take(data, tenant)
    tenant.delete("pass-0000")
    assert take(data, tenant).verdict == "accepted"


def test_emptied_list_is_held(tenant: Tenant, data: Data) -> None:
    """A list that is suddenly empty is held."""
    tenant.put(*make_passes(2))
    take(data, tenant)
    tenant.delete("pass-0000", "pass-0001")
    assert take(data, tenant).verdict == "held"


@pytest.mark.usefixtures("held")
def test_held_snapshot_is_no_evidence(data: Data) -> None:
    """A held snapshot closes no run."""
    assert data.rows("SELECT count(*) FROM raw.passes WHERE last_snapshot IS NULL") == [(10,)]


@pytest.mark.usefixtures("held")
def test_held_snapshot_is_not_compared_with(tenant: Tenant, data: Data) -> None:
    """The next list is compared with the last accepted one, not with the held one."""
    assert take(data, tenant).verdict == "held"


def test_approval_takes_a_held_snapshot_over(data: Data, held: str) -> None:
    """An approved snapshot is evidence: passes that it does not list end their runs."""
    approve_snapshot(data.open, data.staging, held, APPROVED)
    assert data.rows("SELECT pass_id FROM raw.passes WHERE last_snapshot IS NULL ORDER BY 1") == [
        (f"pass-{number:04}",) for number in range(2, 10)
    ]


def test_approval_is_booked(data: Data, held: str) -> None:
    """An approved snapshot is accepted, and says when it was approved and why it was held."""
    snapshot = approve_snapshot(data.open, data.staging, held, APPROVED)
    assert (snapshot.snapshot_id, snapshot.verdict, snapshot.reason) == (
        held,
        "accepted",
        "approved; it was held: shrunken: 8 passes, 10 in the last accepted snapshot; the limit is 90%",
    )
    assert data.rows("SELECT approved_at FROM raw.snapshots WHERE approved_at IS NOT NULL") == [(naive(APPROVED),)]


def test_approval_removes_the_staging_file(data: Data, held: str) -> None:
    """After its approval nothing of a held snapshot is left in the staging folder."""
    approve_snapshot(data.open, data.staging, held, APPROVED)
    assert data.staged_files() == []


@pytest.mark.parametrize("unknown", ["20260101T000000.000000Z-1", "", "../../held", "'; DROP TABLE raw.passes; --"])
def test_unknown_approval_is_explained(data: Data, held: str, unknown: str) -> None:
    """An approval of no held snapshot says so and names the held ones."""
    with pytest.raises(SnapshotError) as raised:
        approve_snapshot(data.open, data.staging, unknown, APPROVED)
    assert str(raised.value) == (
        f"There is no held snapshot {unknown!r} to approve (the last held ones: {held}). Run without an approval to"
        " take a new one."
    )


def test_second_approval_is_refused(data: Data, held: str) -> None:
    """A snapshot is approved once."""
    approve_snapshot(data.open, data.staging, held, APPROVED)
    with pytest.raises(SnapshotError, match="There is no held snapshot"):
        approve_snapshot(data.open, data.staging, held, APPROVED)


def test_approval_without_its_file_changes_nothing(data: Data, held: str) -> None:
    """A held snapshot whose staging file is gone cannot be approved."""
    (data.staging / f"held-{held}.duckdb").unlink()
    content = data.content()
    with pytest.raises(SnapshotError, match="There is no held snapshot"):
        approve_snapshot(data.open, data.staging, held, APPROVED)
    assert data.content() == content


def test_old_held_files_are_removed(tenant: Tenant, data: Data, held: str) -> None:
    """Of many held snapshots the files of the last three are kept."""
    newer = [take(data, tenant).snapshot_id for _ in range(3)]
    assert (data.staged_files(), held in newer) == ([f"held-{name}.duckdb" for name in newer], False)


# The clock


def test_snapshot_speaks_for_its_start_by_the_server(tenant: Tenant, data: Data) -> None:
    """A snapshot carries the Date of its first page."""
    tenant.configure(date_offset_seconds=200)
    snapshot = take(data, tenant)
    ahead = snapshot.started_at - snapshot.finished_at
    assert (snapshot.clock, timedelta(seconds=190) < ahead < timedelta(seconds=201)) == ("server", True)


@pytest.mark.parametrize(
    "settings", [{"date_offset_seconds": 400}, {"date_offset_seconds": -400}, {"send_date": False}]
)
def test_wrong_server_clock_is_not_believed(tenant: Tenant, data: Data, settings: dict[str, Any]) -> None:
    """Where the server's clock is missing or off by more than five minutes, the snapshot carries ours and says so."""
    tenant.configure(**settings)
    begun = now()
    snapshot = take(data, tenant)
    assert (snapshot.clock, begun <= snapshot.started_at <= snapshot.finished_at) == ("own", True)


def test_snapshots_of_one_second_stay_in_order(tenant: Tenant, data: Data) -> None:
    """Snapshots that carry the same second sort as they were taken."""
    tenant.configure(send_date=False)
    tenant.spoil({"type": "headers", "set": {"Date": format_datetime(now().replace(microsecond=0), usegmt=True)}})
    taken = [take(data, tenant).snapshot_id for _ in range(4)]
    assert (len({name.partition("-")[0] for name in taken}), taken) == (1, sorted(taken))


def test_bookkeeping_is_stored(tenant: Tenant, data: Data) -> None:
    """What a snapshot returns is what raw.snapshots holds."""
    tenant.put(
        make_pass("pass-a", providers={"apple": "1970-01-01T00:00:00Z", "samsung": "2026-01-01T00:00:00Z"}),
        make_pass("pass-b", providers={"google": "2999-01-01T00:00:00Z"}),
    )
    snapshot = take(data, tenant)
    row = data.rows("SELECT passes, highest_total, undated, other_wallets, verdict, reason, clock FROM raw.snapshots")
    assert row == [(2, 2, 2, 1, "accepted", None, "server")]
    assert (snapshot.passes, snapshot.undated, snapshot.other_wallets) == (2, 2, 1)


# Runs


def runs(data: Data, pass_id: str, apple: bool = True) -> list[tuple[Any, ...]]:  # noqa: FBT001, FBT002
    """Return the stretches of a pass in Apple Wallet, snapshots told by their number."""
    with data.open() as con:
        return con.execute(
            """
            WITH numbered AS (
                SELECT snapshot_id, row_number() OVER (ORDER BY snapshot_id)::INT AS number
                FROM raw.snapshots WHERE verdict = 'accepted'
            )
            SELECT present, f.number, l.number FROM raw.wallet_observations
            JOIN numbered f ON f.snapshot_id = first_snapshot LEFT JOIN numbered l ON l.snapshot_id = last_snapshot
            WHERE pass_id = ? AND wallet = ? ORDER BY 2
            """,
            [pass_id, "apple" if apple else "google"],
        ).fetchall()


def test_unchanged_list_writes_no_rows(world: Tenant, data: Data) -> None:
    """A second snapshot of an unchanged list adds its own booking and nothing else."""
    take(data, world)
    before = data.content()
    take(data, world)
    after = data.content()
    assert (after["passes"], after["wallet_observations"]) == (before["passes"], before["wallet_observations"])


def test_snapshot_lists_each_pass_in_each_wallet(tenant: Tenant, data: Data) -> None:
    """A pass gives one observation a wallet, present with its date or absent."""
    tenant.put(make_pass("pass-a", providers=APPLE))
    take(data, tenant)
    query = "SELECT wallet, present, installed_at, last_snapshot FROM raw.wallet_observations ORDER BY wallet"
    installed_at = datetime(2026, 1, 3)  # noqa: DTZ001
    assert data.rows(query) == [("apple", True, installed_at, None), ("google", False, None, None)]


def test_change_begins_a_run(tenant: Tenant, data: Data) -> None:
    """An installation ends the run of the absence at the snapshot before and begins one of its own."""
    tenant.put(make_pass("pass-a"))
    take(data, tenant)
    take(data, tenant)
    tenant.put(make_pass("pass-a", providers=APPLE))
    take(data, tenant)
    assert runs(data, "pass-a") == [(False, 1, 2), (True, 3, None)]


def test_change_of_one_wallet_leaves_the_other(tenant: Tenant, data: Data) -> None:
    """A change in one wallet writes nothing about the other one."""
    tenant.put(make_pass("pass-a"))
    take(data, tenant)
    tenant.put(make_pass("pass-a", providers=APPLE))
    take(data, tenant)
    assert runs(data, "pass-a", apple=False) == [(False, 1, None)]


def test_removed_pass_ends_its_run(tenant: Tenant, data: Data) -> None:
    """A pass that is no longer listed ends its runs at the last snapshot that listed it."""
    tenant.put(*make_passes(10), make_pass("pass-a", providers=APPLE))
    take(data, tenant)
    take(data, tenant)
    tenant.delete("pass-a")
    take(data, tenant)
    assert runs(data, "pass-a") == [(True, 1, 2)]


def test_returned_pass_begins_a_run(tenant: Tenant, data: Data) -> None:
    """A pass that is listed again begins a new run, though it says what it said before."""
    listed = make_pass("pass-a", providers=APPLE)
    tenant.put(*make_passes(10), listed)
    take(data, tenant)
    tenant.delete("pass-a")
    take(data, tenant)
    tenant.put(listed)
    take(data, tenant)
    assert runs(data, "pass-a") == [(True, 1, 1), (True, 3, None)]


def test_changed_identifier_begins_a_run(tenant: Tenant, data: Data) -> None:
    """A pass whose identifiers change keeps the earlier ones as a run."""
    tenant.put(make_pass("pass-a", identifiers={"customerId": "old"}))
    take(data, tenant)
    tenant.put(make_pass("pass-a", identifiers={"customerId": "new"}))
    take(data, tenant)
    query = "SELECT identifiers, last_snapshot IS NULL FROM raw.passes ORDER BY first_snapshot"
    assert data.rows(query) == [('{"customerId":"old"}', False), ('{"customerId":"new"}', True)]


def merge(con: duckdb.DuckDBPyConnection, data: Data, day: int, *passes: dict[str, Any]) -> None:
    """Merge an accepted snapshot of a day of January with these passes."""
    staged = stage(data.staging / f"{day}-{next(_numbers)}.duckdb", *passes)
    with attached(con, staged, "staging"):
        take_over(con, accepted(day, len(passes)))


_numbers = itertools.count()
OFF, ON = make_pass("pass-a"), make_pass("pass-a", providers=APPLE)


def merged_runs(data: Data, days: list[tuple[int, dict[str, Any] | None]]) -> list[tuple[Any, ...]]:
    """Merge snapshots in this order, each with the pass or without any, and return the pass's runs in Apple Wallet."""
    with data.open() as con:
        for day, listed in days:
            merge(con, data, day, *([listed] if listed else []))
    return runs(data, "pass-a")


def test_late_snapshot_that_differs_splits_a_run(data: Data) -> None:
    """A snapshot from between two equal ones that says otherwise cuts their run in two."""
    assert merged_runs(data, [(1, ON), (3, ON), (2, OFF)]) == [(True, 1, 1), (False, 2, 2), (True, 3, None)]


def test_late_snapshot_that_agrees_changes_no_run(data: Data) -> None:
    """A snapshot from between two equal ones that says the same leaves their run whole."""
    assert merged_runs(data, [(1, ON), (3, ON), (2, ON)]) == [(True, 1, None)]


def test_late_snapshot_without_the_pass_splits_a_run(data: Data) -> None:
    """A snapshot from between two others that does not list the pass leaves a gap."""
    assert merged_runs(data, [(1, ON), (3, ON), (2, None)]) == [(True, 1, 1), (True, 3, None)]


def test_snapshot_before_all_others_begins_no_open_run(data: Data) -> None:
    """A snapshot older than all others that says otherwise gives a run that is closed."""
    assert merged_runs(data, [(2, ON), (3, ON), (1, OFF)]) == [(False, 1, 1), (True, 2, None)]


@pytest.mark.parametrize("order", list(itertools.permutations([(1, ON), (2, OFF), (3, ON), (4, None)])))
def test_order_of_arrival_does_not_matter(data: Data, order: list[tuple[int, dict[str, Any] | None]]) -> None:
    """Snapshots that arrive in any order tell the same history."""

    def told(runs: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return [(day, present) for present, first, last in runs for day in range(first, (last or 4) + 1)]

    assert told(merged_runs(data, list(order))) == [(1, True), (2, False), (3, True)]


def test_snapshot_merged_twice_changes_nothing(data: Data) -> None:
    """A snapshot that is booked already is not merged again, whatever its file says."""
    with data.open() as con:
        merge(con, data, 1, ON)
        before = con.execute("FROM raw.wallet_observations ORDER BY ALL").fetchall()
        merge(con, data, 1, OFF)
        assert con.execute("FROM raw.wallet_observations ORDER BY ALL").fetchall() == before


# Secrets


@contextmanager
def inspected(data: Data, found: list[str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse, after noting all files that hold a secret while the staging file is at its fullest."""
    found += data.files_with("s3cr3t")
    with data.open() as con:
        yield con


def everything_stored(data: Data) -> str:
    """Return all rows of all tables of the warehouse, as text: the file itself may be compressed."""
    with data.open() as con:
        tables = con.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
        return "\n".join(str(con.execute(f'FROM "{schema}"."{table}"').fetchall()) for schema, table in tables)


def test_secret_is_on_no_disk_while_a_snapshot_is_read(world: Tenant, data: Data) -> None:
    """While a snapshot waits for the warehouse none of the files holds a secret."""
    found: list[str] = []
    take(data, world, open_warehouse=lambda: inspected(data, found))
    assert found == []


@pytest.mark.parametrize("min_share", [0, 0.9])
def test_secret_is_on_no_disk_after_a_snapshot(tenant: Tenant, data: Data, min_share: float) -> None:
    """After a snapshot, accepted or held, no file and no table holds a secret."""
    tenant.put(*make_passes(12))
    take(data, tenant)
    tenant.delete("pass-0000", "pass-0001", "pass-0002")
    take(data, tenant, min_share=min_share)
    assert (data.files_with("s3cr3t"), "s3cr3t" in everything_stored(data)) == ([], False)


def test_secret_is_in_no_log(tenant: Tenant, data: Data, everything_logged: pytest.LogCaptureFixture) -> None:
    """A snapshot with a retry logs, down to the library's debug lines, neither a secret nor the key."""
    tenant.put(*make_passes(12))
    tenant.spoil({"type": "truncate"}, times=1)
    take(data, tenant)
    assert ("s3cr3t" in everything_logged.text, tenant.facts["api_key"] in everything_logged.text) == (False, False)


SECRETS_SPILT = {
    "providers": [make_pass("pass-x", providers=["s3cr3t-x"])],
    "date": [make_pass("pass-x", providers={"apple": {"secret": "s3cr3t-x"}})],
    "no id": [make_pass("", secret="s3cr3t-x")],
    "texts": ["s3cr3t-x"],
    "no list": {"secret": "s3cr3t-x"},
    "broken off": '[{"id": "pass-x", "secret": "s3cr3t-x"',
    "proxy": "<html>s3cr3t-x</html>",
}


@pytest.mark.parametrize("body", SECRETS_SPILT.values(), ids=SECRETS_SPILT)
def test_failure_tells_no_secret(
    tenant: Tenant, data: Data, everything_logged: pytest.LogCaptureFixture, body: Any
) -> None:
    """A list that cannot be read spills no secret: not in the error and all that it carries, not in the log."""
    tenant.answer_with(body)
    with pytest.raises((SnapshotError, UnexpectedAnswerError)) as raised:
        take(data, tenant)
    assert "s3cr3t" not in everything_told(raised.value) + everything_logged.text


@pytest.mark.parametrize("body", SECRETS_SPILT.values(), ids=SECRETS_SPILT)
def test_failure_stores_no_secret(tenant: Tenant, data: Data, body: Any) -> None:
    """A list that cannot be read leaves no secret in any file."""
    tenant.answer_with(body)
    with pytest.raises((SnapshotError, UnexpectedAnswerError)):
        take(data, tenant)
    assert data.files_with("s3cr3t") == []


# The disk


FULL_DISK = READING.replace("import sys", "import resource, sys").replace(
    "with WalletCrew(", "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000,) * 2)\n    with WalletCrew("
)


def test_full_disk_is_told(tenant: Tenant, start_script: StartScript) -> None:
    """A staging file that does not fit the disk is an error that names the file and the reason."""
    tenant.put(*make_passes(25))
    facts = tenant.facts
    reading = start_script(FULL_DISK.format(url=tenant.url, tenant=facts["tenant_id"], key=facts["api_key"]))
    told = reading.process.communicate("\n", timeout=60)[1].splitlines()[-1]
    assert re.search(r"reading-\w+\.duckdb.*: File too large", told), told


def test_full_disk_changes_nothing(
    tenant: Tenant, data: Data, before: dict[str, list[tuple[Any, ...]]], start_script: StartScript
) -> None:
    """A snapshot that does not fit the disk leaves the warehouse as it was, and gives its own space back."""
    facts = tenant.facts
    reading = start_script(FULL_DISK.format(url=tenant.url, tenant=facts["tenant_id"], key=facts["api_key"]))
    reading.process.communicate("\n", timeout=60)
    assert (data.content(), data.staged_files(), reading.process.returncode) == (before, [], 1)
