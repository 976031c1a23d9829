"""Locks between runs."""

import fcntl
import threading
import time
from contextlib import suppress
from pathlib import Path

from wallet_pipeline.warehouse.staging import in_turn

TIMEOUT_S = 10


def test_who_waits_is_next(tmp_path: Path) -> None:
    """A run that goes in again and again lets another one in after the block in which that began to wait."""
    entries: list[str] = []
    inside, waiting = threading.Event(), threading.Event()

    def wait_for_a_turn() -> None:
        inside.wait()
        waiting.set()
        with in_turn(tmp_path, "sender"):
            entries.append("other")

    other = threading.Thread(target=wait_for_a_turn)
    other.start()
    while "other" not in entries and len(entries) < 1000:
        with in_turn(tmp_path, "sender"):
            entries.append("again")
            if not waiting.is_set():
                inside.set()
                waiting.wait()
                _until_queued(tmp_path)
    other.join()
    assert entries[:2] == ["again", "other"]


def _until_queued(folder: Path) -> None:
    """Return when somebody holds the lock of the next one."""
    deadline = time.monotonic() + TIMEOUT_S
    with (folder / "next-sender.lock").open() as lock, suppress(BlockingIOError):
        while time.monotonic() < deadline:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(lock, fcntl.LOCK_UN)
        raise AssertionError("nobody waits for the next turn")
