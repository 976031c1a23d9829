"""Find out what is to be done in the CRM: read it, compare it with the wallets, and leave the difference in crm.plan.

Nothing holds the warehouse while the CRM is read: the customers are copied into a work file first, and what the CRM
holds is gathered there.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import duckdb

from wallet_pipeline.settings import Settings
from wallet_pipeline.sync.destination import FIELDS, TIME_FIELDS, Destination, Key, Record
from wallet_pipeline.sync.setup_crm import require_definitions
from wallet_pipeline.warehouse.connection import OpenWarehouse, naive, transaction
from wallet_pipeline.warehouse.staging import attached, work_file

log = logging.getLogger(__name__)

_HELD_A_WALLET = "coalesce(held_wallet_status, 'none') <> 'none'"
_READERS = 8
_BATCHES_AT_ONCE = 40

# Times apart by less than the tolerance are equal; so are two that are both missing.
APART = """
CREATE OR REPLACE TEMP MACRO apart(one, other, tolerance_ms) AS
    one IS DISTINCT FROM other AND coalesce(abs(epoch_ms(one) - epoch_ms(other)) >= tolerance_ms, TRUE)
"""
_WORK_TABLES = """
CREATE TABLE work.answers (key VARCHAR, asked VARCHAR, record_id VARCHAR);
CREATE TABLE work.records_read (
    record_id VARCHAR, customer_id VARCHAR, wallet_status VARCHAR, apple_wallet_installed_at TIMESTAMP,
    google_wallet_installed_at TIMESTAMP, wallet_last_changed_at TIMESTAMP, wallet_last_event VARCHAR
);
"""
_READ = (
    '[{"asked": "VARCHAR", "record_id": "VARCHAR", "customer_id": "VARCHAR", '
    + ", ".join(f'"{name}": "{"TIMESTAMP" if name in TIME_FIELDS else "VARCHAR"}"' for name in FIELDS)
    + "}]"
)


@dataclass(frozen=True)
class PlanRules:
    """The settings that decide what is sent, and when."""

    customer_identifier: str
    missing_contacts: Literal["create", "skip"]
    tolerance: timedelta
    settle_window: timedelta
    settle_cap: timedelta

    @classmethod
    def from_settings(cls, settings: Settings) -> "PlanRules":
        """Return the rules that the settings name."""
        return cls(
            customer_identifier=settings.identifier_order[0],
            missing_contacts=settings.crm_missing_contacts,
            tolerance=timedelta(seconds=settings.tolerance),
            settle_window=timedelta(seconds=settings.settle_window),
            settle_cap=timedelta(seconds=settings.settle_cap),
        )


@dataclass(frozen=True)
class PlanResult:
    """What the plan holds (rows by action, by reason and by the status to be held) and what making it took."""

    plan_hash: str
    rows: int
    by_action: dict[str, int]
    by_reason: dict[str, int]
    by_wallet_status: dict[str, int]
    customers: int
    records: int
    requests: int


@dataclass(frozen=True)
class MassChange:
    """How many of the customers who have a wallet in the CRM the plan turns to `none`, and whether that is too many."""

    turning: int
    of: int
    share: float
    stops: bool
    sentence: str


def query(name: str) -> str:
    """Return the text of `sql/<name>.sql`."""
    return (files("wallet_pipeline.sync") / "sql" / f"{name}.sql").read_text()


def make_plan(
    open_warehouse: OpenWarehouse, destination: Destination, work_dir: Path, rules: PlanRules, now: datetime
) -> PlanResult:
    """Read the CRM and leave in crm.plan what differs; crm.links, crm.drift and crm.rejections follow what was seen.

    `now` is aware. Raises DefinitionsError when the CRM lacks the fields, ServiceError when it cannot be read; the last
    plan then stands.
    """
    before = destination.requests
    require_definitions(destination)
    with work_file(work_dir, "plan") as file:
        with open_warehouse() as con, attached(con, file, "work"):
            con.execute(f"CREATE TABLE work.asked AS {query('candidates')}", _identifier(rules))
            con.execute(_WORK_TABLES)
        _read_crm(file, destination)
        with open_warehouse() as con, attached(con, file, "work"):
            return _write_plan(con, destination, rules, naive(now), destination.requests - before)


def seconds_until_settled(con: duckdb.DuckDBPyConnection, rules: PlanRules, now: datetime) -> float:
    """Return after how long all changes known now will have been quiet for the settle window: at most its length."""
    (newest,) = _one(con, "SELECT max(wallet_last_changed_at) FROM wallet.customer_wallet_status")
    if newest is None:
        return 0.0
    left: timedelta = rules.settle_window - (naive(now) - newest)
    return min(max(left, timedelta(0)), rules.settle_window).total_seconds()


def mass_change(con: duckdb.DuckDBPyConnection, max_share: float, max_customers: int) -> MassChange:
    """Compare the newest plan with what the CRM held when it was made."""
    turning = _count(
        con, f"SELECT count(*) FROM crm.plan WHERE position > 0 AND {_HELD_A_WALLET} AND wallet_status = 'none'"
    )
    of = _count(con, "SELECT coalesce(max_by(with_wallet, planned_at), 0) FROM crm.plans")
    share = turning / of if of else 0.0
    stops = turning > max_customers and share > max_share
    sentence = (
        f"The plan turns {turning} of {of} customers with a wallet in the CRM to none ({share:.1%}); allowed are"
        f" {max_share:.0%} or {max_customers} customers."
    )
    return MassChange(turning, of, share, stops, sentence)


def _identifier(rules: PlanRules) -> dict[str, str]:
    return {"customer_identifier": rules.customer_identifier}


def _read_crm(file: Path, destination: Destination) -> None:
    """Ask for every candidate's record: by link, then by customer id, then by e-mail, each only where it is needed."""
    keys: tuple[Key, ...] = ("record_id", "customer_id", "email")
    with duckdb.connect(file) as con, ThreadPoolExecutor(_READERS) as readers:
        for key in keys:
            con.execute(
                f"CREATE OR REPLACE TABLE questions AS SELECT DISTINCT {key} AS asked FROM ({query('unanswered')})"
                f" WHERE {key} IS NOT NULL"
            )
            _ask(con, destination, key, readers)
        con.execute(
            "CREATE TABLE records AS SELECT * FROM records_read"
            " QUALIFY row_number() OVER (PARTITION BY record_id ORDER BY rowid DESC) = 1"
        )


