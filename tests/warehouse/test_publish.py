"""The file for analysts is whole, described, of types that tools understand, and replaced at once."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Data, Script
from wallet_pipeline.warehouse.parquet import PublishError
from wallet_pipeline.warehouse.publish import ENUMS, PUBLISHED, Published, publish

from .conftest import publish_now, read

StartScript = Callable[[str], Script]
PUBLICATION = ["bi", "bi.publications", "wallet_bi.duckdb", "warehouse.duckdb"]


def files(folder: Path) -> list[str]:
    """Return the names of all files of a folder."""
    return sorted(file.name for file in folder.iterdir())


def as_published(rows: list[tuple[Any, ...]]) -> list[str]:
    """Return rows as texts in order; JSON objects and lists in them are written as analysts see them."""
    return sorted(str([_as_text(value) for value in row]) for row in rows)


def _as_text(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, str) and value.startswith("{"):
        return ", ".join(f"{name}={_written(one)}" for name, one in json.loads(value).items())
    return value


def _written(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, separators=(",", ":"))


def test_rows_are_those_of_the_warehouse(derived: Data, bi_file: Path) -> None:
    """Each published table holds the rows of its source."""
    publish_now(derived, bi_file)
    copied = {name: as_published(read(bi_file, f"FROM {name}")) for name in PUBLISHED}
    assert copied == {name: as_published(derived.rows(f"FROM {source}")) for name, source in PUBLISHED.items()}
    assert len(copied["pass_identifiers"]) > len(copied["pass_customers"]) > 0


def test_result_counts_the_rows(derived: Data, bi_file: Path) -> None:
    """The result names the file, the link to the Parquet files, and the rows of each table."""
    assert publish_now(derived, bi_file) == Published(
        bi_file,
        bi_file.with_name("bi"),
        {name: len(derived.rows(f"FROM {source}")) for name, source in PUBLISHED.items()},
    )


def test_types_are_those_that_every_tool_understands(data: Data, bi_file: Path) -> None:
    """Text, numbers, times without a zone, and for statuses an ENUM that sorts as people say it; nothing nested."""
    publish_now(data, bi_file)
    types = {kind for (kind,) in read(bi_file, "SELECT data_type FROM duckdb_columns() WHERE NOT internal")}
    enums = {kind for kind in types if kind.startswith("ENUM(")}
    assert types - enums == {"BIGINT", "BOOLEAN", "DATE", "DOUBLE", "TIMESTAMP", "VARCHAR"}
    assert "ENUM('none', 'apple', 'google', 'both')" in enums


def test_value_that_nobody_foresaw_is_published_as_text(
    data: Data, bi_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A status that is none of the known ones loses no row and stops nothing; what it is stands in the log."""
    data.rows(
        "INSERT INTO wallet.customer_wallet_status (customer_key, wallet_status) VALUES ('a', 'both'), ('b', 'new')"
    )
    publish_now(data, bi_file)
    rows = read(bi_file, "SELECT wallet_status, typeof(wallet_status) FROM customer_wallet_status ORDER BY 1")
    assert rows == [("both", "VARCHAR"), ("new", "VARCHAR")]
    assert "customer_wallet_status.wallet_status is published as text: it holds 'new'" in caplog.text


def test_each_enum_names_columns_that_are_published(data: Data, bi_file: Path) -> None:
    """No table and no column that has a closed set of values is misspelt."""
    publish_now(data, bi_file)
    expected = {(table, column) for table, columns in ENUMS.items() for column in columns}
    kinds = "SELECT table_name, column_name FROM duckdb_columns() WHERE data_type LIKE 'ENUM(%'"
    assert set(read(bi_file, kinds)) == expected


def test_file_holds_nothing_else(derived: Data, bi_file: Path) -> None:
    """Analysts find the published tables and views, and no other ones."""
    publish_now(derived, bi_file)
    tables = read(
        bi_file,
        "SELECT schema_name, table_name FROM duckdb_tables() UNION ALL"
        " SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal ORDER BY 2",
    )
    assert tables == [("main", name) for name in sorted(PUBLISHED)]


