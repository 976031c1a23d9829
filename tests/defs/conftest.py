"""The whole project in a test: a sandbox with both services, a data folder, runs through Dagster."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
import requests

from tests.alerts.conftest import hook, mailbox  # noqa: F401  fixtures
from tests.conftest import Data, Tenant
from tests.sandbox.conftest import running
from wallet_pipeline.definitions import defs
from wallet_pipeline.settings import Settings
from wallet_pipeline.sync.hubspot import connect as connect_hubspot
from wallet_pipeline.sync.setup_crm import setup_crm

PASSES = 80
TIMEOUT_S = 30


@cache
def definitions() -> dg.Definitions:
    """Return the project as Dagster loads it; once for all tests of a process, since loading it takes long."""
    return defs()


@dataclass(frozen=True)
class Project:
    """A configured project: what a user has after setting it up."""

    tenant: Tenant
    data: Data
    instance: dg.DagsterInstance

    @property
    def hubspot_url(self) -> str:
        """Where the CRM answers."""
        return str(self.tenant.facts["hubspot_url"])

    def run(
        self,
        job: str = "daily",
        *,
        assets: list[str] | None = None,
        config: Mapping[str, Mapping[str, str]] | None = None,
        tags: Mapping[str, str] | None = None,
        alone: bool = True,
    ) -> dg.ExecuteInProcessResult:
        """Run a job, or some of its assets, with config by asset; a failure is in the result, not raised.

        Unless other processes want the warehouse meanwhile, it is held open: opening it again, as each asset does, then
        costs nothing.
        """
        ops = {asset: {"config": dict(values)} for asset, values in (config or {}).items()}
        with self.data.open() if alone else nullcontext():
            return (
                definitions()
                .resolve_job_def(job)
                .execute_in_process(
                    instance=self.instance,
                    run_config={"ops": ops} if ops else None,
                    asset_selection=[dg.AssetKey(asset) for asset in assets] if assets else None,
                    tags=dict(tags or {}),
                    raise_on_error=False,
                )
            )

    def metadata(self, result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
        """Return the metadata values of an asset's materialisation in a run."""
        (event,) = [e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey(asset)]
        return {name: value.value for name, value in event.materialization.metadata.items()}

    def metadata_of_range(self, result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
        """Return the metadata of an asset of which the run materialised many partitions at once."""
        events = [e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey(asset)]
        return {name: value.value for name, value in events[0].materialization.metadata.items()}

    def check(self, result: dg.ExecuteInProcessResult, name: str, asset: str | None = None) -> dg.AssetCheckEvaluation:
        """Return how a check went in a run."""
        (evaluation,) = [
            e
            for e in result.get_asset_check_evaluations()
            if e.check_name == name and asset in {None, e.asset_key.to_user_string()}
        ]
        return evaluation

    def check_alone(self, asset: str, name: str) -> dg.AssetCheckEvaluation:
        """Run one check alone, as a click in the UI does, and return how it went."""
        key = dg.AssetCheckKey(dg.AssetKey(asset), name)
        everything = definitions().resolve_implicit_global_asset_job_def()
        job = everything.get_subset(asset_check_selection={key}, asset_selection=set())
        return self.check(job.execute_in_process(instance=self.instance, raise_on_error=False), name, asset)

    def failure(self, result: dg.ExecuteInProcessResult, asset: str) -> str:
        """Return the message with which an asset failed."""
        (event,) = [e for e in result.all_events if e.is_step_failure and e.step_key == asset]
        error = event.step_failure_data.error
        details = event.step_failure_data.user_failure_data
        return (details.description if details else None) or (error.message if error else "")

    def edit(self, record_id: str, values: Mapping[str, str], source: Mapping[str, str]) -> None:
        """Change a contact in the CRM as somebody else would."""
        url = f"{self.hubspot_url}/sandbox/contacts/{record_id}/edit"
        requests.post(url, json={"properties": values, "source": source}, timeout=TIMEOUT_S).raise_for_status()

    def writes(self, since: datetime) -> int:
        """Return the number of writes to the CRM since then, as the CRM counts them."""
        moment = since.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        url = f"{self.hubspot_url}/sandbox/writes"
        return int(requests.get(url, {"since": moment}, timeout=TIMEOUT_S).json()["count"])

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return rows of the warehouse."""
        return self.data.rows(query)

    def bi(self, query: str) -> list[tuple[Any, ...]]:
        """Return rows of the analysts' file."""
        with duckdb.connect(self.data.folder / "wallet_bi.duckdb", read_only=True) as con:
            return con.execute(query).fetchall()


def now() -> datetime:
    """Return this moment."""
    return datetime.now(UTC)


@contextmanager
def configured(folder: Path, data: Data, patch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Configure a project with a world of its own in a folder; the CRM has not been set up yet."""
    patch.chdir(folder)  # no .env
    with running(folder / "state", "--passes", str(PASSES)) as sandbox, dg.DagsterInstance.ephemeral() as instance:
        tenant = Tenant(sandbox.process, folder / "state", sandbox.facts)
        environment = {
            "WALLET_CREW_BASE_URL": tenant.facts["wallet_crew_url"],
            "WALLET_CREW_TENANT_ID": tenant.facts["tenant_id"],
            "WALLET_CREW_API_KEY": tenant.facts["api_key"],
            "HUBSPOT_BASE_URL": tenant.facts["hubspot_url"],
            "HUBSPOT_ACCESS_TOKEN": tenant.facts["access_token"],
            "DATA_DIR": str(data.folder),
            "SETTLE_WINDOW": "0",
        }
        for name, value in environment.items():
            patch.setenv(name, value)
        # Pacing has its own tests: here nobody waits for it.
        settings = f"{tenant.facts['hubspot_url']}/sandbox/settings"
        requests.patch(settings, json={"rate_limit": 100_000}, timeout=TIMEOUT_S).raise_for_status()
        yield Project(tenant, data, instance)


@pytest.fixture
def bare_project(tmp_path: Path, data: Data, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Give a configured project with a world of its own; the CRM has not been set up yet."""
    with configured(tmp_path, data, monkeypatch) as project:
        yield project


@pytest.fixture
def project(bare_project: Project) -> Project:
    """Give a configured project whose CRM has been set up."""
    set_up_crm()
    return bare_project


def set_up_crm() -> None:
    """Set the CRM up that the environment names."""
    with connect_hubspot(Settings()) as destination:
        setup_crm(destination)
