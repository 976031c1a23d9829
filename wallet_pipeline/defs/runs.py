"""Dagster's book of the runs of changes: which of them died unseen, how long to pause, and which to forget."""

import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

import dagster as dg
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

# Longer than a run may wait for the warehouse without a word.
_LONGEST_SILENCE_S = 900.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 60.0, 3600.0
_RUNS_KEPT = 200
_FORGOTTEN_AT_ONCE = 20


def has_died(instance: dg.DagsterInstance, run: dg.RunRecord, now: float) -> bool:
    """Tell whether a run that counts as going on has ended without a word, as when the machine lost its power.

    Its process is gone, or it has said nothing for long. `now` is in seconds since 1970.
    """
    events = instance.all_logs(run.dagster_run.run_id)
    spoken_at = max([event.timestamp for event in events] + [run.create_timestamp.timestamp()])
    pids = [
        pid.value
        for event in events
        if event.dagster_event
        and event.dagster_event.is_engine_event
        and (pid := event.dagster_event.engine_event_data.metadata.get("pid"))
    ]
    return now - spoken_at > _LONGEST_SILENCE_S or any(not _is_there(int(str(pid))) for pid in pids[-1:])


def pause_after_failures(runs: Sequence[dg.RunRecord], now: float) -> float:
    """Return how many seconds to wait yet: a minute after a failure, twice as long after each further one."""
    failed = list(takewhile(lambda run: run.dagster_run.status == dg.DagsterRunStatus.FAILURE, runs))
    if not failed:
        return 0.0
    pause = min(_FIRST_PAUSE_S * float(2 ** (len(failed) - 1)), _LONGEST_PAUSE_S)
    return pause - (now - (failed[0].end_time or 0.0))


def forget_old_runs(instance: dg.DagsterInstance, job: str, kept: int = _RUNS_KEPT) -> None:
    """Delete successful runs of a job but for the newest ones: with steady events they would fill the disk."""
    succeeded = dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS])
    for run_id in instance.get_run_ids(succeeded, limit=kept + _FORGOTTEN_AT_ONCE)[kept:]:
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        events = instance.event_log_storage
        if isinstance(events, SqliteEventLogStorage):  # which leaves the run's file behind, empty
            for suffix in ("", "-wal", "-shm"):
                Path(events.path_for_shard(run_id) + suffix).unlink(missing_ok=True)


def _is_there(pid: int) -> bool:
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True
