"""A sandbox over real HTTP and a warehouse in a folder of its own, for all tests of the stages."""

import fcntl
import gc
import json
import logging
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pydantic import SecretStr

from tests.sandbox.conftest import TIMEOUT_S, Sandbox, running
from wallet_pipeline.clients.http import TimeLimits
from wallet_pipeline.clients.wallet_crew import WalletCrew
from wallet_pipeline.warehouse.connection import connect

# Short enough to try them, long enough for a busy machine.
LIMITS = TimeLimits(connect=5, silence=20, answer=30, call=60)
_LONGEST = {
    "test_demo.py", "test_dev.py", "test_cli.py", "test_real_time.py", "test_touched.py", "test_sync_model.py",
    "test_bi_readers.py",
}  # fmt: skip


class Tenant(Sandbox):
    """A running sandbox whose list of passes a test fills as it likes."""

    def client(
        self, *, key: str | None = None, tenant: str | None = None, limits: TimeLimits = LIMITS, **more: Any
    ) -> WalletCrew:
        """Return the pipeline's client of this sandbox, with the full key of its tenant unless told otherwise."""
        api_key = SecretStr(key or self.facts["api_key"])
        return WalletCrew(self.url, tenant or self.facts["tenant_id"], api_key, limits, **more)

    def put(self, *passes: dict[str, Any]) -> None:
        """List these passes; one that is listed is replaced."""
        for listed in passes:
            self.control("PUT", f"/passes/{listed['id']}", listed).raise_for_status()

    def delete(self, *pass_ids: str) -> None:
        """Take passes off the list."""
        for pass_id in pass_ids:
            self.control("DELETE", f"/passes/{pass_id}").raise_for_status()

    def configure(self, **settings: Any) -> None:
        """Change switches of the server; they are put back after the test."""
        self.control("PATCH", "/settings", settings).raise_for_status()

    def answer_with(self, body: Any, **rule: Any) -> None:
        """Answer every page read with this body, served as JSON, and a total of one."""
        text = body if isinstance(body, str) else json.dumps(body)
        headers = {"x-pagination-total": "1", "content-type": "application/json"}
        self.spoil({"type": "replace", "body": text, "headers": headers}, **rule)

    def move(self, reads: int, every: int) -> None:
        """Let passes come and go after each `every`-th of the next `reads` pages."""
        self.control("POST", "/moving-list", {"reads": reads, "every": every}).raise_for_status()

    def page_reads(self) -> int:
        """Return the number of page reads since the start of the test, repeated ones included."""
        return self.calls().get(f"GET /api/{self.facts['tenant_id']}/passes", 0)

    def queries(self) -> int:
        """Return the number of Insights calls since the start of the test, repeated ones included."""
        return self.calls().get(f"POST /api/{self.facts['tenant_id']}/insights/query", 0)

    def webhooks(self) -> list[dict[str, Any]]:
        """Return the webhook subscriptions as the API shows them."""
        webhooks: list[dict[str, Any]] = self.get("/webhooks").json()
        return webhooks

    def reset(self) -> None:
        """Forget faults, webhooks and requests, and let the list stand still: its next move is too far away to come."""
        self.move(10**9, 10**9)
        self.control("DELETE", "/faults").raise_for_status()
        for webhook in self.webhooks():
            self.http.delete(f"{self.api}/webhooks/{webhook['id']}", timeout=TIMEOUT_S).raise_for_status()
        self.control("DELETE", "/requests").raise_for_status()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage among what is loaded with the tests: it stays to the end, and each look would take it in."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests that last longest begin first, or one of them would go on alone in the end."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)


def make_pass(pass_id: str, **members: Any) -> dict[str, Any]:
    """Return a pass as the API lists it; its secret can be told from any other text."""
    return {
        "id": pass_id,
        "secret": f"s3cr3t-{pass_id}",
        "creationDate": "2026-01-02T03:04:05Z",
        "lastUpdateDate": "2026-01-02T03:04:05Z",
        "passType": "loyalty",
        "identifiers": {"customerId": f"C-{pass_id}"},
        "metadata": None,
        "additionalData": None,
        "providers": {},
        **members,
    }


def make_passes(count: int) -> list[dict[str, Any]]:
    """Return passes whose ids sort by number."""
    return [make_pass(f"pass-{number:04}") for number in range(count)]


