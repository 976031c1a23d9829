"""Dagster's own books and what runs printed: redacted in place, and still readable by Dagster."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from wallet_pipeline.defs.tables import markdown_table
from wallet_pipeline.support.forget.logs import LogError, redact_logs
from wallet_pipeline.support.forget.person import Identifier, Person
from wallet_pipeline.support.forget.traces import Traces

KEY = "customerId=K-anna-1042"


def traces_of(key: str) -> Traces:
    """Return how the customer of a key is recognized."""
    name, _, value = key.partition("=")
    return Traces(Person(key, (), (key,), (Identifier(name, value, value, keys_customers=True),)), [])


TRACES = traces_of(KEY)
TABLE = f"| customer | record |\n| --- | --- |\n| {KEY} | 1 |\n| customerId=K-ben | 2 |"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Yield Dagster's storage below a folder, with two runs that showed Anna in a table of the UI."""

    @dg.asset
    def crm_plan() -> dg.MaterializeResult:
        dg.get_dagster_logger().info("%s is held", KEY)
        return dg.MaterializeResult(metadata={"sample": dg.MetadataValue.md(TABLE)})

    (tmp_path / "logs").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "logs")) as instance:
        for _ in range(2):
            assert dg.materialize([crm_plan], instance=instance).success
        yield instance


def traces_in(folder: Path) -> list[str]:
    """Return the files in whose bytes she stands."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return [file.name for file in files if b"K-anna" in file.read_bytes()]


def test_dagster_shows_asterisks_and_goes_on(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """Event log, newest materialization and logged lines lose her, in every byte, while Dagster has the files open."""
    looked_at, _ = redact_logs(tmp_path / "logs", TRACES, write=False)
    assert traces_in(tmp_path / "logs")
    redacted, unclean = redact_logs(tmp_path / "logs", TRACES, write=True)
    assert (redacted, unclean) == (looked_at, [])
    assert redacted > 4
    assert traces_in(tmp_path / "logs") == []
    event = instance.get_latest_materialization_event(dg.AssetKey("crm_plan"))
    assert event is not None
    materialization = event.asset_materialization
    assert materialization is not None
    assert materialization.metadata["sample"].value == TABLE.replace(KEY, "*" * len(KEY))
    for run in instance.get_runs():
        assert instance.all_logs(run.run_id)


@pytest.mark.parametrize("key", ["customerId=auth0|5f7c8ec7c33c6c00", "customerId=é|K-5f7c\nx"])
def test_key_in_a_cell_of_a_table_is_found(tmp_path: Path, key: str) -> None:
    """A table shows a bar in a key as an escaped one and a line break as a space; no file of Dagster's keeps it so."""

    @dg.asset
    def crm_plan() -> dg.MaterializeResult:
        rows = [[key, key.partition("=")[2]], ["customerId=auth0|K-ben", None]]
        return dg.MaterializeResult(metadata={"sample": markdown_table(["customer", "changes"], rows)})

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        assert dg.materialize([crm_plan], instance=instance).success
        redacted, unclean = redact_logs(tmp_path, traces_of(key), write=True)
        event = instance.get_latest_materialization_event(dg.AssetKey("crm_plan"))
    assert (redacted > 0, unclean) == (True, [])
    assert [file for file in tmp_path.rglob("*") if file.is_file() and b"5f7c" in file.read_bytes()] == []
    assert event is not None
    assert event.asset_materialization is not None
    shown = str(event.asset_materialization.metadata["sample"].value)
    assert shown.endswith("** |\n| customerId=auth0\\|K-ben |  |")


def test_line_is_overwritten_under_the_run_that_appends_to_it(tmp_path: Path) -> None:
    """A process that has the log open writes on behind it; other lines, broken text too, stay byte for byte."""
    file = tmp_path / "runs" / "headless.log"
    file.parent.mkdir()
    with file.open("ab", buffering=0) as appending:
        appending.write(f"é {KEY} is held\n".encode() + b"\xff customerId=K-anna-10421\n")
        assert redact_logs(tmp_path, TRACES, write=False) == (1, [])
        assert redact_logs(tmp_path, TRACES, write=True) == (1, [])
        appending.write(b"the end\n")
    assert file.read_bytes() == f"é {'*' * len(KEY)} is held\n".encode() + b"\xff customerId=K-anna-10421\nthe end\n"
    assert redact_logs(tmp_path, TRACES, write=True) == (0, [])


def test_log_that_cannot_be_changed_is_named(tmp_path: Path) -> None:
    """A damaged book of Dagster's ends the command with the file's name, before the warehouse lets go of anybody."""
    with closing(sqlite3.connect(tmp_path / "index.db")) as con:
        con.execute("CREATE TABLE event_logs (event TEXT)")
    (tmp_path / "index.db").write_bytes((tmp_path / "index.db").read_bytes()[:200] + b"x" * 8000)
    with pytest.raises(LogError, match=r"index\.db"):
        redact_logs(tmp_path, TRACES, write=True)


def test_folder_without_logs_is_empty(tmp_path: Path) -> None:
    """Where no run ever was, there is nothing to redact."""
    assert redact_logs(tmp_path / "nowhere", TRACES, write=True) == (0, [])
