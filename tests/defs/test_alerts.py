"""From runs to people: each alert once, whichever way the run was started."""

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    LoadableTargetOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

from tests.alerts.conftest import TOKEN, Hook, Mailbox
from tests.conftest import Data
from tests.waiting import wait_until
from wallet_pipeline.alerts.alert import AlertError
from wallet_pipeline.defs.alerts import alerts_sensor, tell
from wallet_pipeline.settings import Settings

from .conftest import Project, definitions, now
from .test_checks import FIGHT
from .test_daily import _delete_passes, _plan_a_mass_change

ROOT = Path(__file__).resolve().parents[2]
DRIFT = """
INSERT INTO crm.links (customer_key) SELECT 'customerId=' || i FROM range(100) t(i);
INSERT INTO crm.drift (customer_key, field, changed_by, found_at)
SELECT 'customerId=' || i, 'wallet_status', 'user jane@x.test', now() AT TIME ZONE 'UTC' FROM range(6) t(i)
"""
DISAGREEMENT = """
INSERT INTO wallet.reconciliation (day, wallet, verdict, differences, unexplained, newly_unexplained)
VALUES (today() - 1, 'apple', 'not explained', 3, 2, 2);
INSERT INTO wallet.reconciliation_reasons
VALUES (today() - 1, 'apple', 'delivery', NULL, 2), (today() - 1, 'apple', 'list', 'gone', 1)
"""
SILENCE = """
INSERT INTO raw.wallet_events (received_at)
SELECT now() AT TIME ZONE 'UTC' - INTERVAL 9 HOUR - i * INTERVAL 1 MINUTE FROM range(3) t(i)
"""


