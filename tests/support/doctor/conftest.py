"""An installation that is well: both services, a receiver, a warehouse that runs have filled; and copies to spoil."""

import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import requests
from pydantic import SecretStr

from tests.alerts.conftest import hook, mailbox  # noqa: F401  fixtures
from tests.collect.webhooks.conftest import RunningReceiver, sign
from tests.collect.webhooks.conftest import running as running_receiver
from tests.conftest import Tenant, make_pass
from tests.sandbox.conftest import TIMEOUT_S, running
from wallet_pipeline.collect.insights import EventProperties, read_insights
from wallet_pipeline.collect.pass_snapshot import take_snapshot
from wallet_pipeline.collect.wallet_events import take_events
from wallet_pipeline.collect.webhooks.subscriptions import EVENTS, subscribe
from wallet_pipeline.collect.webhooks.understanding import EventMapping
from wallet_pipeline.derive.arrivals import derive_event_arrivals
from wallet_pipeline.derive.statuses import StatusRules, derive_statuses
from wallet_pipeline.settings import Settings
from wallet_pipeline.support.doctor.examination import examine
from wallet_pipeline.support.doctor.finding import Finding
from wallet_pipeline.support.doctor.installation import Installation
from wallet_pipeline.sync.hubspot import connect as connect_hubspot
from wallet_pipeline.sync.lane import Lane
from wallet_pipeline.sync.plan import PlanRules
from wallet_pipeline.sync.setup_crm import setup_crm
from wallet_pipeline.warehouse.connection import connect
from wallet_pipeline.warehouse.publish import publish

ENDPOINT = "https://wallet.example.com/webhooks/wallet-crew"
PASSES = 12
ROOT = Path(__file__).resolve().parents[3]


def now() -> datetime:
    """Return this moment."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Home:
    """An installation in a folder of its own, with its settings by name, in lower case."""

    folder: Path
    tenant: Tenant
    receiver: RunningReceiver
    given: dict[str, Any]
    receiver_url: str = ""
    clock_ahead: timedelta = field(default=timedelta(0))

    @property
    def settings(self) -> Settings:
        """The settings."""
        return Settings(**self.given)

    def having(self, **settings: Any) -> "Home":
        """Return the same installation with other settings."""
        return replace(self, given=self.given | settings)

    def later(self, **span: float) -> "Home":
        """Return the same installation as of a later moment."""
        return replace(self, clock_ahead=timedelta(**span))

    def findings(self, subject: str, check: str = "") -> list[Finding]:
        """Return what the doctor finds about a subject, or by one of its checks."""
        url = self.receiver_url or f"http://127.0.0.1:{self.receiver.port}"
        installation = Installation(self.settings, {}, url, self.folder, lambda: now() + self.clock_ahead)
        (found,) = [findings for name, findings in examine(installation) if name == subject]
        return [one for one in found if check in {"", one.check}]

    def finding(self, subject: str, check: str) -> Finding:
        """Return the one thing that a check finds."""
        (finding,) = self.findings(subject, check)
        return finding

    def open(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the warehouse as a run does."""
        return connect(self.settings.warehouse_file, wait=5)

    def sql(self, text: str, values: Any = None) -> None:
        """Change the warehouse."""
        with self.open() as con:
            con.execute(text, values)

    def crm(self, method: str, path: str, body: Any) -> None:
        """Use a control of the CRM."""
        url = f"{self.tenant.facts['hubspot_url']}/sandbox/{path}"
        requests.request(method, url, json=body, timeout=TIMEOUT_S).raise_for_status()


def deliver(receiver: RunningReceiver, secret: str, number: int) -> None:
    """Let the service tell of an installation, well signed."""
    event = {
        "eventId": f"event-{number}",
        "eventType": "Pass:Installed",
        "timestamp": now().isoformat(),
        "passId": f"pass-{number:02}",
        "device": "apple",
        "identifiers": {"customerId": f"C-{number}", "email": f"c{number}@x.test"},
    }
    body = json.dumps(event).encode()
    assert receiver.deliver(body, sign(body, secret)).status == 200


