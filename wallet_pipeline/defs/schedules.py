"""Jobs, and when they run."""

import dagster as dg

from wallet_pipeline.defs.collect import insights_daily, insights_days
from wallet_pipeline.defs.resources import settings_of_definitions

_TIME_ZONE = settings_of_definitions().schedule_time_zone
_DAYS_READ_AGAIN = 3

daily = dg.define_asset_job(
    "daily",
    selection=dg.AssetSelection.all() - dg.AssetSelection.assets(insights_daily),
    description="Snapshot, statuses, CRM, trends and the analysts' file, once a day.",
    tags={"wallet_pipeline/job": "daily"},
)
insights = dg.define_asset_job(
    "insights",
    selection=dg.AssetSelection.assets(insights_daily),
    description="Event counts of a range of days, in one run.",
    tags={"wallet_pipeline/job": "insights"},
)
daily_schedule = dg.ScheduleDefinition(
    name="daily_schedule", job=daily, cron_schedule="0 3 * * *", execution_timezone=_TIME_ZONE
)


@dg.schedule(job=insights, cron_schedule="30 2 * * *", execution_timezone=_TIME_ZONE)
def insights_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Read the newest day and the ones before it again, for late events, in one run."""
    newest = insights_days.get_partition_keys(current_time=context.scheduled_execution_time)[-_DAYS_READ_AGAIN:]
    return dg.RunRequest(
        tags={"dagster/asset_partition_range_start": newest[0], "dagster/asset_partition_range_end": newest[-1]}
    )
