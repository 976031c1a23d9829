"""The Parquet files for analysts: the same rows as the file's, one publication a folder, nothing of others touched."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.conftest import Data, Script
from wallet_pipeline.warehouse.parquet import ParquetSets, PublishError
from wallet_pipeline.warehouse.publish import PUBLISHED

from .conftest import publish_now, read

StartScript = Callable[[str], Script]
MARK = "made-by-wallet-pipeline.txt"


@pytest.fixture
def link(bi_file: Path) -> Path:
    """Give the name of the link to the newest Parquet files."""
    return bi_file.with_name("bi")


def rows_of(file: Path) -> list[tuple[Any, ...]]:
    """Return the rows of a Parquet file."""
    return duckdb.read_parquet(str(file)).fetchall()


def sets(link: Path) -> list[str]:
    """Return the names of the folders of Parquet files, and of whatever else is there but the mark."""
    return sorted({one.name for one in link.with_name("bi.publications").iterdir()} - {MARK})


def mark(data: Data, snapshot_id: str) -> None:
    """Let the table `snapshots` have one row that tells publications apart."""
    data.rows(f"DELETE FROM raw.snapshots; INSERT INTO raw.snapshots (snapshot_id) VALUES ('{snapshot_id}')")


# What is in them


def test_each_table_and_view_is_a_file_with_the_same_rows(derived: Data, bi_file: Path, link: Path) -> None:
    """Names, columns and rows are those of the file for analysts; views are written out."""
    publish_now(derived, bi_file)
    assert sorted(file.stem for file in link.iterdir()) == sorted(PUBLISHED)
    for name in PUBLISHED:
        assert (name, sorted(map(str, rows_of(link / f"{name}.parquet")))) == (
            name,
            sorted(map(str, read(bi_file, f"FROM {name}"))),
        )


def test_types_are_plain(data: Data, bi_file: Path, link: Path) -> None:
    """Statuses are text, which every engine reads, and times are without a zone."""
    publish_now(data, bi_file)
    query = f"SELECT DISTINCT type, converted_type FROM parquet_schema('{link}/*.parquet') WHERE type IS NOT NULL"
    assert set(duckdb.sql(query).fetchall()) == {
        ("BOOLEAN", None),
        ("BYTE_ARRAY", "UTF8"),
        ("DOUBLE", None),
        ("INT32", "DATE"),
        ("INT64", "INT_64"),
        ("INT64", "TIMESTAMP_MICROS"),
    }
    times = "SELECT DISTINCT logical_type FROM parquet_schema($1) WHERE name = 'started_at'"
    ((logical,),) = duckdb.execute(times, [str(link / "snapshots.parquet")]).fetchall()
    assert "isAdjustedToUTC=0" in logical


def test_files_are_described(data: Data, bi_file: Path, link: Path) -> None:
    """The comments of the table and of its columns stand in the file."""
    publish_now(data, bi_file)
    described = duckdb.execute(
        "SELECT decode(key), decode(value) FROM parquet_kv_metadata($1)", [str(link / "snapshots.parquet")]
    ).fetchall()
    columns = read(
        bi_file, "SELECT 'comment.' || column_name, comment FROM duckdb_columns() WHERE table_name = 'snapshots'"
    )
    table = read(bi_file, "SELECT 'comment', comment FROM duckdb_tables() WHERE table_name = 'snapshots'")
    assert set(described) == {*table, *columns}


def test_files_are_compressed_and_for_reading_alone(data: Data, bi_file: Path, link: Path) -> None:
    """Zstandard, and nobody may write to them."""
    mark(data, "one")
    publish_now(data, bi_file)
    file = link / "snapshots.parquet"
    codecs = duckdb.execute("SELECT DISTINCT compression FROM parquet_metadata($1)", [str(file)]).fetchall()
    assert (codecs, file.stat().st_mode & 0o777) == ([("ZSTD",)], 0o444)


# One publication a folder


def test_link_leads_to_the_newest_and_the_one_before_it_is_kept(data: Data, bi_file: Path, link: Path) -> None:
    """After four publications there are two sets: who entered the third goes on reading it, whole."""
    for number in ("1", "2", "3"):
        mark(data, number)
        publish_now(data, bi_file)
    entered = link.resolve()
    mark(data, "4")
    publish_now(data, bi_file)
    assert (rows_of(entered / "snapshots.parquet")[0][0], rows_of(link / "snapshots.parquet")[0][0]) == ("3", "4")
    assert (sorted(file.stem for file in entered.iterdir()), sets(link)) == (sorted(PUBLISHED), ["3", "4"])


def test_link_is_relative(data: Data, bi_file: Path, link: Path) -> None:
    """The data folder can be moved, or seen under another name by other machines."""
    publish_now(data, bi_file)
    moved = data.folder.rename(data.folder.with_name("moved"))
    assert (moved / link.name / "snapshots.parquet").exists()


def test_leftovers_of_killed_publications_are_removed(data: Data, bi_file: Path, link: Path) -> None:
    """Half-written sets, and a link that waited for its name, are gone after the next publication."""
    publish_now(data, bi_file)
    home = link.with_name("bi.publications")
    for number in ("2", "3"):
        shutil.copytree(home / "1", home / number)
    (home / "newest").symlink_to("bi.publications/2")
    publish_now(data, bi_file)
    assert (sets(link), link.readlink()) == (["1", "2"], Path("bi.publications/2"))


def test_earlier_sets_can_be_removed_at_once(data: Data, bi_file: Path, link: Path) -> None:
    """When somebody is to be forgotten only the newest set stays."""
    for _ in range(2):
        publish_now(data, bi_file)
    ParquetSets(link).remove_earlier()
    assert (sets(link), (link / "snapshots.parquet").exists()) == (["2"], True)


# What goes wrong


def occupy_with_file(link: Path) -> None:
    """Put a plain file in the link's place."""
    link.write_text("mine")


