"""The ledger crm.deliveries: rows intended before a request, and what became of them, with all that follows from it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import duckdb

from wallet_pipeline.sync.destination import FIELDS, ErrorClass, Fields, Value
from wallet_pipeline.sync.queries import as_json, query
from wallet_pipeline.warehouse.connection import naive, transaction
from wallet_pipeline.warehouse.queries import aware

Via = Literal["created", "customer_id", "email"]

_RETRY_AFTER = timedelta(minutes=1)
_ATTEMPTS = 10


@dataclass(frozen=True)
class Intention:
    """One customer to bring to the CRM, with the truth of this moment (times aware, in UTC)."""

    delivery_id: str
    customer_key: str
    customer_id: str | None
    email: str | None
    record_id: str | None
    action: str
    reason: str
    refused_before: bool
    truth: Fields

    @property
    def owed_id(self) -> str | None:
        """The customer id that the record shall carry; a record whose customer departed is owed none."""
        return None if self.reason == "departed" else self.customer_id


@dataclass(frozen=True)
class Outcome:
    """What became of an intention. `accepted_at` is null when nothing was sent, or nothing was acknowledged.

    `refused` says that the CRM would not take just this.
    """

    delivery_id: str
    outcome: Literal["verified", "unverified", "rejected", "conflict", "unknown"]
    record_id: str | None = None
    via: Via | None = None
    accepted_at: datetime | None = None
    verified_at: datetime | None = None
    error_class: ErrorClass | None = None
    message: str | None = None
    refused: bool = False


_TYPES = {"accepted_at": "TIMESTAMP", "verified_at": "TIMESTAMP", "refused": "BOOLEAN"}
_OUTCOMES = json.dumps([{name: _TYPES.get(name, "VARCHAR") for name in (*Outcome.__dataclass_fields__, "next_step")}])
_NEXT_STEPS: dict[str | None, str] = {
    "data": "Correct the customer's data, or the CRM's own rule that refuses it.",
    "identity": "Find the record that holds the key in the CRM, the recycle bin included; the next run links it anew.",
    "config": "Do what the message says; of the CRM's properties `wallet-pipeline setup-crm` says what is wrong.",
    "quota": "Nothing: the next run sends it.",
    "transient": "Nothing: the next run reads the record and sends what differs.",
}


def intend(con: duckdb.DuckDBPyConnection, plan_id: str, after: int, until: int, now: datetime) -> list[Intention]:
    """Book the plan's rows at the positions after `after`, up to `until`, as intended and return those still true."""
    positions = {"plan_id": plan_id, "after": after, "until": until}
    with transaction(con):
        con.execute(f"CREATE OR REPLACE TEMP TABLE intentions AS {query('intentions')}", positions)
        con.execute(
            f"""
            INSERT INTO crm.deliveries BY NAME
            SELECT
                delivery_id, plan_id, customer_key, record_id, action, reason, {", ".join(FIELDS)},
                ? AS intended_at, 'intended' AS outcome
            FROM intentions
            """,
            [naive(now)],
        )
    rows = con.execute(
        "SELECT delivery_id, customer_key, customer_id, email, record_id, action, reason, refused_before,"
        f" {', '.join(FIELDS)} FROM intentions ORDER BY position"
    ).fetchall()
    return [_intention(row) for row in rows]


def close_abandoned(con: duckdb.DuckDBPyConnection) -> None:
    """Close what a run that died has left as intended. For the one sender only: other runs have no such rows."""
    con.execute(
        "UPDATE crm.deliveries SET outcome = 'unknown', error_class = 'transient',"
        " message = 'the run ended before it could book what became of this' WHERE outcome = 'intended'"
    )


