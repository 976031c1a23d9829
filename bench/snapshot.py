"""A snapshot of 200,000 passes against downloading the same pages and throwing them away: time ratio and peak memory.

Each measurement is a process of its own; the two alternate, so that a slow moment of the machine hits both. Measured
twice: against the sandbox as fast as it is, on the same cores, and with each page held back as a service on the
internet would.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import requests
from pydantic import SecretStr

from wallet_pipeline.clients.wallet_crew import WalletCrew
from wallet_pipeline.collect.pass_snapshot import take_snapshot
from wallet_pipeline.warehouse.connection import connect

_PAGE_SIZE = 1000
_CONCURRENCY = 4
_PAGE_DELAY = 0.1


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passes", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", choices=["download", "snapshot"], help=argparse.SUPPRESS)
    parser.add_argument("--sandbox", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(_measure(options.measure, json.loads(options.sandbox))))
    else:
        print(json.dumps(_compare(options.passes, options.rounds), indent=1))


def _compare(passes: int, rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "wallet_pipeline.sandbox", "--state", folder, "--passes", str(passes)]
        ports = ["--wallet-crew-port", "0", "--hubspot-port", "0"]
        with subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, text=True) as sandbox:
            answers = (sandbox.stdout.readline() if sandbox.stdout else "").removeprefix("sandbox ready ")
            at_once = _alternate(answers, rounds)
            delay = {"path": "/passes", "action": {"type": "delay", "seconds": _PAGE_DELAY}}
            requests.post(f"{json.loads(answers)['wallet_crew_url']}/sandbox/faults", json=delay, timeout=10)
            held_back = _alternate(answers, rounds)
            sandbox.terminate()
    return {"passes": passes, "at once": at_once, f"pages held back {_PAGE_DELAY} s": held_back}


def _alternate(answers: str, rounds: int) -> dict[str, float]:
    measured: dict[str, list[dict[str, float]]] = {"download": [], "snapshot": []}
    for _ in range(rounds):
        for what, results in measured.items():
            results.append(_in_own_process(what, answers))
    seconds = {what: statistics.median(r["seconds"] for r in results) for what, results in measured.items()}
    return {
        "download_seconds": round(seconds["download"], 2),
        "snapshot_seconds": round(seconds["snapshot"], 2),
        "ratio": round(seconds["snapshot"] / seconds["download"], 2),
        "snapshot_peak_megabytes": round(max(r["peak_megabytes"] for r in measured["snapshot"])),
        "download_peak_megabytes": round(max(r["peak_megabytes"] for r in measured["download"])),
    }


def _in_own_process(what: str, answers: str) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.snapshot", "--measure", what, "--sandbox", answers]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _measure(what: str, answers: dict[str, Any]) -> dict[str, float]:
    began = time.perf_counter()
    with WalletCrew(answers["wallet_crew_url"], answers["tenant_id"], SecretStr(answers["api_key"])) as client:
        (_download if what == "download" else _snapshot)(client)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _download(client: WalletCrew) -> None:
    total = client.read_passes(0, _PAGE_SIZE).total or 0
    with ThreadPoolExecutor(_CONCURRENCY) as pool:
        pages = range(1, total // _PAGE_SIZE + 1)
        list(pool.map(lambda index: client.read_passes(index, _PAGE_SIZE).index, pages))


def _snapshot(client: WalletCrew) -> None:
    with tempfile.TemporaryDirectory() as folder:
        warehouse = partial(connect, Path(folder) / "warehouse.duckdb", 10)
        take_snapshot(
            warehouse,
            client,
            Path(folder) / "staging",
            page_size=_PAGE_SIZE,
            concurrency=_CONCURRENCY,
            min_share=0.9,
            clock=lambda: datetime.now(UTC),
        )


if __name__ == "__main__":
    main()
