"""The last asset: the file that analysts open."""

import dagster as dg

from wallet_pipeline.defs.collect import DAILY
from wallet_pipeline.defs.derive import CUSTOMER_TABLES
from wallet_pipeline.defs.resources import Pipeline, explained
from wallet_pipeline.derive.trends import TABLES
from wallet_pipeline.warehouse.publish import publish


@dg.asset(
    group_name="publish",
    kinds={"duckdb", "parquet"},
    deps=[
        *CUSTOMER_TABLES,
        "pass_snapshot",
        "insights_daily",
        "wallet_registers",
        *TABLES,
        "event_arrivals",
        "reconciliation",
        "crm_plan",
        "crm_contacts",
    ],
    description="The read-only DuckDB file for analysts: the tables of the warehouse under plain names, with their"
    " comments; and the same tables as Parquet files. Each is replaced at once; readers that have the old one open keep"
    " it.",
    freshness_policy=DAILY,
)
def bi_database(pipeline: Pipeline) -> dg.MaterializeResult:
    """Copy the tables for analysts into wallet_bi.duckdb and into Parquet files."""
    with explained(), pipeline.open_warehouse() as con:
        published = publish(con, pipeline.settings().bi_file)
    table = "\n".join(
        ["| table | rows |", "| --- | ---: |", *(f"| {name} | {n} |" for name, n in published.rows.items())]
    )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(published.rows.values()),
            "file": dg.MetadataValue.path(str(published.file.resolve())),
            "bytes": published.file.stat().st_size,
            "parquet": dg.MetadataValue.path(str(published.parquet.absolute())),
            "parquet_bytes": sum(file.stat().st_size for file in published.parquet.iterdir()),
            "table_count": len(published.rows),
            "tables": dg.MetadataValue.md(table),
        }
    )
