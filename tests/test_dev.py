"""The UI on the sandbox, as `make dev` opens it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).parent.parent
TIME_LIMIT_S = 120
STOP_LIMIT_S = 10
QUERY = """{
  repositoriesOrError { ... on RepositoryConnection { nodes {
    location { name } jobs { name } schedules { name } sensors { name sensorState { status } }
    assetGroups { groupName } assetNodes { assetKey { path } }
  } } }
}"""


@dataclass(frozen=True)
class Ui:
    """A running `wallet-pipeline dev`."""

    process: subprocess.Popen[bytes]
    url: str
    folder: Path


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    """Start the UI in a checkout of its own and wait until it has loaded the project."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, folder)
    port = _free_port()
    command = [sys.executable, "-m", "wallet_pipeline.cli", "dev", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        yield _when_it_answers(Ui(process, f"http://127.0.0.1:{port}", folder))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_it_shows_the_project(ui: Ui) -> None:
    """Groups, jobs and schedules are there, under the project's name."""
    answer = requests.post(f"{ui.url}/graphql", json={"query": QUERY}, timeout=TIME_LIMIT_S).json()
    (project,) = answer["data"]["repositoriesOrError"]["nodes"]
    assert project["location"]["name"] == "wallet_pipeline"
    assert {"daily", "insights"} <= {job["name"] for job in project["jobs"]}
    assert {one["name"] for one in project["schedules"]} == {"daily_schedule", "insights_schedule"}
    assert {one["groupName"] for one in project["assetGroups"]} == {"collect", "derive", "sync", "publish"}


def test_its_sensor_looks_for_what_its_receiver_takes(ui: Ui) -> None:
    """The sensors are switched on, and what happens in the sandbox is delivered to a receiver."""
    answer = requests.post(f"{ui.url}/graphql", json={"query": QUERY}, timeout=TIME_LIMIT_S).json()
    (project,) = answer["data"]["repositoriesOrError"]["nodes"]
    states = {one["name"]: one["sensorState"]["status"] for one in project["sensors"]}
    assert states == {"alerts_sensor": "RUNNING", "changes_sensor": "RUNNING"}
    sandbox = json.loads((ui.folder / "sandbox-state" / "sandbox.json").read_text())["wallet_crew_url"] + "/sandbox"
    requests.post(f"{sandbox}/advance", json={"installs": 1}, timeout=TIME_LIMIT_S).raise_for_status()
    deadline = time.monotonic() + TIME_LIMIT_S
    while not (sent := requests.get(f"{sandbox}/webhook-deliveries", timeout=TIME_LIMIT_S).json())["acknowledged"]:
        assert time.monotonic() < deadline, sent
        time.sleep(0.1)


def test_it_stops_with_all_its_processes(ui: Ui) -> None:
    """After SIGTERM nothing that it started is left."""
    ui.process.send_signal(signal.SIGTERM)
    ui.process.wait(TIME_LIMIT_S)
    deadline = time.monotonic() + STOP_LIMIT_S
    while (left := _processes_below(ui.folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def _when_it_answers(ui: Ui) -> Ui:
    deadline = time.monotonic() + TIME_LIMIT_S
    while ui.process.poll() is None and time.monotonic() < deadline:
        try:
            answer = requests.post(f"{ui.url}/graphql", json={"query": QUERY}, timeout=TIME_LIMIT_S).json()
            if answer["data"]["repositoriesOrError"].get("nodes"):
                return ui
        except requests.ConnectionError:
            pass
        time.sleep(0.2)
    pytest.fail((ui.folder / "log").read_text())


def _processes_below(folder: Path) -> list[str]:
    """Return the command lines of the processes that work in the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
