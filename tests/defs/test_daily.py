"""The daily run through Dagster, on real services."""

from pathlib import Path

import dagster as dg
import pytest

from .conftest import Project, now


def test_first_run_publishes_what_the_crm_then_holds(project: Project) -> None:
    """A first run materialises everything, each delivery is verified, and the files' places and sizes are told."""
    result = project.run()
    assert result.success
    outcomes = project.bi("SELECT DISTINCT outcome FROM crm_deliveries")
    assert outcomes == [("verified",)]
    assert project.check(result, "written_is_verified").passed
    published = project.metadata(result, "bi_database")
    assert published["bytes"] == Path(published["file"]).stat().st_size
    files = [*Path(published["parquet"]).iterdir()]
    assert (published["table_count"], published["parquet_bytes"]) == (
        len(files),
        sum(one.stat().st_size for one in files),
    )


def test_run_after_nothing_happened_writes_nothing(project: Project) -> None:
    """A second run on an unchanged world sends no write to the CRM."""
    project.run()
    began = now()
    result = project.run()
    assert result.success
    assert (project.writes(began), project.metadata(result, "crm_contacts")["written"]) == (0, 0)


def test_changes_and_drift_are_written_and_nothing_else(project: Project) -> None:
    """The run after some changes, and an edit by another app, writes one contact for each, and names that app."""
    project.run()
    change = {"installs": 3, "uninstalls": 2}
    changed = project.tenant.control("POST", "/advance", change).json()["changes"]
    keys = [f"customerId={one['customer_id']}" for one in changed]
    links = dict(project.rows("SELECT record_id, customer_key FROM crm.links"))
    linked = [record for record, key in links.items() if key in keys]
    edited = next(record for record, key in links.items() if key not in keys)
    project.edit(edited, {"wallet_last_changed_at": "2020-01-01T00:00:00.000Z"}, {"type": "INTEGRATION", "id": "815"})
    began = now()
    result = project.run()
    assert project.metadata(result, "crm_contacts")["verified"] == len(linked) + 1 == project.writes(began)
    assert project.bi("SELECT record_id, changed_by FROM crm_drift") == [(edited, "app 815")]
    told = project.metadata(result, "crm_plan")
    assert (told["drift_named"], told["drift_unknown"], told["history_requests"]) == (1, 0, 1)


def test_shrunken_snapshot_stops_the_run_before_the_crm(project: Project) -> None:
    """A list that lost more than a tenth of its passes is held, and nothing after it runs."""
    project.run()
    before = project.rows("FROM wallet.registers ORDER BY ALL")
    _delete_passes(project, 12)
    began = now()
    result = project.run()
    check = project.check(result, "snapshot_accepted")
    assert not result.success
    assert not check.passed
    assert "shrunken" in (check.description or "")
    assert (project.writes(began), project.rows("FROM wallet.registers ORDER BY ALL")) == (0, before)


def test_held_snapshot_is_evidence_once_it_is_approved(project: Project) -> None:
    """The id that the message names lets just that snapshot through."""
    project.run()
    _delete_passes(project, 12)
    held = project.metadata(project.run(), "pass_snapshot")["snapshot_id"]
    result = project.run(config={"pass_snapshot": {"approve_snapshot": held}})
    assert result.success
    assert project.rows(f"SELECT verdict FROM raw.snapshots WHERE snapshot_id = '{held}'") == [("accepted",)]


