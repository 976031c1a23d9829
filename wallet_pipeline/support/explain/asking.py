"""Explaining: from what somebody asks, and a moment, to an explanation."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from wallet_pipeline.derive.statuses import StatusRules
from wallet_pipeline.settings import Settings
from wallet_pipeline.support.customers import Customer, UnknownCustomerError, find_customer
from wallet_pipeline.support.explain.crm import explain_crm
from wallet_pipeline.support.explain.customer import explain_customer, explain_row, former_passes, versions_of
from wallet_pipeline.support.explain.evidence import explain_passes
from wallet_pipeline.support.explain.explanation import Entry, Explanation
from wallet_pipeline.support.explain.queries import query, rows
from wallet_pipeline.support.explain.recall import name_asked, recalled
from wallet_pipeline.support.explain.summary import sum_up
from wallet_pipeline.support.explain.words import moment


@dataclass(frozen=True)
class ExplainRules:
    """The settings that an explanation depends on: those of the statuses, and when times are equal in the CRM."""

    statuses: StatusRules
    tolerance: timedelta

    @classmethod
    def from_settings(cls, settings: Settings) -> "ExplainRules":
        """Return the rules that the settings name."""
        return cls(
            StatusRules(timedelta(seconds=settings.staleness), settings.identifier_order),
            timedelta(seconds=settings.tolerance),
        )


def explain(
    warehouse_file: Path, wait: float, rules: ExplainRules, asked: str, as_of: datetime | None, now: datetime
) -> Explanation:
    """Return all that is known of whom `asked` names, as it was known at `as_of`, else now (both aware).

    Nothing is written; the warehouse is shut to writers for a second or two. Raises UnknownCustomerError,
    SeveralCustomersError, WarehouseError.
    """
    asked = asked.encode(errors="replace").decode().strip()
    with recalled(warehouse_file, wait, rules.statuses, asked, as_of, now) as con:
        found = _find(con, rules.statuses, asked, as_of)
        con.execute(
            "CREATE TEMP TABLE explained_passes AS SELECT unnest($pass_ids::VARCHAR[]) AS pass_id",
            {"pass_ids": list(found.pass_ids)},
        )
        passes = explain_passes(con, rules.statuses)
        key = found.customer_key
        row = explain_row(con, key, passes) if key else []
        versions = versions_of(con, key) if key else []
        crm = explain_crm(con, key, rules.tolerance, is_past=as_of is not None) if key else None
        return Explanation(
            asked=asked,
            as_of=as_of or now,
            summary=sum_up(key, passes, row, versions, crm),
            customer=explain_customer(con, key) if key else None,
            passes=passes,
            row=row,
            versions=versions,
            crm=crm,
            timeline=[Entry(**one) for one in rows(con, query("timeline"), {"customer_key": key})],
        )


def _find(con: duckdb.DuckDBPyConnection, rules: StatusRules, asked: str, as_of: datetime | None) -> Customer:
    try:
        return find_customer(con, asked, rules)
    except UnknownCustomerError as error:
        named = name_asked(con, rules, asked)
        hints = former_passes(con, None, named["name"], named["value"])
        then = f"That is how it was at {moment(as_of)}; leave out --as-of to ask as of now. " if as_of else ""
        raise UnknownCustomerError(" ".join([f"{then}{error}", *hints])) from error
