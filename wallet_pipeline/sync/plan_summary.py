"""What a plan holds, in figures and by a sample, and what sending it will take."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from wallet_pipeline.sync.destination import Destination
from wallet_pipeline.sync.mass_change import MassChange
from wallet_pipeline.sync.queries import query
from wallet_pipeline.warehouse.queries import row_count

# Requests for a slice: to read it, write it and read it back; one more to look for what is to be created, by e-mail.
_FOR_A_KNOWN_SLICE, _FOR_A_NEW_SLICE = 3, 4


@dataclass(frozen=True)
class Forecast:
    """What sending a plan takes: requests, minutes at the account's pace, and the share of the day's requests.

    `share_of_day` and `left_today` are None where the CRM does not tell them.
    """

    requests: int
    minutes: float
    share_of_day: float | None
    left_today: int | None

    def __str__(self) -> str:
        text = f"{self.requests} requests, about {self.minutes:.1f} minutes"
        if self.share_of_day is None:
            return f"{text}; the CRM does not tell its day's quota"
        return f"{text}, {self.share_of_day:.2%} of the day's quota ({self.left_today} left for this app today)"


@dataclass(frozen=True)
class PlannedRow:
    """A row of the plan, as people read it; each change is `field: old → new`."""

    customer_key: str
    record_id: str | None
    action: str
    reason: str
    changes: list[str]


@dataclass(frozen=True)
class PlanResult:
    """What the plan holds, whether it may be sent, and what making it took and sending it will take.

    `actions` counts customers by action and reason; `sample` shows some of each.
    """

    plan_id: str
    plan_hash: str
    actions: dict[tuple[str, str], int]
    sample: list[PlannedRow]
    customers: int
    records: int
    requests: int
    forecast: Forecast
    mass_change: MassChange

    @property
    def rows(self) -> int:
        """Number of customers in the plan."""
        return sum(self.actions.values())

    @property
    def by_action(self) -> dict[str, int]:
        """Number of customers by action."""
        return _by_action(self.actions)


def summarise(
    con: duckdb.DuckDBPyConnection,
    destination: Destination,
    plan_id: str,
    plan_hash: str,
    mass_change: MassChange,
    requests: int,
) -> PlanResult:
    """Sum up the plan that stands in the work file; `requests` is what making it took."""
    rows = con.execute("SELECT action, reason, count(*) FROM work.plan GROUP BY ALL ORDER BY ALL").fetchall()
    actions = {(action, reason): customers for action, reason, customers in rows}
    return PlanResult(
        plan_id=plan_id,
        plan_hash=plan_hash,
        actions=actions,
        sample=[PlannedRow(*row) for row in con.execute(query("plan_sample")).fetchall()],
        customers=row_count(con, "work.compared"),
        records=row_count(con, "work.records"),
        requests=requests,
        forecast=_forecast(destination, _by_action(actions)),
        mass_change=mass_change,
    )


def _by_action(actions: Mapping[tuple[str, str], int]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for (action, _), customers in actions.items():
        counts[action] += customers
    return dict(counts)


def _forecast(destination: Destination, by_action: Mapping[str, int]) -> Forecast:
    size = min(destination.capabilities.read_batch, destination.capabilities.write_batch)
    known = math.ceil((by_action.get("update", 0) + by_action.get("link", 0)) / size)
    new = math.ceil(by_action.get("create", 0) / size)
    requests = known * _FOR_A_KNOWN_SLICE + new * _FOR_A_NEW_SLICE + bool(known + new)
    quota = destination.quota
    share = requests / quota.per_day if quota.per_day else None
    return Forecast(requests, requests / quota.per_window * quota.window / 60, share, quota.left_today)
