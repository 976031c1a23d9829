"""Jobs, and when they run."""

import dagster as dg

from wallet_pipeline.collect.insights import DAYS_READ_AGAIN
from wallet_pipeline.collect.wallet_events import taken_up_to
from wallet_pipeline.collect.webhooks.inbox import newest_delivery
from wallet_pipeline.defs.collect import insights_daily, insights_days, wallet_events
from wallet_pipeline.defs.derive import statuses
from wallet_pipeline.defs.resources import Pipeline, now, settings_of_definitions
from wallet_pipeline.defs.runs import forget_old_runs, has_died, pause_after_failures
from wallet_pipeline.defs.sync import crm_contacts, crm_plan
from wallet_pipeline.derive.touched import count_touched
from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.settings import Settings
from wallet_pipeline.sync.changes import count_changes
from wallet_pipeline.sync.plan import PlanRules
from wallet_pipeline.warehouse.connection import connect

_TIME_ZONE = settings_of_definitions().schedule_time_zone
_LOOK_EVERY_S = 10
_WAREHOUSE_WAIT_S = 2
_BETWEEN_RUNS_S = 30
_RUNS_LOOKED_AT = 7

daily = dg.define_asset_job(
    "daily",
    selection=dg.AssetSelection.all() - dg.AssetSelection.assets(insights_daily),
    description="Snapshot, statuses, CRM, trends, report, certificate and the analysts' files, once a day.",
    tags={"wallet_pipeline/job": "daily"},
)
insights = dg.define_asset_job(
    "insights",
    selection=dg.AssetSelection.assets(insights_daily),
    description="Events of a range of days, in one run.",
    tags={"wallet_pipeline/job": "insights"},
)
_CHANGES_ONLY = {"config": {"changes_only": True}}

sync_changes = dg.define_asset_job(
    "sync_changes",
    selection=dg.AssetSelection.assets(wallet_events, statuses, crm_plan, crm_contacts).without_checks()
    | dg.AssetSelection.checks_for_assets(crm_plan, crm_contacts),
    config={"ops": {"statuses": _CHANGES_ONLY, "crm_plan": _CHANGES_ONLY, "crm_contacts": _CHANGES_ONLY}},
    description="New events, from the inbox to verified contacts: only the customers whom they change.",
    tags={"wallet_pipeline/job": "sync_changes"},
)
daily_schedule = dg.ScheduleDefinition(
    name="daily_schedule", job=daily, cron_schedule="0 3 * * *", execution_timezone=_TIME_ZONE
)


@dg.schedule(job=insights, cron_schedule="30 2 * * *", execution_timezone=_TIME_ZONE)
def insights_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Read the newest day and the ones before it again, for late events, in one run."""
    newest = insights_days.get_partition_keys(current_time=context.scheduled_execution_time)[-DAYS_READ_AGAIN:]
    return dg.RunRequest(
        tags={"dagster/asset_partition_range_start": newest[0], "dagster/asset_partition_range_end": newest[-1]}
    )


@dg.sensor(job=sync_changes, minimum_interval_seconds=_LOOK_EVERY_S)
def changes_sensor(context: dg.SensorEvaluationContext, pipeline: Pipeline) -> dg.RunRequest | dg.SkipReason:
    """Start `sync_changes` when there are new deliveries, or changes that have come to rest; one run at a time."""
    moment = now().timestamp()
    runs = context.instance.get_run_records(dg.RunsFilter(job_name=sync_changes.name), limit=_RUNS_LOOKED_AT)
    if runs and not runs[0].dagster_run.is_finished:
        if not has_died(context.instance, runs[0], moment):
            return dg.SkipReason("A run of sync_changes is going on.")
        context.instance.report_run_failed(runs[0].dagster_run, "The run has ended without a word.")
        return dg.SkipReason("The last run of sync_changes had ended without a word; it counts as failed now.")
    if (pause := pause_after_failures(runs, moment)) > 0:
        return dg.SkipReason(f"The last run of sync_changes failed; the next one starts in {pause:.0f} s.")
    try:
        settings = pipeline.settings()
        if runs and moment - (runs[0].start_time or 0) < min(settings.settle_window, _BETWEEN_RUNS_S):
            return dg.SkipReason("A run of sync_changes has just ended; changes are gathered for the next one.")
        forget_old_runs(context.instance, sync_changes.name)
        return _what_is_to_do(settings)
    except ExplainedError as error:
        return dg.SkipReason(str(error))


def _what_is_to_do(settings: Settings) -> dg.RunRequest | dg.SkipReason:
    newest = newest_delivery(settings.inbox_file)
    if newest == 0 and not settings.warehouse_file.exists():
        return dg.SkipReason(f"Nothing was ever received in {settings.inbox_file}: `wallet-pipeline receive` fills it.")
    with connect(settings.warehouse_file, _WAREHOUSE_WAIT_S) as con:
        taken, touched = taken_up_to(con), count_touched(con)
        changes = count_changes(con, PlanRules.from_settings(settings), now())
    if newest not in {0, taken} or touched or changes.due:
        return dg.RunRequest()
    return dg.SkipReason(f"No new deliveries; {changes.waiting} changed customers are not at rest yet.")
