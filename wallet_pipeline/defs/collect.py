"""Assets of the first stage: what the services say, in `raw.*`."""

import dagster as dg

from wallet_pipeline.collect.insights import EventProperties, read_insights
from wallet_pipeline.collect.pass_snapshot import (
    LATE_AFTER,
    TOO_LATE_AFTER,
    Snapshot,
    approve_snapshot,
    take_snapshot,
)
from wallet_pipeline.collect.wallet_events import take_events
from wallet_pipeline.collect.webhooks.understanding import EventMapping
from wallet_pipeline.defs.resources import Pipeline, explained, now, settings_of_definitions
from wallet_pipeline.defs.tables import breakdown, definition_metadata, description
from wallet_pipeline.warehouse.queries import row_count

DAILY = dg.FreshnessPolicy.time_window(fail_window=TOO_LATE_AFTER, warn_window=LATE_AFTER)
insights_days = dg.DailyPartitionsDefinition(start_date=str(settings_of_definitions().insights_first_day), end_offset=1)


@dg.asset(
    group_name="collect",
    kinds={"python", "sqlite", "duckdb"},
    description=description("raw.wallet_events")
    + " Takes over what the receiver has put into the inbox since the last time, each delivery exactly once.",
    metadata=definition_metadata("raw.wallet_events"),
    freshness_policy=DAILY,
)
def wallet_events(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    """Take new deliveries over from the inbox."""
    with explained():
        settings = pipeline.settings()
        taken = take_events(pipeline.open_warehouse, settings.inbox_file, EventMapping.from_settings(settings))
        with pipeline.open_warehouse() as con:
            rows = row_count(con, "raw.wallet_events")
            unusable = breakdown(
                con,
                "SELECT split_part(reason, ':', 1) AS reason, count(*) AS deliveries FROM raw.unusable_deliveries"
                " GROUP BY ALL ORDER BY ALL",
            )
    if taken.deliveries == 0:
        context.log.info("no new deliveries in %s", settings.inbox_file)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "deliveries": taken.deliveries,
            "events": taken.events,
            "not_understood": sum(taken.unusable.values()),
            "of_forgotten_passes": taken.forgotten,
            "taken_up_to": taken.up_to,
            "unusable_deliveries": unusable,
        }
    )


class SnapshotConfig(dg.Config):
    """Approval of a snapshot that stopped an earlier run."""

    approve_snapshot: str = ""


@dg.asset(
    group_name="collect",
    kinds={"python", "duckdb"},
    description=description("raw.snapshots")
    + " Reads every pass of the tenant from the Pass API, complete or not at all.",
    metadata=definition_metadata("raw.snapshots"),
    freshness_policy=DAILY,
    check_specs=[
        dg.AssetCheckSpec(
            "snapshot_accepted",
            asset="pass_snapshot",
            blocking=True,
            description="The list of passes is complete and has not shrunk beyond MIN_SNAPSHOT_SHARE.",
        )
    ],
)
def pass_snapshot(
    context: dg.AssetExecutionContext, config: SnapshotConfig, pipeline: Pipeline
) -> dg.MaterializeResult:
    """Read all passes, or approve a held snapshot."""
    with explained():
        settings = pipeline.settings()
        if config.approve_snapshot:
            snapshot = approve_snapshot(pipeline.open_warehouse, settings.staging_dir, config.approve_snapshot, now())
        else:
            snapshot = _new_snapshot(pipeline)
    accepted = snapshot.verdict == "accepted"
    sentence = (
        f"{snapshot.passes} passes of {snapshot.highest_total}, accepted."
        if accepted
        else f"The snapshot is {snapshot.reason}. Nothing is derived from it and nothing written to the CRM. If it is"
        f" right, approve it: wallet-pipeline run --approve-snapshot {snapshot.snapshot_id}"
    )
    if not accepted:
        context.log.error(sentence)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": snapshot.passes,
            "snapshot_id": snapshot.snapshot_id,
            "started_at": dg.MetadataValue.timestamp(snapshot.started_at),
            "seconds": (snapshot.finished_at - snapshot.started_at).total_seconds(),
            "pages": snapshot.pages,
            "readings": snapshot.attempts,
            "undated_installations": snapshot.undated,
            "other_wallets": snapshot.other_wallets,
            "forgotten_passes": snapshot.forgotten,
            "clock": snapshot.clock,
        },
        check_results=[dg.AssetCheckResult(check_name="snapshot_accepted", passed=accepted, description=sentence)],
    )


def _new_snapshot(pipeline: Pipeline) -> Snapshot:
    settings = pipeline.settings()
    with pipeline.wallet_crew() as client:
        return take_snapshot(
            pipeline.open_warehouse,
            client,
            settings.staging_dir,
            page_size=settings.wallet_crew_page_size,
            concurrency=settings.wallet_crew_concurrency,
            min_share=settings.min_snapshot_share,
            clock=now,
        )


@dg.asset(
    group_name="collect",
    kinds={"python", "duckdb"},
    description=description("raw.insights_daily"),
    metadata=definition_metadata("raw.insights_daily"),
    partitions_def=insights_days,
    backfill_policy=dg.BackfillPolicy.single_run(),
    freshness_policy=DAILY,
)
def insights_daily(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    """Read the days of the run's partitions from Insights, in few calls."""
    window = context.partition_time_window
    with explained(), pipeline.wallet_crew() as client:
        settings = pipeline.settings()
        properties = EventProperties(settings.insights_pass_id, settings.insights_pass_type, settings.insights_device)
        read = read_insights(pipeline.open_warehouse, client, properties, window.start.date(), window.end.date(), now)
        with pipeline.open_warehouse() as con:
            rows = row_count(con, "raw.insights_daily")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "days": (read.until - read.first).days,
            "calls": read.calls,
            "days_read_before": read.read_before,
            "rows_read": read.rows,
            "events": read.events,
            "corrected_days": ", ".join(map(str, read.corrected)) or "none",
        }
    )
