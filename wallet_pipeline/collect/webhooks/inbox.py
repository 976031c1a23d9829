"""The inbox: every delivery that was accepted, in a SQLite file of its own, on the disk before it was answered.

Times are microseconds since 1970, UTC. The receiver appends; the pipeline reads.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from wallet_pipeline.errors import ExplainedError

Source = Literal["webhook", "connector"]

_LOCK_WAIT_S = 5.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS deliveries (
    delivery_id INTEGER PRIMARY KEY,  -- the time of receipt, moved on where needed, so that it always grows
    received_at INTEGER NOT NULL,
    source TEXT NOT NULL,
    body_sha256 BLOB NOT NULL,  -- of the bytes as they came
    body BLOB NOT NULL  -- without a secret
) STRICT;
CREATE INDEX IF NOT EXISTS deliveries_body_sha256 ON deliveries (body_sha256);
CREATE TABLE IF NOT EXISTS progress (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    taken_up_to INTEGER NOT NULL  -- newest delivery that the warehouse has; for the metrics, the warehouse knows itself
) STRICT;
"""


class InboxError(ExplainedError):
    """The inbox cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class NewDelivery:
    """A delivery on its way into the inbox. `body` is without a secret; `body_sha256` is of the bytes as they came."""

    received_at: int
    source: Source
    body_sha256: bytes
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Delivery(NewDelivery):
    """A delivery in the inbox. Later ones have greater ids, whatever the clock does and whichever file they are in."""

    delivery_id: int


class Inbox:
    """The inbox opened for appending. For one thread; several processes may append to one file."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._con = sqlite3.connect(file, timeout=_LOCK_WAIT_S, isolation_level=None)
            self._con.execute("PRAGMA journal_mode = WAL")
            self._con.execute("PRAGMA synchronous = FULL")
            self._con.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise InboxError(_cannot_open(file, error)) from error

    def append(self, deliveries: Sequence[NewDelivery]) -> list[bool]:
        """Write deliveries in one transaction, on the disk when this returns; tell which were there already.

        Raises sqlite3.Error when the file is locked for long or cannot grow; then none of them is written.
        """
        # The lock first: ids are given in the order of commits, so that a reader who has seen one has seen all before.
        self._con.execute("BEGIN IMMEDIATE")
        try:
            (last,) = self._con.execute("SELECT coalesce(max(delivery_id), 0) FROM deliveries").fetchone()
            known = []
            for one in deliveries:
                last = max(last + 1, one.received_at)
                seen = self._con.execute("SELECT 1 FROM deliveries WHERE body_sha256 = ?", [one.body_sha256])
                known.append(seen.fetchone() is not None)
                self._con.execute(
                    "INSERT INTO deliveries VALUES (?, ?, ?, ?, ?)",
                    [last, one.received_at, one.source, one.body_sha256, one.body],
                )
            self._con.execute("COMMIT")
        except BaseException:
            if self._con.in_transaction:
                self._con.execute("ROLLBACK")
            raise
        return known

    def oldest_waiting(self) -> int | None:
        """Return when the oldest delivery that the warehouse has not taken over was received; None without one."""
        row = self._con.execute(
            "SELECT min(received_at) FROM deliveries"
            " WHERE delivery_id > (SELECT coalesce(max(taken_up_to), 0) FROM progress)"
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def newest(self) -> int | None:
        """Return when the newest delivery was received; None without one."""
        row = self._con.execute("SELECT received_at FROM deliveries ORDER BY delivery_id DESC LIMIT 1").fetchone()
        return None if row is None else int(row[0])

    def close(self) -> None:
        """Close the file."""
        self._con.close()


def read_deliveries(file: Path, after: int, limit: int, until: int | None = None) -> list[Delivery]:
    """Return up to `limit` deliveries with ids above `after`, and up to `until`, in the order of their ids."""
    with _reading(file) as con:
        rows = con.execute(
            "SELECT received_at, source, body_sha256, body, delivery_id FROM deliveries"
            " WHERE delivery_id > ? AND delivery_id <= coalesce(?, delivery_id) ORDER BY delivery_id LIMIT ?",
            [after, until, limit],
        ).fetchall()
    return [Delivery(*row) for row in rows]


def newest_delivery(file: Path) -> int:
    """Return the id of the newest delivery; 0 without one, or without an inbox."""
    if not file.exists():
        return 0
    with _reading(file) as con:
        (newest,) = con.execute("SELECT coalesce(max(delivery_id), 0) FROM deliveries").fetchone()
    return int(newest)


def note_taken(file: Path, taken_up_to: int) -> None:
    """Note up to which delivery the warehouse has them: what the receiver's metrics call the age of the inbox."""
    with _reading(file) as con:
        con.execute(
            "INSERT INTO progress VALUES (1, ?1) ON CONFLICT (only_row) DO UPDATE SET taken_up_to = ?1", [taken_up_to]
        )


@contextmanager
def _reading(file: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(file, timeout=_LOCK_WAIT_S, isolation_level=None)) as con:
            yield con
    except sqlite3.Error as error:
        raise InboxError(_cannot_open(file, error)) from error


def _cannot_open(file: Path, error: sqlite3.Error) -> str:
    return f"The inbox {file} cannot be used: {error}. Check the folder's rights, the free disk space and the file."
