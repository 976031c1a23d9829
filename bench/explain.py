"""How long explaining one customer takes in a large warehouse, and one customer's timeline in the file for analysts.

The warehouse is made up in SQL: five passes for four customers, the fifth bearing only the e-mail; half a year of daily
lists; two passes in three were installed, a fifth of all removed again; three deliveries a customer. It is derived and
published as usual.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from wallet_pipeline.derive.statuses import StatusRules, derive_statuses
from wallet_pipeline.support.explain.asking import ExplainRules, explain
from wallet_pipeline.warehouse.connection import connect
from wallet_pipeline.warehouse.publish import publish

_DAYS = 180
_NOW = datetime(2026, 7, 1, 4, tzinfo=UTC)
_RULES = ExplainRules(
    StatusRules(timedelta(seconds=60), ("customerId", "accountId", "email")), tolerance=timedelta(seconds=60)
)
_EVIDENCE = """
INSERT INTO raw.snapshots (snapshot_id, started_at, finished_at, complete, verdict, passes)
SELECT strftime(begun, '%Y%m%dT030000Z'), begun, begun + INTERVAL 5 MINUTE, TRUE, 'accepted', $passes
FROM (SELECT TIMESTAMP '2026-01-02 03:00:00' + to_days(range::INTEGER) AS begun FROM range($days));
CREATE TEMP TABLE made AS
SELECT
    range AS n, 'pass-' || range AS pass_id, range % 5 = 4 AS is_nameless,
    'C' || (range // 5 * 4 + least(range % 5, 3)) AS customer, hash(range, 'kind') % 10 AS kind,
    TIMESTAMP '2026-01-02 12:00:00' + to_days((hash(range) % 150)::INTEGER) AS installed_at
FROM range($passes);
CREATE MACRO list_after(moment, days) AS strftime(moment + to_days(days), '%Y%m%dT030000Z');
INSERT INTO raw.passes
SELECT
    pass_id, 'loyalty', TIMESTAMP '2026-01-01',
    json_object('email', lower(customer) || '@x.test', if(is_nameless, 'note', 'customerId'), customer),
    '20260102T030000Z', NULL
FROM made;
INSERT INTO raw.wallet_observations
SELECT pass_id, 'google', FALSE, NULL, '20260102T030000Z', NULL FROM made
UNION ALL
SELECT pass_id, 'apple', FALSE, NULL, '20260102T030000Z', if(kind < 7, list_after(installed_at, 0), NULL) FROM made
UNION ALL
SELECT
    pass_id, 'apple', TRUE, installed_at, list_after(installed_at, 1), if(kind < 2, list_after(installed_at, 10), NULL)
FROM made WHERE kind < 7
UNION ALL
SELECT pass_id, 'apple', FALSE, NULL, list_after(installed_at, 11), NULL FROM made WHERE kind < 2;
INSERT INTO raw.wallet_events (pass_id, wallet, kind, event_id, occurred_at, received_at, active_registrations, source)
SELECT pass_id, 'apple', 'installed', 'i' || n, installed_at, installed_at + INTERVAL 2 SECOND, 1, 'webhook'
FROM made WHERE kind < 7;
"""
_CRM = """
INSERT INTO crm.plans (plan_id, planned_at, admitted, scope, changes_until)
SELECT 'plan-' || range, TIMESTAMP '2026-01-02 04:00:00' + to_days(range::INTEGER), TRUE, 'all', 0 FROM range($days);
INSERT INTO crm.links BY NAME
SELECT
    customer_key, hash(customer_key)::VARCHAR AS record_id, 'customer_id' AS via,
    TIMESTAMP '2026-01-02 04:10:00' AS linked_at
FROM wallet.customer_wallet_status;
INSERT INTO crm.deliveries BY NAME
SELECT
    uuid()::VARCHAR AS delivery_id, 'plan-' || day AS plan_id, customer_key, hash(customer_key)::VARCHAR AS record_id,
    'update' AS action, 'changed' AS reason, wallet_status, apple_wallet_installed_at, google_wallet_installed_at,
    wallet_last_changed_at, wallet_last_event, begun AS intended_at, begun + INTERVAL 1 SECOND AS accepted_at,
    begun + INTERVAL 2 SECOND AS verified_at, 'verified' AS outcome
FROM wallet.customer_wallet_status
CROSS JOIN (
    SELECT unnest([0, 60, $days - 1]) AS day, TIMESTAMP '2026-01-02 04:20:00' + to_days(day::INTEGER) AS begun
);
"""


def main() -> None:
    """Measure, and print one JSON object. Times are seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=300_000)
    parser.add_argument("--questions", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_measure(Path(folder), options.customers, options.questions), indent=1))


def _measure(folder: Path, customers: int, questions: int) -> dict[str, Any]:
    warehouse, bi_file = folder / "data" / "warehouse.duckdb", folder / "data" / "wallet_bi.duckdb"
    keys = [f"C{customers * number // questions}" for number in range(questions)]
    _build(warehouse, bi_file, customers)
    now = _timed(lambda key: explain(warehouse, 5, _RULES, f"customerId={key}", None, _NOW), keys)
    before = _timed(lambda key: explain(warehouse, 5, _RULES, f"{key}@x.test", _NOW - timedelta(days=90), _NOW), keys)
    (folder / "dagster.yaml").touch()
    command = [sys.executable, "-m", "wallet_pipeline.cli", "explain"]
    whole = _timed(
        lambda key: subprocess.run(
            [*command, f"customerId={key}"],
            cwd=folder,
            check=True,
            capture_output=True,
            env={"PYTHONPATH": str(Path.cwd())},
        ),
        keys[:3],
    )
    with duckdb.connect(bi_file, read_only=True) as con:
        timeline = "FROM customer_timeline WHERE customer_key = 'customerId=' || ?"
        of_view = _timed(lambda key: con.execute(timeline, [key]).fetchall(), keys)
    return {
        "customers": customers,
        "passes": customers * 5 // 4,
        "explain": now,
        "explain_as_of": before,
        "command": whole,
        "customer_timeline": of_view,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "warehouse_mb": warehouse.stat().st_size // 2**20,
        "bi_mb": bi_file.stat().st_size // 2**20,
    }


def _build(warehouse: Path, bi_file: Path, customers: int) -> None:
    with connect(warehouse, wait=0) as con:
        _run(con, _EVIDENCE, {"passes": customers * 5 // 4, "days": _DAYS})
        derive_statuses(con, _RULES.statuses, _NOW)
        _run(con, _CRM, {"days": _DAYS})
        publish(con, bi_file)


def _run(con: duckdb.DuckDBPyConnection, script: str, values: dict[str, int]) -> None:
    for statement in con.extract_statements(script):
        con.execute(statement, {name: values[name] for name in statement.named_parameters})


def _timed(ask: Callable[[str], Any], keys: list[str]) -> dict[str, float]:
    taken, used = [], []
    for key in keys:
        began, used_before = time.monotonic(), _processor()
        ask(key)
        taken.append(time.monotonic() - began)
        used.append(_processor() - used_before)
    medians = {"median": statistics.median(taken), "longest": max(taken), "processor": statistics.median(used)}
    return {name: round(value, 2) for name, value in medians.items()}


def _processor() -> float:
    """Return the processor time of this process and of those that it has waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


if __name__ == "__main__":
    main()
