"""The page that marketers open."""

from zoneinfo import ZoneInfo

import dagster as dg

from wallet_pipeline.defs.collect import DAILY
from wallet_pipeline.defs.resources import Pipeline, explained, now
from wallet_pipeline.report.content import read_content
from wallet_pipeline.report.page import put_report, render

_PLOTTED = (
    "customers_both", "customers_apple", "customers_google", "customers_none", "installed_apple", "installed_google",
    "installed_share", "installs_7", "uninstalls_7",
)  # fmt: skip


@dg.asset(
    group_name="publish",
    kinds={"html"},
    deps=[
        "customer_wallet_status",
        "calendar",
        "installations",
        "created_passes",
        "adoption_daily",
        "adoption_cohorts",
        "time_to_install",
        "churn",
        "adoption_by_source",
        "status_daily",
        "wallet_switches",
    ],
    description="The page for marketers, report.html: adoption in charts, each with a table of its numbers. It opens"
    " without a network and holds counts only.",
    freshness_policy=DAILY,
)
def adoption_report(pipeline: Pipeline) -> dg.MaterializeResult:
    """Draw the trends into report.html."""
    with explained():
        settings = pipeline.settings()
        with pipeline.open_warehouse() as con:
            content = read_content(con)
        put_report(render(content, ZoneInfo(settings.report_time_zone), now()), settings.report_file)
    return dg.MaterializeResult(
        metadata={
            "file": dg.MetadataValue.path(str(settings.report_file.resolve())),
            "bytes": settings.report_file.stat().st_size,
            **{name: content.headline[name] for name in _PLOTTED if content.headline[name] is not None},
        }
    )
