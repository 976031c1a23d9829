"""What explain says is what the derivation did: one set of rules, now and as of any moment."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.derive.conftest import shared  # noqa: F401  fixture
from tests.derive.evidence import RULES, add_snapshot
from tests.derive.oracle import Delivery, Listing, Snapshot, World
from tests.derive.worlds import NOON, Warehouse, booked, histories, naive, tight_maps, worlds
from wallet_pipeline.derive.statuses import weighed_evidence
from wallet_pipeline.support.explain.recall import recalled

from .conftest import NOW, ask, at, listed, made, snapshot

REGISTER = "installed, installed_at, changed_at, last_event, changed_at_inferred"
Decisions = dict[tuple[str, str], tuple[Any, ...]]


def decide(con: duckdb.DuckDBPyConnection, which: str = "TRUE") -> Decisions:
    """Return, by register, what those pieces of evidence decide that meet a condition, and which one decides."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE wallet_evidence AS SELECT p.* EXCLUDE (nth) FROM pieces p"
        f" JOIN marks m USING (pass_id, wallet) WHERE {which}"
    )
    rows = con.execute(f"SELECT pass_id, wallet, {REGISTER}, decided_by FROM register_decisions").fetchall()
    return {(pass_id, wallet): tuple(values) for pass_id, wallet, *values in rows}


CORRECTED = [
    Snapshot(name, NOON + timedelta(days=day), complete=True, listings=(Listing("a", (("apple", date),), "{}"),))
    for day, (name, date) in enumerate([("s1", "2026-02-01T00:00:00Z"), ("s2", "2026-01-01T00:00:00Z")])
]


