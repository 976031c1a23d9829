"""The status rules against an oracle written from their text, and the laws that hold for any evidence."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wallet_pipeline.derive.statuses import StatusRules, derive_registers

from .evidence import RULES, add_snapshot, derived
from .oracle import Delivery, Listing, Snapshot, World, status_of
from .worlds import (
    NOON,
    Truth,
    Warehouse,
    crowds,
    dotted_maps,
    histories,
    identifier_maps,
    moments,
    naive,
    said,
    shown,
    tight_maps,
    truths,
    worlds,
)

DOTTED = StatusRules(timedelta(seconds=60), ("y2.customerId", "contact.email", "accountId"))

UNDATED = (Listing("pass1", (("apple", "2027-01-01T00:00:00Z"),), "{}"),)


def by_sql(warehouse: Warehouse, world: World, rules: StatusRules = RULES) -> dict[str, list[Any]]:
    """Return what the SQL says of the world, in the oracle's form."""
    warehouse.clear()
    warehouse.take_runs(world)
    warehouse.derive(rules=rules)
    return as_oracle(warehouse.con)


def as_oracle(con: duckdb.DuckDBPyConnection) -> dict[str, list[Any]]:
    """Return the derived rows in the oracle's form."""
    rows = derived(con)
    del rows["quarantined"]
    never = con.execute(
        "SELECT pass_id, wallet, installed, installed_at, last_event, changed_at_inferred FROM wallet.registers"
        " WHERE changed_at IS NULL ORDER BY ALL"
    ).fetchall()
    rows["never"] = [(pass_id, wallet) for pass_id, wallet, *nothing in never if nothing == [False, None, None, False]]
    rows["types"] = con.execute("SELECT pass_id, pass_type FROM wallet.pass_customers ORDER BY 1").fetchall()
    return rows


def by_oracle(world: World, rules: StatusRules = RULES) -> dict[str, list[Any]]:
    """Return what the oracle says of the world."""
    rows = status_of(world, rules.staleness, rules.identifier_order)
    del rows["quarantined"]
    return rows


@settings(max_examples=4 * settings.default.max_examples)
@given(world=histories())
def test_registers_are_those_of_the_oracle(shared: Warehouse, world: World) -> None:
    """Any history of a pass gives the registers that the text gives, although observations are stored as runs."""
    shared.clear()
    shared.take_runs(world)
    derive_registers(shared.con, RULES)
    actual, expected = as_oracle(shared.con), by_oracle(world)
    assert (actual["registers"], actual["never"]) == (expected["registers"], expected["never"])


def test_first_absence_after_an_undated_sighting_within_a_gap(shared: Warehouse) -> None:
    """An incomplete snapshot shows a gone pass, with a date in the future: the next complete one dates its end."""
    days = [Snapshot(f"s{day}", NOON + timedelta(days=day), complete=True, listings=()) for day in range(5)]
    days[2] = replace(days[2], complete=False, listings=UNDATED)
    (row,) = by_sql(shared, World((), tuple(days)))["registers"]
    assert row["changed_at"] == "2026-03-04T12:00:00.000000Z"


@given(world=worlds())
def test_rows_are_those_of_the_oracle(shared: Warehouse, world: World) -> None:
    """Any evidence of a few passes gives the rows that the text gives."""
    assert by_sql(shared, world) == by_oracle(world)