def test_everything_is_described(derived: Data, bi_file: Path) -> None:
    """Each published table, view and column has a comment, after the stages have built their tables anew."""
    publish_now(derived, bi_file)
    bare = """
        SELECT table_name AS name FROM duckdb_tables() WHERE trim(coalesce(comment, '')) = ''
        UNION ALL
        SELECT view_name FROM duckdb_views() WHERE NOT internal AND trim(coalesce(comment, '')) = ''
        UNION ALL
        SELECT table_name || '.' || column_name FROM duckdb_columns()
        WHERE NOT internal AND trim(coalesce(comment, '')) = ''
    """
    assert read(bi_file, bare) == []


def test_comments_are_those_of_the_warehouse(derived: Data, bi_file: Path) -> None:
    """A comment is copied letter by letter, apostrophes included."""
    comment = "What the customer's CRM holds; it's 'quoted'."
    with derived.open() as con:
        con.execute("COMMENT ON TABLE crm.links IS 'What the customer''s CRM holds; it''s ''quoted''.'")
        publish(con, bi_file)
    assert read(bi_file, "SELECT comment FROM duckdb_tables() WHERE table_name = 'crm_links'") == [(comment,)]


def test_file_is_for_reading_alone(data: Data, bi_file: Path) -> None:
    """Nobody may write to the published file."""
    publish_now(data, bi_file)
    assert stat.S_IMODE(bi_file.stat().st_mode) == 0o444


def test_older_drivers_can_read_the_file(data: Data, bi_file: Path) -> None:
    """The file is stored as DuckDB 1.4 stores it."""
    publish_now(data, bi_file)
    version = "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = 'wallet_bi'"
    assert read(bi_file, version)[0][0].startswith("v1.4.0")


def test_folder_with_an_apostrophe_is_no_problem(data: Data) -> None:
    """The file's name may hold an apostrophe."""
    folder = data.folder / "it's here"
    folder.mkdir(parents=True)
    assert publish_now(data, folder / "bi.duckdb").file.exists()


def test_second_publication_replaces_the_first(data: Data, bi_file: Path) -> None:
    """Publishing again shows the newer rows, and leaves no other file behind."""
    publish_now(data, bi_file)
    data.rows("INSERT INTO raw.snapshots (snapshot_id) VALUES ('newer')")
    publish_now(data, bi_file)
    assert (read(bi_file, "SELECT snapshot_id FROM snapshots"), files(data.folder)) == ([("newer",)], PUBLICATION)


# What goes wrong


def test_leftovers_of_a_killed_publication_do_no_harm(data: Data, bi_file: Path) -> None:
    """Half-written files of a run that was killed, and a log of writes beside the target, are put out of the way."""
    data.rows("INSERT INTO raw.snapshots (snapshot_id) VALUES ('here')")
    for name in ("wallet_bi.duckdb.tmp", "wallet_bi.duckdb.tmp.wal", "wallet_bi.duckdb.wal"):
        (data.folder / name).write_bytes(b"half of something")
    publish_now(data, bi_file)
    assert (read(bi_file, "SELECT snapshot_id FROM snapshots"), files(data.folder)) == ([("here",)], PUBLICATION)


def test_links_of_the_working_files_names_are_removed_and_not_followed(data: Data, bi_file: Path) -> None:
    """A file to which somebody's link of such a name leads stays as it was."""
    theirs = bi_file.with_name("theirs.txt")
    data.folder.mkdir(parents=True, exist_ok=True)
    theirs.write_text("theirs")
    for name in ("wallet_bi.duckdb.tmp", "wallet_bi.duckdb.tmp.wal", "wallet_bi.duckdb.wal"):
        (data.folder / name).symlink_to(theirs)
    publish_now(data, bi_file)
    assert (theirs.read_text(), bi_file.is_symlink()) == ("theirs", False)
    assert files(data.folder) == sorted([*PUBLICATION, "theirs.txt"])


