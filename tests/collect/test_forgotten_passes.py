"""Passes that are forgotten are counted as listed, and come in by no way."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import Data, Tenant, make_pass, make_passes
from wallet_pipeline.collect.pass_snapshot import approve_snapshot
from wallet_pipeline.collect.wallet_events import Selection, replay, take_events, taken_up_to
from wallet_pipeline.collect.webhooks.inbox import Inbox, erase_deliveries, find_deliveries, read_deliveries
from wallet_pipeline.derive.vendor_totals import VendorTotal, compare_total

from .deliveries import receive, told
from .snapshots import take
from .test_wallet_events import MAPPING, DiedError, dying

FORGOTTEN = "pass-0003"


@pytest.fixture
def inbox_file(data: Data) -> Path:
    """Give the name of an inbox to be, in the data folder."""
    return data.folder / "inbox.sqlite"


def forget(data: Data, *pass_ids: str) -> None:
    """Note passes as forgotten, as wallet-pipeline forget does."""
    with data.open() as con:
        con.execute("INSERT INTO raw.erasure_key SELECT 'key' WHERE NOT EXISTS (FROM raw.erasure_key)")
        con.execute(
            "INSERT INTO raw.forgotten_passes SELECT raw.pass_hash(unnest(?::VARCHAR[])), now()::TIMESTAMP",
            [list(pass_ids)],
        )


def listed_passes(data: Data) -> set[str]:
    """Return the passes of which the warehouse has evidence from snapshots."""
    return {
        pass_id
        for (pass_id,) in data.rows("SELECT pass_id FROM raw.passes SEMI JOIN raw.wallet_observations USING (pass_id)")
    }


def test_forgotten_pass_is_counted_as_listed_and_left_out(data: Data, tenant: Tenant) -> None:
    """The list is complete and has not shrunk, though one of its ten passes is kept nowhere."""
    installed = {"apple": "2026-01-02T03:04:05Z"}
    tenant.put(*make_passes(10), make_pass(FORGOTTEN, providers=installed))
    forget(data, FORGOTTEN)
    for _ in range(2):
        snapshot = take(data, tenant, min_share=1)
        assert (snapshot.verdict, snapshot.complete, snapshot.passes) == ("accepted", True, 10)
        assert (snapshot.forgotten, snapshot.forgotten_apple, snapshot.forgotten_google) == (1, 1, 0)
    assert listed_passes(data) == {f"pass-{number:04}" for number in range(10)} - {FORGOTTEN}
    with data.open() as con:
        total = compare_total(con, "apple", vendor=1)
    assert (total, total.agrees) == (VendorTotal("apple", vendor=1, registers=0, forgotten=1), True)
    assert str(total) == "The vendor counts 1 passes in apple, the registers 0, and 1 are forgotten."


def test_held_snapshot_keeps_nothing_of_a_forgotten_pass(data: Data, tenant: Tenant) -> None:
    """The file that waits for an approval has no byte of it, and what was forgotten since is left out then."""
    tenant.put(*make_passes(10))
    take(data, tenant)
    tenant.delete(*(f"pass-{number:04}" for number in range(5, 10)))
    forget(data, FORGOTTEN)
    held = take(data, tenant)
    assert (held.verdict, held.passes, held.forgotten) == ("held", 5, 1)
    (file,) = data.staging.glob("held-*.duckdb")
    assert FORGOTTEN.encode() not in file.read_bytes()
    assert b"pass-0004" in file.read_bytes()
    forget(data, "pass-0004")
    assert approve_snapshot(data.open, data.staging, held.snapshot_id, datetime.now(UTC)).verdict == "accepted"
    open_runs = data.rows("SELECT pass_id FROM raw.passes WHERE last_snapshot IS NULL ORDER BY 1")
    assert open_runs == [("pass-0000",), ("pass-0001",), ("pass-0002",)]


def test_death_at_any_statement_leaves_no_delivery_of_a_forgotten_pass(data: Data, inbox_file: Path) -> None:
    """Wherever a take-over ends, the next one leaves the forgotten pass out of warehouse and inbox, and nobody else."""
    forget(data, "pass-00002")
    receive(inbox_file, [told(1), told(2), b"x", told(2), told(3)])
    left_out = 0
    for statements in range(100):
        with suppress(DiedError):
            left_out += take_events(dying(data, statements), inbox_file, MAPPING).forgotten
        if with_data_taken(data):
            break
    assert 5 < statements < 50
    assert data.rows("SELECT pass_id FROM raw.wallet_events ORDER BY 1") == [("pass-00001",), ("pass-00003",)]
    assert b"pass-00002" not in b"".join(one.body for one in read_deliveries(inbox_file, 0, 99))
    # A death after they had been erased has left none to count.
    assert left_out in {0, 2}


def with_data_taken(data: Data) -> int:
    """Return up to which delivery the warehouse has taken over."""
    with data.open() as con:
        return taken_up_to(con)


def test_take_over_tells_how_many_were_left_out(data: Data, inbox_file: Path) -> None:
    """Deliveries of forgotten passes are counted apart from events and from what was not understood."""
    forget(data, "pass-00002")
    ids = receive(inbox_file, [told(1), told(2), b"x"])
    taken = take_events(data.open, inbox_file, MAPPING)
    assert (taken.deliveries, taken.events, taken.unusable, taken.forgotten) == (2, 1, {"not JSON": 1}, 1)
    assert taken.up_to == ids[-1]
    again = replay(data.open, inbox_file, MAPPING, Selection(), dry_run=False)
    assert (again.unchanged, again.changed, again.missing) == (2, 0, 0)


@pytest.mark.parametrize("size", [10, 5000, 60_000])
def test_erased_deliveries_leave_no_byte_while_the_receiver_has_the_inbox_open(inbox_file: Path, size: int) -> None:
    """Neither in the file nor in its log of writes, whether a body fills a part of a page or many, the first too."""
    bodies = [
        json.dumps({"who": "anna" if number % 3 == 0 else "ben", "n": number, "x": "y" * size}).encode()
        for number in range(30)
    ]
    inbox = Inbox(inbox_file)
    receive(inbox_file, bodies)
    found, last = find_deliveries(inbox_file, lambda body: b"anna" in body)
    assert find_deliveries(inbox_file, lambda body: b"anna" in body, after=last) == ([], last)
    assert (len(found), erase_deliveries(inbox_file, found), erase_deliveries(inbox_file, found)) == (10, 10, 0)
    files = [file for file in inbox_file.parent.glob("inbox.sqlite*") if not file.name.endswith("-shm")]
    assert [file.name for file in files if b"anna" in file.read_bytes()] == []
    assert [one.body for one in read_deliveries(inbox_file, 0, 99)] == [body for body in bodies if b"ben" in body]
    inbox.close()
