"""A warehouse that is written anew loses what was deleted, and nothing else, for nobody."""

import stat
from collections.abc import Callable

import duckdb
import pytest

from tests.conftest import Data, Script
from wallet_pipeline.warehouse.connection import WarehouseError, look_into
from wallet_pipeline.warehouse.rewrite import rewrite_warehouse

DELETED = "someone@x.test"
CATALOGUE = (
    "SELECT schema_name, table_name, comment FROM duckdb_tables() WHERE NOT internal ORDER BY ALL",
    "SELECT schema_name, view_name, comment FROM duckdb_views() WHERE NOT internal ORDER BY ALL",
    (
        "SELECT schema_name, table_name, column_name, column_default, data_type, comment FROM duckdb_columns()"
        " WHERE NOT internal ORDER BY ALL"
    ),
    (
        "SELECT schema_name, function_name, parameters, macro_definition FROM duckdb_functions() WHERE NOT internal"
        " AND function_type LIKE '%macro' ORDER BY ALL"
    ),
    "SELECT nextval('wallet.change_numbers') >= 4",
    "FROM raw.inbox_cursor",
    "SELECT name FROM schema_migrations ORDER BY ALL",
)
WRITE = """
    import sys, threading
    from pathlib import Path
    from wallet_pipeline.warehouse.connection import connect

    stopped = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stopped.set())).start()
    written = 0
    while written < 2 or not stopped.is_set():
        with connect(Path("data/warehouse.duckdb"), wait=60) as con:
            con.execute("INSERT INTO raw.touched_passes VALUES (?)", [str(written)])
        written += 1
        if written == 1:
            print("ready", flush=True)
        stopped.wait(0.02)
    print(written, flush=True)
"""
StartScript = Callable[[str], Script]


def fill(data: Data) -> None:
    """Write rows, delete one of them, and take some numbers."""
    with data.open() as con:
        con.execute("SET force_compression = 'uncompressed'")
        con.execute("INSERT INTO raw.touched_passes SELECT 'pass-' || range FROM range(3000)")
        con.execute("INSERT INTO raw.touched_passes VALUES (?)", [DELETED])
        con.execute("SELECT nextval('wallet.change_numbers') FROM range(3)")
        con.execute("CHECKPOINT")
        con.execute("DELETE FROM raw.touched_passes WHERE pass_id = ?", [DELETED])
        con.execute("CHECKPOINT")


def test_deleted_rows_are_in_the_file_until_it_is_written_anew(data: Data) -> None:
    """DuckDB leaves them in its free space; afterwards no byte of them is left, and all other rows are there."""
    fill(data)
    assert DELETED.encode() in data.warehouse.read_bytes()
    rewrite_warehouse(data.warehouse, wait=5)
    assert DELETED.encode() not in data.warehouse.read_bytes()
    assert data.rows("SELECT count(*) FROM raw.touched_passes") == [(3000,)]
    assert [file.name for file in data.folder.iterdir()] == ["warehouse.duckdb"]


def test_everything_but_rows_is_as_it_was(data: Data) -> None:
    """Tables, views, macros, comments and the next number of a sequence, and who may read the file."""
    fill(data)
    data.warehouse.chmod(0o600)
    before = [data.rows(query) for query in CATALOGUE]
    rewrite_warehouse(data.warehouse, wait=5)
    assert [data.rows(query) for query in CATALOGUE] == before
    assert stat.S_IMODE(data.warehouse.stat().st_mode) == 0o600


def test_writer_meanwhile_loses_nothing(data: Data, start_script: StartScript) -> None:
    """A process that opens the warehouse again and again finds the new file each time: all its rows are there."""
    fill(data)
    writer = start_script(WRITE)
    writer.wait_for("ready")
    for _ in range(3):
        rewrite_warehouse(data.warehouse, wait=60)
    printed, errors = writer.process.communicate("stop\n", timeout=60)
    assert errors == ""
    assert data.rows("SELECT count(*) FROM raw.touched_passes") == [(3000 + int(printed),)]


def test_reader_keeps_it_in_its_place(data: Data) -> None:
    """While somebody has it open, even to read, it is not replaced, and the message says what to do."""
    fill(data)
    with look_into(data.warehouse, wait=5), pytest.raises(WarehouseError, match="WAREHOUSE_WAIT"):
        rewrite_warehouse(data.warehouse, wait=0)


def test_program_that_writes_on_its_own_is_waited_for(data: Data, start_script: StartScript) -> None:
    """DuckDB's own command line, which knows no folder lock, loses nothing either."""
    fill(data)
    outsider = start_script(
        """
        import sys, duckdb
        con = duckdb.connect("data/warehouse.duckdb")
        con.execute("INSERT INTO raw.touched_passes VALUES ('outside')")
        print("held", flush=True)
        sys.stdin.readline()
        """
    )
    outsider.wait_for("held")
    with pytest.raises(WarehouseError, match=r"process \\d+|python"):
        rewrite_warehouse(data.warehouse, wait=0)
    outsider.process.communicate("\n", timeout=60)
    rewrite_warehouse(data.warehouse, wait=5)
    assert data.rows("SELECT count(*) FROM raw.touched_passes WHERE pass_id = 'outside'") == [(1,)]


def test_failure_leaves_the_file_as_it_was(data: Data) -> None:
    """A copy that cannot be written is removed, and the message says what that means."""
    fill(data)
    aside = data.warehouse.with_name("warehouse.duckdb.new")
    aside.mkdir()
    with pytest.raises(WarehouseError, match=r"could not be written anew.*as it was"):
        rewrite_warehouse(data.warehouse, wait=5)
    aside.rmdir()
    assert data.rows("SELECT count(*) FROM raw.touched_passes") == [(3000,)]


def test_leftover_of_a_run_that_was_killed_is_no_obstacle(data: Data) -> None:
    """An unfinished copy, and what DuckDB had moved out of its memory, are removed."""
    fill(data)
    duckdb.connect(data.warehouse.with_name("warehouse.duckdb.new")).close()
    spilled = data.folder / "warehouse.duckdb.tmp"
    spilled.mkdir()
    (spilled / "duckdb_temp_storage-0.tmp").write_text(DELETED)
    rewrite_warehouse(data.warehouse, wait=5)
    assert [file.name for file in data.folder.iterdir()] == ["warehouse.duckdb"]
