"""The daily certificate: whether Pass API, inbox, Insights and CRM say the same, and where not, why."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import duckdb

from wallet_pipeline.derive.statuses import drop_temporary, query
from wallet_pipeline.settings import Settings
from wallet_pipeline.warehouse.connection import naive, transaction
from wallet_pipeline.warehouse.queries import named_values

COMPARISONS = {
    "delivery": "events by Insights and those delivered",
    "list": "Pass API and registers",
    "insights": "Insights and registers",
    "crm": "customers and CRM",
}
# From good to bad.
VERDICTS = ("agree", "explained", "not compared", "not explained")
_ROWS_KEPT = timedelta(days=31)
_SAMPLE = 20


@dataclass(frozen=True)
class ReconciliationRules:
    """By how much the Pass API may lag, and by how much times may differ in the CRM and count as equal."""

    staleness: timedelta
    tolerance: timedelta

    @classmethod
    def from_settings(cls, settings: Settings) -> "ReconciliationRules":
        """Return the rules that the settings give."""
        return cls(timedelta(seconds=settings.staleness), timedelta(seconds=settings.tolerance))


@dataclass(frozen=True)
class Certificate:
    """A day's certificate: its rows of wallet.reconciliation by wallet, its reasons, and some differences.

    A reason is (wallet, comparison, explanation, number of differences); an explanation that is None is not known.
    """

    day: date
    wallets: dict[str, dict[str, Any]]
    reasons: list[tuple[str, str, str | None, int]]
    sample: list[tuple[Any, ...]]

    @property
    def verdict(self) -> str:
        """The worse of the wallets' verdicts."""
        return max((str(row["verdict"]) for row in self.wallets.values()), key=VERDICTS.index)

    @property
    def unexplained(self) -> int:
        """Number of differences without a reason."""
        return self._sum("unexplained")

    @property
    def newly_unexplained(self) -> int:
        """Number of those that the certificate before did not have."""
        return self._sum("newly_unexplained")

    def __str__(self) -> str:
        told = f"{self.day}: {self._sum('differences')} differences, {self.unexplained} without a reason"
        if self.verdict == "not compared":
            return f"{told}; what is installed was not compared, for no list was taken in time after that day."
        if not self.unexplained:
            return f"{told}."
        told += f", {self.newly_unexplained} of these new"
        unknown: dict[str, int] = {}
        for _, comparison, explanation, count in self.reasons:
            if explanation is None:
                unknown[comparison] = unknown.get(comparison, 0) + count
        return f"{told}: {', '.join(f'{COMPARISONS[one]} {count}' for one, count in unknown.items())}."

    def _sum(self, figure: str) -> int:
        return sum(row[figure] for row in self.wallets.values())


def reconcile(con: duckdb.DuckDBPyConnection, rules: ReconciliationRules, now: datetime) -> list[date]:
    """Issue the certificates of the newest days, and of any that has none, in one transaction; return their days.

    `now` (aware) is the moment of certification.
    """
    with transaction(con), _compared(con, rules, naive(now)):
        for table in ("reconciliation_differences", "reconciliation_reasons"):
            con.execute(
                f"DELETE FROM wallet.{table} WHERE day IN (SELECT day FROM reconciled_days)"
                " AND (comparison = 'delivery' OR day IN (SELECT day FROM reconciled_days WHERE is_counted))"
            )
        con.execute("INSERT INTO wallet.reconciliation_differences BY NAME FROM differences")
        con.execute(
            "INSERT INTO wallet.reconciliation_reasons SELECT day, wallet, comparison, explanation, count(*)"
            " FROM differences GROUP BY ALL"
        )
        con.execute(f"CREATE OR REPLACE TEMP TABLE certificates AS {query('reconciliation')}", {"now": naive(now)})
        con.execute("DELETE FROM wallet.reconciliation WHERE day IN (SELECT day FROM reconciled_days)")
        con.execute("INSERT INTO wallet.reconciliation BY NAME FROM certificates ORDER BY day, wallet")
        con.execute("DELETE FROM wallet.reconciliation_differences WHERE day < ?", [now.date() - _ROWS_KEPT])
        days = con.execute("SELECT day FROM reconciled_days ORDER BY day").fetchall()
    con.execute("CHECKPOINT")
    return [day for (day,) in days]


def newest_certificate(con: duckdb.DuckDBPyConnection) -> Certificate | None:
    """Return the newest day's certificate; None before there is one."""
    rows = con.execute(
        "SELECT * FROM wallet.reconciliation WHERE day = (SELECT max(day) FROM wallet.reconciliation) ORDER BY wallet"
    )
    names = [column[0] for column in rows.description or []]
    wallets = {row["wallet"]: row for row in (dict(zip(names, row, strict=True)) for row in rows.fetchall())}
    if not wallets:
        return None
    day = next(iter(wallets.values()))["day"]
    reasons = con.execute(
        "SELECT wallet, comparison, explanation, differences FROM wallet.reconciliation_reasons WHERE day = ?"
        " ORDER BY explanation IS NOT NULL, differences DESC, wallet, comparison",
        [day],
    ).fetchall()
    sample = con.execute(query("reconciliation_sample"), {"day": day, "rows": _SAMPLE}).fetchall()
    return Certificate(day, wallets, reasons, sample)


@contextmanager
def _compared(con: duckdb.DuckDBPyConnection, rules: ReconciliationRules, now: datetime) -> Iterator[None]:
    """Hold, for the length of a block, what the certificates are made of, in temporary tables."""
    given = {
        "now": now,
        "staleness": rules.staleness,
        "tolerance_ms": rules.tolerance // timedelta(milliseconds=1),
    }
    tables = ("arrived_events", "reconciled_days", "crm_holdings", "verified_changes")
    differences = [f"{comparison}_differences" for comparison in COMPARISONS]
    for table in (*tables, *differences):
        sql = query(table)
        con.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {sql}", named_values(sql, given))
    con.execute(f"CREATE OR REPLACE TEMP TABLE differences AS {query('reconciliation_differences')}")
    yield
    drop_temporary(con, "certificates", "differences", *differences, *reversed(tables))
