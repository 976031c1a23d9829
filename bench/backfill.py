"""Five years of Insights, 20 pass types and 2 wallets, read over HTTP; then the trends counted from them.

Read alone, through Dagster as a user does, with answers that the service cuts to a few thousand rows, and killed half
way and gone on with. Each reading is a process of its own against a sandbox that was just started, with its limit of 60
calls a minute. The trends are counted from that history, and from one of a million passes.
"""

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import requests
from pydantic import SecretStr

from bench.measure import Spent, run
from wallet_pipeline.clients.wallet_crew import WalletCrew
from wallet_pipeline.collect.insights import EventProperties, read_insights
from wallet_pipeline.derive.trends import derive_trends
from wallet_pipeline.warehouse.connection import connect

_BENCH = Path(__file__).parent
_READ = ("raw.insights_daily", "raw.insights_events")
_TOLD = """
    INSERT INTO raw.insights_events
    SELECT DISTINCT
        timestamp, lower(split_part("eventType", ':', 2)), properties->>'passId', properties->>'passType',
        coalesce(properties->>'device', '')
    FROM ({history}) WHERE "eventType" <> 'Pass:Updated'
"""


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passes", type=int, default=450_000)
    parser.add_argument("--days", type=int, default=5 * 365 + 1)
    parser.add_argument("--most-rows", type=int, default=10_000)
    parser.add_argument("--do", choices=["read", "trends"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--sandbox", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.do == "read":
        print(json.dumps(_read(options.folder, json.loads(options.sandbox), options.days)))
    elif options.do == "trends":
        print(json.dumps(_trends(options.folder)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(_measure(Path(folder), options.passes, options.days, options.most_rows), indent=1))


def _measure(folder: Path, passes: int, days: int, most_rows: int) -> dict[str, Any]:
    state = folder / "sandbox"
    with _sandbox(state):
        pass
    history = (_BENCH / "history.sql").read_text()
    with duckdb.connect(state / "wallet_crew.duckdb") as con:
        con.execute(f"INSERT INTO main.Events BY NAME {history}", _given(passes, days))
        (events,) = con.execute("SELECT count(*) FROM main.Events").fetchone() or (0,)
    found = {"events": events, "days": days}
    with _sandbox(state) as facts:
        found["read"] = _reading(folder / "alone", facts, days)
    with _sandbox(state) as facts:
        found["read through Dagster"] = _by_dagster(folder / "dagster", facts, days)
    with _sandbox(state, insights_max_rows=most_rows) as facts:
        found[f"read in answers of {most_rows} rows"] = _reading(folder / "cut", facts, days)
    with _sandbox(state) as facts:
        found["killed half way"] = _killed(folder / "killed", facts, days)
    contents = {name: _content(folder / name) for name in ("alone", "dagster", "cut", "killed")}
    found["all the same"] = len(set(contents.values())) == 1
    found["trends"] = _counting(folder / "alone")
    found["trends of a million passes"] = _counting(_made_up(folder / "million", 1_000_000, days))
    return found


@contextmanager
def _sandbox(state: Path, **settings: int) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "wallet_pipeline.sandbox", "--state", str(state), "--passes", "0"]
    ports = ["--wallet-crew-port", "0", "--hubspot-port", "0"]
    with subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, text=True) as process:
        facts = json.loads((process.stdout.readline() if process.stdout else "").removeprefix("sandbox ready "))
        requests.patch(f"{facts['wallet_crew_url']}/sandbox/settings", json=settings, timeout=10).raise_for_status()
        yield facts
        process.terminate()


def _given(passes: int, days: int) -> dict[str, Any]:
    tomorrow = datetime.combine(_tomorrow(), datetime.min.time())
    return {"passes": passes, "days": days, "until": tomorrow}


def _tomorrow() -> date:
    return datetime.now(UTC).date() + timedelta(days=1)


def _warehouse(folder: Path) -> Path:
    return folder / "warehouse.duckdb"


def _command(folder: Path, facts: dict[str, Any], days: int) -> list[str]:
    given = ["--folder", str(folder), "--days", str(days), "--sandbox", json.dumps(facts)]
    return [sys.executable, "-m", "bench.backfill", "--do", "read", *given]


def _reading(folder: Path, facts: dict[str, Any], days: int) -> dict[str, Any]:
    spent = run(_command(folder, facts, days), Path.cwd())
    return json.loads(spent.output) | _figures(spent) | {"answers": _statuses(facts)}


def _figures(spent: Spent) -> dict[str, Any]:
    return {
        "seconds": round(spent.seconds, 1),
        "processor_seconds": round(spent.processor_s, 1),
        "peak_megabytes": round(spent.peak_mb),
    }


def _statuses(facts: dict[str, Any]) -> Any:
    return requests.get(f"{facts['wallet_crew_url']}/sandbox/requests?by=status", timeout=10).json()


def _by_dagster(folder: Path, facts: dict[str, Any], days: int) -> dict[str, Any]:
    """Read the range of partitions as docs/setup.md says, from the command line."""
    folder.mkdir()
    shutil.copy(_BENCH.parent / "dagster.yaml", folder)
    first = _tomorrow() - timedelta(days=days)
    environment = os.environ | {
        "DAGSTER_HOME": str(folder),
        "DATA_DIR": str(folder),
        "WALLET_CREW_BASE_URL": facts["wallet_crew_url"],
        "WALLET_CREW_TENANT_ID": facts["tenant_id"],
        "WALLET_CREW_API_KEY": facts["api_key"],
        "INSIGHTS_FIRST_DAY": str(first),
        "PYTHONPATH": str(_BENCH.parent),
    }
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "wallet_pipeline.definitions"]
    partitions = f"{first}...{_tomorrow() - timedelta(days=1)}"
    # The run's lines are of no use here: `run` keeps what is printed on the other channel only.
    with (folder / "log").open("w") as log:
        quiet = ["sh", "-c", 'exec "$@" 2>"$0"', log.name]
        spent = run(
            [*quiet, *command, "--select", "insights_daily", "--partition-range", partitions], folder, environment
        )
    return _figures(spent) | {"answers": _statuses(facts)}


