"""The inbox: every delivery that was accepted, in a SQLite file of its own, on the disk before it was answered.

Times are microseconds since 1970, UTC. The receiver appends; the pipeline reads.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from wallet_pipeline.errors import ExplainedError

Source = Literal["webhook", "connector"]

_LOCK_WAIT_S = 3.0
_ERASED_AT_ONCE = 500
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
CREATE TABLE IF NOT EXISTS attempts (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    number INTEGER NOT NULL  -- of writes that only tried whether the file can be written
) STRICT;
"""


# A whole batch goes in as three values: at each step in SQLite a thread lets go of the interpreter, and then waits for
# its turn behind the requests that are served.
_KNOWN = """
SELECT group_concat(one.key)
FROM json_each(:rows) AS one
WHERE EXISTS (SELECT 1 FROM deliveries WHERE body_sha256 = substr(:hashes, one.key * 32 + 1, 32))
"""
_INSERT = """
INSERT INTO deliveries
SELECT
    json_extract(one.value, '$[0]'),
    json_extract(one.value, '$[1]'),
    json_extract(one.value, '$[2]'),
    substr(:hashes, one.key * 32 + 1, 32),
    -- Of nothing but empty bodies, substr makes NULL.
    coalesce(substr(:bodies, json_extract(one.value, '$[3]') + 1, json_extract(one.value, '$[4]')), x'')
FROM json_each(:rows) AS one
"""


