"""Evidence as the cases write it, loaded by the real loader, and the derived rows as they expect them."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from wallet_pipeline.collect.page_loader import open_staging
from wallet_pipeline.collect.pass_snapshot import Snapshot, snapshot_id, take_over
from wallet_pipeline.derive.statuses import StatusRules, derive_statuses
from wallet_pipeline.warehouse.staging import attached

RULES = StatusRules(timedelta(seconds=60), ("customerId", "accountId", "email"))


def parse(text: str) -> datetime:
    """Return an aware time; digits after the microseconds are cut."""
    return datetime.fromisoformat(text).astimezone(UTC)


def add_events(con: duckdb.DuckDBPyConnection, events: Iterable[dict[str, Any]]) -> None:
    """Add deliveries to raw.wallet_events; one without `received_at` arrived when it happened."""
    for event in events:
        identifiers = event.get("identifiers")
        con.execute(
            "INSERT INTO raw.wallet_events (pass_id, wallet, kind, event_id, occurred_at, received_at,"
            " active_registrations, pass_type, identifiers, source)"
            " VALUES (?, ?, ?, ?, ?::TIMESTAMPTZ, ?::TIMESTAMPTZ, ?, ?, ?, 'webhook')",
            [
                event["pass_id"],
                event["wallet"],
                event["kind"],
                event["event_id"],
                event["at"],
                event.get("received_at", event["at"]),
                event.get("active"),
                event.get("type"),
                None if identifiers is None else canonical(identifiers),
            ],
        )


def canonical(identifiers: dict[str, Any]) -> str:
    """Return the JSON text with sorted keys, as the loader writes it."""
    return json.dumps(identifiers, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def add_snapshot(con: duckdb.DuckDBPyConnection, folder: Path, snapshot: dict[str, Any]) -> None:
    """Load the snapshot's passes from JSON bytes, as pages are loaded, and merge it as accepted."""
    started_at = parse(snapshot["start"])
    passes = [{**p, "passType": p["type"], "secret": "x"} for p in snapshot["passes"]]
    staged = folder / f"{snapshot['id']}.duckdb"
    with open_staging(staged) as loader:
        loader.load({0: json.dumps(passes).encode()})
    ended = Snapshot(
        snapshot_id=snapshot_id(started_at, snapshot["id"]),
        started_at=started_at,
        finished_at=started_at,
        complete=snapshot["complete"],
        passes=len(passes),
        highest_total=len(passes),
        pages=1,
        attempts=1,
        clock="server",
        undated=0,
        other_wallets=0,
        verdict="accepted",
        reason=None,
    )
    with attached(con, staged, "staging"):
        take_over(con, ended)
    staged.unlink()


def derive(con: duckdb.DuckDBPyConnection, now: datetime | None = None, rules: StatusRules = RULES) -> None:
    """Derive all statuses."""
    derive_statuses(con, rules, now or datetime(2026, 4, 1, tzinfo=UTC))


def derived(con: duckdb.DuckDBPyConnection) -> dict[str, list[Any]]:
    """Return what was derived, in the form of the cases' `expected`."""
    con.execute("SET TimeZone = 'UTC'")
    return {
        "registers": _records(
            con,
            "SELECT pass_id AS pass, wallet, installed, strftime(installed_at, '%Y-%m-%dT%H:%M:%S.%fZ')"
            " AS installed_at,"
            " strftime(changed_at, '%Y-%m-%dT%H:%M:%S.%fZ') AS changed_at, last_event, changed_at_inferred AS inferred"
            " FROM wallet.registers WHERE changed_at IS NOT NULL ORDER BY ALL",
        ),
        "customers": _records(
            con,
            "SELECT customer_key AS customer, wallet_status,"
            " strftime(apple_wallet_installed_at, '%Y-%m-%dT%H:%M:%S.%gZ') AS apple_wallet_installed_at,"
            " strftime(google_wallet_installed_at, '%Y-%m-%dT%H:%M:%S.%gZ') AS google_wallet_installed_at,"
            " strftime(wallet_last_changed_at, '%Y-%m-%dT%H:%M:%S.%gZ') AS wallet_last_changed_at, wallet_last_event"
            " FROM wallet.customer_wallet_status ORDER BY ALL",
        ),
        "unmatched": _column(con, "SELECT pass_id FROM wallet.unmatched_passes ORDER BY 1"),
        "conflicts": _column(con, "SELECT pass_id FROM wallet.identity_conflicts WHERE kind = 'conflict' ORDER BY 1"),
        "shared": _column(
            con,
            "SELECT identifier_name || '=' || identifier_value FROM wallet.identity_conflicts"
            " WHERE kind = 'shared' ORDER BY 1",
        ),
        "quarantined": _column(
            con,
            "SELECT DISTINCT event_id FROM wallet.ignored_events WHERE reason LIKE 'quarantined%' ORDER BY 1",
        ),
    }


def _records(con: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    cursor = con.execute(query)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _column(con: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    return [value for (value,) in con.execute(query).fetchall()]
