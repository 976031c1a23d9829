"""The pipeline on the sandbox: the processes that `demo` and `dev` start below a checkout, and stop at the end."""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from pydantic import SecretStr

from wallet_pipeline.clients.wallet_crew import WalletCrew
from wallet_pipeline.collect.webhooks.subscriptions import EVENTS, subscribe
from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.headless import create_instance, dagster_environment, start_sensor
from wallet_pipeline.settings import Settings

SETTLE_WINDOW = 1
_TIME_LIMIT = 30
_TIME_TO_STOP_S = 15


class PlaygroundError(ExplainedError):
    """A process that belongs to the sandbox did not start, or one is running already; the message says which."""


@dataclass(frozen=True)
class Sandbox:
    """Where the stand-ins answer, and the folder of their pipeline."""

    wallet_crew_url: str
    hubspot_url: str
    tenant_id: str
    api_key: str
    root: Path
    home: Path
    env: Mapping[str, str]

    @property
    def bi_file(self) -> Path:
        """The file for analysts."""
        return self.home / "wallet_bi.duckdb"

    @property
    def report_file(self) -> Path:
        """The page for marketers."""
        return self.home / "report.html"

    def ask(self, url: str, method: str = "GET", **arguments: Any) -> requests.Response:
        """Ask one of the stand-ins, on this machine: past any proxy."""
        with requests.Session() as session:
            session.trust_env = False
            response = session.request(method, url, timeout=_TIME_LIMIT, **arguments)
        response.raise_for_status()
        return response


@contextmanager
def sandbox(root: Path, *, fresh: bool) -> Iterator[Sandbox]:
    """Start the sandbox below `root` and stop it at the end; `fresh` begins with a new world and an empty warehouse."""
    state, home = root / "sandbox-state", root / "data" / "demo"
    with _alone(root), _started(root, state, home, fresh=fresh) as box:
        yield box


@contextmanager
def receiver(box: Sandbox) -> Iterator[str]:
    """Subscribe a receiver at the sandbox, start it, and yield its address; both end with the block."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with WalletCrew(box.wallet_crew_url, box.tenant_id, SecretStr(box.api_key)) as client:
        for stale in client.list_webhooks():
            client.delete_webhook(stale.id)
        subscription = subscribe(client, f"{url}/webhooks/wallet-crew", EVENTS)
    secret = subscription.webhook.signature_secret.get_secret_value()
    command = [sys.executable, "-m", "wallet_pipeline.cli", "receive", "--port", str(port)]
    with (box.home / "receiver.log").open("a") as log:
        environment = {**box.env, "WEBHOOK_SECRETS": secret}
        process = subprocess.Popen(  # noqa: S603
            command, env=environment, cwd=box.home, stdout=subprocess.PIPE, stderr=log, text=True
        )
    with _stopped_at_the_end(process):
        if not (process.stdout and process.stdout.readline().startswith("receiving at ")):
            raise PlaygroundError(f"The receiver did not start; see {box.home / 'receiver.log'}.")
        yield url


@contextmanager
def daemon(box: Sandbox) -> Iterator[None]:
    """Switch the sensor on and run Dagster's daemon, which looks at it, for the length of the block."""
    create_instance(box.env)
    start_sensor(box.env, box.root / "workspace.yaml", "changes_sensor")
    with (
        (box.home / "daemon.log").open("a") as log,
        dagster_process(box, ["dagster._daemon", "run", "-w", str(box.root / "workspace.yaml")], log.fileno()),
    ):
        yield


@contextmanager
def dagster_process(box: Sandbox, module: Sequence[str], output: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """Start a module of Dagster in a group of its own: it leaves its code servers behind for a while when stopped."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", *module],
        env=box.env, cwd=box.home, process_group=0, stdout=output, stderr=output, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_TIME_TO_STOP_S)
        for last_word in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, last_word)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_TIME_TO_STOP_S)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    (root / "data").mkdir(exist_ok=True)
    with (root / "data" / "sandbox.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PlaygroundError("A demo or `make dev` of this folder is running: stop it first.") from None
        yield


@contextmanager
def _started(root: Path, state: Path, home: Path, *, fresh: bool) -> Iterator[Sandbox]:
    if fresh:
        shutil.rmtree(state, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(root / "dagster.yaml", home / "dagster.yaml")
    command = [sys.executable, "-m", "wallet_pipeline.sandbox", "--state", str(state)]
    ports = ["--wallet-crew-port", "0", "--hubspot-port", "0"]
    process = subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, text=True)  # noqa: S603
    with _stopped_at_the_end(process):
        answers = _wait_until_ready(process)
        yield Sandbox(
            answers["wallet_crew_url"],
            answers["hubspot_url"],
            answers["tenant_id"],
            answers["api_key"],
            root,
            home,
            _environment(home, answers),
        )


@contextmanager
def _stopped_at_the_end(process: subprocess.Popen[str]) -> Iterator[None]:
    with ExitStack() as cleanup:
        if process.stdout:
            cleanup.enter_context(process.stdout)
        try:
            yield
        finally:
            process.terminate()
            process.wait(_TIME_LIMIT)


def _wait_until_ready(process: subprocess.Popen[str]) -> dict[str, Any]:
    line = process.stdout.readline() if process.stdout else ""
    if not line.startswith("sandbox ready "):
        raise PlaygroundError("The sandbox did not start; its message stands above.")
    answers: dict[str, Any] = json.loads(line.removeprefix("sandbox ready "))
    return answers


def _environment(home: Path, answers: Mapping[str, Any]) -> dict[str, str]:
    """Return an environment in which every setting is the sandbox's own: real credentials stay out of it."""
    ours = {name.upper() for name in Settings.model_fields}
    clean = {name: value for name, value in dagster_environment(home).items() if name.upper() not in ours}
    return clean | {
        "WALLET_CREW_BASE_URL": answers["wallet_crew_url"],
        "WALLET_CREW_TENANT_ID": answers["tenant_id"],
        "WALLET_CREW_API_KEY": answers["api_key"],
        "HUBSPOT_BASE_URL": answers["hubspot_url"],
        "HUBSPOT_ACCESS_TOKEN": answers["access_token"],
        "SETTLE_WINDOW": str(SETTLE_WINDOW),
        "DATA_DIR": str(home.resolve()),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