@settings(max_examples=settings.default.max_examples // 2)
@given(world=worlds() | histories())
@example(world=World((), tuple(CORRECTED)))
def test_marked_pieces_decide(shared: Warehouse, world: World) -> None:  # noqa: F811  fixture
    """The marked pieces alone give the same register; without the deciding one the piece before it decides."""
    shared.clear()
    shared.take_runs(world)
    with weighed_evidence(shared.con, RULES):
        shared.con.execute("CREATE OR REPLACE TEMP TABLE pieces AS FROM ordered_evidence")
        shared.con.execute("CREATE OR REPLACE TEMP TABLE marks AS FROM register_decisions")
        says = dict(shared.con.execute("SELECT (pass_id, wallet, nth), installed FROM pieces").fetchall())
        whole = decide(shared.con)
        of_marked = decide(shared.con, "nth IN (decided_by, timed_by, proved_by)")
        without = decide(shared.con, "nth <> decided_by")
    assert {key: row[:-1] for key, row in of_marked.items()} == {key: row[:-1] for key, row in whole.items()}
    for key, (installed, *_, decided_by) in whole.items():
        assert installed == says[*key, decided_by]
        before = without.get(key)
        if before is None:
            assert decided_by == 1
        else:
            assert (before[0], before[-1]) == (says[*key, decided_by - 1], decided_by - 1)


@st.composite
def courses(draw: st.DrawFn) -> tuple[list[Delivery | Snapshot], str]:
    """Return evidence in any order of arrival, and a pass that it tells of."""
    world = draw(worlds(tight_maps, events=6, most=4).filter(lambda one: len(one.deliveries) > 1 and one.snapshots))
    arrivals: list[Delivery | Snapshot] = draw(st.permutations([*world.deliveries, *world.snapshots]))
    return arrivals, draw(st.sampled_from([one.pass_id for one in world.deliveries]))


@settings(max_examples=settings.default.max_examples // 8)
@given(asked=courses())
def test_earlier_moment_is_what_was_derived_then(
    template: Path, tmp_path_factory: pytest.TempPathFactory, asked: tuple[list[Delivery | Snapshot], str]
) -> None:
    """Whatever arrives in whatever order: asked as of a moment, all is as it was derived at that moment."""
    file = tmp_path_factory.mktemp("course") / "warehouse.duckdb"
    shutil.copy(template, file)
    course, pass_id = asked
    derived = follow(file, course)
    moment = sorted(derived)[len(course) // 2]
    assert_as_derived(file, pass_id, moment, derived[moment])


def test_what_comes_later_changes_no_earlier_moment(template: Path, tmp_path: Path) -> None:
    """Late events, other identifiers, a list that has changed, and a pass that goes do not show before they came."""
    file = tmp_path / "warehouse.duckdb"
    shutil.copy(template, file)
    card, mail = '{"customerId":"1","email":"x@a.de"}', '{"email":"x@a.de"}'
    installed, other = (("apple", "2026-03-01T10:00:00Z"),), Listing("c", None, '{"customerId":"3","email":"x@a.de"}')
    first, later = NOON - timedelta(hours=1), NOON + timedelta(minutes=3)
    course: list[Delivery | Snapshot] = [
        Snapshot("s1", first, complete=True, listings=(Listing("a", installed, card), Listing("b", None, mail))),
        Delivery("a", "google", "installed", "e1", NOON, NOON),
        Snapshot("s2", NOON, complete=True, listings=(Listing("a", installed, card), Listing("b", None, mail), other)),
        Delivery("a", "google", "uninstalled", "e2", first, NOON),
        Delivery("b", "apple", "installed", "e3", NOON, NOON, identifiers='{"customerId":"2"}'),
        Delivery("a", "google", "installed", "e1", first, NOON),
        Snapshot("s3", later, complete=True, listings=(Listing("a", None, card),)),
        Snapshot("s4", later + timedelta(minutes=1), complete=True, listings=(Listing("a", None, mail),)),
    ]
    derived = follow(file, course)
    for moment in sorted(derived)[1::2]:
        assert_as_derived(file, "b", moment, derived[moment])


def assert_as_derived(file: Path, pass_id: str, moment: datetime, expected: dict[str, list[Any]]) -> None:
    """Compare the small warehouse of a pass as of a moment with what was derived of the same passes at that moment."""
    with recalled(file, 0, RULES, pass_id, moment, NOW) as con:
        known = derived_rows(con)
    kin = {pass_id} | {row[0] for rows in known.values() for row in rows}
    known_ids, expected_ids = ({row[0] for row in one["pass_customers"]} for one in (known, expected))
    assert (pass_id in known_ids) == (pass_id in expected_ids)
    assert known == {table: [row for row in rows if row[0] in kin] for table, rows in expected.items()}


def follow(file: Path, course: list[Delivery | Snapshot]) -> dict[datetime, dict[str, list[Any]]]:
    """Let evidence arrive a minute apart, derive each time, and return what was derived by moment."""
    derived = {}
    with duckdb.connect(file) as con:
        con.execute("SET TimeZone = 'UTC'")
        warehouse = Warehouse(con)
        for minute, piece in enumerate(course, start=2):
            moment = NOON + timedelta(minutes=minute)
            warehouse.add(piece)
            if isinstance(piece, Delivery):
                arrived = "UPDATE raw.wallet_events SET received_at"
                which = "rowid = (SELECT max(rowid) FROM raw.wallet_events)"
            else:
                arrived, which = "UPDATE raw.snapshots SET finished_at", f"snapshot_id = '{booked(piece).snapshot_id}'"
            con.execute(f"{arrived} = ? WHERE {which}", [naive(moment)])
            warehouse.derive(moment)
            derived[moment] = derived_rows(con)
    return derived


def derived_rows(con: duckdb.DuckDBPyConnection) -> dict[str, list[Any]]:
    """Return what is derived of each pass."""
    tables = ("registers", "ignored_events", "pass_identifiers", "pass_customers")
    return {table: con.execute(f"FROM wallet.{table} ORDER BY ALL").fetchall() for table in tables}


def test_approved_list_counts_from_its_approval(template: Path, tmp_path: Path) -> None:
    """A list that stopped a run is no evidence before somebody approved it, and is afterwards."""

    def history(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
        card = {"customerId": "1"}
        add_snapshot(con, folder, snapshot("01 03:00", listed("a", card, apple="2026-02-20T10:00:00Z")))
        add_snapshot(con, folder, snapshot("02 03:00", listed("a", card)))
        con.execute("UPDATE raw.snapshots SET approved_at = '2026-03-02 09:00' WHERE started_at = '2026-03-02 03:00'")

    file = made(template, tmp_path, history)
    before, after = (ask(file, "a", at(moment)).passes[0] for moment in ("02 08:59", "02 09:00"))
    assert [one.registers[0].installed for one in (before, after)] == [True, False]
    assert [one.reason for one in before.not_counted] == [
        "it stopped a run, and is no evidence until somebody approves it"
    ]
