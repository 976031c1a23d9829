"""Alerts from Dagster's book of runs: whatever started a run, it is looked at once, after it has ended.

Dagster's failure hooks would miss runs that were killed and assets that are materialised by a click; its sensors of
failed runs need the daemon and see no checks. So the book is read: by `alerts_sensor` while the daemon runs, and by
`python -m wallet_pipeline.defs.alerts` after a run from the command line. Both share one outbox, so that each alert
comes once.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import dagster as dg
from dagster._core.events import JobFailureData, RunFailureReason
from dagster_shared.error import SerializableErrorInfo

from wallet_pipeline.alerts.alert import AlertError, Redaction
from wallet_pipeline.alerts.channels import channels_of, headline, send_due, send_unbooked
from wallet_pipeline.alerts.occasions import (
    EndedRun,
    Observation,
    is_alerted,
    of_check,
    of_failure,
    of_failure_untold,
    of_no_run,
    of_success,
)
from wallet_pipeline.alerts.outbox import LOOKED_BACK, Outbox, opened
from wallet_pipeline.defs.resources import now
from wallet_pipeline.settings import Settings, read_settings
from wallet_pipeline.warehouse.staging import one_at_a_time

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 60
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
_INTERRUPTED_QUERY = "RuntimeError: Query interrupted"
_STOPPED_BY_A_CHECK = "DagsterAssetCheckFailedError"
# Errors of the disk and the network name files and hosts; others of a database quote what it was reading.
_QUOTABLE = frozenset({"OSError", "PermissionError", "FileNotFoundError", "IOException", "OutOfMemoryException"})


@dg.sensor(
    minimum_interval_seconds=_LOOK_EVERY_S,
    # It does nothing until a channel is configured, and then nobody must remember to switch it on.
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells people by webhook and e-mail of failed and stopped runs, silence, fights, drift, disagreement.",
)
def alerts_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Look at the runs that have ended, and send what is due; no run is started."""
    settings, _ = read_settings()
    if not settings.alerts_are_on:
        return dg.SkipReason("Alerts are off: neither ALERT_WEBHOOK_URL nor ALERT_EMAIL_TO is set.")
    sent = tell(context.instance, settings, now)
    return dg.SkipReason(f"{sent} alerts sent." if sent else "Nobody had to be told of anything new.")


def tell(
    instance: dg.DagsterInstance | None,
    settings: Settings,
    clock: Callable[[], datetime],
    failed_since: datetime | None = None,
) -> int:
    """Book what runs have shown that ended since the last time, send what is due, and return how much was sent.

    `failed_since` is when runs were started of which some failed: when none of those is in the book, people are told
    so. Raises AlertError. A channel that is out of order is logged.
    """
    channels = list(channels_of(settings))
    names, redact = [one.name for one in channels], Redaction.from_settings(settings)
    with one_at_a_time(settings.data_dir, "alerts"), opened(settings.alerts_file) as outbox:
        for run, observations in _news(instance, outbox, clock(), failed_since):
            outbox.book(run.run_id, run.ended_at, observations, names, redact, headline(settings))
        outbox.forget(clock())
        return sum(send_due(outbox, channel, clock) for channel in channels)


def _news(
    instance: dg.DagsterInstance | None, outbox: Outbox, at: datetime, failed_since: datetime | None
) -> Iterator[tuple[EndedRun, list[Observation]]]:
    """Yield the runs that were not looked at yet, in the order in which they ended, with what they show."""
    records = _ended_runs(instance, at - LOOKED_BACK) if instance else []
    for record in records:
        run = _as_ended(record)
        if instance and outbox.is_new(run.run_id):
            yield run, list(_shown_by(instance, run, record.dagster_run))
    if failed_since and not any(_has_failed(one, failed_since) for one in records):
        yield EndedRun(f"none since {failed_since.isoformat()}", "none", at), [of_no_run(failed_since)]


def _ended_runs(instance: dg.DagsterInstance, since: datetime) -> list[dg.RunRecord]:
    """Return the runs that have ended since then, in the order in which they ended."""
    records = instance.get_run_records(dg.RunsFilter(statuses=_ENDED, updated_after=since))
    return sorted(records, key=lambda one: one.end_time or 0.0)


def _as_ended(record: dg.RunRecord) -> EndedRun:
    ended_at = datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC)
    return EndedRun(record.dagster_run.run_id, record.dagster_run.job_name, ended_at)