@pytest.fixture
def alone(data: Data, hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Give a project with a webhook for alerts and without services: what needs one fails for a missing setting."""
    monkeypatch.chdir(tmp_path)  # no .env
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATA_DIR", str(data.folder))
    monkeypatch.setenv("ALERT_WEBHOOK_URL", hook.url)
    with data.open():
        pass
    with dg.DagsterInstance.ephemeral() as instance:
        yield Project(None, data, instance)  # type: ignore[arg-type]


@pytest.fixture
def alerted(project: Project, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Give a project on real services whose alerts go to a webhook."""
    monkeypatch.setenv("ALERT_WEBHOOK_URL", hook.url)
    return project


def look(project: Project) -> int:
    """Look at the runs that have ended, and return how many alerts were sent."""
    return tell(project.instance, Settings(), now)


def test_failed_run_is_told_with_reason_and_next_step(alone: Project, hook: Hook) -> None:
    """A failure is told once while it stands, also when the job fails again for the same reason."""
    run = alone.run(assets=["pass_snapshot"])
    assert [look(alone), look(alone)] == [1, 0]
    alone.run(assets=["pass_snapshot"])
    assert look(alone) == 0
    title, why, following, source = hook.texts[0].splitlines()
    assert title == "*wallet_pipeline, no tenant: A run of the job daily failed*"
    assert why.startswith("Why: pass_snapshot: The setting WALLET_CREW_TENANT_ID is missing.")
    assert following.startswith("Next: Mend that, and run again: wallet-pipeline run, or the job daily in the UI.")
    assert source.startswith(f"Run {run.run_id[:8]} of the job daily, ended 20")


def test_two_looks_at_once_send_one_alert(alone: Project, hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    """While one look waits for a slow webhook, another one waits for it, and then has nothing to send."""
    alone.run(assets=["pass_snapshot"])
    hook.is_hanging = True
    caplog.set_level(logging.INFO)
    with ThreadPoolExecutor(2) as threads:
        looks = [threads.submit(look, alone) for _ in range(2)]
        try:
            wait_until(lambda: len(hook.texts) == 1 and "waiting for another run" in caplog.text, seconds=20)
        finally:
            hook.released.set()
        assert sorted(one.result() for one in looks) == [0, 1]
    assert len(hook.texts) == 1


def test_job_that_recovered_and_fails_again_is_told_again(alone: Project, hook: Hook) -> None:
    """Between two failures the job went well: these are two occurrences, also when they are looked at together."""
    for asset in ("pass_snapshot", "wallet_events", "pass_snapshot"):
        alone.run(assets=[asset])
    assert look(alone) == len(hook.texts) == 2


def test_stopped_plan_is_told_with_how_to_approve_it(
    alerted: Project, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mass change is one alert with the figures and the hash, and not a failed run besides."""
    stopped = alerted.metadata(_plan_a_mass_change(alerted, monkeypatch), "crm_plan")["plan_hash"]
    assert [look(alerted), look(alerted)] == [1, 0]
    (text,) = hook.texts
    assert text.startswith("*wallet_pipeline, sandbox-tenant: The plan for the CRM was stopped*\nWhy: The plan turns ")
    assert f"wallet-pipeline run --approve-plan {stopped}" in text
    assert "\nNext: Look at whom it concerns with wallet-pipeline plan." in text


def test_held_snapshot_is_told(alerted: Project, hook: Hook) -> None:
    """A list that has shrunk is told with the command that approves it; once it is approved, another one is told."""
    alerted.run(assets=["pass_snapshot"])
    for _ in range(2):
        _delete_passes(alerted, 12)
        held = alerted.metadata(alerted.run(assets=["pass_snapshot"]), "pass_snapshot")["snapshot_id"]
        assert look(alerted) == 1
        assert f"--approve-snapshot {held}" in hook.texts[-1]
        alerted.run(config={"pass_snapshot": {"approve_snapshot": held}}, assets=["pass_snapshot"])
        assert look(alerted) == 0


@pytest.mark.parametrize(
    ("asset", "name", "damage", "title", "reason"),
    [
        (
            "crm_contacts",
            "no_fights",
            FIGHT,
            "Somebody keeps overwriting in the CRM",
            "Why: 1 fields of 1 customers had to be put right three times or more in seven days.\n",
        ),
        (
            "crm_contacts",
            "little_drift",
            DRIFT,
            "Much in the CRM was changed by others",
            "Why: Of 100 customers in the CRM others changed fields of 6 within a day (6.0%, limit 5%).",
        ),
        (
            "reconciliation",
            "sources_agree",
            DISAGREEMENT,
            "The sources disagree, and the reason is not known",
            ": 3 differences, 2 without a reason, 2 of these new: events by Insights and those delivered 2.",
        ),
        ("wallet_events", "not_silent", SILENCE, "Events have stopped coming", "Why: The last delivery came at "),
    ],
    ids=["fights", "drift", "disagreement", "silence"],
)
def test_condition_is_told_while_it_lasts(
    alone: Project, hook: Hook, asset: str, name: str, damage: str, title: str, reason: str
) -> None:
    """Fights, drift, disagreement and silence are told with figures, once however often found, and without names."""
    alone.check_alone(asset, name)
    assert look(alone) == 0
    with alone.data.open() as con:
        con.execute(damage)
    for alerts in (1, 0):
        alone.check_alone(asset, name)
        assert look(alone) == alerts
    (text,) = hook.texts
    assert title in text
    assert reason in text
    assert "jane" not in text


def test_share_of_drift_is_a_setting(alone: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to ALERT_DRIFT_SHARE of the customers may drift, and nobody is told."""
    monkeypatch.setenv("ALERT_DRIFT_SHARE", "0.06")
    with alone.data.open() as con:
        con.execute(DRIFT)
    alone.check_alone("crm_contacts", "little_drift")
    assert look(alone) == 0


def test_unexpected_error_is_told_by_its_kind(alone: Project, hook: Hook) -> None:
    """An error that does not explain itself may quote rows: just its kind leaves this machine."""
    with alone.data.open() as con:
        con.execute("ALTER TABLE wallet.registers RENAME TO jane")
    alone.run(assets=["wallet_registers"])
    assert look(alone) == 1
    assert "Why: statuses: an unexpected error (CatalogException); its text may hold data" in hook.texts[0]
    assert "registers does not exist" not in hook.texts[0]


def test_sensor_does_nothing_until_a_channel_is_set(
    alone: Project, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a channel nothing is booked; with one, what failed within the last day is told by the next look."""
    alone.run(assets=["pass_snapshot"])
    context = dg.build_sensor_context(instance=alone.instance)
    monkeypatch.delenv("ALERT_WEBHOOK_URL")
    assert "Alerts are off" in str(alerts_sensor(context))
    assert not (alone.data.folder / "alerts.sqlite").exists()
    monkeypatch.setenv("ALERT_WEBHOOK_URL", hook.url)
    # A setting that cannot be used is a reason to fail, and none to keep silent.
    monkeypatch.setenv("MAX_NONE_SHARE", "5")
    told = [str(alerts_sensor(context)) for _ in range(2)]
    assert "1 alerts sent." in told[0]
    assert "Nobody had to be told of anything new." in told[1]
    assert len(hook.texts) == 1


def test_killed_run_is_told(alone: Project, hook: Hook) -> None:
    """A run that Dagster counts as failed without any step is told with what Dagster says."""
    job = definitions().resolve_job_def("sync_changes")
    run = alone.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    alone.instance.report_run_failed(run, "The run has ended without a word.")
    assert look(alone) == 1
    assert "Why: The run has ended without a word.\nNext: Mend that; changes_sensor starts" in hook.texts[0]


@pytest.mark.parametrize(("is_launched", "alerts"), [(False, 0), (True, 1)], ids=["command line", "daemon"])
def test_interrupted_run_is_told_unless_it_came_from_the_command_line(
    alone: Project, *, is_launched: bool, alerts: int
) -> None:
    """Whoever stops a run at the terminal knows it; a run of the daemon that is stopped with it is told."""
    place = RemoteRepositoryOrigin(InProcessCodeLocationOrigin(LoadableTargetOrigin()), "repository")
    run = dg.DagsterRun("daily", remote_job_origin=RemoteJobOrigin(place, "daily") if is_launched else None)
    alone.instance.add_run(run)
    ended = JobFailureData(None, RunFailureReason.UNEXPECTED_TERMINATION, None)
    alone.instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.PIPELINE_FAILURE.value, "daily", event_specific_data=ended), run.run_id
    )
    assert look(alone) == alerts


def test_query_that_was_interrupted_is_not_told(alone: Project) -> None:
    """Ctrl+C within a query of DuckDB fails the step with DuckDB's own error: nobody is told of that either."""

    @dg.asset
    def interrupted() -> None:
        raise RuntimeError("Query interrupted")  # DuckDB's words

    assert not dg.materialize([interrupted], instance=alone.instance, raise_on_error=False).success
    assert look(alone) == 0


def test_outbox_that_cannot_be_used_is_explained(alone: Project) -> None:
    """The look ends with a sentence."""
    (alone.data.folder / "alerts.sqlite").mkdir(parents=True)
    with pytest.raises(AlertError, match=r"alerts\.sqlite cannot be used"):
        look(alone)


@pytest.fixture
def checkout(alone: Project, tmp_path: Path) -> Path:
    """Stand in a checkout of its own, with the settings of the project that stands alone."""
    assert alone.data.folder.exists()
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    return tmp_path


def call(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Call a module as a process of its own."""
    command = [sys.executable, "-m", *arguments]
    environment = os.environ | settings | {"DAGSTER_HOME": str(folder)}
    return subprocess.run(
        command, cwd=folder, env=environment, timeout=120, check=False, capture_output=True, text=True
    )


def test_run_from_the_command_line_is_told_without_a_daemon(checkout: Path, hook: Hook, mailbox: Mailbox) -> None:
    """A failed run ends with status 1, and is told once by each channel; a dead one gets it later, once."""
    to_mail = {"ALERT_EMAIL_TO": "ops@x.test", "ALERT_SMTP_URL": f"smtp://127.0.0.1:{mailbox.port}"}
    hook.status = 404
    run = call(checkout, "wallet_pipeline.cli", "run", **to_mail)
    assert run.returncode == 1
    assert "Alerts: An alert could not be sent by webhook: The webhook answered 404 (ok): create a new" in run.stdout
    assert [letter["Subject"] for letter in mailbox.letters] == [
        "wallet_pipeline, no tenant: A run of the job insights failed",
        "wallet_pipeline, no tenant: A run of the job daily failed",
    ]
    hook.status, hook.texts[:] = 200, []
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.from_config(str(checkout)) as instance:
        for name, value in to_mail.items():
            patch.setenv(name, value)
        clock = count(1)
        sent = [tell(instance, Settings(), lambda: now() + timedelta(minutes=next(clock))) for _ in range(2)]
    assert sent == [2, 0]
    assert len(hook.texts) == len(mailbox.letters) == 2
    assert TOKEN not in run.stdout + run.stderr + (checkout / ".dagster" / "headless.log").read_text()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl+C", "SIGTERM"])
def test_run_that_was_broken_off_is_no_failure(checkout: Path, hook: Hook, stop: signal.Signals) -> None:
    """Who breaks a run off reads that what was good before stands; nobody is told of a failure."""
    with socket.create_server(("127.0.0.1", 0)) as service:
        environment = os.environ | {
            "DAGSTER_HOME": str(checkout),
            "WALLET_CREW_BASE_URL": f"http://127.0.0.1:{service.getsockname()[1]}",
            "WALLET_CREW_TENANT_ID": "tenant",
            "WALLET_CREW_API_KEY": "key",
        }
        command = [sys.executable, "-m", "wallet_pipeline.cli", "run"]
        with subprocess.Popen(
            command, cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as run:
            service.settimeout(60)
            asked, _ = service.accept()
            with asked:
                (os.killpg if stop == signal.SIGINT else os.kill)(run.pid, stop)
                said, _ = run.communicate(timeout=60)
        assert "The run was broken off; what was good before stands" in said
    with dg.DagsterInstance.from_config(str(checkout)) as instance:
        wait_until(lambda: [one.status for one in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE], seconds=20)
        assert tell(instance, Settings(), now) == 0
    assert hook.texts == []


def test_run_that_never_began_is_told(alone: Project, checkout: Path, hook: Hook) -> None:
    """When Dagster cannot even book the run, people are told where to look; also when alerts cannot be booked."""
    folder = checkout / ".dagster" / "storage" / "history"
    folder.mkdir(parents=True)
    (checkout / ".dagster" / "created").touch()
    (folder / "runs.db").write_bytes(b"no database" * 500)
    run = call(checkout, "wallet_pipeline.cli", "run", "--approve-plan", "x")
    assert run.returncode == 1
    assert "A run could not begin" in hook.texts[0]
    assert "Alerts: Dagster's book of runs cannot be read" in run.stdout
    (alone.data.folder / "alerts.sqlite").unlink()
    (alone.data.folder / "alerts.sqlite").mkdir()
    told = call(checkout, "wallet_pipeline.defs.alerts", "--failed-since", str(now().timestamp()))
    assert "A run failed, and alerts are out of order*\nWhy: The outbox of alerts" in hook.texts[1]
    assert (told.returncode, len(hook.texts)) == (1, 2)
