"""Assets of the trends: who installed passes, kept them and left, over time, in `adoption.*`."""

from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import duckdb

from wallet_pipeline.defs.collect import DAILY
from wallet_pipeline.defs.resources import Pipeline, explained, now
from wallet_pipeline.defs.sparkline import sparkline
from wallet_pipeline.defs.tables import breakdown, definition_metadata, description
from wallet_pipeline.derive.trends import TABLES, compare_installed, derive_trends
from wallet_pipeline.warehouse.queries import row_count

_READS = {
    "calendar": ["insights_daily"],
    "installations": ["insights_daily", "pass_snapshot", "wallet_registers", "pass_customers", "wallet_events"],
    "created_passes": ["insights_daily", "pass_customers"],
    "adoption_daily": ["calendar", "installations", "created_passes"],
    "adoption_weekly": ["adoption_daily"],
    "adoption_monthly": ["adoption_daily"],
    "adoption_cohorts": ["calendar", "installations", "created_passes"],
    "time_to_install": ["installations", "created_passes"],
    "churn": ["calendar", "installations"],
    "adoption_by_source": ["calendar", "installations"],
    "status_daily": ["calendar", "customer_status_changes"],
    "wallet_switches": ["calendar", "customer_status_changes"],
}

# Numbers by name, which the UI plots from run to run.
_NUMBERS = {
    "installations": "SELECT 'installed_' || wallet, count(*) FROM adoption.installations WHERE uninstalled_at IS NULL"
    " GROUP BY wallet",
    "adoption_daily": "SELECT unnest(['installs_of_last_whole_day', 'uninstalls_of_last_whole_day']),"
    " unnest([sum(installs), sum(uninstalls)])::BIGINT"
    " FROM adoption.adoption_daily WHERE day = (SELECT max(day) FROM adoption.calendar WHERE is_over) GROUP BY day",
    "status_daily": "SELECT 'customers_' || wallet_status, customers FROM adoption.status_daily"
    " WHERE day = (SELECT max(day) FROM adoption.status_daily)",
}
# What is drawn small, day by day.
_PICTURES = {
    "adoption_daily": (
        "Passes installed",
        "SELECT sum(installed_passes)::BIGINT FROM adoption.adoption_daily GROUP BY day ORDER BY day",
    ),
    "status_daily": (
        "Customers with a pass in a wallet",
        (
            "SELECT sum(customers)::BIGINT FROM adoption.status_daily WHERE wallet_status <> 'none'"
            " GROUP BY day ORDER BY day"
        ),
    ),
}


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            table,
            group_name="derive",
            kinds={"sql", "duckdb"},
            deps=_READS[table],
            description=description(f"adoption.{table}"),
            metadata=definition_metadata(f"adoption.{table}"),
            freshness_policy=DAILY,
        )
        for table in TABLES
    ],
    # All tables are built whichever is asked for; this lets any of them be selected.
    can_subset=True,
)
def trends(context: dg.AssetExecutionContext, pipeline: Pipeline) -> Iterator[dg.MaterializeResult]:
    """Count installations over time anew, in one transaction."""
    with explained(), pipeline.open_warehouse() as con:
        derive_trends(con, ZoneInfo(pipeline.settings().report_time_zone), now())
        rows = {table: row_count(con, f"adoption.{table}") for table in TABLES}
        more = _shown(con)
    for table, count in rows.items():
        if dg.AssetKey(table) in context.selected_asset_keys:
            metadata = {"dagster/row_count": count} | more.get(table, {})
            yield dg.MaterializeResult(asset_key=table, metadata=metadata)


def _shown(con: duckdb.DuckDBPyConnection) -> dict[str, dict[str, Any]]:
    """Return, by table, what the UI shows besides the number of rows: numbers, small pictures, the last week."""
    shown: dict[str, dict[str, Any]] = {table: dict(con.execute(sql).fetchall()) for table, sql in _NUMBERS.items()}
    for table, (what, sql) in _PICTURES.items():
        shown[table]["by_day"] = sparkline(what, [number for (number,) in con.execute(sql).fetchall()])
    shown["adoption_daily"]["last_days"] = breakdown(
        con,
        "SELECT day, sum(installs) AS installs, sum(uninstalls) AS uninstalls, sum(installed_passes) AS installed"
        " FROM adoption.adoption_daily GROUP BY day ORDER BY day DESC LIMIT 7",
    )
    return shown


@dg.asset_check(
    asset="installations",
    name="agrees_with_registers",
    description="As many installations go on as wallet_registers has passes installed.",
)
def installed_agrees(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Compare the two, by wallet, and tell how many of them Insights told otherwise."""
    with explained(), pipeline.open_warehouse() as con:
        wallets = compare_installed(con)
    return dg.AssetCheckResult(
        passed=all(one.agrees for one in wallets),
        severity=dg.AssetCheckSeverity.WARN,
        description=" ".join(map(str, wallets)) or "No pass was ever installed.",
    )
