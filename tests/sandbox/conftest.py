"""The sandbox as its users meet it: a process of its own, over real HTTP on free ports."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

TIMEOUT_S = 20


class Sandbox:
    """A running sandbox, and a client that speaks to its Wallet Crew as an app or as the sandbox's keeper."""

    def __init__(self, process: subprocess.Popen[str], state: Path, facts: dict[str, Any]) -> None:
        self.process = process
        self.state = state
        self.facts = facts
        self.url = facts["wallet_crew_url"]
        self.api = f"{self.url}/api/{facts['tenant_id']}"
        self.http = requests.Session()
        self.http.headers["X-API-KEY"] = facts["api_key"]
        self._keeper = requests.Session()
        # Else each request would look through the whole environment for a proxy.
        self.http.trust_env = self._keeper.trust_env = False

    def get(self, path: str = "/passes", key: str | None = None, **params: Any) -> requests.Response:
        """Call the API; the page of passes unless another path is given."""
        headers = {} if key is None else {"X-API-KEY": key}
        return self.http.get(self.api + path, params=params, headers=headers, timeout=TIMEOUT_S)

    def passes(self, **params: Any) -> list[dict[str, Any]]:
        """Return one page of passes."""
        answer = self.get(**params)
        assert answer.status_code == 200, answer.text
        page: list[dict[str, Any]] = answer.json()
        return page

    def total(self) -> int:
        """Return the number of listed passes, as the next page tells it."""
        return int(self.get(pageSize=1).headers["x-pagination-total"])

    def all_passes(self) -> list[dict[str, Any]]:
        """Return every listed pass."""
        return self.passes(pageSize=1000) + self.passes(pageSize=1000, pageIndex=1)

    def find(self, pass_id: str) -> dict[str, Any] | None:
        """Return a pass of the list by its id."""
        return next((listed for listed in self.all_passes() if listed.get("id") == pass_id), None)

    def ask(self, query: str, **more: Any) -> requests.Response:
        """Send a query to Insights."""
        return self.http.post(f"{self.api}/insights/query", json={"query": query, **more}, timeout=TIMEOUT_S)

    def rows(self, query: str) -> list[list[Any]]:
        """Return the rows of an Insights query."""
        answer = self.ask(query)
        assert answer.status_code == 200, answer.text
        rows: list[list[Any]] = answer.json()["rows"]
        return rows

    def control(self, method: str, path: str, body: Any = None) -> requests.Response:
        """Call a control."""
        return self._keeper.request(method, f"{self.url}/sandbox{path}", json=body, timeout=TIMEOUT_S)

    def advance(self, **counts: Any) -> list[dict[str, Any]]:
        """Change the world and return the changes."""
        answer = self.control("POST", "/advance", counts)
        assert answer.status_code == 200, answer.text
        changes: list[dict[str, Any]] = answer.json()["changes"]
        return changes

    def spoil(self, action: dict[str, Any], **rule: Any) -> None:
        """Add a fault rule, by default for all page reads."""
        answer = self.control("POST", "/faults", {"path": "/passes", "action": action, **rule})
        assert answer.status_code == 201, answer.text

    def calls(self) -> dict[str, int]:
        """Return the number of requests by method and path."""
        counts: dict[str, int] = self.control("GET", "/requests").json()
        return counts

    def stop(self) -> int:
        """Tell the process to stop and return its exit status."""
        self.process.terminate()
        return self.process.wait(TIMEOUT_S)


def command(state: Path, *options: object) -> list[str]:
    """Return the command line of a sandbox on free ports; later options win."""
    ports = ["--wallet-crew-port", "0", "--hubspot-port", "0"]
    return [sys.executable, "-m", "wallet_pipeline.sandbox", "--state", str(state), *ports, *map(str, options)]


@contextmanager
def running(state: Path, *options: object) -> Iterator[Sandbox]:
    """Start a sandbox, wait until it says that it is ready, and stop it at the end."""
    with subprocess.Popen(command(state, *options), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Sandbox(process, state, json.loads(process.stdout.readline().removeprefix("sandbox ready ")))
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Give the sandbox of all tests that leave its world as it is."""
    with running(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Iterator[Sandbox]:
    """Give the shared sandbox without faults, with its default settings and an empty request log."""
    settings = shared_sandbox.control("GET", "/settings").json()
    shared_sandbox.control("DELETE", "/requests")
    yield shared_sandbox
    shared_sandbox.control("DELETE", "/faults")
    shared_sandbox.control("PATCH", "/settings", settings)


@pytest.fixture(scope="session")
def shared_changing_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Give the sandbox of all tests that change its world."""
    with running(tmp_path_factory.mktemp("changing"), "--passes", 500) as sandbox:
        yield sandbox


@pytest.fixture
def changing_sandbox(shared_changing_sandbox: Sandbox) -> Iterator[Sandbox]:
    """Give a sandbox whose world the test may change; earlier tests may have done so. No list is moving."""
    yield shared_changing_sandbox
    shared_changing_sandbox.control("DELETE", "/faults")


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a sandbox that is expected to give up at once."""

    def run(*options: object, state: Path = tmp_path / "state") -> subprocess.CompletedProcess[str]:
        return subprocess.run(command(state, *options), capture_output=True, text=True, timeout=TIMEOUT_S, check=False)

    return run