@settings(max_examples=settings.default.max_examples // 3)
@given(world=worlds(identifier_maps, events=2, most=3))
def test_pages_give_the_rows_of_the_oracle(
    shared: Warehouse, tmp_path_factory: pytest.TempPathFactory, world: World
) -> None:
    """The same holds when the snapshots come as JSON, through the page loader."""
    folder = tmp_path_factory.mktemp("pages", numbered=True)
    shared.clear()
    for delivery in world.deliveries:
        shared.add(delivery)
    with shared.without_staging():
        for snapshot in world.snapshots:
            add_snapshot(shared.con, folder, as_case(snapshot))
    shared.derive()
    assert as_oracle(shared.con) == by_oracle(world)


def as_case(snapshot: Snapshot) -> dict[str, Any]:
    """Return the snapshot as the golden cases write it."""
    passes = [
        {
            "id": listed.pass_id,
            "type": listed.pass_type,
            "identifiers": json.loads(listed.identifiers or "null"),
            "providers": None if listed.providers is None else dict(listed.providers),
        }
        for listed in snapshot.listings
    ]
    return {"id": snapshot.name, "start": snapshot.start.isoformat(), "complete": snapshot.complete, "passes": passes}


@given(world=crowds(identifier_maps) | crowds(tight_maps))
def test_customers_are_those_of_the_oracle(shared: Warehouse, world: World) -> None:
    """Any identifiers give the customers, conflicts and shared values that the text gives."""
    assert by_sql(shared, world) == by_oracle(world)


def test_conflict_is_handed_on_to_the_next_rank(shared: Warehouse) -> None:
    """A value that a pass in conflict bears keeps a pass of lower rank in conflict, though one customer bears it."""
    borne = [
        '{"customerId":"1","accountId":"A","email":"x@a.de"}',
        '{"customerId":"2","accountId":"A"}',
        '{"accountId":"A","email":"x@a.de"}',
        '{"email":"x@a.de"}',
    ]
    listed = tuple(Listing(f"pass{i}", None, identifiers) for i, identifiers in enumerate(borne))
    world = World((), (Snapshot("s", NOON, complete=True, listings=listed),))
    assert by_sql(shared, world)["conflicts"] == ["pass2", "pass3"]


def test_listing_counts_before_an_event_of_equal_time(shared: Warehouse) -> None:
    """At equal time the listing names the customer, however great the event's JSON is."""
    event = Delivery("pass1", "apple", "installed", "a", NOON, NOON, identifiers='{"customerId":"9"}')
    listed = (Listing("pass1", None, '{"customerId":"1"}'),)
    world = World((event,), (Snapshot("s", NOON + RULES.staleness, complete=True, listings=listed),))
    assert [row["customer"] for row in by_sql(shared, world)["customers"]] == ["customerId=1"]


@given(world=crowds(dotted_maps))
def test_identifier_names_with_dots_are_those_of_the_oracle(shared: Warehouse, world: World) -> None:
    """The order of identifiers is a setting, and their names may contain dots."""
    assert by_sql(shared, world, DOTTED) == by_oracle(world, DOTTED)


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[World, list[Delivery | Snapshot | None]]:
    """Return a world and another arrival of its evidence: any order, repetitions, None where a derivation runs."""
    world = draw(worlds(identifier_maps, events=4, most=4))
    evidence: list[Delivery | Snapshot] = [*world.deliveries, *world.snapshots]
    repeated = draw(st.lists(st.sampled_from(evidence), max_size=3)) if evidence else []
    return world, draw(st.permutations([*evidence, *repeated, *([None] * draw(st.integers(0, 2)))]))


def test_late_snapshot_cuts_the_run_that_it_contradicts(shared: Warehouse) -> None:
    """What stood before it and what stood after it both stay."""
    days = [Snapshot(f"s{day}", NOON + timedelta(days=day), complete=True, listings=UNDATED) for day in range(4)]
    days[1] = replace(days[1], listings=())
    shared.clear()
    shared.take_runs(World((), tuple(days)))
    expected = said(shared.con)
    shared.clear()
    for day in (0, 2, 3, 1):
        shared.add(days[day])
    assert said(shared.con) == expected


@settings(max_examples=3 * settings.default.max_examples)
@given(data=st.data(), world=histories())
def test_snapshots_merged_in_any_order_say_what_they_said(shared: Warehouse, data: st.DataObject, world: World) -> None:
    """Runs lose and invent no observation, wherever in the order of snapshots a late one stands."""
    shared.clear()
    shared.take_runs(world)
    expected = said(shared.con)
    shared.clear()
    for snapshot in data.draw(st.permutations(world.snapshots)):
        shared.add(snapshot)
    assert said(shared.con) == expected


@settings(max_examples=settings.default.max_examples // 2)
@given(arrival=arrivals())
def test_any_arrival_of_the_same_evidence_gives_the_same_rows(
    shared: Warehouse, arrival: tuple[World, list[Delivery | Snapshot | None]]
) -> None:
    """Neither order, nor repetition, nor a derivation in between shows in any column of any row."""
    world, others = arrival
    shared.clear()
    shared.take_runs(world)
    shared.derive()
    expected = shared.rows()
    shared.clear()
    for evidence in others:
        if evidence is None:
            shared.derive()
        else:
            shared.add(evidence)
    shared.derive()
    assert shared.rows() == expected


@settings(max_examples=settings.default.max_examples // 2)
@given(world=worlds(identifier_maps, events=4, most=3), last=worlds(identifier_maps, events=0, most=1))
def test_further_snapshot_of_an_unchanged_truth_changes_no_row(shared: Warehouse, world: World, last: World) -> None:
    """Once two complete snapshots have shown the truth (a pass is gone by the second), a third one adds nothing."""
    listed = last.snapshots[0].listings if last.snapshots else ()
    one, two, three = (
        Snapshot(f"z{day}", NOON + timedelta(days=day), complete=True, listings=listed) for day in (1, 2, 3)
    )
    shared.clear()
    shared.take_runs(replace(world, snapshots=(*world.snapshots, one, two)))
    shared.derive()
    before = shared.rows()
    shared.add(three)
    shared.derive()
    # Of an identifier it is noted when it was carried last.
    assert shared.rows() | {"pass_identifiers": []} == before | {"pass_identifiers": []}


@given(
    truth=truths(),
    looks=st.lists(st.tuples(moments, st.integers(0, 60)), max_size=3),
    counted=st.booleans(),
)
def test_full_evidence_and_a_fresh_snapshot_give_the_truth(
    shared: Warehouse, truth: tuple[Truth, ...], looks: list[tuple[datetime, int]], *, counted: bool
) -> None:
    """With every event and a snapshot after the last of them the registers are what happened."""
    lagging = [shown(truth, f"s{i}", start, timedelta(seconds=lag)) for i, (start, lag) in enumerate(looks)]
    events = tuple(delivery for of in truth for delivery in of.deliveries(counted=counted))
    end = NOON + timedelta(days=1)
    shared.clear()
    shared.take_runs(World(events, (*lagging, shown(truth, "end", end))))
    shared.derive()
    actual = shared.con.execute(
        "SELECT pass_id, wallet, installed_at, changed_at, last_event, changed_at_inferred FROM wallet.registers"
        " ORDER BY ALL"
    ).fetchall()
    assert actual == sorted(true_row(of, end) for of in truth)


def true_row(of: Truth, at: datetime) -> tuple[Any, ...]:
    """Return the register as it is in truth."""
    since = of.date(at)
    if since:
        return of.pass_id, of.wallet, naive(since), naive(since), "installed", False
    if of.changes:
        return of.pass_id, of.wallet, None, naive(of.changes[-1][0]), "uninstalled", False
    return of.pass_id, of.wallet, None, None, None, False


VERSIONED = (
    "customer_key, wallet_status, apple_wallet_installed_at, google_wallet_installed_at, wallet_last_changed_at,"
    " wallet_last_event"
)


@settings(max_examples=settings.default.max_examples // 2)
@given(stages=st.lists(worlds(identifier_maps, events=3, most=2), min_size=1, max_size=3))
def test_history_holds_every_row_for_as_long_as_it_stood(shared: Warehouse, stages: list[World]) -> None:
    """After each derivation the open versions are the current rows, and the versions are the rows of then."""
    shared.clear()
    expected: list[tuple[Any, ...]] = []
    for stage, world in enumerate(stages):
        renamed = tuple(replace(snapshot, name=f"{stage}{snapshot.name}") for snapshot in world.snapshots)
        shared.take(replace(world, snapshots=renamed))
        for minute in (0, 1):  # the second derivation finds nothing new
            now = NOON + timedelta(hours=stage, minutes=minute)
            shared.derive(now)
            rows = shared.con.execute(f"SELECT {VERSIONED} FROM wallet.customer_wallet_status").fetchall()
            expected = follow(expected, rows, naive(now))
    actual = shared.con.execute(
        f"SELECT {VERSIONED}, valid_from, valid_to FROM wallet.customer_status_changes"
    ).fetchall()
    assert sorted(actual, key=str) == sorted(expected, key=str)


def follow(versions: list[tuple[Any, ...]], rows: list[tuple[Any, ...]], now: datetime) -> list[tuple[Any, ...]]:
    """Return the versions after the rows have been found at `now`."""
    closed = [
        (*version[:-1], now) if version[-1] is None and version[:-2] not in rows else version for version in versions
    ]
    standing = [version[:-2] for version in closed if version[-1] is None]
    return closed + [(*row, now, None) for row in rows if row not in standing]
