"""The asset graph as the UI shows it."""

import json
import re
from importlib.resources import files
from typing import Any

import dagster as dg
import duckdb
import pytest

from wallet_pipeline.definitions import defs
from wallet_pipeline.derive.trends import TABLES as TRENDS

PERIODS = "adoption_periods"
# Assets that are no tables.
FILES = {"adoption_report", "bi_database"}
# Where the tables of an asset are read by others.
TABLES = {
    "raw.snapshots": "pass_snapshot",
    "raw.passes": "pass_snapshot",
    "raw.wallet_observations": "pass_snapshot",
    "raw.wallet_events": "wallet_events",
    "raw.unusable_deliveries": "wallet_events",
    "raw.insights_daily": "insights_daily",
    "raw.insights_days": "insights_daily",
    "wallet.registers": "wallet_registers",
    "wallet.ignored_events": "wallet_registers",
    "wallet.customer_wallet_status": "customer_wallet_status",
    "wallet.customer_status_changes": "customer_status_changes",
    "wallet.pass_customers": "pass_customers",
    "wallet.pass_identifiers": "pass_customers",
    "wallet.unmatched_passes": "unmatched_passes",
    "wallet.identity_conflicts": "identity_conflicts",
    "raw.insights_events": "insights_daily",
    "wallet.reconciliation": "reconciliation",
    "wallet.reconciliation_reasons": "reconciliation",
    "wallet.reconciliation_differences": "reconciliation",
    "crm.plans": "crm_plan",
    "crm.plan": "crm_plan",
    "crm.holdings": "crm_plan",
    "crm.deliveries": "crm_contacts",
    "crm.drift": "crm_contacts",
    "crm.rejections": "crm_contacts",
} | {f"adoption.{table}": table for table in TRENDS}
CUSTOMERS = [
    "pass_identifiers",
    "pass_customers",
    "pass_resolutions",
    "customer_wallet_status",
    "unmatched_passes",
    "identity_conflicts",
    "customer_status_changes",
]
ASSETS = {
    "pass_snapshot",
    "insights_daily",
    "wallet_events",
    "wallet_registers",
    "customer_wallet_status",
    "customer_status_changes",
    "pass_customers",
    "unmatched_passes",
    "identity_conflicts",
    *TRENDS,
    "event_arrivals",
    "reconciliation",
    "crm_plan",
    "crm_contacts",
    "adoption_report",
    "bi_database",
}


@pytest.fixture(scope="module")
def graph() -> Any:
    """Give the resolved asset graph."""
    return defs().resolve_asset_graph()


def test_the_assets_are_the_documented_ones(graph: Any) -> None:
    """No asset is missing, and none came unnoticed."""
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == ASSETS


@pytest.mark.parametrize("asset", sorted(ASSETS))
def test_asset_explains_itself(graph: Any, asset: str) -> None:
    """An asset has a description, kinds, a group and, as far as it is a table, its columns."""
    node = graph.get(dg.AssetKey(asset))
    assert node.description
    assert node.kinds
    assert node.group_name in {"collect", "derive", "sync", "publish"}
    assert asset in FILES or node.metadata["dagster/column_schema"].columns


@pytest.mark.parametrize("asset", sorted(ASSETS - {"wallet_events"}))
def test_asset_tells_when_it_is_late(graph: Any, asset: str) -> None:
    """An asset that the schedules make has a freshness policy."""
    assert graph.get(dg.AssetKey(asset)).freshness_policy


@pytest.mark.parametrize(
    ("asset", "queries"),
    [
        ("wallet_registers", ["wallet_registers"]),
        ("customer_wallet_status", CUSTOMERS),
        *((table, [{"adoption_weekly": PERIODS, "adoption_monthly": PERIODS}.get(table, table)]) for table in TRENDS),
        ("event_arrivals", ["event_arrivals"]),
        ("reconciliation", ["reconciliation", "reconciliation_differences"]),
    ],
)
def test_dependencies_are_the_tables_that_the_sql_reads(graph: Any, asset: str, queries: list[str]) -> None:
    """The edges of the graph are those of the queries, so that the picture cannot lie."""
    read = {table for query in queries for table in _tables_read(query, set())}
    own = {TABLES[f"wallet.{name}"] for name in CUSTOMERS if f"wallet.{name}" in TABLES}
    expected = {TABLES[table] for table in read if "." in table} - (own if asset in own else {asset})
    assert {key.to_user_string() for key in graph.get(dg.AssetKey(asset)).parent_keys} == expected


def test_report_depends_on_the_tables_that_its_sql_reads(graph: Any) -> None:
    """The edges to the report are those of all its queries."""
    queries = [file.read_text() for file in (files("wallet_pipeline.report") / "sql").iterdir()]
    read = {table for query in queries for table in _base_tables(query) if "." in table}
    expected = {TABLES[table] for table in read}
    assert {key.to_user_string() for key in graph.get(dg.AssetKey("adoption_report")).parent_keys} == expected


def test_schedules_run_the_two_jobs_every_day() -> None:
    """Both jobs have a daily schedule in the setting's time zone."""
    schedules = [one for one in defs().schedules or [] if isinstance(one, dg.ScheduleDefinition)]
    assert {(one.job_name, one.cron_schedule, one.execution_timezone) for one in schedules} == {
        ("daily", "0 3 * * *", "UTC"),
        ("insights", "30 2 * * *", "UTC"),
    }


def _tables_read(name: str, seen: set[str]) -> set[str]:
    """Return the tables that `derive/sql/<name>.sql` reads, those behind temporary tables included."""
    folder = files("wallet_pipeline.derive") / "sql"
    if name in seen or not (folder / f"{name}.sql").is_file():
        return set()
    seen.add(name)
    tables: set[str] = set()
    for table in _base_tables((folder / f"{name}.sql").read_text()):
        tables |= {table} if "." in table else _tables_read(table, seen)
    return tables


def _base_tables(query: str) -> set[str]:
    text = re.sub(r"\$(\w+)", r"getvariable('\1')", query)
    with duckdb.connect() as con:
        (serialised,) = con.execute("SELECT json_serialize_sql(?)", [text]).fetchone() or ("{}",)
    tree = json.loads(serialised)
    assert not tree.get("error"), tree
    found: set[str] = set()
    names: set[str] = set()
    _walk(tree, found, names)
    return found - names


def _walk(node: Any, found: set[str], common: set[str]) -> None:
    if isinstance(node, list):
        for one in node:
            _walk(one, found, common)
    elif isinstance(node, dict):
        if node.get("type") == "BASE_TABLE":
            found.add(".".join(part for part in (node.get("schema_name"), node["table_name"]) if part))
        common |= {entry["key"] for entry in (node.get("cte_map") or {}).get("map", [])}
        for one in node.values():
            _walk(one, found, common)