def _has_failed(record: dg.RunRecord, since: datetime) -> bool:
    return record.dagster_run.status == dg.DagsterRunStatus.FAILURE and record.create_timestamp >= since


def _shown_by(instance: dg.DagsterInstance, run: EndedRun, booked: dg.DagsterRun) -> Iterator[Observation]:
    """Yield what a run shows: how its checks went, and how it went itself. A run that a check stopped did not fail."""
    types = {
        dg.DagsterEventType.ASSET_CHECK_EVALUATION,
        dg.DagsterEventType.STEP_FAILURE,
        dg.DagsterEventType.RUN_FAILURE,
    }
    events = [one.dagster_event for one in instance.all_logs(run.run_id, of_type=types) if one.dagster_event]
    is_stopped = False
    for event in events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            found = event.asset_check_evaluation_data
            name = f"{found.asset_key.to_user_string()}.{found.check_name}"
            if is_alerted(name):
                figures = {key: value.value for key, value in found.metadata.items()}
                yield of_check(run, name, found.description or "", figures, holds=found.passed)
                is_stopped |= bool(found.blocking) and not found.passed
    if booked.status == dg.DagsterRunStatus.SUCCESS:
        yield of_success(run)
    elif _is_broken_off(booked, events):
        return
    elif reason := _reason(events, is_stopped=is_stopped):
        yield of_failure(run, reason)


def _is_broken_off(run: dg.DagsterRun, events: list[dg.DagsterEvent]) -> bool:
    """Tell whether somebody stopped a run from the command line. One that the daemon started was stopped with it."""
    if run.remote_job_origin:
        return False
    is_interrupted = any(
        isinstance(ended := one.event_specific_data, JobFailureData)
        and ended.failure_reason == RunFailureReason.UNEXPECTED_TERMINATION
        for one in events
    )
    errors = [one.step_failure_data.error for one in events if one.is_step_failure]
    # Within a query the signal becomes an error of the step.
    return is_interrupted or any(
        error and error.cause and _INTERRUPTED_QUERY in error.cause.message for error in errors
    )


def _reason(events: list[dg.DagsterEvent], *, is_stopped: bool) -> str | None:
    """Return why a run failed; None when a check stopped it of which people are told anyway."""
    steps = [
        (event.step_key, event.step_failure_data)
        for event in events
        if event.is_step_failure and not _is_check(event.step_failure_data.error)
    ]
    if not steps:
        told = next((one.message for one in events if one.event_type == dg.DagsterEventType.RUN_FAILURE), None)
        return None if is_stopped else told or "Dagster does not say why."
    (step, failure), *others = steps
    more = f" Other steps failed, too: {', '.join(str(key) for key, _ in others)}." if others else ""
    explained = failure.user_failure_data.description if failure.user_failure_data else None
    return f"{step}: {_told(failure.error, explained)}{more}"


def _told(error: SerializableErrorInfo | None, explained: str | None) -> str:
    """Return an error as people may read it: the sentence of one that explains itself, the kind of any other."""
    cause = error.cause if error else None
    if explained and (cause is None or cause.cls_name in _QUOTABLE):
        return explained
    kind = (cause or error).cls_name if error else None
    return f"an unexpected error ({kind or 'unknown'}); its text may hold data, so it is not sent."


def _is_check(error: SerializableErrorInfo | None) -> bool:
    return error is not None and error.cls_name == _STOPPED_BY_A_CHECK


def main() -> None:
    """Look at the runs that have ended, from the command line; what is to be known is printed."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--failed-since", type=float, help="Runs were started then, in seconds since 1970, and failed.")
    seconds = parser.parse_args().failed_since
    failed_since = datetime.fromtimestamp(seconds, UTC) if seconds else None
    settings, _ = read_settings()
    try:
        _tell_from_the_book(settings, failed_since)
    except AlertError as error:
        if failed_since:
            send_unbooked(channels_of(settings), of_failure_untold(failed_since, str(error)), headline(settings), now())
        sys.exit(str(error))


def _tell_from_the_book(settings: Settings, failed_since: datetime | None) -> None:
    """Tell people with Dagster's book of runs, or without it if it cannot be read."""
    try:
        with dg.DagsterInstance.get() as instance:
            tell(instance, settings, now, failed_since)
    except AlertError:
        raise
    except Exception as error:  # noqa: BLE001  whatever is wrong with the book, people are told that a run failed
        log.warning("Dagster's book of runs cannot be read: %s. Call wallet-pipeline doctor.", type(error).__name__)
        tell(None, settings, now, failed_since)


if __name__ == "__main__":
    main()
