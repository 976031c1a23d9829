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
from dagster_shared.error import SerializableErrorInfo

from wallet_pipeline.alerts.alert import AlertError, Redaction
from wallet_pipeline.alerts.channels import channels_of, send_due
from wallet_pipeline.alerts.occasions import (
    EndedRun,
    Observation,
    is_alerted,
    of_check,
    of_failure,
    of_no_run,
    of_success,
)
from wallet_pipeline.alerts.outbox import LOOKED_BACK, Outbox, opened
from wallet_pipeline.defs.resources import now
from wallet_pipeline.settings import Settings, read_settings
from wallet_pipeline.warehouse.staging import one_at_a_time

_LOOK_EVERY_S = 60
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
_STOPPED_BY_A_CHECK = "DagsterAssetCheckFailedError"
# Errors of the disk and the network name files and hosts; others of a database quote what it was reading.
_QUOTABLE = frozenset({"OSError", "PermissionError", "FileNotFoundError", "IOException", "OutOfMemoryException"})


@dg.sensor(
    minimum_interval_seconds=_LOOK_EVERY_S,
    # It does nothing until a channel is configured, and then nobody must remember to switch it on.
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells people by webhook and e-mail of failed and stopped runs, silence, fights and drift.",
)
def alerts_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Look at the runs that have ended, and send what is due; no run is started."""
    settings, _ = read_settings()
    if not settings.alerts_are_on:
        return dg.SkipReason("Alerts are off: neither ALERT_WEBHOOK_URL nor ALERT_EMAIL_TO is set.")
    sent = tell(context.instance, settings, now)
    return dg.SkipReason(f"{sent} alerts sent." if sent else "Nobody had to be told of anything new.")


def tell(
    instance: dg.DagsterInstance, settings: Settings, clock: Callable[[], datetime], never_began: datetime | None = None
) -> int:
    """Book what runs have shown that ended since the last time, send what is due, and return how much was sent.

    `never_began` is when runs were started of which some failed: when none of those is in the book, people are told so.
    Raises AlertError. A channel that is out of order is logged.
    """
    channels = list(channels_of(settings))
    redact = Redaction.from_settings(settings)
    headline = f"wallet_pipeline, {settings.wallet_crew_tenant_id or 'no tenant'}"
    with one_at_a_time(settings.data_dir, "alerts"), opened(settings.alerts_file) as outbox:
        for run, observations in _news(instance, outbox, clock(), never_began):
            names = [one.name for one in channels]
            outbox.book(run.run_id, run.ended_at, observations, names, redact, headline)
        outbox.forget(clock())
        return sum(send_due(outbox, channel, clock) for channel in channels)


def _news(
    instance: dg.DagsterInstance, outbox: Outbox, at: datetime, never_began: datetime | None
) -> Iterator[tuple[EndedRun, list[Observation]]]:
    """Yield the runs that were not looked at yet, in the order in which they ended, with what they show."""
    since = dg.RunsFilter(statuses=_ENDED, updated_after=at - LOOKED_BACK)
    records = sorted(instance.get_run_records(since), key=lambda one: one.end_time or 0.0)
    for record in records:
        if outbox.is_new(record.dagster_run.run_id):
            ended_at = datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC)
            run = EndedRun(record.dagster_run.run_id, record.dagster_run.job_name, ended_at)
            yield run, list(_shown_by(instance, run, record.dagster_run.status))
    if never_began and not any(
        one.dagster_run.status == dg.DagsterRunStatus.FAILURE and one.create_timestamp >= never_began for one in records
    ):
        yield EndedRun(f"none at {never_began.isoformat()}", "none", at), [of_no_run(never_began)]


def _shown_by(instance: dg.DagsterInstance, run: EndedRun, status: dg.DagsterRunStatus) -> Iterator[Observation]:
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
    if status == dg.DagsterRunStatus.SUCCESS:
        yield of_success(run)
    elif reason := _reason(events, is_stopped=is_stopped):
        yield of_failure(run, reason)


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
    since = parser.parse_args().failed_since
    settings, _ = read_settings()
    try:
        with dg.DagsterInstance.get() as instance:
            tell(instance, settings, now, datetime.fromtimestamp(since, UTC) if since else None)
    except AlertError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
