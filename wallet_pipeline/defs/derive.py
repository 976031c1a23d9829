"""Assets of the second stage: what is true, in `wallet.*`, and the trends, in `adoption.*`."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import duckdb

from wallet_pipeline.defs.collect import DAILY
from wallet_pipeline.defs.resources import Extent, Pipeline, explained, now
from wallet_pipeline.defs.tables import breakdown, definition_metadata, description
from wallet_pipeline.derive.arrivals import derive_event_arrivals
from wallet_pipeline.derive.statuses import derive_statuses
from wallet_pipeline.derive.touched import derive_touched
from wallet_pipeline.warehouse.queries import one_row, row_count

CUSTOMER_TABLES = (
    "customer_wallet_status", "customer_status_changes", "pass_customers", "unmatched_passes", "identity_conflicts",
)  # fmt: skip
_EVIDENCE = ["pass_snapshot", "wallet_events"]
_TABLES = {"wallet_registers": "wallet.registers"} | {table: f"wallet.{table}" for table in CUSTOMER_TABLES}


def _spec(asset: str, table: str, deps: list[str]) -> dg.AssetSpec:
    return dg.AssetSpec(
        asset,
        group_name="derive",
        kinds={"sql", "duckdb"},
        deps=deps,
        description=description(table),
        metadata=definition_metadata(table),
        freshness_policy=DAILY,
    )


@dg.multi_asset(
    specs=[
        _spec("wallet_registers", "wallet.registers", _EVIDENCE),
        *(_spec(table, f"wallet.{table}", [*_EVIDENCE, "wallet_registers"]) for table in CUSTOMER_TABLES),
    ],
    # All tables are built whichever is asked for; this lets any of them be selected.
    can_subset=True,
)
def statuses(context: dg.AssetExecutionContext, config: Extent, pipeline: Pipeline) -> Iterator[dg.MaterializeResult]:
    """Apply the status rules to the evidence, of all passes or of those that events touch; all in one transaction."""
    with explained(), pipeline.open_warehouse() as con:
        if config.changes_only:
            touched = derive_touched(con, pipeline.rules(), now())
            context.log.info(
                "%d passes with new events, %d derived with their kin, %d customers to compare with the CRM",
                touched.passes, touched.derived, touched.changed_customers,
            )  # fmt: skip
        else:
            derive_statuses(con, pipeline.rules(), now())
        rows = {asset: row_count(con, table) for asset, table in _TABLES.items()}
        more = {"wallet_registers": _of_registers(con), "customer_wallet_status": _of_customers(con)}
    for asset, count in rows.items():
        if dg.AssetKey(asset) in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=asset, metadata={"dagster/row_count": count} | more.get(asset, {}))


def _of_registers(con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    counts = one_row(
        con,
        "SELECT count(*) FILTER (installed AND wallet = 'apple'), count(*) FILTER (installed AND wallet = 'google'),"
        " count(*) FILTER (changed_at_inferred) FROM wallet.registers",
    )
    ignored = breakdown(con, "SELECT reason, count(*) AS events FROM wallet.ignored_events GROUP BY ALL ORDER BY ALL")
    names = ("installed_apple", "installed_google", "inferred_uninstalls")
    return dict(zip(names, counts, strict=True)) | {"ignored_events": ignored}


def _of_customers(con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    counts = con.execute(
        "SELECT 'customers_' || wallet_status, count(*) FROM wallet.customer_wallet_status GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    latest = breakdown(
        con,
        "SELECT customer_key AS customer, wallet_status, wallet_last_event, wallet_last_changed_at"
        " FROM wallet.customer_wallet_status WHERE wallet_last_changed_at IS NOT NULL"
        " ORDER BY wallet_last_changed_at DESC, customer_key LIMIT 10",
    )
    return dict(counts) | {"latest_changes": latest}


@dg.asset(
    group_name="derive",
    kinds={"sql", "duckdb"},
    deps=["insights_daily", "wallet_events"],
    description=description("wallet.event_arrivals"),
    metadata=definition_metadata("wallet.event_arrivals"),
    freshness_policy=DAILY,
)
def event_arrivals(pipeline: Pipeline) -> dg.MaterializeResult:
    """Compare the events that arrived with those that Insights counted, by day."""
    with explained(), pipeline.open_warehouse() as con:
        derive_event_arrivals(con)
        rows = row_count(con, "wallet.event_arrivals")
        week = breakdown(
            con,
            "SELECT day, wallet, kind, insights_events, arrived_events, missing_share, late_p50_seconds,"
            " late_p99_seconds FROM wallet.event_arrivals"
            " WHERE day > (SELECT max(day) - 7 FROM wallet.event_arrivals) ORDER BY ALL",
        )
    return dg.MaterializeResult(metadata={"dagster/row_count": rows, "last_days": week})
