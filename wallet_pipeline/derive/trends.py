"""Adoption trends: counts over time for analysts, from Insights, the registers and the history of statuses."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import duckdb

from wallet_pipeline.derive.statuses import query
from wallet_pipeline.warehouse.connection import naive, transaction
from wallet_pipeline.warehouse.queries import named_values

# Each table after those that it is counted from.
TABLES = (
    "calendar", "installations", "created_passes", "adoption_daily", "adoption_weekly", "adoption_monthly",
    "adoption_cohorts", "time_to_install", "churn", "adoption_by_source", "status_daily", "wallet_switches",
)  # fmt: skip
_PERIODS = {"adoption_weekly": "week", "adoption_monthly": "month"}


@dataclass(frozen=True)
class Installed:
    """Passes installed in a wallet now, by the trends and the registers; and those that Insights leaves otherwise."""

    wallet: str
    trends: int
    registers: int
    corrected: int

    @property
    def agrees(self) -> bool:
        """Whether the two are one number."""
        return self.trends == self.registers

    def __str__(self) -> str:
        told = f"In {self.wallet} {self.trends} installations go on, by the registers {self.registers}"
        advice = "" if self.agrees else " Run the jobs `insights` and `daily` again."
        return (
            f"{told}; {self.corrected} passes were put right by the registers, Insights tells them otherwise.{advice}"
        )


def compare_installed(con: duckdb.DuckDBPyConnection) -> list[Installed]:
    """Compare what is installed now by the trends with the registers, wallet by wallet."""
    return [Installed(*row) for row in con.execute(query("installed_by_source")).fetchall()]


def derive_trends(con: duckdb.DuckDBPyConnection, zone: ZoneInfo, now: datetime) -> None:
    """Build the tables of adoption anew, in one transaction; their days are those of `zone`, and end before `now`."""
    given = {"zone": zone.key, "now": naive(now)}
    with transaction(con):
        for table in TABLES:
            if table == "adoption_cohorts":
                con.execute(f"CREATE OR REPLACE TEMP TABLE installed_spans AS {query('installed_spans')}")
            con.execute(f"DELETE FROM adoption.{table}")
            _fill(con, table, given)
        con.execute("DROP TABLE installed_spans")
    con.execute("CHECKPOINT")


def recount_sources(con: duckdb.DuckDBPyConnection) -> None:
    """Build adoption_by_source anew from the installations as they are: the only count that quotes what events say."""
    with transaction(con):
        con.execute("DELETE FROM adoption.adoption_by_source")
        _fill(con, "adoption_by_source", {})


def _fill(con: duckdb.DuckDBPyConnection, table: str, given: dict[str, object]) -> None:
    values = given | {"period": _PERIODS.get(table)}
    sql = query("adoption_periods" if table in _PERIODS else table)
    con.execute(f"INSERT INTO adoption.{table} {sql}", named_values(sql, values))