def book(con: duckdb.DuckDBPyConnection, outcomes: Sequence[Outcome], since: datetime, now: datetime) -> None:
    """Book what became of intentions of `since` or later, and all that follows from it."""
    if not outcomes:
        return
    rows = json.dumps([_row(one) for one in outcomes])
    with transaction(con):
        con.execute(
            "CREATE OR REPLACE TEMP TABLE outcomes AS"
            " SELECT o.*, d.customer_key, d.plan_id, d.reason,"
            " CASE WHEN o.refused THEN p.row_hash END AS row_hash,"
            " CASE WHEN o.refused THEN m.definitions_hash END AS definitions_hash"
            " FROM (SELECT unnest(from_json(?, ?), recursive := TRUE)) o"
            " JOIN (FROM crm.deliveries WHERE intended_at >= ?) d USING (delivery_id)"
            " LEFT JOIN crm.plan p USING (plan_id, customer_key)"
            " LEFT JOIN crm.plans m USING (plan_id)",
            [rows, _OUTCOMES, naive(since)],
        )
        _close_intentions(con, naive(since))
        merge_links(con, "SELECT * FROM outcomes WHERE via IS NOT NULL", naive(now))
        _close_verified(con, naive(now))
        _close_changes(con, naive(now))
        merge_rejections(con, "SELECT * FROM outcomes WHERE outcome <> 'verified'", naive(now))
        con.execute("DROP TABLE temp.outcomes")


def withdraw(con: duckdb.DuckDBPyConnection, delivery_ids: Sequence[str], since: datetime) -> None:
    """Take back intentions that were booked at `since` or later and of which nothing was sent."""
    if delivery_ids:
        con.execute(
            "DELETE FROM crm.deliveries WHERE intended_at >= ? AND delivery_id IN (SELECT unnest(?::VARCHAR[]))",
            [naive(since), list(delivery_ids)],
        )


def park(con: duckdb.DuckDBPyConnection, plan_id: str, error_class: ErrorClass, message: str, now: datetime) -> None:
    """List the plan's rows of which nothing was sent before its delivery came to an end.

    A row that was refused before is listed already, and stays known as that.
    """
    con.execute(
        "CREATE OR REPLACE TEMP TABLE parked AS SELECT customer_key, record_id, ? AS error_class, ? AS message,"
        " ? AS next_step, NULL AS row_hash, NULL AS definitions_hash FROM crm.plan WHERE plan_id = ? AND position > 0"
        " AND NOT refused_before AND customer_key NOT IN (SELECT customer_key FROM crm.deliveries WHERE plan_id = ?)",
        [error_class, message, _NEXT_STEPS[error_class], plan_id, plan_id],
    )
    merge_rejections(con, "FROM temp.parked", naive(now))
    con.execute("DROP TABLE temp.parked")


def merge_rejections(con: duckdb.DuckDBPyConnection, rejected: str, now: datetime) -> None:
    """Add rows to crm.rejections; a known one counts on.

    Their columns: customer_key, record_id, error_class, message, next_step, row_hash, definitions_hash.
    """
    con.execute(
        f"""
        MERGE INTO crm.rejections r USING ({rejected}) n ON r.customer_key = n.customer_key
        WHEN MATCHED THEN UPDATE SET
            record_id = n.record_id, error_class = n.error_class, message = n.message, next_step = n.next_step,
            row_hash = n.row_hash, definitions_hash = n.definitions_hash, last_at = $now, attempts = r.attempts + 1
        WHEN NOT MATCHED THEN INSERT
            (
                customer_key, record_id, error_class, message, next_step, row_hash, definitions_hash,
                first_at, last_at, attempts
            )
            VALUES (
                n.customer_key, n.record_id, n.error_class, n.message, n.next_step, n.row_hash, n.definitions_hash,
                $now, $now, 1
            )
        """,
        {"now": now},
    )


