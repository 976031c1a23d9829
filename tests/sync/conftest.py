"""A fresh CRM account over real HTTP, a warehouse in a file, and the few steps that every test of the sync takes."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest
import requests
import uvicorn
from pydantic import SecretStr

from tests.conftest import made_once
from wallet_pipeline.clients.http import TimeLimits
from wallet_pipeline.clients.hubspot import HubSpot
from wallet_pipeline.sandbox.droppable import DroppableProtocol
from wallet_pipeline.sandbox.faults import Faults
from wallet_pipeline.sandbox.hubspot import create_app
from wallet_pipeline.sandbox.hubspot_store import create_store
from wallet_pipeline.sync.destination import FIELDS, Scope
from wallet_pipeline.sync.hubspot import HubSpotDestination
from wallet_pipeline.sync.plan import PlanRules, make_plan
from wallet_pipeline.sync.plan_summary import PlanResult
from wallet_pipeline.sync.setup_crm import setup_crm
from wallet_pipeline.sync.write import DeliveryResult, deliver
from wallet_pipeline.warehouse.connection import connect

FULL_TOKEN = "pat-sandbox-full"
SYNC_TOKEN = "pat-sandbox-sync"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
YESTERDAY = NOW - timedelta(days=1)
APPLE = {
    "wallet_status": "apple",
    "apple_wallet_installed_at": YESTERDAY,
    "wallet_last_changed_at": YESTERDAY,
    "wallet_last_event": "installed",
}
GOOGLE = {
    "wallet_status": "google",
    "google_wallet_installed_at": YESTERDAY,
    "wallet_last_changed_at": YESTERDAY,
    "wallet_last_event": "installed",
}
NONE = {"wallet_status": "none", "wallet_last_changed_at": YESTERDAY, "wallet_last_event": "uninstalled"}
RULES = PlanRules(
    customer_identifier="customerId",
    missing_contacts="create",
    tolerance=timedelta(seconds=60),
    settle_window=timedelta(seconds=60),
    settle_cap=timedelta(seconds=600),
    max_none_share=1,
    max_none_customers=0,
)
LIMITS = TimeLimits(connect=2, silence=5, answer=5, call=20, pause=0.02)


class Account:
    """The CRM account behind the stand-in: what its keeper can see and do."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = requests.Session()
        self._http.trust_env = False  # else each request would look through the whole environment for a proxy

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Use a control below /sandbox/."""
        answer = self._http.request(method, f"{self.url}/sandbox/{path}", json=body, timeout=10)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def api(self, method: str, path: str, body: Any = None) -> requests.Response:
        """Call the API as an app that may do everything."""
        headers = {"Authorization": f"Bearer {FULL_TOKEN}"}
        return self._http.request(method, self.url + path, json=body, headers=headers, timeout=10)

    def client(self, token: str = FULL_TOKEN, version: str = "2026-09", attempts: int = 3) -> HubSpot:
        """Return a client of the account."""
        return HubSpot(self.url, version, SecretStr(token), LIMITS, attempts)

    def destination(self, token: str = FULL_TOKEN, attempts: int = 3) -> HubSpotDestination:
        """Return the account as a destination."""
        return HubSpotDestination(self.client(token, attempts=attempts), "customer_id")

    def add(self, **values: str) -> str:
        """Create a contact as a person would, and return its id."""
        record_id: str = self.control("POST", "contacts", {"properties": values})["id"]
        return record_id

    def edit(self, record_id: str, **values: str) -> None:
        """Change a contact as a person would."""
        self.control("POST", f"contacts/{record_id}/edit", {"properties": values})

    def contacts(self) -> dict[str, dict[str, str]]:
        """Return the values of all contacts by id."""
        answer = self._http.get(f"{self.url}/sandbox/contacts/all", timeout=10)
        return {one["id"]: one["properties"] for one in map(json.loads, answer.text.splitlines())}

    def wallet(self, record_id: str) -> dict[str, str | None]:
        """Return the five wallet values of a contact."""
        values = self.contacts()[record_id]
        return {name: values.get(name) for name in FIELDS}

    def switch(self, **settings: Any) -> None:
        """Set switches of the stand-in."""
        self.control("PATCH", "settings", settings)

    def spoil(self, path: str, /, action: str, *, times: int = 1, **details: Any) -> None:
        """Let the next requests to a path fail."""
        self.control("POST", "faults", {"path": path, "times": times, "action": {"type": action, **details}})

    def writes(self) -> list[dict[str, Any]]:
        """Return the writes that came through the API, oldest first."""
        writes: list[dict[str, Any]] = self.control("GET", "writes")["writes"]
        return writes

    def requests(self) -> dict[str, int]:
        """Return the number of API requests by last part of the path."""
        counts: dict[str, int] = self.control("GET", "requests")
        return {path.rsplit("/", 1)[-1]: count for path, count in counts.items() if "/batch/" in path}

    def forget_requests(self) -> None:
        """Count requests from zero."""
        self.control("DELETE", "requests")


@contextmanager
def open_account(folder: Path) -> Iterator[Account]:
    """Run a stand-in on a free port, with the account whose state lies in the folder, or an empty one."""
    state = folder / "crm.sqlite"
    if not state.exists():
        create_store(state, [])
    app = create_app(state, Faults())
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", http=DroppableProtocol, ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.005)
    try:
        with closing(Account(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")) as account:
            yield account
    finally:
        server.should_exit = True
        thread.join()


def _naive(value: Any) -> Any:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def _put_customers(con: duckdb.DuckDBPyConnection, emails: dict[str, str | None], state: list[Any], since: Any) -> None:
    columns, marks = ", ".join(FIELDS), ", ".join("?" * len(FIELDS))
    con.execute(
        "CREATE OR REPLACE TEMP TABLE told AS SELECT unnest(?::VARCHAR[]) AS key, unnest(?::VARCHAR[]) AS email",
        [[*emails], [*emails.values()]],
    )
    con.execute("DELETE FROM wallet.customer_wallet_status WHERE customer_key IN (SELECT key FROM told)")
    con.execute(
        f"INSERT INTO wallet.customer_wallet_status (customer_key, identifier_name, identifier_value, email, {columns})"
        f" SELECT key, split_part(key, '=', 1), substr(key, strpos(key, '=') + 1), email, {marks} FROM told",
        state,
    )
    con.execute(
        "UPDATE wallet.customer_status_changes SET valid_to = ?"
        " WHERE valid_to IS NULL AND customer_key IN (SELECT key FROM told)",
        [since],
    )
    con.execute(
        f"INSERT INTO wallet.customer_status_changes (customer_key, {columns}, valid_from)"
        f" SELECT key, {marks}, ? FROM told",
        [*state, since],
    )
    con.execute("DROP TABLE told")


class Pipeline:
    """A warehouse whose customers the tests set, and the sync between it and the account."""

    def __init__(self, folder: Path, destination: HubSpotDestination) -> None:
        self.folder = folder
        # Held open so that opening it again, as the sync does all the time, costs a test nothing.
        self._keeper = duckdb.connect(folder / "warehouse.duckdb")
        self.destination = destination
        self.rules = RULES
        self.now = NOW

    def close(self) -> None:
        """Let go of the warehouse."""
        self._keeper.close()

    def open_warehouse(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the warehouse."""
        return connect(self.folder / "warehouse.duckdb", wait=10)

    def sql(self, text: str, values: Any = None) -> list[tuple[Any, ...]]:
        """Run a statement on the warehouse and return its rows."""
        with self.open_warehouse() as con:
            return con.execute(text, values).fetchall()

    def customer(self, key: str, fields: dict[str, Any], email: str | None = None, since: datetime = YESTERDAY) -> None:
        """Give a customer a state that holds since a moment."""
        self.customers({key: email}, fields, since)

    def customers(self, emails: dict[str, str | None], fields: dict[str, Any], since: datetime = YESTERDAY) -> None:
        """Give customers, by key with their e-mail, a state that holds since a moment."""
        with self.open_warehouse() as con:
            con.execute("BEGIN")
            _put_customers(con, emails, [_naive(fields.get(name)) for name in FIELDS], _naive(since))
            con.execute("COMMIT")

    def event(self, key: str, fields: dict[str, Any] | None, email: str | None = None) -> None:
        """Let an event change a customer, or with no fields take its last pass, and mark it as a derivation does."""
        if fields is None:
            self.remove_customer(key)
        else:
            known = self.sql("SELECT email FROM wallet.customer_wallet_status WHERE customer_key = ?", [key])
            self.customer(key, fields, email or (known[0][0] if known else None), self.now)
        self.sql(
            "INSERT INTO wallet.changed_customers (customer_key, number, changed_at)"
            " VALUES (?, nextval('wallet.change_numbers'), ?)",
            [key, _naive(self.now)],
        )

    def remove_customer(self, key: str) -> None:
        """Let no pass resolve to a customer any more."""
        self.sql("DELETE FROM wallet.customer_wallet_status WHERE customer_key = ?", [key])

    @property
    def staging(self) -> Path:
        """The folder of work files and locks."""
        return self.folder / "staging"

    def plan(self, approved: str = "", scope: Scope = "all") -> PlanResult:
        """Make a plan."""
        return make_plan(self.open_warehouse, self.destination, self.staging, self.rules, self.now, scope, approved)

    def deliver(self, scope: Scope = "all") -> DeliveryResult:
        """Send the plan."""
        return deliver(self.open_warehouse, self.destination, self.rules, lambda: self.now, scope)

    def run(self, scope: Scope = "all") -> DeliveryResult:
        """Plan and send; time goes on by a minute."""
        self.plan(scope=scope)
        result = self.deliver(scope)
        self.now += timedelta(minutes=1)
        return result

    def decisions(self) -> dict[str, tuple[str, str]]:
        """Return action and reason of each row of the plan."""
        rows = self.sql("SELECT customer_key, action, reason FROM crm.plan")
        return {key: (action, reason) for key, action, reason in rows}

    def use(self, **rules: Any) -> None:
        """Change rules."""
        self.rules = replace(self.rules, **rules)


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Path:
    """Make a folder with a migrated warehouse and an account that was set up, to copy."""
    return made_once(tmp_path_factory, "synced", partial(_fill_templates, template))


