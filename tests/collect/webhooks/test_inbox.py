"""The inbox: what it holds, in which order, and what it says of a file that it cannot rely on."""

import hashlib
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collect.webhooks.conftest import TIMEOUT_S, locked
from wallet_pipeline.collect.webhooks.inbox import (
    Inbox,
    InboxError,
    InboxState,
    NewDelivery,
    newest_delivery,
    note_taken,
    read_chosen,
    read_deliveries,
    read_state,
)

NOON = 1_768_132_800_000_000
EVERYTHING = 10**9


def delivery(text: str, received_at: int = NOON) -> NewDelivery:
    """Return a webhook with this body."""
    body = text.encode()
    return NewDelivery(received_at, "webhook", hashlib.sha256(body).digest(), body)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Name a file in a folder that does not exist yet."""
    return tmp_path / "data" / "inbox.sqlite"


@pytest.fixture
def inbox(file: Path) -> Iterator[Inbox]:
    """Open a new inbox."""
    with closing(Inbox(file)) as inbox:
        yield inbox


@settings(max_examples=30, deadline=None)
@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["webhook", "connector"]), st.binary(max_size=5))),
        max_size=4,
    )
)
def test_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[int, str, bytes]]]
) -> None:
    """Deliveries come out as they went in, in that order, with ids that grow, and known when their body was there."""
    file = tmp_path_factory.mktemp("inbox") / "inbox.sqlite"
    news = [[NewDelivery(at, source, hashlib.sha256(b).digest(), b) for at, source, b in one] for one in batches]  # type: ignore[arg-type]
    with closing(Inbox(file)) as inbox:
        known = [flag for batch in news for flag in inbox.append(batch)]
    flat = [one for batch in news for one in batch]
    kept = read_deliveries(file, 0, EVERYTHING)
    assert [(k.received_at, k.source, k.body_sha256, k.body) for k in kept] == [
        (n.received_at, n.source, n.body_sha256, n.body) for n in flat
    ]
    ids = [one.delivery_id for one in kept]
    assert ids == sorted(set(ids))
    assert known == [one.body in {earlier.body for earlier in flat[:place]} for place, one in enumerate(flat)]


def test_ids_grow_though_the_clock_goes_back(file: Path, inbox: Inbox) -> None:
    """An id is the time of receipt, or one more than the last one where that would not be greater."""
    inbox.append([delivery("a", NOON), delivery("b", NOON)])
    inbox.append([delivery("c", NOON - 5), delivery("d", NOON + 9)])
    assert [one.delivery_id for one in read_deliveries(file, 0, EVERYTHING)] == [NOON, NOON + 1, NOON + 2, NOON + 9]
    assert newest_delivery(file) == NOON + 9


def test_reading_begins_and_ends_where_it_is_told(file: Path, inbox: Inbox) -> None:
    """Deliveries are read after an id, up to an id, up to a number, or by their ids."""
    inbox.append([delivery(text, NOON + place) for place, text in enumerate("abcdef")])
    read = {"after": NOON, "limit": 3}
    assert [one.body for one in read_deliveries(file, **read)] == [b"b", b"c", b"d"]
    assert [one.body for one in read_deliveries(file, **read, until=NOON + 2)] == [b"b", b"c"]
    assert [one.body for one in read_chosen(file, [NOON + 4, NOON + 1, 7])] == [b"b", b"e"]


def _append_many(file: Path, name: str) -> None:
    with closing(Inbox(file)) as inbox:
        for number in range(50):
            inbox.append([delivery(f"{name} {number} a"), delivery(f"{name} {number} b")])


def test_several_processes_append_to_one_file(file: Path) -> None:
    """Processes that open and fill one inbox at the same time lose nothing, and ids stay unique."""
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as processes:
        list(processes.map(_append_many, [file] * 4, "abcd"))
    assert len({one.body for one in read_deliveries(file, 0, EVERYTHING)}) == 4 * 50 * 2


def test_state_follows_what_the_warehouse_has_taken(file: Path, inbox: Inbox) -> None:
    """The oldest waiting delivery is the first beyond the one that the warehouse noted."""
    assert read_state(file) == InboxState(None, None)
    inbox.append([delivery("a", NOON), delivery("b", NOON + 1), delivery("c", NOON + 2)])
    assert read_state(file) == InboxState(NOON, NOON + 2)
    note_taken(file, NOON + 1)
    assert read_state(file) == InboxState(NOON + 2, NOON + 2)
    note_taken(file, NOON + 2)
    assert read_state(file) == InboxState(None, NOON + 2)


def _delete(file: Path) -> None:
    file.unlink()


def _delete_folder(file: Path) -> None:
    shutil.rmtree(file.parent)


def _delete_log(file: Path) -> None:
    file.with_name(f"{file.name}-wal").unlink()


def _delete_index(file: Path) -> None:
    file.with_name(f"{file.name}-shm").unlink()


def _replace(file: Path) -> None:
    file.rename(file.with_name("moved.sqlite"))
    Inbox(file).close()


@pytest.mark.parametrize("spoil", [_delete, _delete_folder, _delete_log, _delete_index, _replace])
def test_delivery_is_not_taken_for_written_when_the_file_is_gone(
    file: Path, inbox: Inbox, spoil: Callable[[Path], None]
) -> None:
    """When the file, its log, its index or its folder was deleted or replaced, appending fails with the reason."""
    inbox.append([delivery("before")])
    spoil(file)
    with pytest.raises(InboxError, match="was deleted or replaced while it was in use"):
        inbox.append([delivery("lost")])
    with pytest.raises(InboxError, match="was deleted or replaced"):
        inbox.try_to_write()


def test_delivery_is_not_taken_for_written_when_the_file_goes_meanwhile(file: Path) -> None:
    """When the file is deleted while a delivery waits for its turn to be written, appending fails with the reason."""
    ready = Event()

    def append() -> None:
        with closing(Inbox(file)) as inbox:
            ready.set()
            inbox.append([delivery("lost")])

    Inbox(file).close()
    with ThreadPoolExecutor(1) as threads:
        with locked(file):
            waiting = threads.submit(append)
            assert ready.wait(TIMEOUT_S)
            # Time to begin to wait. Whoever is slower finds the file gone before, which is refused as well.
            time.sleep(0.2)
            file.unlink()
        with pytest.raises(InboxError, match="was deleted or replaced"):
            waiting.result()


def test_deleted_log_costs_nothing_that_was_written(file: Path) -> None:
    """What was accepted before the log was deleted is still there when the inbox is opened anew."""
    inbox = Inbox(file)
    inbox.append([delivery("before")])
    _delete_log(file)
    inbox.close()
    with closing(Inbox(file)) as again:
        again.append([delivery("after")])
    assert [one.body for one in read_deliveries(file, 0, EVERYTHING)] == [b"before", b"after"]


def test_failed_batch_is_not_written_in_part(file: Path, inbox: Inbox) -> None:
    """When one delivery cannot be written, none of its batch is, and the next batch can be."""
    with pytest.raises(sqlite3.Error):
        inbox.append([delivery("a"), delivery("b", 2**70)])
    inbox.append([delivery("c")])
    assert [one.body for one in read_deliveries(file, 0, EVERYTHING)] == [b"c"]


def test_reading_creates_no_inbox(file: Path) -> None:
    """Where there is no inbox, reading says so and creates none; there is no newest delivery."""
    with pytest.raises(InboxError, match="cannot be used"):
        read_state(file)
    with pytest.raises(InboxError, match="cannot be used"):
        read_deliveries(file, 0, 1)
    assert newest_delivery(file) == 0
    assert not file.exists()


def test_inbox_that_was_just_created_is_empty(file: Path) -> None:
    """A file that a receiver has created, but not yet filled with tables, has no newest delivery."""
    file.parent.mkdir()
    file.touch()
    assert newest_delivery(file) == 0


def test_file_that_is_no_inbox_is_named(file: Path) -> None:
    """A damaged file is not overwritten: the error names it."""
    file.parent.mkdir()
    file.write_bytes(b"no database " * 100)
    with pytest.raises(InboxError, match=r"inbox\.sqlite cannot be used: file is not a database"):
        Inbox(file)
    assert file.read_bytes().startswith(b"no database")


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """Where a file stands in the way of the folder, the error names the inbox."""
    (tmp_path / "data").touch()
    with pytest.raises(InboxError, match=r"inbox\.sqlite cannot be used"):
        Inbox(tmp_path / "data" / "inbox.sqlite")