_EMPTY_NEWEST = """
UPDATE deliveries
SET body = x'', body_sha256 = randomblob(32)
WHERE delivery_id = (SELECT max(delivery_id) FROM deliveries)
    AND delivery_id IN (SELECT value FROM json_each(?))
    AND body <> x''
"""
_DELETE = """
DELETE FROM deliveries
WHERE delivery_id IN (SELECT value FROM json_each(?)) AND delivery_id < (SELECT max(delivery_id) FROM deliveries)
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
    """A delivery in the inbox. Later ones have greater ids, whatever the clock does.

    So have those of a later file, unless the clock had been ahead before.
    """

    delivery_id: int


@dataclass(frozen=True)
class InboxState:
    """When the oldest delivery that the warehouse has not taken over was received, and the newest of all; or None."""

    oldest_waiting: int | None
    newest: int | None


@dataclass(frozen=True)
class InboxSurvey:
    """What lies in the inbox: deliveries after a given one, the oldest and the newest, and the sizes of its files.

    `waiting` is counted up to a limit; times as everywhere here, 0 where there is no delivery; sizes in bytes.
    """

    waiting: int
    oldest_waiting: int
    newest_id: int
    newest: int
    size: int
    wal_size: int


class Inbox:
    """The inbox opened for appending. For one thread; several processes may append to one file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        with _explaining(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            # SQLite would create it, too, but then nobody could tell whether it is the file that is opened below.
            with suppress(FileExistsError):
                file.touch(exist_ok=False)
            created = _identity(file)
            self._con = sqlite3.connect(file, timeout=_LOCK_WAIT_S, isolation_level=None)
        try:
            with _explaining(file):
                self._prepare()
                self._files = {name: _identity(name) for name in _files(file)} | {file: created}
        except InboxError:
            self.close()
            raise

    def append(self, deliveries: Sequence[NewDelivery]) -> list[bool]:
        """Write deliveries in one transaction, on the disk when this returns; tell which were there already.

        Raises sqlite3.Error when the file is locked for long or cannot grow; then none of them is written. Raises
        InboxError when the file was deleted; then they are lost with it.
        """
        with self._transaction():
            (last,) = self._con.execute("SELECT coalesce(max(delivery_id), 0) FROM deliveries").fetchone()
            batch = _bind(deliveries, last)
            (known,) = self._con.execute(_KNOWN, batch).fetchone()
            self._con.execute(_INSERT, batch)
        return _mark_known(deliveries, {int(place) for place in known.split(",")} if known else set())

    def try_to_write(self) -> None:
        """Write something that means nothing, in the same way as deliveries; raises what `append` raises."""
        with self._transaction():
            self._con.execute(
                "INSERT INTO attempts VALUES (1, 1) ON CONFLICT (only_row) DO UPDATE SET number = number + 1"
            )

    def close(self) -> None:
        """Close the file."""
        self._con.close()

    def _prepare(self) -> None:
        (mode,) = self._con.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise InboxError(
                f"The inbox {self._file} lies on a disk without shared memory; put DATA_DIR on a local one."
            )
        self._con.execute("PRAGMA synchronous = FULL")
        # Else what SQLite moves to another page would stay on the old one, where no erasure finds it.
        self._con.execute("PRAGMA secure_delete = ON")
        self._con.executescript(_SCHEMA)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._refuse_deleted()
        # The lock first: ids are given in the order of commits, so that a reader who has seen one has seen all before.
        self._con.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._con.execute("COMMIT")
        except BaseException:
            if self._con.in_transaction:
                self._con.execute("ROLLBACK")
            raise
        self._refuse_deleted()

    def _refuse_deleted(self) -> None:
        # SQLite goes on writing into files that were deleted, and they end with the process.
        if any(_identity(name) != opened for name, opened in self._files.items()):
            raise InboxError(
                f"The inbox {self._file}, or its companion ending in -wal or -shm, was deleted or replaced while it was"
                " in use. Stop the receiver before you move, restore or delete it."
            )


def read_state(file: Path) -> InboxState:
    """Return what waits in the inbox. Raises InboxError."""
    with _reading(file) as con:
        (oldest,) = con.execute(
            # The first by id, not the least: the least would take a look at each of them.
            "SELECT (SELECT received_at FROM deliveries"
            " WHERE delivery_id > (SELECT coalesce(max(taken_up_to), 0) FROM progress) ORDER BY delivery_id LIMIT 1)"
        ).fetchone()
        (newest,) = con.execute(
            "SELECT (SELECT received_at FROM deliveries ORDER BY delivery_id DESC LIMIT 1)"
        ).fetchone()
    return InboxState(oldest, newest)


def read_deliveries(file: Path, after: int, limit: int, until: int | None = None) -> list[Delivery]:
    """Return up to `limit` deliveries with ids above `after`, and up to `until`, in the order of their ids."""
    with _reading(file) as con:
        rows = con.execute(
            "SELECT received_at, source, body_sha256, body, delivery_id FROM deliveries"
            " WHERE delivery_id > ? AND delivery_id <= coalesce(?, delivery_id) ORDER BY delivery_id LIMIT ?",
            [after, until, limit],
        ).fetchall()
    return [Delivery(*row) for row in rows]


def read_chosen(file: Path, delivery_ids: Sequence[int]) -> list[Delivery]:
    """Return the deliveries with these ids, as far as they are there, in the order of their ids."""
    with _reading(file) as con:
        rows = con.execute(
            "SELECT received_at, source, body_sha256, body, delivery_id FROM deliveries"
            " WHERE delivery_id IN (SELECT value FROM json_each(?)) ORDER BY delivery_id",
            [json.dumps(delivery_ids)],
        ).fetchall()
    return [Delivery(*row) for row in rows]


def newest_delivery(file: Path) -> int:
    """Return the id of the newest delivery; 0 without one, or without an inbox."""
    if not file.exists():
        return 0
    with _reading(file) as con:
        # A receiver that has just created the file has not yet created the table.
        if not con.execute("SELECT 1 FROM sqlite_master WHERE name = 'deliveries'").fetchone():
            return 0
        (newest,) = con.execute("SELECT coalesce(max(delivery_id), 0) FROM deliveries").fetchone()
    return int(newest)


def survey(file: Path, after: int, limit: int) -> InboxSurvey:
    """Return what lies in the inbox, and of it beyond the delivery `after`, counted up to `limit`; nothing is written.

    Raises InboxError.
    """
    wal_size = _size(file.with_name(f"{file.name}-wal"))
    with _explaining(file), reading_only(file) as con:
        waiting, oldest = con.execute(
            "SELECT count(*), coalesce(min(received_at), 0) FROM"
            " (SELECT received_at FROM deliveries WHERE delivery_id > ? ORDER BY delivery_id LIMIT ?)",
            [after, limit],
        ).fetchone()
        newest_id, newest = con.execute(
            "SELECT delivery_id, received_at FROM deliveries ORDER BY delivery_id DESC LIMIT 1"
        ).fetchone() or (0, 0)
    return InboxSurvey(waiting, oldest, newest_id, newest, _size(file), wal_size)


def note_taken(file: Path, taken_up_to: int) -> None:
    """Note up to which delivery the warehouse has them: what the receiver's metrics call the age of the inbox."""
    with _reading(file) as con:
        con.execute(
            "INSERT INTO progress VALUES (1, ?1) ON CONFLICT (only_row) DO UPDATE SET taken_up_to = ?1", [taken_up_to]
        )


def find_deliveries(file: Path, is_wanted: Callable[[bytes], bool], after: int = 0) -> tuple[list[int], int]:
    """Return the ids above `after` of deliveries whose body is wanted, and the id of the last one looked at."""
    with _reading(file) as con:
        con.create_function("is_wanted", 1, is_wanted, deterministic=True)
        (last,) = con.execute("SELECT coalesce(max(delivery_id), ?) FROM deliveries", [after]).fetchone()
        rows = con.execute(
            "SELECT delivery_id FROM deliveries WHERE delivery_id > ? AND delivery_id <= ? AND is_wanted(body)"
            " ORDER BY delivery_id",
            [after, last],
        ).fetchall()
    return [delivery_id for (delivery_id,) in rows], last


def erase_deliveries(file: Path, delivery_ids: Sequence[int]) -> int:
    """Remove deliveries, so that their bytes are overwritten; return how many there were. The receiver may go on.

    Of the newest one the id stays, without a body: ids of later deliveries must be greater. Raises InboxError.
    """
    erased = 0
    with _reading(file) as con:
        con.execute("PRAGMA secure_delete = ON")
        for start in range(0, len(delivery_ids), _ERASED_AT_ONCE):
            ids = json.dumps(delivery_ids[start : start + _ERASED_AT_ONCE])
            con.execute("BEGIN IMMEDIATE")
            for statement in (_EMPTY_NEWEST, _DELETE):
                erased += con.execute(statement, [ids]).rowcount
            con.execute("COMMIT")
        # The log of writes holds copies.
        con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return erased


@contextmanager
def reading_only(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a SQLite file to look at it: nothing is created, written or checkpointed. Raises sqlite3.Error.

    One that nobody has open is read as it lies there: SQLite would create its companions otherwise.
    """
    is_open = file.with_name(f"{file.name}-wal").exists()
    address = f"{file.absolute().as_uri()}?mode=ro{'' if is_open else '&immutable=1'}"
    with closing(sqlite3.connect(address, uri=True, timeout=_LOCK_WAIT_S, isolation_level=None)) as con:
        yield con


@contextmanager
def _reading(file: Path) -> Iterator[sqlite3.Connection]:
    # Without the mode SQLite would create a file that is not there.
    address = f"{file.absolute().as_uri()}?mode=rw"
    with (
        _explaining(file),
        closing(sqlite3.connect(address, uri=True, timeout=_LOCK_WAIT_S, isolation_level=None)) as con,
    ):
        yield con


@contextmanager
def _explaining(file: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        if "locked" in str(error):
            raise InboxError(
                f"The inbox {file} is held by another program. Close that program, or wait until it is done, and run"
                " again."
            ) from error
        raise InboxError(
            f"The inbox {file} cannot be used: {error}. Check the folder's rights, the free disk space and the file."
        ) from error


def _bind(deliveries: Sequence[NewDelivery], last: int) -> dict[str, str | bytes]:
    """Return the values of a batch, with ids that follow on `last`."""
    rows = []
    start = 0
    for one in deliveries:
        last = max(last + 1, one.received_at)
        rows.append((last, one.received_at, one.source, start, len(one.body)))
        start += len(one.body)
    return {
        "rows": json.dumps(rows),
        "hashes": b"".join(one.body_sha256 for one in deliveries),
        "bodies": b"".join(one.body for one in deliveries),
    }


def _mark_known(deliveries: Sequence[NewDelivery], places: set[int]) -> list[bool]:
    """Tell for each delivery whether it stands at one of the places, or has the body of an earlier one."""
    seen: set[bytes] = set()
    known = []
    for place, one in enumerate(deliveries):
        known.append(place in places or one.body_sha256 in seen)
        seen.add(one.body_sha256)
    return known


def _files(file: Path) -> list[Path]:
    """Return the files of which an open inbox consists."""
    return [file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")]


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _identity(file: Path) -> tuple[int, int] | None:
    """Return what a file stays recognizable by as long as it is open somewhere; None when it is not there."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
