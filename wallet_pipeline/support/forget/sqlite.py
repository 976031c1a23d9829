"""SQLite files of which nothing must remain: looking at their bytes, and writing them anew where need be."""

import logging
import mmap
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from wallet_pipeline.support.forget.traces import Search

log = logging.getLogger(__name__)

BUSY_S = 30.0
_PAUSE_S = 0.5


def wipe(file: Path, traces: Search) -> bool:
    """Make sure that no trace stands in the bytes of the file; tell whether that could be done.

    What was overwritten in place is gone already. In free space, and in the log of writes, older copies may remain.
    """
    return not _stands_in(file, traces) or (write_anew(file) and not _stands_in(file, traces))


def write_anew(file: Path) -> bool:
    """Write a SQLite file anew, in place, with nothing in its free space; tell whether that could be done.

    Other processes may have it open, but for a moment none may read or write it; theirs that come then wait.
    """
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            with closing(connect(file)) as con:
                con.execute("VACUUM")
                (is_busy, _, _) = con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not is_busy:
                return True
        except sqlite3.OperationalError as error:
            log.info("%s: %s", file, error)
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE_S)


def connect(file: Path) -> sqlite3.Connection:
    """Open a SQLite file that is there, so that what is deleted is overwritten."""
    con = sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_S, isolation_level=None)
    con.execute("PRAGMA secure_delete = ON")
    return con


def _stands_in(file: Path, traces: Search) -> bool:
    return any(_has(one, traces) for one in (file, file.with_name(f"{file.name}-wal")) if one.exists())


def _has(file: Path, traces: Search) -> bool:
    if file.stat().st_size == 0:
        return False
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return traces.finds_in_bytes(content)
