"""From the inbox to the CRM through Dagster: the job of changes, and the sensor that starts it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from wallet_pipeline.collect.webhooks.inbox import Inbox, NewDelivery
from wallet_pipeline.defs.resources import Pipeline
from wallet_pipeline.defs.schedules import changes_sensor, sync_changes
from wallet_pipeline.warehouse.connection import connect

from .conftest import Project, definitions, now

ROOT = Path(__file__).parent.parent.parent


def receive(project: Project, *bodies: dict[str, Any], at: datetime | None = None) -> None:
    """Put deliveries into the inbox as the receiver does."""
    inbox = Inbox(project.data.folder / "inbox.sqlite")
    received_at = int((at or now()).timestamp() * 1_000_000)
    texts = [json.dumps(body).encode() for body in bodies]
    inbox.append([NewDelivery(received_at, "webhook", text[-32:].rjust(32), text) for text in texts])
    inbox.close()


def events_of(project: Project, **counts: int) -> list[dict[str, Any]]:
    """Let passes change in the world, unseen by any snapshot, and return the events that tell of it."""
    changes = project.tenant.control("POST", "/advance", counts).json()["changes"]
    return [
        {
            "eventType": "Pass:Installed" if change["kind"] == "installs" else "Pass:Uninstalled",
            "eventId": f"event-{change['pass_id']}-{change['at']}",
            "timestamp": change["at"],
            "passId": change["pass_id"],
            "device": change["wallet"],
        }
        for change in changes
    ]


def look(project: Project) -> dg.RunRequest | dg.SkipReason:
    """Let the sensor look once."""
    context = dg.build_sensor_context(instance=project.instance, resources={"pipeline": Pipeline()})
    result = changes_sensor(context)
    assert isinstance(result, dg.RunRequest | dg.SkipReason)
    return result


def test_events_reach_the_crm_without_a_snapshot(project: Project) -> None:
    """What was received is in the CRM, verified, though the list of passes was not read again."""
    project.run()
    reads = project.tenant.page_reads()
    receive(project, *events_of(project, installs=3, uninstalls=2))
    began = now()
    result = project.run("sync_changes")
    assert result.success
    linked = project.metadata(result, "crm_contacts")["verified"]
    assert (linked > 0, project.writes(began)) == (True, linked)
    assert project.tenant.page_reads() == reads


def test_daily_run_after_the_events_has_nothing_to_write(project: Project) -> None:
    """The snapshot says the same as the events: no row changes, and no contact is written."""
    project.run()
    receive(project, *events_of(project, installs=3, uninstalls=2))
    project.run("sync_changes")
    rows = project.rows("FROM wallet.customer_wallet_status ORDER BY ALL")
    began = now()
    assert project.run().success
    assert project.rows("FROM wallet.customer_wallet_status ORDER BY ALL") == rows
    assert project.writes(began) == 0


@contextmanager
def stopped(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Let a process stand still, with all that it holds, for the length of a block."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def test_event_does_not_wait_for_a_slow_snapshot(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the daily run waits for the list of passes, an event reaches the CRM."""
    project.run()
    event, *_ = events_of(project, installs=1)
    project.tenant.spoil({"type": "delay", "seconds": 10}, path="/passes", times=1)
    reads = project.tenant.page_reads()
    # In a process of its own: within one, DuckDB would share the file that the run must not hold.
    command = [sys.executable, "-m", "dagster", "job", "execute", "-m", "wallet_pipeline.definitions", "-j", "daily"]
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    environment = os.environ | {"DAGSTER_HOME": str(tmp_path)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) as daily:
        while project.tenant.page_reads() == reads:
            assert daily.poll() is None
        monkeypatch.setenv("WAREHOUSE_WAIT", "30")
        with stopped(daily):  # so that it still waits, however long the event takes on a busy machine
            receive(project, event)
            changes = project.run("sync_changes", alone=False)
    assert changes.success
    assert daily.returncode == 0
    assert project.metadata(changes, "crm_contacts")["verified"] == 1