def occupy_with_folder(link: Path) -> None:
    """Put a folder with a file in the link's place."""
    link.mkdir()
    (link / "report.parquet").write_text("mine")


def occupy_with_link(link: Path) -> None:
    """Put a link to another folder in the link's place."""
    elsewhere = link.with_name("elsewhere")
    elsewhere.mkdir()
    (elsewhere / "report.parquet").write_text("mine")
    link.symlink_to("elsewhere")


@pytest.mark.parametrize("occupy", [occupy_with_file, occupy_with_folder, occupy_with_link])
def test_name_that_somebody_else_uses_is_told_and_left_alone(
    data: Data, bi_file: Path, link: Path, occupy: Callable[[Path], None]
) -> None:
    """What stands where the link belongs is not touched; the error says what to do, and the last good file stays."""
    mark(data, "before")
    publish_now(data, bi_file)
    link.unlink()
    occupy(link)
    theirs = {file: file.read_bytes() for file in [link, *link.glob("*")] if file.is_file()}
    mark(data, "after")
    with pytest.raises(PublishError, match=rf"^{link} is not what this pipeline puts there.*left alone.*another name"):
        publish_now(data, bi_file)
    assert {file: file.read_bytes() for file in theirs} == theirs
    assert (len(theirs), read(bi_file, "SELECT snapshot_id FROM snapshots")) == (1, [("before",)])


def home_with_folders(link: Path) -> None:
    """Put a folder with numbered folders where the sets belong."""
    (link.with_name("bi.publications") / "2024").mkdir(parents=True)


def home_that_is_a_link(link: Path) -> None:
    """Put a link to another disk, on which somebody has numbered folders, where the sets belong."""
    (link.with_name("disk") / "2024").mkdir(parents=True)
    link.with_name("bi.publications").symlink_to("disk")


def home_with_folder_and_link(link: Path) -> None:
    """Let also the link to the newest Parquet files be somebody's, and lead there."""
    home_with_folders(link)
    link.symlink_to("bi.publications/2024")


@pytest.mark.parametrize("occupy", [home_with_folders, home_that_is_a_link, home_with_folder_and_link])
def test_folder_of_somebody_else_where_the_sets_belong_is_told_and_left_alone(
    data: Data, bi_file: Path, link: Path, occupy: Callable[[Path], None]
) -> None:
    """Numbered folders that the pipeline has not made stay, whatever was going to remove sets; the error says why."""
    home = link.with_name("bi.publications")
    occupy(link)
    theirs = home / "2024" / "theirs.txt"
    theirs.write_text("theirs")
    with pytest.raises(PublishError, match=rf"^{home} is not what this pipeline puts there.*left alone.*another name"):
        publish_now(data, bi_file)
    ParquetSets(link).discard()
    ParquetSets(link).remove_earlier()
    assert ([one.name for one in home.iterdir()], theirs.read_text()) == (["2024"], "theirs")
    assert not bi_file.exists()


@pytest.mark.parametrize("occupy", ["file", "link to nowhere"])
def test_no_folder_where_the_sets_belong_is_told_and_left_alone(
    data: Data, bi_file: Path, link: Path, occupy: str
) -> None:
    """A file, or a link to a disk that is not there, is not replaced by a folder."""
    home = link.with_name("bi.publications")
    data.folder.mkdir(parents=True, exist_ok=True)
    home.write_text("theirs") if occupy == "file" else home.symlink_to("nowhere")
    with pytest.raises(PublishError, match=rf"^{home} is not what this pipeline puts there"):
        publish_now(data, bi_file)
    assert home.read_text() == "theirs" if occupy == "file" else str(home.readlink()) == "nowhere"