@dataclass(frozen=True)
class Data:
    """The data folder of a pipeline; where there is a template, its warehouse begins as a copy of that one."""

    folder: Path
    template: Path | None = None

    @property
    def warehouse(self) -> Path:
        """The warehouse file."""
        return self.folder / "warehouse.duckdb"

    @property
    def staging(self) -> Path:
        """The folder of staging files."""
        return self.folder / "staging"

    def open(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the warehouse as a stage does."""
        if self.template and not self.warehouse.exists():
            self.folder.mkdir(exist_ok=True)
            shutil.copy(self.template, self.warehouse)
        return connect(self.warehouse, wait=30)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query on the warehouse."""
        with self.open() as con:
            return con.execute(query).fetchall()

    def content(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return all rows of the tables that a snapshot writes."""
        tables = ("snapshots", "passes", "wallet_observations")
        return {table: self.rows(f"FROM raw.{table} ORDER BY ALL") for table in tables}

    def staged_files(self) -> list[str]:
        """Return the names of the staging files, other than locks."""
        files = self.staging.iterdir() if self.staging.exists() else []
        return sorted(file.name for file in files if not file.name.endswith("lock"))

    def files_with(self, text: str) -> list[str]:
        """Return the names of all files that hold the text anywhere."""
        files = [file for file in self.folder.rglob("*") if file.is_file()]
        return [file.name for file in files if text.encode() in file.read_bytes()]


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], Any]) -> Path:
    """Return a folder that is filled once for all processes of a test session; tests copy what they need of it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / name).exists():
            filled = tmp_path_factory.mktemp(name)
            fill(filled)
            filled.rename(shared / name)
    return shared / name


def _migrated(folder: Path) -> None:
    with connect(folder / "warehouse.duckdb", wait=0):
        pass


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a migrated warehouse to copy."""
    return made_once(tmp_path_factory, "migrated", _migrated) / "warehouse.duckdb"


@pytest.fixture
def data(tmp_path: Path, template: Path) -> Data:
    """Give an empty data folder."""
    return Data(tmp_path / "data", template)


@contextmanager
def _tenant(state: Path, passes: int) -> Iterator[Tenant]:
    with running(state, "--passes", passes) as sandbox:
        yield Tenant(sandbox.process, state, sandbox.facts)


def _as_new(tenant: Tenant) -> Iterator[Tenant]:
    settings = tenant.control("GET", "/settings").json()
    tenant.reset()
    # Many tests ask within a minute what one pipeline asks in a day.
    tenant.configure(insights_per_minute=1_000_000)
    yield tenant
    tenant.reset()
    tenant.configure(**settings)


@pytest.fixture(scope="session")
def running_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenant]:
    """Run the sandbox that all tests of a process share: 300 passes with 90 days of history."""
    with _tenant(tmp_path_factory.mktemp("world"), 300) as tenant:
        yield tenant


@pytest.fixture
def world(running_world: Tenant) -> Iterator[Tenant]:
    """Give a tenant with some hundreds of passes and their history; earlier tests may have changed it."""
    yield from _as_new(running_world)


@pytest.fixture(scope="session")
def running_tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenant]:
    """Run the sandbox without any pass, which tests fill."""
    with _tenant(tmp_path_factory.mktemp("tenant"), 0) as tenant:
        yield tenant


@pytest.fixture
def tenant(running_tenant: Tenant) -> Iterator[Tenant]:
    """Give a tenant without passes, as new; the test may list what it likes."""
    yield from _as_new(running_tenant)
    while listed := running_tenant.control("GET", "/truth").json():
        running_tenant.delete(*(row["pass_id"] for row in listed))


@dataclass(frozen=True)
class Script:
    """A Python process of its own that runs some lines."""

    process: subprocess.Popen[str]

    def wait_for(self, word: str) -> None:
        """Return when the process has printed the word."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == word

    def finish(self) -> str:
        """Wait for the process and return all that it printed on both channels."""
        printed, errors = self.process.communicate(timeout=60)
        return printed + errors


@pytest.fixture
def start_script(tmp_path: Path) -> Iterator[Callable[[str], Script]]:
    """Start Python lines as a process in the test's folder; it is killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str) -> Script:
        command = [sys.executable, "-c", textwrap.dedent(code)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, cwd=tmp_path, text=True, **pipes)  # type: ignore[call-overload]
        started.append(process)
        return Script(process)

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=TIMEOUT_S)


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Catch what every logger says, down to debug."""
    caplog.set_level(logging.DEBUG)
    return caplog
