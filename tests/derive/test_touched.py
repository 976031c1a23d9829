"""What events touch, derived alone, against deriving everything anew."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wallet_pipeline.derive.touched import Touched, count_touched, derive_touched

from .evidence import RULES, canonical
from .oracle import Delivery, Listing, Snapshot, World
from .worlds import NOON, Warehouse, crowds, identifier_maps, naive, tight_maps, worlds

STATUS = (
    "customer_key, wallet_status, apple_wallet_installed_at, google_wallet_installed_at, wallet_last_changed_at,"
    " wallet_last_event"
)

Arrival = Delivery | Snapshot | None


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[World, list[Arrival]]:
    """Return a world and its evidence in any order, with repetitions; None where an event run takes place."""
    world = draw(worlds(identifier_maps, events=6, most=3) | worlds(tight_maps, events=6, most=3))
    evidence: list[Arrival] = [*world.deliveries, *world.snapshots]
    repeated = draw(st.lists(st.sampled_from(evidence), max_size=3)) if evidence else []
    return world, draw(st.permutations([*evidence, *repeated, *([None] * draw(st.integers(0, 4)))]))


@settings(max_examples=settings.default.max_examples // 2)
@given(arrival=arrivals())
def test_event_runs_between_daily_runs_end_in_the_rows_of_one_full_derivation(
    shared: Warehouse, arrival: tuple[World, list[Arrival]]
) -> None:
    """Any order, repetition and split of deliveries, with daily runs among them, gives the same bytes everywhere."""
    world, evidence = arrival
    shared.clear()
    shared.take_runs(world)
    shared.derive()
    expected = shared.rows()
    shared.clear()
    for minute, piece in enumerate([*evidence, None]):
        run(shared, piece, minute)
    assert shared.rows() == expected
    assert (
        standing(shared)
        == shared.con.execute(f"SELECT {STATUS} FROM wallet.customer_wallet_status ORDER BY ALL").fetchall()
    )


@settings(max_examples=settings.default.max_examples // 4)
@given(crowd=crowds(identifier_maps) | crowds(tight_maps), data=st.data())
def test_each_event_run_leaves_what_a_full_derivation_of_then_would(
    shared: Warehouse, crowd: World, data: st.DataObject
) -> None:
    """After every batch of events, whatever identities they tie together, the tables are those of a full derivation."""
    passes = sorted({listed.pass_id for snapshot in crowd.snapshots for listed in snapshot.listings})
    maps = data.draw(
        st.lists(st.tuples(st.sampled_from(passes or ["pass0"]), identifier_maps | tight_maps), max_size=4)
    )
    shared.clear()
    shared.take(crowd)
    shared.derive()
    for minute, (pass_id, identifiers) in enumerate(maps, start=1):
        at = NOON + timedelta(hours=1, minutes=minute)
        shared.add(Delivery(pass_id, "apple", "installed", f"e{minute}", at, at, identifiers=canonical(identifiers)))
        derive_touched(shared.con, RULES, at)
        touched = shared.rows()
        shared.derive(at + timedelta(seconds=1))
        assert touched == shared.rows()


@settings(max_examples=settings.default.max_examples // 4)
@given(arrival=arrivals())
def test_every_customer_whom_events_change_is_left_to_the_sync(
    shared: Warehouse, arrival: tuple[World, list[Arrival]]
) -> None:
    """An event run marks all customers whose row it changed, those that are no more included."""
    shared.clear()
    for minute, piece in enumerate([*arrival[1], None]):
        before = statuses(shared)
        shared.con.execute("DELETE FROM wallet.changed_customers")
        run(shared, piece, minute)
        if piece is None:
            marked = {
                key for (key,) in shared.con.execute("SELECT customer_key FROM wallet.changed_customers").fetchall()
            }
            assert marked >= {key for key, *_ in before ^ statuses(shared)}


def test_event_changes_its_component_and_nothing_else(shared: Warehouse) -> None:
    """One event of a pass that shares an e-mail with another one derives these two of three passes."""
    shared.clear()
    ana = Listing("pass1", None, '{"customerId":"1","email":"ana@a.de"}')
    same = Listing("pass2", None, '{"email":"ana@a.de"}')
    other = Listing("pass3", None, '{"customerId":"3"}')
    shared.take(World((), (Snapshot("s", NOON, complete=True, listings=(ana, same, other)),)))
    shared.derive()
    at = NOON + timedelta(hours=1)
    shared.add(Delivery("pass2", "google", "installed", "e1", at, at))
    assert derive_touched(shared.con, RULES, at) == Touched(passes=1, derived=2, changed_customers=1)
    assert shared.con.execute(
        "SELECT customer_key, wallet_status FROM wallet.customer_wallet_status ORDER BY 1"
    ).fetchall() == [
        ("customerId=1", "google"),
        ("customerId=3", "none"),
    ]


def test_event_that_moves_a_pass_ends_one_customer_and_begins_another(shared: Warehouse) -> None:
    """Both are left to the sync, the old version has ended, one version of the new one stands, nothing is touched."""
    shared.clear()
    shared.take(
        World((), (Snapshot("s", NOON, complete=True, listings=(Listing("pass1", None, '{"customerId":"1"}'),)),))
    )
    shared.derive()
    for hour, kind in enumerate(("installed", "uninstalled"), start=1):
        at = NOON + timedelta(hours=hour)
        shared.add(Delivery("pass1", "apple", kind, f"e{hour}", at, at, identifiers='{"customerId":"2"}'))
        derive_touched(shared.con, RULES, at)
    versions = shared.con.execute(
        "SELECT customer_key, valid_from, valid_to FROM wallet.customer_status_changes ORDER BY ALL"
    ).fetchall()
    first, moved, again = (naive(NOON + timedelta(hours=hour)) for hour in (0, 1, 2))
    assert versions == [
        ("customerId=1", first, moved),
        ("customerId=2", moved, again),
        ("customerId=2", again, None),
    ]
    marked = shared.con.execute("SELECT DISTINCT customer_key FROM wallet.changed_customers ORDER BY 1").fetchall()
    assert marked == [("customerId=1",), ("customerId=2",)]
    assert count_touched(shared.con) == 0


def test_full_derivation_marks_whom_events_have_changed(shared: Warehouse) -> None:
    """What the daily run derives first is left to the sync just as well; what only a snapshot changed is its own."""
    shared.clear()
    listed = tuple(Listing(f"pass{number}", None, f'{{"customerId":"{number}"}}') for number in (1, 2))
    shared.take(World((), (Snapshot("s", NOON, complete=True, listings=listed),)))
    shared.derive()
    assert shared.con.execute("FROM wallet.changed_customers").fetchall() == []
    at = NOON + timedelta(hours=1)
    shared.add(Delivery("pass1", "apple", "installed", "e1", at, at, identifiers='{"customerId":"3"}'))
    shared.derive(at)
    marked = shared.con.execute("SELECT DISTINCT customer_key FROM wallet.changed_customers ORDER BY 1").fetchall()
    assert (marked, count_touched(shared.con)) == ([("customerId=1",), ("customerId=3",)], 0)


def test_customer_whom_an_event_does_not_change_is_left_to_the_sync_too(shared: Warehouse) -> None:
    """A run that died may have derived the row before, and never told the CRM: an event has it compared again."""
    shared.clear()
    listed = tuple(Listing(f"pass{number}", None, f'{{"customerId":"{number}"}}') for number in (1, 2))
    shared.take(World((), (Snapshot("s", NOON, complete=True, listings=listed),)))
    shared.derive()
    event = Delivery("pass1", "apple", "uninstalled", "e1", NOON, NOON, active=1)
    shared.add(event)
    derive_touched(shared.con, RULES, NOON + timedelta(hours=1))
    assert shared.con.execute("SELECT customer_key FROM wallet.changed_customers").fetchall() == [("customerId=1",)]


def test_nothing_touched_changes_nothing(shared: Warehouse) -> None:
    """Without new events nothing is derived."""
    shared.clear()
    assert derive_touched(shared.con, RULES, NOON) == Touched(0, 0, 0)


def test_failure_leaves_all_as_it_was(shared: Warehouse) -> None:
    """A derivation that breaks off keeps the passes touched, and the next one finds them."""
    shared.clear()
    shared.add(Delivery("pass1", "apple", "installed", "e1", NOON, NOON, identifiers='{"customerId":"1"}'))
    broken = replace(RULES, identifier_order=("customerId", 'no"name'))
    with pytest.raises(Exception, match="JSON path"):
        derive_touched(shared.con, broken, NOON)
    assert derive_touched(shared.con, RULES, NOON) == Touched(1, 1, 1)


def run(warehouse: Warehouse, piece: Arrival, minute: int) -> None:
    """Take a delivery over, or let a run take place: a daily one with its snapshot, or one of events."""
    now = NOON + timedelta(days=1, minutes=minute)
    if isinstance(piece, Delivery):
        warehouse.add(piece)
    elif piece is None:
        derive_touched(warehouse.con, RULES, now)
    else:
        warehouse.add(piece)
        warehouse.derive(now)


def statuses(warehouse: Warehouse) -> set[tuple[Any, ...]]:
    """Return the rows of all customers."""
    return set(warehouse.con.execute(f"SELECT {STATUS} FROM wallet.customer_wallet_status").fetchall())


def standing(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    """Return the versions that stand."""
    return warehouse.con.execute(
        f"SELECT {STATUS} FROM wallet.customer_status_changes WHERE valid_to IS NULL ORDER BY ALL"
    ).fetchall()
