"""Whoever reads while the pipeline publishes, of file or Parquet files, sees one publication and no error."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests.conftest import Data, Script
from wallet_pipeline.warehouse import publish as publish_module
from wallet_pipeline.warehouse.connection import transaction
from wallet_pipeline.warehouse.publish import publish

from .conftest import publish_now, read

StartScript = Callable[[str], Script]
PUBLICATIONS = 200
ROWS = 1000

HOLD_OPEN = """
    import sys, duckdb
    con = duckdb.connect("data/wallet_bi.duckdb", read_only=True)
    print("open", flush=True)
    sys.stdin.readline()
    print(con.execute("SELECT string_agg(snapshot_id) FROM snapshots").fetchall()[0][0])
"""


def test_open_reader_keeps_what_it_opened(data: Data, bi_file: Path, start_script: StartScript) -> None:
    """A reader that has the file open while it is replaced goes on reading the old one."""
    data.rows("INSERT INTO raw.snapshots (snapshot_id) VALUES ('old')")
    publish_now(data, bi_file)
    reader = start_script(HOLD_OPEN)
    reader.wait_for("open")
    data.rows("UPDATE raw.snapshots SET snapshot_id = 'new'")
    publish_now(data, bi_file)
    assert reader.process.communicate("\n", timeout=60)[0].strip() == "old"


def test_new_reader_sees_the_new_file(data: Data, bi_file: Path, start_script: StartScript) -> None:
    """A reader that opens the file while another one still reads the old one sees the new one."""
    publish_now(data, bi_file)
    start_script(HOLD_OPEN).wait_for("open")
    data.rows("INSERT INTO raw.snapshots (snapshot_id) VALUES ('new')")
    publish_now(data, bi_file)
    reader = start_script(HOLD_OPEN)
    assert reader.process.communicate("\n", timeout=60)[0].split() == ["open", "new"]


def test_program_sees_the_new_file_when_it_has_closed_all_connections(data: Data, bi_file: Path) -> None:
    """Within a program a new connection shares the file that another one has open, as the page for analysts says."""
    publish_now(data, bi_file)
    with duckdb.connect(bi_file, read_only=True) as kept:
        data.rows("INSERT INTO raw.snapshots (snapshot_id) VALUES ('new')")
        publish_now(data, bi_file)
        counts = [
            read(bi_file, "SELECT count(*) FROM snapshots"),
            kept.execute("SELECT count(*) FROM snapshots").fetchall(),
        ]
    assert [*counts, read(bi_file, "SELECT count(*) FROM snapshots")] == [[(0,)], [(0,)], [(1,)]]


# A round reads two tables, one after the other, and compares the mark of the publication that all their rows bear. The
# number of rounds stands in a file, for whoever waits for the next one.
READ_ON = """
    import duckdb, time
    from pathlib import Path

    def of_file():
        with duckdb.connect("data/wallet_bi.duckdb", read_only=True) as con:
            return marks(con, "crm_links", "via"), marks(con, "unusable_deliveries", "reason")

    def of_folder():
        folder = Path("data/bi").resolve()
        links, deliveries = (f"'{{folder}}/{{table}}.parquet'" for table in ("crm_links", "unusable_deliveries"))
        return marks(duckdb, links, "via"), marks(duckdb, deliveries, "reason")

    def marks(con, table, column):
        return con.execute(f"SELECT count(*), min({{column}}), max({{column}}) FROM {{table}}").fetchone()

    rounds, seen = 0, set()
    while not Path("enough").exists():
        first, second = {read}()
        if first != second or first[0] != {rows} or first[1] != first[2]:
            raise SystemExit(f"a mixture: {{first}} {{second}}")
        seen.add(first[1])
        rounds += 1
        Path("{name}.new").write_text(str(rounds))
        Path("{name}.new").replace("{name}")
        time.sleep(0.05)
    print(len(seen))
"""
READERS = {"first": "of_file", "second": "of_folder"}
# Opens the file and a Parquet file once, and looks again when all is over. Counts the old files that it still occupies.
HOLD_FOR_HOURS = """
    import sys, duckdb
    from pathlib import Path

    def marks(con, table):
        return con.execute(f"SELECT count(*), min(via), max(via) FROM {table}").fetchone()

    def occupied():
        links = [str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
        return sum("wallet_bi.duckdb" in link and link.endswith("(deleted)") for link in links)

    con = duckdb.connect("data/wallet_bi.duckdb", read_only=True)
    parquet = open("data/bi/crm_links.parquet", "rb")
    print("open", flush=True)
    sys.stdin.readline()
    Path("kept.parquet").write_bytes(parquet.read())
    print(*marks(con, "crm_links"), *marks(duckdb, "'kept.parquet'"))
    print(occupied(), end=" ")
    con.close()
    print(occupied())
"""


def rounds_of(reader: Path) -> int:
    """Return how many rounds a reader has made."""
    return int(reader.read_text()) if reader.exists() else 0


def publish_again_and_again(data: Data, bi_file: Path, readers: list[tuple[Script, Path]]) -> None:
    """Publish with a new mark each time; before the next publication each reader ends the round that it is in."""
    with data.open() as con:
        for number in range(1, PUBLICATIONS + 1):
            with transaction(con):
                con.execute("UPDATE crm.links SET via = ?", [str(number)])
                con.execute("UPDATE raw.unusable_deliveries SET reason = ?", [str(number)])
            publish(con, bi_file)
            before = {progress: rounds_of(progress) for _, progress in readers}
            for reader, progress in readers:
                while rounds_of(progress) == before[progress] and reader.process.poll() is None:
                    time.sleep(0.005)


@pytest.mark.skipif(sys.platform != "linux", reason="open files are looked up in /proc")
def test_hundreds_of_publications_and_readers_do_not_meet(
    data: Data, bi_file: Path, start_script: StartScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 publications under two readers that begin anew each time, and one that holds on through all of them.

    One reads the file, one the folder. None meets an error or a mixture of two publications; the one that holds on
    keeps what it opened, and the disk space of the old file is free when it closes.
    """
    published = {"crm_links": "crm.links", "unusable_deliveries": "raw.unusable_deliveries"}
    monkeypatch.setattr(publish_module, "PUBLISHED", published)
    data.rows(
        f"INSERT INTO crm.links (customer_key, via) SELECT range, '0' FROM range({ROWS});"
        f"INSERT INTO raw.unusable_deliveries (delivery_id, reason) SELECT range, '0' FROM range({ROWS})"
    )
    publish_now(data, bi_file)
    holder = start_script(HOLD_FOR_HOURS)
    holder.wait_for("open")
    folder = data.folder.parent
    readers = [
        (start_script(READ_ON.format(name=name, rows=ROWS, read=read)), folder / name) for name, read in READERS.items()
    ]
    publish_again_and_again(data, bi_file, readers)
    (folder / "enough").touch()
    seen = [reader.finish().strip() for reader, _ in readers]
    assert all(one.isdecimal() and int(one) > PUBLICATIONS // 2 for one in seen), seen
    told = holder.process.communicate("\n", timeout=60)[0].splitlines()
    assert told == [f"{ROWS} 0 0 {ROWS} 0 0", "1 0"]
