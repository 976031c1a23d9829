"""Work files of runs: DuckDB files beside the warehouse that live as long as the step that needs them; and locks."""

import fcntl
import logging
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO

import duckdb

log = logging.getLogger(__name__)


@contextmanager
def work_file(folder: Path, kind: str) -> Iterator[Path]:
    """Yield a new file name, removed at the end; remove first what runs of this kind that were killed left behind.

    Each user shares a lock on the kind: who gets it alone knows that no such file is in use.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{kind}.lock").open("w") as lock:
        if _take(lock):
            _remove(folder.glob(f"{kind}-*"))
        fcntl.flock(lock, fcntl.LOCK_SH)
        file = folder / f"{kind}-{secrets.token_hex(8)}.duckdb"
        try:
            yield file
        finally:
            _remove(folder.glob(f"{file.name}*"))


@contextmanager
def attached(con: duckdb.DuckDBPyConnection, file: Path, name: str) -> Iterator[None]:
    """Give the connection the file as database `name`, for the length of a block."""
    con.execute(f"ATTACH '{str(file).replace(chr(39), chr(39) * 2)}' AS {name}")
    try:
        yield
    finally:
        con.execute(f"DETACH {name}")


@contextmanager
def one_at_a_time(folder: Path, name: str) -> Iterator[None]:
    """Let only one process at a time into the block; another one waits until it is left, or the process has died."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as lock:
        if not _take(lock):
            log.info("waiting for another run, which has the lock %s", name)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def unless_taken(folder: Path, name: str) -> Iterator[bool]:
    """Say whether the block that `one_at_a_time` guards is this process's for a while; it waits for no other one."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as lock:
        yield _take(lock)


def leftovers(folder: Path, before: datetime) -> list[Path]:
    """Return the work files that were last touched before a moment (aware): runs that were killed left them behind."""
    return sorted(one for one in _work_files(folder) if one.stat().st_mtime < before.timestamp())


def remove_leftovers(folder: Path) -> int:
    """Remove the work files of runs that were killed, and return how many are left: those that runs are using."""
    for kind in {one.name.partition("-")[0] for one in _work_files(folder)}:
        with unless_taken(folder, kind) as is_ours:
            if is_ours:
                _remove(folder.glob(f"{kind}-*"))
    return sum(one.suffix == ".duckdb" for one in _work_files(folder))


def _work_files(folder: Path) -> list[Path]:
    return [one for one in folder.glob("*-*.duckdb*") if not one.name.startswith("held-")]


def _take(lock: TextIO) -> bool:
    """Take a lock for this process alone, unless another one has it or shares it; tell whether it was taken."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(files: Iterator[Path]) -> None:
    for file in files:
        if file.is_dir():  # where DuckDB spilled to
            shutil.rmtree(file, ignore_errors=True)
        else:
            file.unlink(missing_ok=True)
