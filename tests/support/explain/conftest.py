"""Made-up histories in a warehouse, through the functions of the pipeline, and asking about them."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.conftest import made_once
from tests.derive.evidence import RULES, add_events, add_snapshot, derive
from tests.derive.worlds import naive
from wallet_pipeline.support.explain.asking import ExplainRules, explain
from wallet_pipeline.support.explain.explanation import Explanation
from wallet_pipeline.warehouse.connection import connect

NOW = datetime(2026, 3, 11, 12, tzinfo=UTC)
EXPLAIN_RULES = ExplainRules(RULES, timedelta(seconds=60))


def at(text: str) -> datetime:
    """Return a time of March 2026, in UTC: `06 03:00`."""
    return datetime.fromisoformat(f"2026-03-{text}+00:00")


def listed(pass_id: str, identifiers: dict[str, str], kind: str = "loyalty", **providers: str) -> dict[str, Any]:
    """Return a pass as a list shows it."""
    return {"id": pass_id, "type": kind, "identifiers": identifiers, "providers": providers}


def event(pass_id: str, wallet: str, kind: str, event_id: str, moment: str, **more: Any) -> dict[str, Any]:
    """Return an event of March 2026."""
    received = at(more.pop("received", moment)) + timedelta(seconds=2)
    times = {"at": at(moment).isoformat(), "received_at": received.isoformat()}
    return {"pass_id": pass_id, "wallet": wallet, "kind": kind, "event_id": event_id, **times, **more}


def snapshot(start: str, *passes: dict[str, Any], complete: bool = True) -> dict[str, Any]:
    """Return a list that was begun in March 2026."""
    return {"id": "s", "start": at(start).isoformat(), "complete": complete, "passes": list(passes)}


def deliver(con: duckdb.DuckDBPyConnection, key: str, sent: str, **values: Any) -> None:
    """Book a delivery of the customer's row as it stands, that was verified unless told otherwise."""
    accepted, verified = at(sent) + timedelta(seconds=1), at(sent) + timedelta(seconds=2)
    usual = {"action": "update", "reason": "changed", "outcome": "verified", "error_class": None, "message": None}
    times = {"intended_at": naive(at(sent)), "accepted_at": naive(accepted), "verified_at": naive(verified)}
    given = {"record_id": "501", "plan_id": "p", **usual, **times, **values}
    con.execute(
        "INSERT INTO crm.deliveries BY NAME SELECT customer_key, wallet_status, apple_wallet_installed_at,"
        " google_wallet_installed_at, wallet_last_changed_at, wallet_last_event,"
        f" {', '.join(f'${name} AS {name}' for name in given)} FROM wallet.customer_wallet_status"
        " WHERE customer_key = $key",
        {**given, "key": key},
    )


