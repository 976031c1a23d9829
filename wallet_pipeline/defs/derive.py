"""Assets of the second stage: what is true, in `wallet.*`, and the trends, in `adoption.*`."""

from collections.abc import Iterator

import dagster as dg

from wallet_pipeline.defs.collect import DAILY
from wallet_pipeline.defs.resources import Pipeline, explained, now
from wallet_pipeline.defs.tables import breakdown, definition_metadata, description, row_count
from wallet_pipeline.derive.statuses import derive_customers, derive_registers
from wallet_pipeline.derive.trends import derive_adoption_daily

CUSTOMER_TABLES = (
    "customer_wallet_status", "customer_status_changes", "pass_customers", "unmatched_passes", "identity_conflicts",
)  # fmt: skip


@dg.asset(
    group_name="derive",
    kinds={"sql", "duckdb"},
    deps=["pass_snapshot", "wallet_events"],
    description=description("wallet.registers"),
    metadata=definition_metadata("wallet.registers"),
    freshness_policy=DAILY,
)
def wallet_registers(pipeline: Pipeline) -> dg.MaterializeResult:
    """Apply the status rules to all evidence of each pass and wallet."""
    with explained(), pipeline.open_warehouse() as con:
        derive_registers(con, pipeline.rules())
        counts = con.execute(
            "SELECT count(*), count(*) FILTER (installed AND wallet = 'apple'),"
            " count(*) FILTER (installed AND wallet = 'google'), count(*) FILTER (changed_at_inferred)"
            " FROM wallet.registers"
        ).fetchone() or (0, 0, 0, 0)
        ignored = breakdown(
            con, "SELECT reason, count(*) AS events FROM wallet.ignored_events GROUP BY ALL ORDER BY ALL"
        )
    names = ("dagster/row_count", "installed_apple", "installed_google", "inferred_uninstalls")
    return dg.MaterializeResult(metadata=dict(zip(names, counts, strict=True)) | {"ignored_events": ignored})


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            table,
            group_name="derive",
            kinds={"sql", "duckdb"},
            deps=["pass_snapshot", "wallet_events", "wallet_registers"],
            description=description(f"wallet.{table}"),
            metadata=definition_metadata(f"wallet.{table}"),
            freshness_policy=DAILY,
        )
        for table in CUSTOMER_TABLES
    ],
    # All tables are built whichever is asked for; this lets any of them be selected.
    can_subset=True,
)
def customers(context: dg.AssetExecutionContext, pipeline: Pipeline) -> Iterator[dg.MaterializeResult]:
    """Resolve passes to customers and derive each customer's wallet status; all tables in one transaction."""
    with explained(), pipeline.open_warehouse() as con:
        derive_customers(con, pipeline.rules(), now())
        rows = {table: row_count(con, f"wallet.{table}") for table in CUSTOMER_TABLES}
        statuses = con.execute(
            "SELECT wallet_status, count(*) FROM wallet.customer_wallet_status GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        latest = breakdown(
            con,
            "SELECT regexp_replace(customer_key, 'email=.*', 'email=…') AS customer, wallet_status,"
            " wallet_last_event, wallet_last_changed_at"
            " FROM wallet.customer_wallet_status WHERE wallet_last_changed_at IS NOT NULL"
            " ORDER BY wallet_last_changed_at DESC, customer_key LIMIT 10",
        )
    more = {"customer_wallet_status": {f"customers_{s}": count for s, count in statuses} | {"latest_changes": latest}}
    for table in CUSTOMER_TABLES:
        if dg.AssetKey(table) not in context.selected_asset_keys:
            continue
        yield dg.MaterializeResult(asset_key=table, metadata={"dagster/row_count": rows[table]} | more.get(table, {}))


@dg.asset(
    group_name="derive",
    kinds={"sql", "duckdb"},
    deps=["insights_daily", "wallet_registers", "pass_customers"],
    description=description("adoption.adoption_daily"),
    metadata=definition_metadata("adoption.adoption_daily"),
    freshness_policy=DAILY,
)
def adoption_daily(pipeline: Pipeline) -> dg.MaterializeResult:
    """Count installs and uninstalls a day, and the passes installed at its end."""
    with explained(), pipeline.open_warehouse() as con:
        derive_adoption_daily(con)
        rows = row_count(con, "adoption.adoption_daily")
        week = breakdown(
            con,
            "SELECT day, sum(installs) AS installs, sum(uninstalls) AS uninstalls, sum(installed_passes) AS installed"
            " FROM adoption.adoption_daily GROUP BY day ORDER BY day DESC LIMIT 7",
        )
    return dg.MaterializeResult(metadata={"dagster/row_count": rows, "last_days": week})
