"""Do events arrive: what was delivered, compared with what Insights counted, and with how often something comes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from wallet_pipeline.derive.statuses import drop_temporary, query
from wallet_pipeline.warehouse.connection import naive, transaction
from wallet_pipeline.warehouse.queries import aware, one_row

MISSING_SHARE = 0.01
_DAYS_JUDGED = 7
_USUAL_OVER = timedelta(days=30)
_SHORTEST_USUAL = timedelta(hours=1)
_TOO_LONG = 2
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Arrivals:
    """Events of the last complete days: how many Insights counted, how many of them never arrived, how late the others.

    The latter are quantiles in seconds, over the events with a time of their own; None without such an event.
    """

    days: int
    counted: int
    missing: int
    late_p50: float | None
    late_p99: float | None

    @property
    def missing_share(self) -> float:
        """The share of events that never arrived; 0 when there was none."""
        return self.missing / self.counted if self.counted else 0.0

    def __str__(self) -> str:
        days = "complete day" if self.days == 1 else f"{self.days} complete days"
        text = (
            f"{self.missing} of {self.counted} events of the last {days} ({self.missing_share:.1%},"
            f" limit {MISSING_SHARE:.0%}) never arrived."
        )
        if self.late_p50 is None:
            return text
        return f"{text} Half of the others came within {self.late_p50:.1f} s, 99 % within {self.late_p99:.1f} s."

    @property
    def enough(self) -> bool:
        """Whether no more than MISSING_SHARE of the events never arrived."""
        return self.missing_share <= MISSING_SHARE


@dataclass(frozen=True)
class Silence:
    """Since when no delivery has come (aware, UTC), for how long, and the longest time that was usual lately."""

    since: datetime
    lasts: timedelta
    usual: timedelta

    def __str__(self) -> str:
        return (
            f"The last delivery came at {self.since:%Y-%m-%d %H:%M} UTC, {self.lasts / _HOUR:.1f} h ago; up to"
            f" {self.usual / _HOUR:.1f} h is usual."
        )

    @property
    def unusual(self) -> bool:
        """Whether it lasts more than twice as long as usual."""
        return self.lasts > _TOO_LONG * self.usual


def derive_event_arrivals(con: duckdb.DuckDBPyConnection) -> None:
    """Build wallet.event_arrivals anew, in one transaction."""
    with _arrived_events(con), transaction(con):
        con.execute("DELETE FROM wallet.event_arrivals")
        con.execute(f"INSERT INTO wallet.event_arrivals BY NAME {query('event_arrivals')}")
    con.execute("CHECKPOINT")


def sum_up_arrivals(con: duckdb.DuckDBPyConnection) -> Arrivals:
    """Return how the events of the last seven complete days of wallet.event_arrivals arrived."""
    with _arrived_events(con):
        sums = one_row(con, query("arrival_sums"), {"days": _DAYS_JUDGED})
    return Arrivals(*sums)


def measure_silence(con: duckdb.DuckDBPyConnection, now: datetime) -> Silence | None:
    """Return how long no delivery has come, as of `now` (aware); None when none ever came.

    Usual is the longest pause between deliveries that ended in the last 30 days, and an hour at least.
    """
    last, longest = one_row(
        con,
        "WITH deliveries AS"
        " (SELECT received_at FROM raw.wallet_events UNION ALL SELECT received_at FROM raw.unusable_deliveries),"
        " pauses AS (SELECT received_at, received_at - lag(received_at) OVER (ORDER BY received_at) AS pause"
        " FROM deliveries)"
        " SELECT max(received_at), max(pause) FILTER (received_at >= $since) FROM pauses",
        {"since": naive(now - _USUAL_OVER)},
    )
    if last is None:
        return None
    since = aware(last)
    return Silence(since, now - since, max(longest or _SHORTEST_USUAL, _SHORTEST_USUAL))


@contextmanager
def _arrived_events(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    con.execute(f"CREATE OR REPLACE TEMP TABLE arrived_events AS {query('arrived_events')}")
    yield
    drop_temporary(con, "arrived_events")
