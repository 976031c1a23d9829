"""Find out what is to be done in the CRM: read it, compare it with the wallets, and leave the difference in crm.plan.

Nothing holds the warehouse while the CRM is read: the customers are copied into a work file first, and what the CRM
holds is gathered there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import duckdb

from wallet_pipeline.settings import Settings
from wallet_pipeline.sync.destination import Destination, Scope
from wallet_pipeline.sync.ledger import merge_links, merge_rejections
from wallet_pipeline.sync.mass_change import MassChange, judge
from wallet_pipeline.sync.plan_summary import PlanResult, summarise
from wallet_pipeline.sync.queries import query
from wallet_pipeline.sync.read_crm import WORK_TABLES, read_crm
from wallet_pipeline.sync.setup_crm import require_definitions
from wallet_pipeline.warehouse.connection import OpenWarehouse, naive, transaction, undone
from wallet_pipeline.warehouse.queries import one_row, row_count
from wallet_pipeline.warehouse.staging import attached, work_file

_HELD_A_WALLET = "coalesce(held_wallet_status, 'none') <> 'none'"
# Told by another run since this one began to read: what it read of them is old.
_LEFT_OUT = "SELECT customer_key FROM work.candidates ANTI JOIN work.compared USING (customer_key)"


@dataclass(frozen=True)
class PlanRules:
    """The settings that decide what is sent, and when."""

    customer_identifier: str
    missing_contacts: Literal["create", "skip"]
    tolerance: timedelta
    settle_window: timedelta
    settle_cap: timedelta
    max_none_share: float
    max_none_customers: int

    @classmethod
    def from_settings(cls, settings: Settings) -> "PlanRules":
        """Return the rules that the settings name."""
        return cls(
            customer_identifier=settings.identifier_order[0],
            missing_contacts=settings.crm_missing_contacts,
            tolerance=timedelta(seconds=settings.tolerance),
            settle_window=timedelta(seconds=settings.settle_window),
            settle_cap=timedelta(seconds=settings.settle_cap),
            max_none_share=settings.max_none_share,
            max_none_customers=settings.max_none_customers,
        )


@dataclass(frozen=True)
class _Begun:
    """What a plan knows from its beginning; the time is naive, in UTC."""

    scope: Scope
    now: datetime
    changes_until: int
    approved: str
    definitions_hash: str


def make_plan(
    open_warehouse: OpenWarehouse,
    destination: Destination,
    work_dir: Path,
    rules: PlanRules,
    now: datetime,
    scope: Scope = "all",
    approved: str = "",
    between: Callable[[], None] = lambda: None,
    *,
    keep: bool = True,
) -> PlanResult:
    """Read the CRM and leave in crm.plan what differs; crm.links, crm.drift and crm.rejections follow what was seen.

    `now` is aware. With the scope `changes` only customers whom events have changed are looked at. `approved` is the
    hash of a plan that may be sent though it is a mass change; any other mass change is planned, but not admitted.
    `between` is called now and then while the CRM is read. Without `keep` the plan is only told: nothing is kept of it.
    Raises DefinitionsError when the CRM lacks the fields, ServiceError when it cannot be read; the last plan then
    stands.
    """
    before = destination.requests
    definitions = require_definitions(destination)
    with work_file(work_dir, "plan") as file:
        with open_warehouse() as con, attached(con, file, "work"):
            (changes_until,) = one_row(con, "SELECT coalesce(max(number), 0) FROM wallet.changed_customers")
            con.execute(
                f"CREATE TABLE work.in_scope AS {query('in_scope')}", {"all": scope == "all", "now": naive(now)}
            )
            con.execute(f"CREATE TABLE work.asked AS {query('candidates')}", _identifier(rules))
            con.execute(WORK_TABLES)
        read_crm(file, destination, between)
        with open_warehouse() as con, attached(con, file, "work"):
            begun = _Begun(scope, naive(now), changes_until, approved, definitions.fingerprint)
            _compare(con, destination, rules, begun)
            with transaction(con) if keep else undone(con):
                return _write_plan(con, destination, rules, begun, destination.requests - before)


def _identifier(rules: PlanRules) -> dict[str, str]:
    return {"customer_identifier": rules.customer_identifier}


def _tolerance(rules: PlanRules) -> dict[str, int]:
    return {"tolerance_ms": rules.tolerance // timedelta(milliseconds=1)}


def _compare(con: duckdb.DuckDBPyConnection, destination: Destination, rules: PlanRules, begun: _Begun) -> None:
    tolerance = _tolerance(rules)
    _build(con, "candidates", _identifier(rules))
    _build(con, "matches", _identifier(rules))
    _build(con, "compared", tolerance)
    _build(con, "first_changes", tolerance)
    _build(con, "plan", _judgement(destination, rules, begun))


def _write_plan(
    con: duckdb.DuckDBPyConnection, destination: Destination, rules: PlanRules, begun: _Begun, requests: int
) -> PlanResult:
    plan_id, plan_hash = _replace_plan(con, begun)
    mass_change = _admit(con, rules, begun, plan_id, plan_hash)
    _follow_links(con, begun.now)
    _keep_holdings(con, begun)
    con.execute(f"INSERT INTO crm.drift BY NAME {query('drift')}", _tolerance(rules) | {"now": begun.now})
    _close_what_is_settled(con, begun)
    return summarise(con, destination, plan_id, plan_hash, mass_change, requests)


def _build(con: duckdb.DuckDBPyConnection, name: str, values: Mapping[str, Any]) -> None:
    """Build a table in the work file: what a million customers need there lies on disk, not in memory."""
    con.execute(f"CREATE TABLE work.{name} AS {query(name)}", dict(values))


def _judgement(destination: Destination, rules: PlanRules, begun: _Begun) -> dict[str, Any]:
    return {
        "now": begun.now,
        "definitions_hash": begun.definitions_hash,
        "settle_window": rules.settle_window,
        "settle_cap": rules.settle_cap,
        "missing_contacts": rules.missing_contacts,
        "create_needs_email": destination.capabilities.create_needs_email,
    }


def _replace_plan(con: duckdb.DuckDBPyConnection, begun: _Begun) -> tuple[str, str]:
    """Put the new plan in the place of the last one of its scope, and of what is planned for its customers.

    Return its id and the hash over what it sends.
    """
    plan_id, plan_hash = one_row(
        con,
        "SELECT uuid()::VARCHAR, md5(coalesce(string_agg(md5(CAST(p AS VARCHAR)), '' ORDER BY customer_key), ''))"
        " FROM work.plan p WHERE position IS NOT NULL",
    )
    con.execute(
        "DELETE FROM crm.plan WHERE customer_key IN (FROM work.in_scope)"
        " OR plan_id IN (SELECT plan_id FROM crm.plans WHERE scope = ?)",
        [begun.scope],
    )
    con.execute(
        "INSERT INTO crm.plan BY NAME SELECT *, ? AS plan_id, ? AS plan_hash, ? AS planned_at FROM work.plan",
        [plan_id, plan_hash, begun.now],
    )
    return plan_id, plan_hash


def _admit(con: duckdb.DuckDBPyConnection, rules: PlanRules, begun: _Begun, plan_id: str, plan_hash: str) -> MassChange:
    """Judge the new plan, and keep the verdict beside it: `deliver` sends no other plan than an admitted one."""
    turning = row_count(con, f"work.plan WHERE position > 0 AND {_HELD_A_WALLET} AND wallet_status = 'none'")
    if begun.scope == "all":
        of = row_count(con, f"work.compared WHERE {_HELD_A_WALLET}")
    else:
        turning += one_row(con, query("turned_by_events"), {"now": begun.now})[0]
        # The CRM was not asked for the others: those who have a wallet stand for those who have one there.
        of = turning + row_count(con, "wallet.customer_wallet_status WHERE wallet_status <> 'none'")
    verdict = judge(turning, of, rules.max_none_share, rules.max_none_customers, begun.scope, plan_hash, begun.approved)
    con.execute(
        "INSERT INTO crm.plans (plan_id, plan_hash, planned_at, turning_to_none, with_wallet, admitted, verdict, scope,"
        " changes_until, definitions_hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            plan_id, plan_hash, begun.now, turning, of, verdict.admitted, verdict.sentence, begun.scope,
            begun.changes_until, begun.definitions_hash,
        ],
    )  # fmt: skip
    return verdict


def _follow_links(con: duckdb.DuckDBPyConnection, now: datetime) -> None:
    """Keep crm.links with what was found: new links, merged records, records that are gone, customers that departed."""
    merge_links(con, query("links"), now)
    con.execute(
        "DELETE FROM crm.links WHERE (customer_key, record_id) IN (SELECT (customer_key, a.linked_record_id)"
        " FROM work.compared c JOIN work.asked a USING (customer_key) WHERE NOT c.is_departed AND c.record_id IS NULL)"
    )
    con.execute(
        "UPDATE crm.links SET departed_at = NULL WHERE departed_at IS NOT NULL"
        " AND customer_key IN (SELECT customer_key FROM work.compared WHERE NOT is_departed)"
    )
    con.execute(
        "UPDATE crm.links SET departed_at = ? WHERE customer_key IN (SELECT customer_key FROM work.compared"
        " WHERE is_departed"
        " AND (record_id IS NULL OR claims > 0 OR NOT (differs OR has_joined_another OR is_disputed)))",
        [now],
    )


def _keep_holdings(con: duckdb.DuckDBPyConnection, begun: _Begun) -> None:
    """Keep what the CRM was read to hold, in the place of what was known of the plan's customers."""
    whose = "TRUE" if begun.scope == "all" else "customer_key IN (FROM work.in_scope)"
    con.execute(f"DELETE FROM crm.holdings WHERE {whose} AND customer_key NOT IN ({_LEFT_OUT})")
    con.execute(f"INSERT INTO crm.holdings BY NAME {query('holdings')}", {"now": begun.now})


def _close_what_is_settled(con: duckdb.DuckDBPyConnection, begun: _Begun) -> None:
    """Close drift, rejections and changes of customers whom the CRM was read to be right about; list those held."""
    looked_at = f"customer_key IN (FROM work.in_scope) AND customer_key NOT IN ({_LEFT_OUT})"
    settled = f"{looked_at} AND customer_key NOT IN (SELECT customer_key FROM work.plan WHERE action <> 'skip')"
    con.execute(f"UPDATE crm.drift SET repaired_at = ? WHERE repaired_at IS NULL AND {settled}", [begun.now])
    con.execute(f"DELETE FROM crm.rejections WHERE {settled}")
    con.execute(
        f"DELETE FROM wallet.changed_customers WHERE number <= ? AND {looked_at}"
        " AND customer_key NOT IN (SELECT customer_key FROM work.plan WHERE position > 0 OR reason = 'settling')",
        [begun.changes_until],
    )
    merge_rejections(con, query("held_back"), begun.now)
