"""From bodies in the inbox to derived rows: any arrival ends as one that came in order, at once."""

import hashlib
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Data
from tests.derive.conftest import shared  # noqa: F401  registers the profiles of the property tests
from tests.derive.evidence import RULES, add_snapshot
from tests.derive.oracle import Delivery, Snapshot, World
from tests.derive.test_status_properties import as_case
from tests.derive.worlds import NOON, RULE_TABLES, identifier_maps, tight_maps, worlds
from wallet_pipeline.collect.wallet_events import take_events
from wallet_pipeline.collect.webhooks.inbox import Inbox, NewDelivery
from wallet_pipeline.collect.webhooks.understanding import EventMapping
from wallet_pipeline.derive.statuses import derive_statuses
from wallet_pipeline.derive.touched import derive_touched
from wallet_pipeline.settings import Settings

MAPPING = EventMapping.from_settings(Settings())

Step = Delivery | Snapshot | str


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[World, list[Step]]:
    """Return a world, and its evidence in any order, repeated, with take-overs and runs of changes in between."""
    world = draw(worlds(identifier_maps, events=6, most=2) | worlds(tight_maps, events=6, most=2))
    steps: list[Step] = [*world.deliveries, *world.snapshots]
    again = draw(st.lists(st.sampled_from(world.deliveries), max_size=3)) if world.deliveries else []
    runs = draw(st.lists(st.sampled_from(["take", "derive"]), max_size=5))
    return world, draw(st.permutations([*steps, *again, *runs]))


@settings(max_examples=12)
@given(arrival=arrivals())
def test_any_arrival_at_the_receiver_ends_in_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, arrival: tuple[World, list[Step]]
) -> None:
    """Order, repetition, delay and split of deliveries, mixed with daily runs, do not show in any derived row."""
    world, steps = arrival
    folder = tmp_path_factory.mktemp("arrival", numbered=True)
    in_order: list[Step] = [*world.snapshots, *world.deliveries]
    assert run(folder / "mixed", [*steps, "take", "derive"]) == run(folder / "once", [*in_order, "take", "derive"])


def run(folder: Path, steps: Sequence[Step]) -> dict[str, list[tuple[Any, ...]]]:
    """Let the steps happen in a pipeline of its own, and return all derived rows."""
    data = Data(folder)
    inbox = Inbox(folder / "inbox.sqlite")
    for minute, step in enumerate(steps):
        now = NOON + timedelta(days=1, minutes=minute)
        if isinstance(step, Delivery):
            inbox.append([received(step)])
        elif step == "take":
            take_events(data.open, folder / "inbox.sqlite", MAPPING)
        else:
            with data.open() as con:
                derive(con, folder, step, now)
    inbox.close()
    with data.open() as con:
        return {table: con.execute(f"FROM wallet.{table} ORDER BY ALL").fetchall() for table in RULE_TABLES}


def derive(con: duckdb.DuckDBPyConnection, folder: Path, step: Snapshot | str, now: Any) -> None:
    """Let a run of changes take place, or a daily run with its snapshot."""
    if isinstance(step, Snapshot):
        add_snapshot(con, folder, as_case(step))
        derive_statuses(con, RULES, now)
    else:
        derive_touched(con, RULES, now)


def received(delivery: Delivery) -> NewDelivery:
    """Return a delivery as the receiver keeps it."""
    said = {
        "eventType": f"Pass:{delivery.kind}",
        "eventId": delivery.event_id,
        "timestamp": delivery.at.isoformat(),
        "passId": delivery.pass_id,
        "passType": delivery.pass_type,
        "device": delivery.wallet,
        "identifiers": None if delivery.identifiers is None else json.loads(delivery.identifiers),
        "activeRegistrationCount": delivery.active,
    }
    body = json.dumps(said).encode()
    micros = round(delivery.received_at.timestamp() * 1_000_000)
    return NewDelivery(micros, "webhook", hashlib.sha256(body).digest(), body)