def _ask(con: duckdb.DuckDBPyConnection, destination: Destination, key: Key, readers: ThreadPoolExecutor) -> None:
    """Read all questions in batches, several at a time, and keep the answers."""
    questions = _count(con, "SELECT count(*) FROM questions")
    size = destination.capabilities.read_batch
    page = size * _BATCHES_AT_ONCE
    for first in range(0, questions, page):
        asked = [
            value
            for (value,) in con.execute(
                "SELECT asked FROM questions WHERE rowid >= ? AND rowid < ?", [first, first + page]
            ).fetchall()
        ]
        batches = [asked[start : start + size] for start in range(0, len(asked), size)]
        for found in readers.map(lambda batch: destination.read(key, batch), batches):
            _keep(con, key, found)
        log.info("%s: read %d of %d customers by %s", destination.name, first + len(asked), questions, key)


def _keep(con: duckdb.DuckDBPyConnection, key: Key, found: Mapping[str, Record]) -> None:
    rows = json.dumps([_row(asked, record) for asked, record in found.items()])
    con.execute("CREATE OR REPLACE TEMP TABLE read AS SELECT unnest(from_json(?, ?), recursive := TRUE)", [rows, _READ])
    con.execute("INSERT INTO answers SELECT ?, asked, record_id FROM read", [key])
    con.execute("INSERT INTO records_read BY NAME SELECT DISTINCT ON (record_id) * EXCLUDE (asked) FROM read")


def _row(asked: str, record: Record) -> dict[str, Any]:
    fields = {
        name: naive(value).isoformat() if isinstance(value, datetime) else value
        for name, value in record.fields.items()
    }
    return {"asked": asked, "record_id": record.record_id, "customer_id": record.customer_id, **fields}


