"""What explain says is what the derivation did: one set of rules, now and as of any moment."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.derive.conftest import shared  # noqa: F401  fixture
from tests.derive.evidence import RULES, add_snapshot
from tests.derive.oracle import Delivery, Snapshot, World
from tests.derive.worlds import NOON, Warehouse, booked, naive, tight_maps, worlds
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


@settings(max_examples=settings.default.max_examples // 2)
@given(world=worlds())
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
def courses(draw: st.DrawFn) -> list[Delivery | Snapshot]:
    """Return evidence in any order of arrival."""
    world = draw(worlds(tight_maps, events=5, most=4))
    arrivals: list[Delivery | Snapshot] = draw(st.permutations([*world.deliveries, *world.snapshots]))
    return arrivals


@settings(max_examples=settings.default.max_examples // 8)
@given(course=courses(), data=st.data())
def test_earlier_moment_is_what_was_derived_then(
    template: Path, tmp_path_factory: pytest.TempPathFactory, course: list[Delivery | Snapshot], data: st.DataObject
) -> None:
    """Whatever arrives in whatever order: asked as of a moment, all is as it was derived at that moment."""
    file = tmp_path_factory.mktemp("course") / "warehouse.duckdb"
    shutil.copy(template, file)
    with duckdb.connect(file) as con:
        con.execute("SET TimeZone = 'UTC'")
        derived = follow(Warehouse(con), course)
    for moment in data.draw(st.lists(st.sampled_from(sorted(derived)), max_size=2, unique=True)) if derived else []:
        with recalled(file, 0, RULES, "pass1", moment, NOW) as con:
            known = derived_rows(con)
        kin = {row[0] for row in known["pass_customers"]}
        assert ("pass1" in kin) == any(row[0] == "pass1" for row in derived[moment]["pass_customers"])
        assert known == {table: [row for row in rows if row[0] in kin] for table, rows in derived[moment].items()}


def follow(warehouse: Warehouse, course: list[Delivery | Snapshot]) -> dict[datetime, dict[str, list[Any]]]:
    """Let evidence arrive a minute apart, derive each time, and return what was derived by moment."""
    derived = {}
    for minute, piece in enumerate(course, start=2):
        moment = NOON + timedelta(minutes=minute)
        warehouse.add(piece)
        if isinstance(piece, Delivery):
            arrived = "UPDATE raw.wallet_events SET received_at"
            which = "rowid = (SELECT max(rowid) FROM raw.wallet_events)"
        else:
            arrived, which = "UPDATE raw.snapshots SET finished_at", f"snapshot_id = '{booked(piece).snapshot_id}'"
        warehouse.con.execute(f"{arrived} = ? WHERE {which}", [naive(moment)])
        warehouse.derive(moment)
        derived[moment] = derived_rows(warehouse.con)
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
