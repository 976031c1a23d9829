"""How much of the CRM others have changed lately."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from wallet_pipeline.warehouse.connection import naive
from wallet_pipeline.warehouse.queries import one_row

_LATELY = timedelta(days=1)


@dataclass(frozen=True)
class DriftShare:
    """Customers of whom drift was found within the last day, of those who are linked with a CRM record."""

    drifted: int
    linked: int

    @property
    def share(self) -> float:
        """The share of the linked customers; 0 when there are none."""
        return self.drifted / self.linked if self.linked else 0.0

    def __str__(self) -> str:
        return f"Of {self.linked} customers in the CRM others changed fields of {self.drifted} within a day"


def measure_drift(con: duckdb.DuckDBPyConnection, now: datetime) -> DriftShare:
    """Return the share of customers of whom drift was found in the day up to `now` (aware)."""
    return DriftShare(
        *one_row(
            con,
            "SELECT (SELECT count(DISTINCT customer_key) FROM crm.drift WHERE found_at > $since),"
            " (SELECT count(*) FROM crm.links)",
            {"since": naive(now - _LATELY)},
        )
    )
