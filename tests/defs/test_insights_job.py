"""The job that reads Insights over ranges of days."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from wallet_pipeline.defs.schedules import insights_schedule

from .conftest import Project


def test_ninety_days_are_one_run_of_few_calls(project: Project) -> None:
    """A range of partitions is read in one run, a month a call, and each of its days is told as read."""
    today = datetime.now(UTC).date()
    result = project.run("insights", tags=_range(str(today - timedelta(days=89)), str(today)))
    metadata = project.metadata_of_range(result, "insights_daily")
    assert result.success
    assert (metadata["days"], metadata["calls"], project.tenant.queries()) == (90, 3, 3)
    days = project.instance.get_materialized_partitions(dg.AssetKey("insights_daily"))
    assert days == {str(today - timedelta(days=n)) for n in range(90)}


def test_schedule_reads_the_last_three_days_again() -> None:
    """The scheduled run covers today and the two days before, in one run."""
    evening = datetime(2026, 11, 24, 2, 30, tzinfo=UTC)
    with dg.build_schedule_context(scheduled_execution_time=evening) as context:
        request = insights_schedule(context)
    assert isinstance(request, dg.RunRequest)
    assert {k: v for k, v in request.tags.items() if "range" in k} == _range("2026-11-22", "2026-11-24")


def test_scheduled_run_succeeds_with_its_tags(project: Project) -> None:
    """What the schedule asks for can be run."""
    with dg.build_schedule_context(scheduled_execution_time=datetime.now(UTC)) as context:
        request = insights_schedule(context)
    assert isinstance(request, dg.RunRequest)
    assert project.run("insights", tags=request.tags).success


def _range(start: str, end: str) -> dict[str, str]:
    return {"dagster/asset_partition_range_start": start, "dagster/asset_partition_range_end": end}
