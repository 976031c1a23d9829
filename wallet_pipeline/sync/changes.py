"""Changes of customers by events: how many are due for the CRM, and when those known now will have come to rest."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from wallet_pipeline.sync.plan import PlanRules
from wallet_pipeline.sync.queries import query
from wallet_pipeline.warehouse.connection import naive
from wallet_pipeline.warehouse.queries import one_row


@dataclass(frozen=True)
class Changes:
    """Customers whom events have changed and the CRM was not compared with since: due, and still settling."""

    due: int
    waiting: int


def seconds_until_settled(con: duckdb.DuckDBPyConnection, rules: PlanRules, now: datetime) -> float:
    """Return after how long all changes known now will have been quiet for the settle window: at most its length."""
    (newest,) = one_row(con, "SELECT max(wallet_last_changed_at) FROM wallet.customer_wallet_status")
    if newest is None:
        return 0.0
    left: timedelta = rules.settle_window - (naive(now) - newest)
    return min(max(left, timedelta(0)), rules.settle_window).total_seconds()


def count_changes(con: duckdb.DuckDBPyConnection, rules: PlanRules, now: datetime) -> Changes:
    """Return how many customers whom events have changed can be sent now, and how many have yet to come to rest."""
    values = {"now": naive(now), "settle_window": rules.settle_window, "settle_cap": rules.settle_cap}
    due, waiting = one_row(con, query("changes_due"), values)
    return Changes(int(due), int(waiting))