def _killed(folder: Path, facts: dict[str, Any], days: int) -> dict[str, Any]:
    """Kill a reading once half of its calls were made, and read again."""
    half = days // 31 // 2
    with subprocess.Popen(_command(folder, facts, days), stdout=subprocess.DEVNULL) as process:
        while sum(_statuses(facts).values()) < half:
            time.sleep(0.01)
        process.kill()
    before = sum(_statuses(facts).values())
    with connect(_warehouse(folder), 30) as con:
        (stored,) = con.execute("SELECT count(*) FROM raw.insights_days").fetchone() or (0,)
    return {"calls_before": before, "days_before": stored} | _reading(folder, facts, days)


def _content(folder: Path) -> tuple[Any, ...]:
    with connect(_warehouse(folder), 30) as con:
        return tuple(con.execute(f"SELECT count(*), sum(hash(t)) FROM {table} t").fetchone() for table in _READ)


def _counting(folder: Path) -> dict[str, Any]:
    with connect(_warehouse(folder), 30) as con:
        con.execute((_BENCH / "present.sql").read_text())
    spent = run([sys.executable, "-m", "bench.backfill", "--do", "trends", "--folder", str(folder)], Path.cwd())
    return json.loads(spent.output) | _figures(spent)


def _made_up(folder: Path, passes: int, days: int) -> Path:
    with connect(_warehouse(folder), 30) as con:
        history = (_BENCH / "history.sql").read_text()
        con.execute(_TOLD.format(history=history), _given(passes, days))
        con.execute(
            "INSERT INTO raw.insights_days"
            " SELECT unnest(generate_series($first, $last, INTERVAL 1 DAY)), now()::TIMESTAMP",
            {"first": _tomorrow() - timedelta(days=days), "last": _tomorrow() - timedelta(days=1)},
        )
    return folder


def _read(folder: Path, facts: dict[str, Any], days: int) -> dict[str, Any]:
    """Read the days into a warehouse, in this process."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    properties = EventProperties("passId", "passType", "device")
    with WalletCrew(facts["wallet_crew_url"], facts["tenant_id"], SecretStr(facts["api_key"])) as client:
        read = read_insights(
            partial(connect, _warehouse(folder), 30), client, properties,
            _tomorrow() - timedelta(days=days), _tomorrow(), lambda: datetime.now(UTC),
        )  # fmt: skip
    return {"calls": read.calls, "events": read.events, "days_read_before": read.read_before}


def _trends(folder: Path) -> dict[str, Any]:
    """Count the trends, in this process."""
    with connect(_warehouse(folder), 30) as con:
        began = time.monotonic()
        derive_trends(con, ZoneInfo("Europe/Paris"), datetime.now(UTC))
        seconds = time.monotonic() - began
        counts = {
            table: (con.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,))[0]
            for table in ("raw.insights_events", "adoption.installations", "adoption.adoption_daily")
        }
    return {"trends_seconds": round(seconds, 1), **counts}


if __name__ == "__main__":
    main()
