"""The demonstration, from an empty folder, as the README promises it."""

import fcntl
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

ROOT = Path(__file__).parent.parent
TIME_LIMIT_S = 420
SECRET = re.compile(rb"s3cr3t-[0-9a-f]{40}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an empty checkout with somebody's real credentials in .env, in which the demonstration has run."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, folder)
    (folder / ".env").write_text(
        "HUBSPOT_ACCESS_TOKEN=pat-somebody\nHUBSPOT_BASE_URL=http://127.0.0.1:9\nDATA_DIR=own\n"
    )
    return folder


@pytest.fixture(scope="module")
def demo(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the demonstration."""
    command = [sys.executable, "-m", "wallet_pipeline.cli", "demo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False)


def test_it_succeeds(demo: subprocess.CompletedProcess[str]) -> None:
    """All runs went well, and the CRM holds the truth."""
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "Every linked contact in the CRM holds the truth." in demo.stdout
    assert re.search(
        r"^Pass API, inbox, Insights and CRM on [\d-]+: explained, \d+ differences, 0 without",
        demo.stdout,
        re.MULTILINE,
    )


def test_second_run_writes_nothing(demo: subprocess.CompletedProcess[str]) -> None:
    """The run after nothing happened says so."""
    (second,) = re.findall(r"^2\. .*\n +(.*)$", demo.stdout, re.MULTILINE)
    assert second.startswith("0 of ")


def test_burst_of_events_reaches_the_crm(demo: subprocess.CompletedProcess[str]) -> None:
    """All events are told with the times that they took, and came again without any effect."""
    (fourth,) = re.findall(r"^4\. .*\n((?: +.*\n)+)", demo.stdout, re.MULTILINE)
    told, to_inbox, to_crm, again = fourth.splitlines()
    assert told.startswith("   50 events, out of order")
    for times in (to_inbox, to_crm):
        p50, p99 = map(float, re.findall(r"p\d\d +([\d.]+) s", times))
        assert 0 < p50 <= p99
    assert again.endswith("events came again a minute later: no row changed, and nothing was written")


def test_daily_run_after_the_events_finds_nothing(demo: subprocess.CompletedProcess[str]) -> None:
    """It writes nothing, and derives the rows that the events had left."""
    (fifth,) = re.findall(r"^5\. .*\n +(.*)$", demo.stdout, re.MULTILINE)
    assert fifth.startswith("0 of ")
    assert "The tables are the same, row for row" in demo.stdout


def test_report_is_named(demo: subprocess.CompletedProcess[str], folder: Path) -> None:
    """The last lines name the report for marketers, with all charts but the one that a first day cannot have."""
    (named,) = re.findall(r"^The report: +(.*)$", demo.stdout, re.MULTILINE)
    assert Path(named) == (folder / "data" / "demo" / "report.html").resolve()
    page = Path(named).read_text()
    assert (page.count("<svg"), page.count("Nothing to show yet.")) == (12, 1)


def test_real_credentials_stay_out(demo: subprocess.CompletedProcess[str], folder: Path) -> None:
    """The user's own .env has no part in the demonstration."""
    assert demo.returncode == 0
    assert not (folder / "own").exists()


def test_no_secret_of_a_pass_is_anywhere(demo: subprocess.CompletedProcess[str], folder: Path) -> None:
    """Neither the data, the logs nor Dagster's storage hold the secret of any pass."""
    with duckdb.connect(folder / "sandbox-state" / "wallet_crew.duckdb", read_only=True) as con:
        secrets = con.execute("SELECT body ->> 'secret' FROM backstage.passes").fetchall()
    assert all(SECRET.fullmatch(secret.encode()) for (secret,) in secrets)
    assert len(secrets) >= 2000
    written = [file for file in (folder / "data").rglob("*") if file.is_file()]
    assert {"warehouse.duckdb", "wallet_bi.duckdb", "headless.log", "runs.db"} <= {file.name for file in written}
    assert [file for file in written if SECRET.search(_readable(file))] == []
    assert not SECRET.search((demo.stdout + demo.stderr).encode())


def _readable(file: Path) -> bytes:
    """Return the file's bytes; of a DuckDB file, which compresses its texts, the rows of all tables too."""
    content = file.read_bytes()
    if file.suffix == ".duckdb":
        with duckdb.connect(file, read_only=True) as con:
            for (table,) in con.execute("SELECT schema_name || '.' || table_name FROM duckdb_tables()").fetchall():
                content += str(con.execute(f"FROM {table}").fetchall()).encode()
    return content


def test_a_second_demonstration_leaves_the_first_alone(tmp_path: Path) -> None:
    """While one is running in the folder another one refuses, and touches nothing."""
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    world = tmp_path / "sandbox-state" / "world"
    world.mkdir(parents=True)
    (tmp_path / "data").mkdir()
    command = [sys.executable, "-m", "wallet_pipeline.cli", "demo"]
    with (tmp_path / "data" / "sandbox.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False)
    assert (done.returncode, "is running: stop it first" in done.stderr, world.exists()) == (1, True, True)


def test_outside_a_checkout_it_says_where_to_run(tmp_path: Path) -> None:
    """Without dagster.yaml the command names the folder that it wants, and fails."""
    command = [sys.executable, "-m", "wallet_pipeline.cli", "demo"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False)
    assert done.returncode != 0
    assert "where dagster.yaml lies" in done.stderr
