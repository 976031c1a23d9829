"""The certificate as the daily run issues it, on real services."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
import requests

from wallet_pipeline.defs.reconciliation import figure

from .conftest import TIMEOUT_S, Project

RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


@pytest.fixture
def certified(project: Project) -> tuple[Project, dg.ExecuteInProcessResult]:
    """Give a project of which Insights was read for a month, and its first daily run."""
    today = datetime.now(UTC).date()
    tags = dict(zip(RANGE, (str(today - timedelta(days=30)), str(today)), strict=True))
    assert project.run("insights", tags=tags).success
    return project, project.run()


def test_certificate_counts_what_the_services_hold(certified: tuple[Project, dg.ExecuteInProcessResult]) -> None:
    """Its figures are those of the pass list and of the CRM, asked directly; the page shows them and the verdict."""
    project, result = certified
    told = project.metadata(result, "reconciliation")
    ((day, passes, in_crm),) = project.bi(
        "SELECT day, sum(pass_api_installed), sum(crm_installed) FROM reconciliation GROUP BY day"
    )
    assert day == datetime.now(UTC).date() - timedelta(days=1)
    providers = [one["providers"] or {} for one in project.tenant.all_passes()]
    listed = [wallet for one in providers for wallet, since in one.items() if since]
    assert passes == len(listed)
    linked = {record for (record,) in project.rows("SELECT record_id FROM crm.links")}
    answer = requests.get(f"{project.hubspot_url}/sandbox/contacts/all", timeout=TIMEOUT_S)
    contacts = map(json.loads, answer.text.splitlines())
    held = [one["properties"].get("wallet_status") for one in contacts if one["id"] in linked]
    assert in_crm == held.count("apple") + held.count("google") + 2 * held.count("both")
    assert f"## {day}: {told['verdict']}" in told["certificate"]
    assert f"| Passes installed: Pass API | {listed.count('apple')} | {listed.count('google')} |" in told["certificate"]


def test_what_the_sources_hide_turns_the_check_red(certified: tuple[Project, dg.ExecuteInProcessResult]) -> None:
    """Where each difference has its reason the check holds; with one that has none it names whom it concerns."""
    project, first = certified
    assert project.check(first, "sources_agree").passed
    with project.data.open() as con:
        con.execute(
            "DELETE FROM raw.insights_events WHERE pass_id = (SELECT min(pass_id) FROM raw.insights_events"
            " SEMI JOIN (FROM wallet.registers WHERE installed) USING (pass_id, wallet) WHERE kind = 'installed')"
        )
    second = project.run(assets=["reconciliation"])
    check = project.check(second, "sources_agree")
    assert not check.passed
    assert "Insights and registers 1" in (check.description or "")
    assert "**not explained**" in project.metadata(second, "reconciliation")["certificate"]


@pytest.mark.parametrize(
    ("seconds", "told"), [(-3.04, "-3.0 s"), (119.94, "119.9 s"), (120, "2 min"), (7199, "120 min"), (7200, "2.0 h")]
)
def test_times_are_told_with_their_unit(seconds: float, told: str) -> None:
    """A time is in seconds as long as these are few, then in minutes, then in hours."""
    assert figure("verified_p50_seconds", seconds) == told