def ann(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Let everything happen to Ann that may happen to a customer; her key is customerId=1042."""
    card, mail = {"customerId": "1042", "email": "ann@x.test"}, {"email": " ANN@x.test"}
    other = listed("b-1", {"customerId": "7", "accountId": "A-7"})
    add_snapshot(
        con,
        folder,
        snapshot("01 03:00", listed("a-1", card, apple="2026-02-20T10:00:00Z"), listed("a-2", mail, "voucher"), other),
    )
    derive(con, at("01 03:10"))
    con.execute(
        "INSERT INTO crm.links VALUES ('customerId=1042', '501', 'customer_id', ?, NULL)", [naive(at("01 03:20"))]
    )
    deliver(con, "customerId=1042", "01 03:20", action="link", reason="new")
    add_events(
        con,
        [
            event("a-1", "apple", "uninstalled", "e1", "05 18:23:11"),
            event("a-1", "apple", "uninstalled", "e1", "05 18:23:11"),
            event("a-1", "apple", "uninstalled", "e2", "05 18:00", active=1),
            event("a-1", "samsung", "installed", "e3", "05 19:00"),
            event("a-1", "apple", "installed", "e4", "05 20:00", received="05 19:00"),
        ],
    )
    derive(con, at("05 18:24"))
    deliver(con, "customerId=1042", "05 18:26")
    add_snapshot(con, folder, snapshot("06 03:00", listed("a-1", card), listed("a-2", mail, "voucher"), other))
    add_events(con, [event("a-2", "google", "installed", "e5", "07 09:00", type="voucher")])
    add_snapshot(con, folder, snapshot("08 03:00", listed("a-1", card), other, complete=False))
    derive(con, at("08 03:10"))
    refused = {"outcome": "rejected", "error_class": "data", "message": "INVALID_OPTION", "verified_at": None}
    deliver(con, "customerId=1042", "08 03:20", accepted_at=None, **refused)
    undated = listed("a-2", mail, "voucher", google="2031-01-01T00:00:00Z")
    add_snapshot(con, folder, snapshot("09 03:00", listed("a-1", card), undated, other))
    derive(con, at("09 03:10"))
    deliver(con, "customerId=1042", "09 03:20", reason="retry")
    con.execute(
        "INSERT INTO raw.snapshots BY NAME SELECT 'held' AS snapshot_id, $at AS started_at, $at AS finished_at,"
        " TRUE AS complete, 'held' AS verdict",
        {"at": naive(at("10 03:00"))},
    )
    con.execute(
        "INSERT INTO crm.drift VALUES ('customerId=1042', '501', 'wallet_status', 'google', 'none', $found, $repaired,"
        " $changed, 'user 77', 'CRM_UI', 'app 815')",
        {"found": naive(at("10 03:15")), "repaired": naive(at("10 03:21")), "changed": naive(at("09 16:40"))},
    )
    deliver(con, "customerId=1042", "10 03:20", reason="drift")


def others(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Add people in odd positions: joined, departed, in conflict, unmatched, hostile."""
    alone = listed("c-1", {"customerId": "3", "email": "both@x.test"})
    moved = listed("d-1", {"customerId": "4", "email": "dora@x.test"}, apple="2026-02-20T10:00:00Z")
    add_snapshot(con, folder, snapshot("01 03:00", alone, moved, listed("e-1", {"customerId": "5", "accountId": "H"})))
    derive(con, at("01 03:10"))
    con.execute(
        "INSERT INTO crm.links VALUES ('customerId=4', '604', 'email', ?, ?)",
        [naive(at("01 04:00")), naive(at("03 04:00"))],
    )
    later = [
        alone,
        listed("c-2", {"customerId": "33", "email": "both@x.test"}),
        listed("c-3", {"email": "both@x.test"}),
        listed("d-1", {"customerId": "44"}, apple="2026-02-20T10:00:00Z"),
        listed("u-1", {"phone": "5"}),
        listed("h-1", {"customerId": "evil", "note": "one\ntwo \u202e"}, "\x1b[31mred\x07"),
    ]
    add_snapshot(con, folder, snapshot("02 03:00", *later))
    derive(con, at("02 03:10"))
    add_snapshot(con, folder, snapshot("03 03:00", *later))
    add_events(con, [event("n-1", "apple", "installed", "n1", "11 11:00", identifiers={"customerId": "new"})])


def made(template: Path, folder: Path, history: Callable[[duckdb.DuckDBPyConnection, Path], None]) -> Path:
    """Make a warehouse with a history."""
    file = folder / "warehouse.duckdb"
    shutil.copy(template, file)
    with connect(file, wait=0) as con:
        history(con, folder)
    return file


@pytest.fixture(scope="session")
def of_ann(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the warehouse that knows Ann."""
    return made_once(tmp_path_factory, "ann", partial(made, template, history=ann)) / "warehouse.duckdb"


@pytest.fixture(scope="session")
def of_others(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the warehouse that knows the others."""
    return made_once(tmp_path_factory, "others", partial(made, template, history=others)) / "warehouse.duckdb"


def ask(file: Path, asked: str, as_of: datetime | None = None) -> Explanation:
    """Explain with the usual rules."""
    return explain(file, 5, EXPLAIN_RULES, asked, as_of, NOW)