def test_mass_change_stops_before_the_first_write(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan that takes the wallet from too many customers is not written, and its check says how to approve it."""
    result = _plan_a_mass_change(project, monkeypatch)
    began = now()
    check = project.check(result, "no_mass_change")
    assert not result.success
    assert not check.passed
    assert "--approve-plan" in (check.description or "")
    assert project.writes(began) == 0


def test_contacts_alone_do_not_write_a_stopped_plan(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever materialises crm_contacts after a stop is told how to approve the plan, and nothing is written."""
    _plan_a_mass_change(project, monkeypatch)
    began = now()
    result = project.run(assets=["crm_contacts"])
    assert "--approve-plan" in project.failure(result, "crm_contacts")
    assert project.writes(began) == 0


def test_repeat_after_a_failed_attempt_is_verified(project: Project) -> None:
    """The check looks at the last attempt: what failed before, in an equal plan, is no reason to stay red."""
    project.run()
    with project.data.open() as con:
        con.execute("UPDATE crm.deliveries SET outcome = 'unknown'")
    nothing_left = project.run()
    assert project.check(nothing_left, "written_is_verified").passed
    with project.data.open() as con:
        con.execute(
            "INSERT INTO crm.deliveries (plan_id, customer_key, intended_at, outcome)"
            " SELECT max_by(plan_id, planned_at), unnest(['a', 'a']), unnest([now(), now() + INTERVAL 1 MINUTE])"
            " AT TIME ZONE 'UTC', unnest(['unknown', 'verified']) FROM crm.plans"
        )
    repeated = project.run(assets=["crm_contacts"])
    assert project.check(repeated, "written_is_verified").passed


def test_approved_plan_is_written(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan's hash admits that plan."""
    plan_hash = project.metadata(_plan_a_mass_change(project, monkeypatch), "crm_plan")["plan_hash"]
    result = project.run(assets=["crm_plan", "crm_contacts"], config={"crm_plan": {"approve_plan": plan_hash}})
    assert result.success
    assert project.metadata(result, "crm_contacts")["verified"] > 0


def test_approval_holds_for_its_plan_only(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash of an earlier plan does not admit a plan that has changed since."""
    plan_hash = project.metadata(_plan_a_mass_change(project, monkeypatch), "crm_plan")["plan_hash"]
    project.tenant.control("POST", "/advance", {"installs": 1})
    result = project.run(config={"crm_plan": {"approve_plan": plan_hash}})
    assert not project.check(result, "no_mass_change").passed


def test_crm_that_is_not_set_up_leaves_the_statuses(bare_project: Project) -> None:
    """Without the properties the plan fails and names the command that creates them; the statuses are derived."""
    result = bare_project.run()
    assert "wallet-pipeline setup-crm" in bare_project.failure(result, "crm_plan")
    assert bare_project.rows("SELECT count(*) > 0 FROM wallet.customer_wallet_status") == [(True,)]


def test_crm_that_is_down_leaves_the_last_good_file(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CRM that refuses the token fails its asset; the analysts' file stays as it was."""
    project.run()
    before = (project.data.folder / "wallet_bi.duckdb").read_bytes()
    monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", "pat-wrong")
    result = project.run()
    assert "HUBSPOT_ACCESS_TOKEN" in project.failure(result, "crm_plan")
    assert (project.data.folder / "wallet_bi.duckdb").read_bytes() == before


@pytest.mark.parametrize(
    ("setting", "asset"),
    [
        ("WALLET_CREW_TENANT_ID", "pass_snapshot"),
        ("WALLET_CREW_API_KEY", "pass_snapshot"),
        ("HUBSPOT_ACCESS_TOKEN", "crm_plan"),
    ],
)
def test_missing_setting_is_named(project: Project, monkeypatch: pytest.MonkeyPatch, setting: str, asset: str) -> None:
    """An asset that lacks a setting fails with the setting's name and where its value comes from."""
    monkeypatch.delenv(setting)
    message = project.failure(project.run(), asset)
    assert f"The setting {setting} is missing" in message


def test_unusable_setting_is_named_without_its_value(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting with a wrong value fails the run by name."""
    monkeypatch.setenv("CRM_MISSING_CONTACTS", "perhaps-4711")
    message = project.failure(project.run(), "pass_snapshot")
    assert "CRM_MISSING_CONTACTS" in message
    assert "4711" not in message


def test_logs_of_the_stages_reach_the_run(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    """A run that did nothing says why."""
    project.run()
    capfd.readouterr()
    project.run()
    assert "0 contacts written: the CRM already holds the truth" in capfd.readouterr().err


def _delete_passes(project: Project, count: int) -> None:
    listed = [row["pass_id"] for row in project.tenant.control("GET", "/truth").json()]
    project.tenant.delete(*listed[:count])


def _plan_a_mass_change(project: Project, monkeypatch: pytest.MonkeyPatch) -> dg.ExecuteInProcessResult:
    """Let more customers lose their wallet than the limits allow, and run."""
    monkeypatch.setenv("MAX_NONE_CUSTOMERS", "2")
    project.run()
    assert project.tenant.control("POST", "/advance", {"uninstalls": 15}).ok
    return project.run()