def _write_plan(
    con: duckdb.DuckDBPyConnection, destination: Destination, rules: PlanRules, now: datetime, requests: int
) -> PlanResult:
    tolerance = {"tolerance_ms": rules.tolerance // timedelta(milliseconds=1)}
    con.execute(APART)
    _build(con, "candidates", _identifier(rules))
    _build(con, "matches", {})
    _build(con, "compared", tolerance)
    _build(con, "first_changes", tolerance)
    _build(con, "plan", _judgement(destination, rules, now))
    with transaction(con):
        made = _replace_plan(con, now, requests)
        _follow_links(con, now)
        con.execute(f"INSERT INTO crm.drift BY NAME {query('drift')}", tolerance | {"now": now})
        _close_what_is_settled(con, now)
        return _result(con, *made)


def _build(con: duckdb.DuckDBPyConnection, name: str, values: Mapping[str, Any]) -> None:
    """Build a table in the work file: what a million customers need there lies on disk, not in memory."""
    con.execute(f"CREATE TABLE work.{name} AS {query(name)}", dict(values))


def _judgement(destination: Destination, rules: PlanRules, now: datetime) -> dict[str, Any]:
    return {
        "now": now,
        "settle_window": rules.settle_window,
        "settle_cap": rules.settle_cap,
        "missing_contacts": rules.missing_contacts,
        "create_needs_email": destination.capabilities.create_needs_email,
    }


def _replace_plan(con: duckdb.DuckDBPyConnection, now: datetime, requests: int) -> tuple[Any, ...]:
    """Put the new plan in place and return hash, rows, customers, records and requests, as crm.plans keeps them."""
    hashed = "SELECT md5(coalesce(string_agg(md5(CAST(p AS VARCHAR)), '' ORDER BY customer_key), '')) FROM work.plan p"
    (plan_hash,) = _one(con, hashed)
    con.execute("DELETE FROM crm.plan")
    con.execute(
        "INSERT INTO crm.plan BY NAME SELECT *, ? AS plan_hash, ? AS planned_at FROM work.plan", [plan_hash, now]
    )
    return _one(
        con,
        f"""
        INSERT INTO crm.plans BY NAME
        SELECT
            ? AS plan_hash, ? AS planned_at, ? AS requests,
            count(*) AS customers,
            (SELECT count(*) FROM work.records) AS records,
            (SELECT count(*) FROM work.plan) AS rows_planned,
            count(*) FILTER ({_HELD_A_WALLET}) AS with_wallet
        FROM work.compared
        RETURNING plan_hash, rows_planned, customers, records, requests
        """,
        [plan_hash, now, requests],
    )


def _follow_links(con: duckdb.DuckDBPyConnection, now: datetime) -> None:
    """Keep crm.links with what was found: new links, merged records, records that are gone, customers that departed."""
    con.execute(
        f"""
        MERGE INTO crm.links l USING ({query("links")}) n ON l.customer_key = n.customer_key
        WHEN MATCHED THEN UPDATE SET record_id = n.record_id, via = coalesce(n.via, l.via), linked_at = $now
        WHEN NOT MATCHED THEN INSERT (customer_key, record_id, via, linked_at)
            VALUES (n.customer_key, n.record_id, n.via, $now)
        """,
        {"now": now},
    )
    con.execute(
        "DELETE FROM crm.links WHERE customer_key IN (SELECT customer_key FROM work.compared"
        " WHERE NOT is_departed AND record_id IS NULL AND linked_record_id IS NOT NULL)"
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


def _close_what_is_settled(con: duckdb.DuckDBPyConnection, now: datetime) -> None:
    """Close drift and rejections of customers whom the CRM was read to be right about; list those held back."""
    con.execute(
        "UPDATE crm.drift SET repaired_at = ? WHERE repaired_at IS NULL"
        " AND customer_key NOT IN (SELECT customer_key FROM crm.plan)",
        [now],
    )
    con.execute("DELETE FROM crm.rejections WHERE customer_key NOT IN (SELECT customer_key FROM crm.plan)")
    merge_rejections(con, query("held_back"), now)


def merge_rejections(con: duckdb.DuckDBPyConnection, rejected: str, now: datetime) -> None:
    """Add rows (customer_key, record_id, error_class, message, next_step) to crm.rejections; a known one counts on."""
    con.execute(
        f"""
        MERGE INTO crm.rejections r USING ({rejected}) n ON r.customer_key = n.customer_key
        WHEN MATCHED THEN UPDATE SET
            record_id = n.record_id, error_class = n.error_class, message = n.message, next_step = n.next_step,
            last_at = $now, attempts = r.attempts + 1
        WHEN NOT MATCHED THEN INSERT
            (customer_key, record_id, error_class, message, next_step, first_at, last_at, attempts)
            VALUES (n.customer_key, n.record_id, n.error_class, n.message, n.next_step, $now, $now, 1)
        """,
        {"now": now},
    )


def _result(
    con: duckdb.DuckDBPyConnection, plan_hash: str, rows: int, customers: int, records: int, requests: int
) -> PlanResult:
    by_action, by_reason, by_wallet_status = (
        dict(con.execute(f"SELECT {column}, count(*) FROM crm.plan GROUP BY ALL ORDER BY ALL").fetchall())
        for column in ("action", "reason", "wallet_status")
    )
    return PlanResult(plan_hash, rows, by_action, by_reason, by_wallet_status, customers, records, requests)


def _count(con: duckdb.DuckDBPyConnection, sql: str) -> int:
    return int(_one(con, sql)[0])


def _one(con: duckdb.DuckDBPyConnection, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...]:
    row = con.execute(sql, list(values)).fetchone()
    if row is None:
        raise LookupError(sql)
    return row