def _fill_templates(template: Path, folder: Path) -> None:
    shutil.copy(template, folder)
    with open_account(folder) as account:
        setup_crm(account.destination())


@pytest.fixture(scope="session")
def delivered(tmp_path_factory: pytest.TempPathFactory, templates: Path) -> Path:
    """Make the same folder after the customer C-1 was delivered with Apple, to copy."""
    return made_once(tmp_path_factory, "delivered", partial(_deliver, templates))


def _deliver(templates: Path, folder: Path) -> None:
    shutil.copytree(templates, folder, dirs_exist_ok=True)
    with open_account(folder) as account, closing(Pipeline(folder, account.destination(SYNC_TOKEN))) as pipeline:
        account.add(email="ann@x.test", customer_id="C-1")
        pipeline.customer("customerId=C-1", APPLE, email="ann@x.test")
        pipeline.run()


@pytest.fixture
def beginning(request: pytest.FixtureRequest, templates: Path) -> Path:
    """Name the folder of which account and pipeline begin as a copy: a test with a `record_id` has C-1 delivered."""
    delivered: Path = request.getfixturevalue("delivered") if "record_id" in request.fixturenames else templates
    return delivered


@pytest.fixture
def fresh_account(tmp_path: Path) -> Iterator[Account]:
    """Run an account that has no wallet properties."""
    with open_account(tmp_path) as account:
        yield account


@pytest.fixture
def account(tmp_path: Path, beginning: Path) -> Iterator[Account]:
    """Run an account that was set up."""
    for file in beginning.glob("crm.sqlite*"):
        shutil.copy(file, tmp_path)
    with open_account(tmp_path) as account:
        yield account


@pytest.fixture
def pipeline(tmp_path: Path, account: Account, beginning: Path) -> Iterator[Pipeline]:
    """Return a sync between an empty warehouse and the account."""
    shutil.copy(beginning / "warehouse.duckdb", tmp_path)
    with closing(Pipeline(tmp_path, account.destination(SYNC_TOKEN))) as pipeline:
        yield pipeline


@pytest.fixture
def record_id(account: Account, pipeline: Pipeline) -> str:
    """Return the id of the record of C-1, to whom Apple was delivered a minute ago."""
    pipeline.now += timedelta(minutes=1)
    (found,) = account.contacts()
    return found