def merge_links(con: duckdb.DuckDBPyConnection, found: str, now: datetime) -> None:
    """Put rows (customer_key, record_id, via) into crm.links; one without `via` keeps how it was found before."""
    con.execute(
        f"""
        MERGE INTO crm.links l USING ({found}) n ON l.customer_key = n.customer_key
        WHEN MATCHED THEN UPDATE SET record_id = n.record_id, via = coalesce(n.via, l.via), linked_at = $now
        WHEN NOT MATCHED THEN INSERT (customer_key, record_id, via, linked_at)
            VALUES (n.customer_key, n.record_id, n.via, $now)
        """,
        {"now": now},
    )


def owned_records(con: duckdb.DuckDBPyConnection, found: Mapping[str, str]) -> set[str]:
    """Return which of these records, by the key of the customer who was found there, are linked to another one."""
    rows = con.execute(
        "SELECT l.record_id FROM crm.links l JOIN (SELECT unnest(?::VARCHAR[]) AS record_id,"
        " unnest(?::VARCHAR[]) AS customer_key) f USING (record_id)"
        " SEMI JOIN wallet.customer_wallet_status c ON c.customer_key = l.customer_key"
        " WHERE l.departed_at IS NULL AND l.customer_key <> f.customer_key",
        [list(found.values()), list(found)],
    )
    return {record_id for (record_id,) in rows.fetchall()}


def _intention(row: tuple[Any, ...]) -> Intention:
    delivery_id, customer_key, customer_id, email, record_id, action, reason, refused_before, *values = row
    truth = {name: _aware(value) for name, value in zip(FIELDS, values, strict=True)}
    return Intention(delivery_id, customer_key, customer_id, email, record_id, action, reason, refused_before, truth)


def _aware(value: Value) -> Value:
    return aware(value) if isinstance(value, datetime) else value


def _row(outcome: Outcome) -> dict[str, Any]:
    return as_json(asdict(outcome)) | {"next_step": _NEXT_STEPS.get(outcome.error_class)}


def _close_intentions(con: duckdb.DuckDBPyConnection, since: datetime) -> None:
    con.execute(
        """
        UPDATE crm.deliveries d
        SET record_id = coalesce(o.record_id, d.record_id), outcome = o.outcome, accepted_at = o.accepted_at,
            verified_at = o.verified_at, error_class = o.error_class, message = o.message
        FROM outcomes o
        WHERE d.delivery_id = o.delivery_id AND d.intended_at >= ?
        """,
        [since],
    )


def _close_verified(con: duckdb.DuckDBPyConnection, now: datetime) -> None:
    verified = "SELECT customer_key FROM outcomes WHERE outcome = 'verified'"
    con.execute(
        f"UPDATE crm.drift SET repaired_at = ? WHERE repaired_at IS NULL AND customer_key IN ({verified})", [now]
    )
    con.execute(f"DELETE FROM crm.rejections WHERE customer_key IN ({verified})")
    con.execute(
        f"UPDATE crm.links SET departed_at = ? WHERE customer_key IN ({verified} AND reason = 'departed')", [now]
    )


def _close_changes(con: duckdb.DuckDBPyConnection, now: datetime) -> None:
    """Strike the changes that a plan knew and whose fate is settled; let those that may pass yet wait a while.

    What did not pass after some attempts is left to the daily run.
    """
    passing = (
        "SELECT o.customer_key FROM outcomes o LEFT JOIN crm.rejections r USING (customer_key)"
        " WHERE o.error_class IN ('transient', 'quota') AND coalesce(r.attempts, 0) < ?"
    )
    con.execute(
        "DELETE FROM wallet.changed_customers c USING outcomes o, crm.plans p"
        " WHERE c.customer_key = o.customer_key AND p.plan_id = o.plan_id AND c.number <= p.changes_until"
        f" AND o.customer_key NOT IN ({passing})",
        [_ATTEMPTS],
    )
    con.execute(
        f"UPDATE wallet.changed_customers SET retry_at = ? WHERE customer_key IN ({passing})",
        [now + _RETRY_AFTER, _ATTEMPTS],
    )