def run_everything(home: Home) -> None:
    """Do what the jobs insights and daily do, without Dagster."""
    settings = home.settings
    properties = EventProperties(settings.insights_pass_id, settings.insights_pass_type, settings.insights_device)
    rules = PlanRules.from_settings(settings)
    today = now().date()
    with home.tenant.client() as client:
        read_insights(home.open, client, properties, today - timedelta(days=2), today + timedelta(days=1), now)
        take_snapshot(
            home.open, client, settings.staging_dir, page_size=100, concurrency=1, min_share=0.9, clock=now
        )  # fmt: skip
    take_events(home.open, settings.inbox_file, EventMapping.from_settings(settings))
    with home.open() as con:
        derive_statuses(con, StatusRules(timedelta(seconds=settings.staleness), settings.identifier_order), now())
        derive_event_arrivals(con)
    with connect_hubspot(settings) as destination:
        setup_crm(destination)
        lane = Lane(home.open, destination, settings.staging_dir, rules, now)
        lane.plan("all")
        sent = lane.deliver("all")
        assert sent is not None
        assert sent.verified + lane.changes_sent == PASSES
    with home.open() as con:
        publish(con, settings.bi_file)


@pytest.fixture(scope="session")
def built_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Build an installation that is well."""
    folder = tmp_path_factory.mktemp("doctor")
    with running(folder / "state", "--passes", 0) as sandbox:
        tenant = Tenant(sandbox.process, folder / "state", sandbox.facts)
        installed = (now() - timedelta(hours=3)).isoformat()
        people = [{"customerId": f"C-{number}", "email": f"c{number}@x.test"} for number in range(PASSES)]
        for number, identifiers in enumerate(people):
            providers = {"apple": installed}
            tenant.put(make_pass(f"pass-{number:02}", identifiers=identifiers, providers=providers))
        with tenant.client() as client:
            secret = subscribe(client, ENDPOINT, EVENTS).webhook.signature_secret.get_secret_value()
        with running_receiver(folder, WEBHOOK_SECRETS=secret, CONNECTOR_KEY="") as receiver:
            given = {
                "wallet_crew_base_url": tenant.facts["wallet_crew_url"],
                "wallet_crew_tenant_id": tenant.facts["tenant_id"],
                "wallet_crew_api_key": SecretStr(tenant.facts["api_key"]),
                "hubspot_base_url": tenant.facts["hubspot_url"],
                "hubspot_access_token": SecretStr(tenant.facts["access_token"]),
                "webhook_secrets": (SecretStr(secret),),
                "data_dir": folder / "data",
                "settle_window": 0,
            }
            home = Home(folder, tenant, receiver, given)
            home.crm("PATCH", "settings", {"rate_limit": 100_000})
            deliver(receiver, secret, 0)
            run_everything(home)
            yield home


@pytest.fixture
def home(built_home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """Give the installation that is well, without faults in the services; a test leaves its folder as it is."""
    monkeypatch.chdir(built_home.folder)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    yield built_home
    built_home.tenant.control("DELETE", "/faults")
    built_home.crm("DELETE", "faults", None)


@pytest.fixture
def patient(home: Home, tmp_path: Path) -> Home:
    """Give a copy of the installation whose folder a test may spoil; the services and the receiver are the same."""
    shutil.copytree(home.folder / "data", tmp_path / "data", symlinks=True)
    return replace(home.having(data_dir=tmp_path / "data"), folder=tmp_path)


@pytest.fixture
def checkout(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Stand in the installation's folder, configured by the environment, as who types a command."""
    shutil.copy(ROOT / "dagster.yaml", home.folder)
    for name, value in home.given.items():
        monkeypatch.setenv(name.upper(), _as_text(value))
    return home


def _as_text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_as_text, value))
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