def test_sets_may_lie_on_another_disk(data: Data, bi_file: Path, link: Path) -> None:
    """A link to an empty folder is taken, and sets come and go there."""
    disk = link.with_name("disk")
    disk.mkdir(parents=True)
    link.with_name("bi.publications").symlink_to("disk")
    for number in ("1", "2", "3"):
        mark(data, number)
        publish_now(data, bi_file)
    assert (sets(link), rows_of(link / "snapshots.parquet")[0][0]) == (["2", "3"], "3")
    assert sorted(one.name for one in disk.iterdir()) == ["2", "3", MARK]


def test_file_is_not_replaced_when_the_link_cannot_be(data: Data, bi_file: Path, link: Path) -> None:
    """Whatever can go wrong with the Parquet files does so before the file is put in place."""
    mark(data, "before")
    publish_now(data, bi_file)
    (link.with_name("bi.publications") / "newest").mkdir()
    mark(data, "after")
    with pytest.raises(PublishError, match=r"newest.*The last good file is still in place"):
        publish_now(data, bi_file)
    assert read(bi_file, "SELECT snapshot_id FROM snapshots") == [("before",)]


SMALL_DISK = """
    import os, subprocess, sys
    if len(sys.argv) == 1:
        inside = "mount -t tmpfs -o size=1g none small && exec \\"$0\\" -c \\"$1\\" inside"
        os.execvp("unshare", ["unshare", "-rm", "sh", "-c", inside, sys.executable, sys.orig_argv[2]])

    import duckdb
    from pathlib import Path
    from wallet_pipeline.warehouse.connection import connect
    from wallet_pipeline.warehouse.publish import PublishError, publish

    def used():
        disk = os.statvfs("small")
        return (disk.f_blocks - disk.f_bfree) * disk.f_frsize

    bi_file = Path("small/wallet_bi.duckdb")
    with connect(Path("data/warehouse.duckdb"), 30) as con:
        con.execute("INSERT INTO raw.snapshots (snapshot_id) VALUES ('old')")
        publish(con, bi_file)
        before = used()
        con.execute("INSERT INTO raw.snapshots (snapshot_id) SELECT md5(range::VARCHAR) FROM range(200_000)")
        needed = publish(con, Path("elsewhere/wallet_bi.duckdb")).file.stat().st_size
        subprocess.run(["mount", "-o", f"remount,size={{before + {room}}}", "small"], check=True)
        try:
            publish(con, bi_file)
        except PublishError as error:
            print(error)
    print(duckdb.connect(bi_file, read_only=True).sql("FROM snapshots").fetchall()[0][0], end=" ")
    print(duckdb.read_parquet("small/bi/snapshots.parquet").fetchall()[0][0], end=" ")
    print(used() == before)
"""


@pytest.mark.skipif(not shutil.which("unshare"), reason="a small disk is made with unshare and mount, which Linux has")
@pytest.mark.parametrize(
    ("room", "what"), [("needed // 2", "wallet_bi.duckdb.tmp"), ("needed + 500_000", "snapshots.parquet")]
)
def test_full_disk_keeps_the_last_good_file_and_set(
    data: Data, start_script: StartScript, room: str, what: str
) -> None:
    """Whether the file fits or not: the error tells, both old ones are in place, and all space is given back."""
    for folder in ("small", "elsewhere"):
        (data.folder.parent / folder).mkdir()
    with data.open():
        pass
    told, _, rest = start_script(SMALL_DISK.format(room=room)).finish().partition("\n")
    assert told.startswith("small/wallet_bi.duckdb could not be written: ")
    assert what in told
    assert "No space left on device" in told
    assert "The last good file is still in place. Check the free disk space" in told
    assert rest.split() == ["old", "old", "True"]


def test_folder_of_sets_that_cannot_be_written_keeps_the_last_good_file(
    data: Data, bi_file: Path, start_script: StartScript
) -> None:
    """The file is not replaced when the Parquet files cannot be: the two are of one publication."""
    mark(data, "old")
    publish_now(data, bi_file)
    mark(data, "new")
    data.folder.chmod(0o777)
    told = start_script(
        """
        import os
        from pathlib import Path
        from wallet_pipeline.warehouse.connection import connect
        from wallet_pipeline.warehouse.publish import PublishError, publish

        with connect(Path("data/warehouse.duckdb"), 30) as con:
            # Rights do not bind root, so root becomes nobody first.
            Path("data/bi.publications").chmod(0o555)
            os.getuid() == 0 and os.setuid(65534)
            try:
                publish(con, Path("data/wallet_bi.duckdb"))
            except PublishError as error:
                print(error)
        """
    ).finish()
    data.folder.joinpath("bi.publications").chmod(0o755)
    assert told.startswith("data/wallet_bi.duckdb could not be written: ")
    assert "Permission denied" in told
    assert "The last good file is still in place" in told
    assert read(bi_file, "SELECT snapshot_id FROM snapshots") == [("old",)]
