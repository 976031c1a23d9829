"""Dagster's book of runs: the dead, the failed and the old ones."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData

from wallet_pipeline.defs.runs import forget_old_runs, has_died

from .conftest import definitions

JOB = "sync_changes"


@pytest.fixture
def instance(tmp_path: Path) -> dg.DagsterInstance:
    """Give an instance with its storage in files, as in use."""
    return dg.DagsterInstance.local_temp(str(tmp_path))


def start(instance: dg.DagsterInstance, pid: int | None = None) -> dg.RunRecord:
    """Book a run as going on, in a process if one is given."""
    run = instance.create_run_for_job(definitions().resolve_job_def(JOB), status=dg.DagsterRunStatus.STARTED)
    if pid:
        event = EngineEventData(metadata={"pid": dg.MetadataValue.text(str(pid))})
        instance.report_engine_event("Started process", run, event)
    (record,) = instance.get_run_records(limit=1)
    return record


def test_run_whose_process_is_gone_has_died(instance: dg.DagsterInstance) -> None:
    """A machine that lost its power leaves such a run behind."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    run = start(instance, process.pid)
    now = run.create_timestamp.timestamp()
    assert not has_died(instance, run, now)
    process.communicate(b"\n")
    assert has_died(instance, run, now)


def test_run_that_says_nothing_for_long_has_died(instance: dg.DagsterInstance) -> None:
    """Without a process to look at, a quarter of an hour of silence is enough."""
    run = start(instance)
    begun = run.create_timestamp.timestamp()
    assert [has_died(instance, run, begun + seconds) for seconds in (890, 910)] == [False, True]


def test_old_runs_are_forgotten_with_their_files(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """Of many successful runs the newest stay; a failed one stays, too."""
    runs = [start(instance).dagster_run for _ in range(5)]
    instance.report_run_failed(runs[0])
    for run in runs[1:]:
        success = dg.DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name=JOB)
        instance.report_dagster_event(success, run_id=run.run_id)
    forget_old_runs(instance, JOB, kept=2)
    assert {record.dagster_run.run_id for record in instance.get_run_records()} == {
        runs[0].run_id,
        runs[3].run_id,
        runs[4].run_id,
    }
    assert [bool(list(tmp_path.rglob(f"{run.run_id}.db"))) for run in runs] == [True, False, False, True, True]
