"""The warehouse is migrated once, held by one process at a time, and survives what goes wrong."""

import logging
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import duckdb
import pytest

from tests.conftest import Data, Script
from wallet_pipeline.warehouse.connection import WarehouseError, connect, migrate, transaction

_ROUNDS = 4

StartScript = Callable[[str], Script]

HOLD = """
    import sys, duckdb
    con = duckdb.connect("data/warehouse.duckdb")
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    """Give an empty database in memory."""
    return duckdb.connect()


def applied(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the names of the migrations that are booked, in the order of booking."""
    return [name for (name,) in con.execute("SELECT name FROM schema_migrations ORDER BY rowid").fetchall()]


def tables(con: duckdb.DuckDBPyConnection) -> set[str]:
    """Return the names of all tables."""
    return {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}


# Migrations


def test_migrations_run_in_the_order_of_their_names(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """Each migration finds what the ones before it made."""
    (tmp_path / "002_second.sql").write_text("INSERT INTO a VALUES (2)")
    (tmp_path / "010_third.sql").write_text("UPDATE a SET n = n * 10")
    (tmp_path / "001_first.sql").write_text("CREATE TABLE a (n INTEGER)")
    migrate(con, tmp_path)
    assert (applied(con), con.execute("FROM a").fetchall()) == (
        ["001_first.sql", "002_second.sql", "010_third.sql"],
        [(20,)],
    )


def test_migrations_run_once(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """A migration that is booked is not run again, and a new one is."""
    (tmp_path / "001_first.sql").write_text("CREATE TABLE a (n INTEGER); INSERT INTO a VALUES (1)")
    migrate(con, tmp_path)
    (tmp_path / "002_second.sql").write_text("INSERT INTO a VALUES (2)")
    migrate(con, tmp_path)
    migrate(con, tmp_path)
    assert con.execute("FROM a ORDER BY n").fetchall() == [(1,), (2,)]


def test_failing_migration_leaves_nothing(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """Of a migration that fails in its middle nothing stays, and it is not booked; the ones before it are."""
    (tmp_path / "001_first.sql").write_text("CREATE TABLE a (n INTEGER)")
    (tmp_path / "002_second.sql").write_text("CREATE TABLE b (n INTEGER); INSERT INTO nowhere VALUES (1)")
    with pytest.raises(duckdb.CatalogException):
        migrate(con, tmp_path)
    assert (applied(con), tables(con)) == (["001_first.sql"], {"schema_migrations", "a"})


def test_mended_migration_runs(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """A migration that failed is run by the next start."""
    script = tmp_path / "001_first.sql"
    script.write_text("CREATE TABLE a (n INTEGER); INSERT INTO nowhere VALUES (1)")
    with pytest.raises(duckdb.CatalogException):
        migrate(con, tmp_path)
    script.write_text("CREATE TABLE a (n INTEGER)")
    migrate(con, tmp_path)
    assert applied(con) == ["001_first.sql"]


def test_new_warehouse_is_migrated(data: Data) -> None:
    """Opening a warehouse that does not exist makes its folder, its file and its tables."""
    with data.open() as con:
        assert {"snapshots", "registers", "customer_wallet_status", "deliveries"} <= tables(con)


def test_every_table_is_described(data: Data) -> None:
    """Each table, view and column of a new warehouse has a comment."""
    with data.open() as con:
        bare = con.execute(
            """
            SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE trim(coalesce(comment, '')) = ''
            UNION ALL
            SELECT schema_name || '.' || view_name FROM duckdb_views()
            WHERE NOT internal AND trim(coalesce(comment, '')) = ''
            UNION ALL
            SELECT schema_name || '.' || table_name || '.' || column_name FROM duckdb_columns()
            WHERE NOT internal AND trim(coalesce(comment, '')) = ''
            """
        ).fetchall()
    assert [name for (name,) in bare if not name.startswith("main.schema_migrations")] == []


def test_connection_speaks_utc(data: Data) -> None:
    """A connection reads and writes times in UTC, wherever it runs."""
    with data.open() as con:
        assert con.execute("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]


# Transactions


def test_transaction_commits(data: Data) -> None:
    """What a transaction does is there for the next connection."""
    with data.open() as con, transaction(con):
        con.execute("CREATE TABLE a AS SELECT 1 AS n")
    assert data.rows("FROM a") == [(1,)]


def test_transaction_that_fails_leaves_nothing(data: Data) -> None:
    """What a transaction did before it failed is gone, and the error is the caller's own."""

    def fail() -> None:
        with data.open() as con, transaction(con):
            con.execute("CREATE TABLE a AS SELECT 1 AS n")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
    with data.open() as con:
        assert "a" not in tables(con)


def test_transaction_that_the_database_ends_tells_why(data: Data) -> None:
    """The error of a statement inside a transaction is what the caller sees."""
    with pytest.raises(duckdb.CatalogException, match="nowhere"), data.open() as con, transaction(con):
        con.execute("INSERT INTO nowhere VALUES (1)")


# The lock


class WhenLogged(logging.Handler):
    """Does something as soon as a message that matches is logged."""

    def __init__(self, pattern: str, action: Callable[[], object]) -> None:
        super().__init__()
        self._pattern = pattern
        self._action = action
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Act on the message."""
        message = record.getMessage()
        if re.search(self._pattern, message):
            self.seen.append(message)
            self._action()


def test_held_warehouse_is_waited_for(
    data: Data, start_script: StartScript, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    """A warehouse that another process holds is opened once that process lets go; the log names the holder."""
    data.rows("SELECT 1")
    holder = start_script(HOLD)
    holder.wait_for("held")
    caplog.set_level(logging.INFO, "wallet_pipeline.warehouse.connection")
    handler = WhenLogged("waiting", holder.process.communicate)
    logger = logging.getLogger("wallet_pipeline.warehouse.connection")
    logger.addHandler(handler)
    request.addfinalizer(lambda: logger.removeHandler(handler))
    with connect(data.warehouse, wait=30) as con:
        assert con.execute("SELECT count(*) FROM raw.snapshots").fetchall() == [(0,)]
    assert re.fullmatch(rf".*is held by python\S* \(process {holder.process.pid}\), waiting", handler.seen[0])


def test_warehouse_that_stays_held_is_given_up(data: Data, start_script: StartScript) -> None:
    """After its wait a run stops with the holder's name and process, and what to do."""
    data.rows("SELECT 1")
    holder = start_script(HOLD)
    holder.wait_for("held")
    told = rf"is held by python\S* \(process {holder.process.pid}\)\. Close that program.*WAREHOUSE_WAIT"
    with pytest.raises(WarehouseError, match=told), connect(data.warehouse, wait=0.3):
        pass


def test_two_runs_take_turns(data: Data, start_script: StartScript) -> None:
    """Processes that all write at once each get their turn, and nothing is lost."""
    data.rows("CREATE TABLE counter AS SELECT 0 AS n")
    write = """
        from pathlib import Path
        from wallet_pipeline.warehouse.connection import connect, transaction
        for _ in range(5):
            with connect(Path("data/warehouse.duckdb"), 60) as con, transaction(con):
                con.execute("UPDATE counter SET n = n + 1")
    """
    printed = [writer.finish() for writer in [start_script(write) for _ in range(3)]]
    assert (data.rows("FROM counter"), printed) == ([(15,)], ["", "", ""])


def test_failure_inside_lets_go(data: Data, start_script: StartScript) -> None:
    """After an exception in its block a warehouse is closed: another process can open it at once."""
    with pytest.raises(ZeroDivisionError), data.open():
        raise ZeroDivisionError
    opened = start_script('import duckdb; duckdb.connect("data/warehouse.duckdb"); print("opened")').finish()
    assert opened.strip() == "opened"


# What cannot be opened or written


def test_file_of_another_kind_is_told(data: Data) -> None:
    """A file that is no database is named, with the reason."""
    data.folder.mkdir()
    data.warehouse.write_bytes(b"no database" * 1000)
    with pytest.raises(WarehouseError, match=r"warehouse\.duckdb cannot be opened: .*not a valid DuckDB database"):
        data.rows("SELECT 1")


@pytest.mark.parametrize("kept", [0.1, 0.5])
def test_damaged_file_is_told(data: Data, kept: float) -> None:
    """A database that has lost its end is named, with the reason: whether it opens, or cannot be read then."""
    data.rows("CREATE TABLE a AS FROM range(500_000)")
    with data.warehouse.open("r+b") as file:
        file.truncate(int(data.warehouse.stat().st_size * kept))
    with pytest.raises(WarehouseError, match=r"warehouse\.duckdb cannot be opened: "):
        data.rows("FROM raw.snapshots")


FILL_THE_DISK = """
    import resource
    from pathlib import Path
    from wallet_pipeline.warehouse.connection import connect, transaction

    file = Path("data/warehouse.duckdb")
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size,) * 2)
    try:
        with connect(file, 30) as con, transaction(con):
            con.execute("DELETE FROM raw.insights_days")
            con.execute("CREATE TABLE a AS SELECT md5(range::VARCHAR) AS text FROM range(1_000_000)")
    except Exception as error:
        print(error)
"""


@pytest.fixture
def filled(data: Data, start_script: StartScript) -> str:
    """Give what a process said that wrote a row and then met a limit of the file size, in place of a full disk."""
    data.rows("INSERT INTO raw.insights_days VALUES ('2026-01-01', '2026-01-02')")
    return start_script(FILL_THE_DISK).finish()


def test_full_disk_is_told(filled: str) -> None:
    """A transaction that does not fit the disk says which file could not be written, and why."""
    assert re.search(r'Could not write file ".*warehouse\.duckdb(\.wal)?": File too large', filled)


@pytest.mark.usefixtures("filled")
def test_full_disk_changes_nothing(data: Data) -> None:
    """After a transaction that did not fit the disk the tables are as they were."""
    assert data.rows("SELECT day::VARCHAR FROM raw.insights_days") == [("2026-01-01",)]


def test_creation_that_was_broken_off_leaves_nothing(data: Data) -> None:
    """What a run that died had begun to create is removed by the next one."""
    data.folder.mkdir()
    (data.folder / "warehouse.duckdb.new").write_bytes(b"half a file")
    with connect(data.warehouse, wait=5):
        pass
    assert [file.name for file in data.folder.iterdir()] == ["warehouse.duckdb"]


def test_runs_that_create_one_warehouse_at_once_all_get_it(tmp_path: Path) -> None:
    """Processes that open a new warehouse in the same moment wait for each other, and never break it."""
    code = """
        import sys
        from pathlib import Path
        from wallet_pipeline.warehouse.connection import connect
        for line in sys.stdin:
            for _ in range(4):
                with connect(Path(line.strip()), wait=60) as con:
                    con.execute("UPDATE raw.inbox_cursor SET delivery_id = delivery_id + 1")
            print("done", flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with ExitStack() as stack:
        runs = [stack.enter_context(subprocess.Popen(command, text=True, **pipes)) for _ in range(6)]  # type: ignore[call-overload]
        for number in range(_ROUNDS):
            for run in runs:
                run.stdin.write(f"{tmp_path / f'{number}.duckdb'}\n")
                run.stdin.flush()
            assert [run.stdout.readline() for run in runs] == ["done\n"] * 6
        for run in runs:
            run.stdin.close()
    with connect(tmp_path / "0.duckdb", wait=0) as con:
        assert con.execute("FROM raw.inbox_cursor").fetchall() == [(24,)]