def test_unsettled_change_is_left_to_a_later_run(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the settle window the run sends nothing and does not wait; the sensor starts another one afterwards."""
    project.run()
    event, *_ = events_of(project, installs=1)
    receive(project, event)
    monkeypatch.setenv("SETTLE_WINDOW", "30")
    result = project.run("sync_changes")
    assert (result.success, project.metadata(result, "crm_plan")["to_hold"] > 0) == (True, True)
    assert "changes are gathered for the next one" in str(look(project))
    for run in project.instance.get_run_records():
        project.instance.delete_run(run.dagster_run.run_id)
    assert "1 changed customers are not at rest yet" in str(look(project))
    monkeypatch.setenv("SETTLE_WINDOW", "0")
    assert isinstance(look(project), dg.RunRequest)


def test_sensor_starts_a_run_for_new_deliveries_only(project: Project) -> None:
    """A delivery starts one run; when that has taken it over, there is nothing more to do."""
    assert "Nothing was ever received" in str(look(project))
    project.run()
    assert isinstance(look(project), dg.SkipReason)
    receive(project, *events_of(project, installs=1))
    assert isinstance(look(project), dg.RunRequest)
    project.run("sync_changes")
    assert isinstance(look(project), dg.SkipReason)


def test_sensor_lets_one_run_end_first(project: Project) -> None:
    """While a run goes on none is started."""
    receive(project, {"eventType": "Pass:Installed"})
    project.instance.create_run_for_job(_job(), status=dg.DagsterRunStatus.STARTED)
    assert "going on" in str(look(project))


def test_sensor_pauses_after_failures(project: Project) -> None:
    """After a failed run it waits for a minute, and longer after each further one."""
    receive(project, {"eventType": "Pass:Installed"})
    waits = []
    for _ in range(3):
        run = project.instance.create_run_for_job(_job())
        project.instance.report_run_failed(run)
        waits.append(int(str(look(project)).split(" starts in ")[1].split()[0]))
    assert [round(wait / 60) for wait in waits] == [1, 2, 4]


def test_sensor_waits_while_the_warehouse_is_taken(project: Project, start_script: Any) -> None:
    """A program that holds the warehouse delays the sensor's look, with its name; nothing breaks."""
    receive(project, {"eventType": "Pass:Installed"})
    with connect(project.data.warehouse, wait=5):
        pass
    hold = f"import duckdb; con = duckdb.connect({str(project.data.warehouse)!r}); print('held', flush=True); input()"
    holder = start_script(hold)
    holder.wait_for("held")
    assert "is held by" in str(look(project))


def test_replayed_evidence_starts_a_run(project: Project) -> None:
    """Passes that are touched without a new delivery are derived, too."""
    project.run()
    with project.data.open() as con:
        con.execute("INSERT INTO raw.touched_passes VALUES ('pass-1')")
    assert isinstance(look(project), dg.RunRequest)


def test_job_of_changes_checks_what_it_writes(project: Project) -> None:
    """The checks of plan and contacts belong to the job; those that read whole tables or the vendor do not."""
    project.run()
    receive(project, *events_of(project, installs=1))
    checks = {one.check_name for one in project.run("sync_changes").get_asset_check_evaluations()}
    assert checks == {"no_mass_change", "written_is_verified", "no_fights", "little_drift"}


def test_failed_crm_leaves_the_change_for_the_next_run(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event whose run could not reach the CRM is sent by the next one, without a new delivery."""
    project.run()
    receive(project, *events_of(project, installs=1))
    with monkeypatch.context() as wrong:
        wrong.setenv("HUBSPOT_ACCESS_TOKEN", "pat-wrong")
        assert not project.run("sync_changes").success
    assert project.metadata(project.run("sync_changes"), "crm_contacts")["verified"] == 1


def _job() -> dg.JobDefinition:
    return definitions().resolve_job_def(sync_changes.name)
