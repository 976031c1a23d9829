"""Writing a database file anew: what was deleted from its tables is in it no longer, not even as free space."""

import fcntl
import os
import shutil
import time
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import duckdb

from wallet_pipeline.warehouse.connection import WarehouseError, lock_folder, wait_for
from wallet_pipeline.warehouse.files import put_in_place, remove, wal
from wallet_pipeline.warehouse.queries import one_row


def rewrite_warehouse(warehouse_file: Path, wait: float) -> None:
    """Put a copy of the warehouse in its place that holds its rows and nothing else. Raises WarehouseError.

    Waits up to `wait` seconds for other processes; they wait meanwhile, and find the new file.
    """
    deadline = time.monotonic() + wait
    folder = wait_for(warehouse_file, deadline, partial(lock_folder, warehouse_file.parent, fcntl.LOCK_EX))
    try:
        while not _rewrite(warehouse_file, deadline):
            pass
    finally:
        os.close(folder)


def rewrite(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Put a copy of the file that the connection has open in its place, and leave the connection to the old one.

    The connection is to read only: it keeps writers out until the copy is in place. Raises WarehouseError; the old file
    is in place then.
    """
    file = file.resolve()
    aside = file.with_name(f"{file.name}.new")
    try:
        remove(aside)
        _copy(con, aside)
        shutil.copymode(file, aside)
        os.chown(aside, file.stat().st_uid, file.stat().st_gid)
        put_in_place(aside, file)
    except (OSError, duckdb.Error) as error:
        with suppress(OSError):
            remove(aside)
        raise WarehouseError(
            f"{file} could not be written anew: {str(error).splitlines()[0]}. The file is in place as it was, and what"
            " was deleted from its tables may still be read in its free space. Check the free disk space, of which a"
            " second file of this size needs as much again, and the folder's rights; then run again."
        ) from error


def _rewrite(file: Path, deadline: float) -> bool:
    """Write the warehouse anew and return True; False when another program, not of the pipeline, wrote to it."""
    with closing(wait_for(file, deadline, partial(duckdb.connect, file))) as con:
        con.execute("CHECKPOINT")
        # What a process that was killed had moved out of its memory; nobody else has the file open now.
        shutil.rmtree(file.with_name(f"{file.name}.tmp"), ignore_errors=True)
    with closing(wait_for(file, deadline, partial(duckdb.connect, file, read_only=True))) as con:
        if wal(file).exists():
            return False
        rewrite(con, file)
    return True


def _copy(con: duckdb.DuckDBPyConnection, aside: Path) -> None:
    (name,) = one_row(con, "SELECT current_database()")
    quoted = str(aside).replace("'", "''")
    con.execute(f"ATTACH '{quoted}' AS written_anew (READ_WRITE)")
    con.execute(f'COPY FROM DATABASE "{name}" TO written_anew')
    con.execute("CHECKPOINT written_anew")
    con.execute("DETACH written_anew")