PUBLISH_IN_TROUBLE = """
    import os, resource
    from pathlib import Path
    from wallet_pipeline.warehouse.connection import connect
    from wallet_pipeline.warehouse.publish import PublishError, publish

    with connect(Path("data/warehouse.duckdb"), 30) as con:
        {trouble}
        try:
            publish(con, Path("{target}"))
        except PublishError as error:
            print(error)
"""
FULL_DISK = "resource.setrlimit(resource.RLIMIT_FSIZE, (400_000,) * 2)"
# The folder's rights do not bind root, so root becomes nobody first.
NO_RIGHTS = "os.getuid() == 0 and os.setuid(65534)"


@pytest.fixture
def full_disk(derived: Data, bi_file: Path, start_script: StartScript) -> str:
    """Give what a publication said that did not fit the disk, after one that did."""
    publish_now(derived, bi_file)
    derived.rows("INSERT INTO raw.snapshots (snapshot_id) SELECT md5(range::VARCHAR) FROM range(50_000)")
    return start_script(PUBLISH_IN_TROUBLE.format(trouble=FULL_DISK, target="data/wallet_bi.duckdb")).finish()


def test_full_disk_is_told(full_disk: str) -> None:
    """A publication that does not fit the disk says which file, why, and what to do."""
    assert full_disk.startswith("data/wallet_bi.duckdb could not be written: ")
    assert "File too large" in full_disk
    assert "The last good file is still in place. Check the free disk space" in full_disk


@pytest.mark.usefixtures("full_disk")
def test_full_disk_keeps_the_last_good_file(data: Data, bi_file: Path) -> None:
    """A publication that does not fit the disk leaves the file before it, and gives its own space back."""
    assert (read(bi_file, "SELECT count(*) FROM snapshots"), files(data.folder)) == (
        [(1,)],
        sorted([*PUBLICATION, "staging"]),
    )


@pytest.fixture
def read_only_folder(data: Data, start_script: StartScript) -> str:
    """Give what a publication said whose folder became read-only after an earlier one."""
    folder = data.folder.parent / "for analysts"
    folder.mkdir()
    publish_now(data, folder / "bi.duckdb")
    folder.chmod(0o555)
    try:
        return start_script(PUBLISH_IN_TROUBLE.format(trouble=NO_RIGHTS, target="for analysts/bi.duckdb")).finish()
    finally:
        folder.chmod(0o755)


def test_read_only_folder_is_told(read_only_folder: str) -> None:
    """A folder that cannot be written to is named, with what to do."""
    assert read_only_folder.startswith("for analysts/bi.duckdb could not be written: ")
    assert "Permission denied" in read_only_folder
    assert "the folder's rights" in read_only_folder


@pytest.mark.usefixtures("read_only_folder")
def test_read_only_folder_keeps_the_last_good_file(data: Data) -> None:
    """After a publication into a read-only folder the file before it can be read."""
    assert read(data.folder.parent / "for analysts" / "bi.duckdb", "SELECT count(*) FROM snapshots") == [(0,)]


def test_missing_table_keeps_the_last_good_file(data: Data, bi_file: Path) -> None:
    """A warehouse that lacks a table is told about, and the file before it stays."""
    publish_now(data, bi_file)
    with data.open() as con:
        con.execute("INSERT INTO raw.snapshots (snapshot_id) VALUES ('newer'); DROP TABLE crm.rejections")
        with pytest.raises(PublishError, match=r"rejections.*The last good file is still in place"):
            publish(con, bi_file)
    assert read(bi_file, "SELECT count(*) FROM snapshots") == [(0,)]


def test_publication_after_a_failed_one_works(data: Data, bi_file: Path) -> None:
    """A failure leaves the connection usable: the next publication on it succeeds."""
    with data.open() as con:
        con.execute("ALTER TABLE crm.drift RENAME TO drift_away")
        with pytest.raises(PublishError):
            publish(con, bi_file)
        con.execute("ALTER TABLE crm.drift_away RENAME TO drift")
        assert publish(con, bi_file).rows["crm_drift"] == 0
