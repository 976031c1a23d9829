"""Opening the warehouse: one writer at a time, for seconds, waiting for its turn."""

import fcntl
import logging
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

import duckdb

from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.warehouse.files import remove

log = logging.getLogger(__name__)

T = TypeVar("T")
OpenWarehouse = Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]

# When the holder lets go while DuckDB looks who it is, the message ends with `held in PID 0`.
_HOLDER = re.compile(r"lock is held(?: in(?: (?P<program>.+?))?)? \(?PID (?P<pid>\d+)")


class WarehouseError(ExplainedError):
    """The warehouse cannot be opened; the message says why and what to do."""


@contextmanager
def connect(warehouse_file: Path, wait: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse read-write, migrated, in UTC; wait up to `wait` seconds while another process holds it.

    Raises WarehouseError. Hold it for seconds only, never during a request: it shuts every other process out.
    """
    warehouse_file.parent.mkdir(parents=True, exist_ok=True)
    if not warehouse_file.exists():
        _create(warehouse_file, time.monotonic() + wait)
    with _opened(warehouse_file, wait) as con:
        try:
            migrate(con)
        except duckdb.IOException as error:
            raise WarehouseError(_cannot_open(warehouse_file, error)) from error
        yield con


@contextmanager
def look_into(warehouse_file: Path, wait: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse as it is, in UTC, to read: nothing is created, migrated or written.

    Waits up to `wait` seconds while another process holds it, and shuts writers out while it is open. Raises
    WarehouseError.
    """
    with _opened(warehouse_file, wait, read_only=True) as con:
        yield con


@contextmanager
def readable(con: duckdb.DuckDBPyConnection, warehouse_file: Path, wait: float) -> Iterator[None]:
    """Give another connection the warehouse as database `warehouse`, to read, for the length of a block.

    Waits as `look_into` does. Raises WarehouseError, also when the warehouse lacks a migration: it is not brought up to
    date here.
    """
    if not warehouse_file.exists():
        raise WarehouseError(
            f"There is no warehouse {warehouse_file}: nothing was read yet. Run `wallet-pipeline run`."
        )
    folder = wait_for(warehouse_file, time.monotonic() + wait, partial(_attach, con, warehouse_file))
    try:
        if pending_migrations(con, schema="warehouse.main"):
            raise WarehouseError(
                f"The warehouse {warehouse_file} was made by an earlier version. Run `wallet-pipeline plan` or"
                " `wallet-pipeline run` once: that brings it up to date."
            )
        yield
    finally:
        con.execute("DETACH warehouse")
        os.close(folder)


@contextmanager
def transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit what the block does, or nothing of it."""
    con.execute("BEGIN")
    try:
        yield
    except BaseException:
        con.execute("ROLLBACK")
        raise
    con.execute("COMMIT")


@contextmanager
def undone(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Take back what the block does to the warehouse, however it ends."""
    con.execute("BEGIN")
    try:
        yield
    finally:
        con.execute("ROLLBACK")


def naive(moment: datetime) -> datetime:
    """Return an aware time as the warehouse keeps it: UTC, without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def migrate(con: duckdb.DuckDBPyConnection, folder: Traversable | None = None) -> None:
    """Bring the schema up to date: each file of `migrations/` once, in order, together with its record."""
    con.execute("CREATE TABLE IF NOT EXISTS schema_migrations (name VARCHAR, applied_at TIMESTAMP)")
    for script in pending_migrations(con, folder):
        with transaction(con):
            con.execute(script.read_text())
            con.execute("INSERT INTO schema_migrations VALUES (?, now() AT TIME ZONE 'UTC')", [script.name])


def pending_migrations(
    con: duckdb.DuckDBPyConnection, folder: Traversable | None = None, schema: str = "main"
) -> list[Traversable]:
    """Return the files of `migrations/` that the warehouse has not had yet, in order."""
    folder = folder or files("wallet_pipeline.warehouse") / "migrations"
    applied = {name for (name,) in con.execute(f"SELECT name FROM {schema}.schema_migrations").fetchall()}
    scripts = [one for one in folder.iterdir() if one.name.endswith(".sql") and one.name not in applied]
    return sorted(scripts, key=lambda one: one.name)


def wait_for(file: Path, deadline: float, attempt: Callable[[], T]) -> T:
    """Return what an attempt returns, once no other process has the warehouse; raises WarehouseError.

    An attempt raises duckdb.Error or BlockingIOError while another process has it. `deadline` is a monotonic time.
    """
    reported = None
    while True:
        try:
            return attempt()
        except (duckdb.Error, OSError) as error:
            held_by = _holder(file, error)
            if time.monotonic() >= deadline:
                raise WarehouseError(
                    f"The warehouse {file} is held by {held_by}. Close that program, or wait until it is done, and"
                    " run again; WAREHOUSE_WAIT says how long a run waits."
                ) from error
            if held_by != reported:
                log.info("the warehouse %s is held by %s, waiting", file, held_by)
                reported = held_by
            time.sleep(random.uniform(0.05, 0.25))  # noqa: S311  jitter, so that waiting runs do not march in step


def lock_folder(folder: Path, kind: int) -> int:
    """Lock the folder of a warehouse, and return the descriptor that keeps it locked; or raise BlockingIOError.

    Who opens the warehouse shares the lock; who puts another file in its place has it alone: nobody may go on with a
    file that is in no folder any more.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def _opened(file: Path, wait: float, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    con, folder = wait_for(file, time.monotonic() + wait, partial(_open, file, read_only=read_only))
    try:
        con.execute("SET TimeZone = 'UTC'")
        yield con
    finally:
        con.close()
        os.close(folder)


def _open(file: Path, *, read_only: bool) -> tuple[duckdb.DuckDBPyConnection, int]:
    folder = lock_folder(file.parent, fcntl.LOCK_SH)
    try:
        return duckdb.connect(file, read_only=read_only), folder
    except BaseException:
        os.close(folder)
        raise


def _attach(con: duckdb.DuckDBPyConnection, file: Path) -> int:
    folder = lock_folder(file.parent, fcntl.LOCK_SH)
    try:
        con.execute(f"ATTACH '{str(file).replace(chr(39), chr(39) * 2)}' AS warehouse (READ_ONLY)")
    except BaseException:
        os.close(folder)
        raise
    return folder


def _holder(file: Path, error: Exception) -> str:
    """Return who has the warehouse; raises WarehouseError when the error has another reason."""
    if isinstance(error, BlockingIOError):
        return "another process of the pipeline"
    holder = _HOLDER.search(str(error))
    if holder is None:
        raise WarehouseError(_cannot_open(file, error)) from error
    return f"{Path(holder['program'] or 'another program').name} (process {holder['pid']})"


def _create(file: Path, deadline: float) -> None:
    """Create the file aside and give it its name at once, unless another process was faster.

    Of two processes that let DuckDB create one file, each may truncate what the other one has written.
    """
    folder = wait_for(file, deadline, partial(lock_folder, file.parent, fcntl.LOCK_EX))
    aside = file.with_name(f"{file.name}.new")
    try:
        if not file.exists():
            remove(aside)
            duckdb.connect(aside).close()
            aside.rename(file)
    except (OSError, duckdb.Error) as error:
        raise WarehouseError(_cannot_open(file, error)) from error
    finally:
        os.close(folder)


def _cannot_open(file: Path, error: Exception) -> str:
    reason = str(error).splitlines()[0]
    return (
        f"The warehouse {file} cannot be opened: {reason}. Check the folder's rights, the free disk space and the file."
    )
