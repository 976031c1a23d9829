"""The real-time part of the demonstration: a burst of deliveries, followed from the event to the contact."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from wallet_pipeline.collect.wallet_events import taken_up_to
from wallet_pipeline.collect.webhooks.inbox import newest_delivery
from wallet_pipeline.derive.touched import count_touched
from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.playground import Sandbox
from wallet_pipeline.warehouse.connection import connect
from wallet_pipeline.warehouse.queries import one_row, row_count

INSTALLS, UNINSTALLS = 30, 20
_MISCHIEF = {
    "shuffle_seconds": 2, "duplicate_share": 0.2, "badly_signed_share": 0.1, "again_share": 0.1,
    "again_after_seconds": 60,
}  # fmt: skip
_TIME_LIMIT_S = 150
_LOOK_EVERY_S = 0.5
_TABLES = ("registers", "pass_customers", "customer_wallet_status")

Rows = dict[str, list[tuple[Any, ...]]]
_T = TypeVar("_T")


class NotInTimeError(ExplainedError):
    """Something that the demonstration waits for did not happen; the message says what and where to look."""


@dataclass(frozen=True)
class Percentiles:
    """Seconds."""

    p50: float
    p99: float


@dataclass(frozen=True)
class Course:
    """How the burst went: distinct events, contacts verified, and seconds from the event to the inbox and the CRM."""

    events: int
    contacts: int
    to_inbox: Percentiles
    to_crm: Percentiles


def send_burst(box: Sandbox) -> dict[str, int]:
    """Let customers act, wait until each event was received, and return the sandbox's counts of what it sent."""
    box.ask(f"{box.wallet_crew_url}/sandbox/webhook-settings", "PATCH", json=_MISCHIEF)
    counts = {"installs": INSTALLS, "uninstalls": UNINSTALLS}
    box.ask(f"{box.wallet_crew_url}/sandbox/advance", "POST", json=counts)
    return _wait(box, "the receiver", lambda: _if(_sent(box), lambda sent: sent["acknowledged"] >= sent["events"]))


def wait_for_crm(box: Sandbox) -> None:
    """Return when all that was received is derived, and the CRM was told of every change."""
    _wait(box, "the sensor and its runs", lambda: _at_rest(box) or None)


def wait_for_repetitions(box: Sandbox) -> dict[str, int]:
    """Return the sandbox's counts when it has nothing more to send."""
    return _wait(box, "the receiver", lambda: _if(_sent(box), lambda sent: sent["pending"] == 0))


def course_since(box: Sandbox, since: datetime) -> Course:
    """Return how the events since then (aware) went."""
    with connect(box.home / "warehouse.duckdb", _TIME_LIMIT_S) as con:
        events, contacts, to_inbox, to_crm = one_row(
            con,
            """
            WITH events AS (
                SELECT pass_id, any_value(occurred_at) AS occurred_at, min(received_at) AS received_at
                FROM raw.wallet_events
                WHERE occurred_at >= $since
                GROUP BY pass_id, wallet, kind, event_id
            ),
            contacts AS (
                SELECT customer_key, min(verified_at) AS verified_at
                FROM crm.deliveries
                WHERE intended_at >= $since AND outcome = 'verified'
                GROUP BY customer_key
            )
            SELECT
                count(*), count(verified_at),
                quantile_cont(epoch(received_at - occurred_at), [0.5, 0.99]),
                quantile_cont(epoch(verified_at - occurred_at), [0.5, 0.99])
            FROM events
            LEFT JOIN wallet.pass_customers USING (pass_id)
            LEFT JOIN contacts USING (customer_key)
            """,
            {"since": since.astimezone(UTC).replace(tzinfo=None)},
        )
    return Course(events, contacts, Percentiles(*(to_inbox or (0, 0))), Percentiles(*(to_crm or (0, 0))))


def derived_rows(box: Sandbox) -> Rows:
    """Return all rows of the tables that say what is true."""
    with connect(box.home / "warehouse.duckdb", _TIME_LIMIT_S) as con:
        return {table: con.execute(f"FROM wallet.{table} ORDER BY ALL").fetchall() for table in _TABLES}


def _sent(box: Sandbox) -> dict[str, int]:
    counts: dict[str, int] = box.ask(f"{box.wallet_crew_url}/sandbox/webhook-deliveries").json()
    return counts


def _at_rest(box: Sandbox) -> bool:
    with connect(box.home / "warehouse.duckdb", _TIME_LIMIT_S) as con:
        changes = row_count(con, "wallet.changed_customers")
        is_taken = newest_delivery(box.home / "inbox.sqlite") == taken_up_to(con)
        return is_taken and not count_touched(con) and not changes


def _if(counts: dict[str, int], condition: Callable[[dict[str, int]], bool]) -> dict[str, int] | None:
    return counts if condition(counts) else None


def _wait(box: Sandbox, whom: str, look: Callable[[], _T | None]) -> _T:
    deadline = time.monotonic() + _TIME_LIMIT_S
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise NotInTimeError(
                f"The burst was not through after {_TIME_LIMIT_S} s: {whom} did not do their part. The logs are"
                f" receiver.log, daemon.log and .dagster/ in {box.home}."
            )
        time.sleep(_LOOK_EVERY_S)
    return found
