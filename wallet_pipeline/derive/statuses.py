"""Run the status rules: from the evidence in `raw.*` to registers, customers and their history."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache, partial

import duckdb
import idna

from wallet_pipeline.warehouse.connection import naive, transaction
from wallet_pipeline.warehouse.queries import one_row, read_query

query = partial(read_query, "wallet_pipeline.derive")

_VIEWS = ("ordered_evidence", "register_decisions")


@dataclass(frozen=True)
class StatusRules:
    """The settings of the rules: by how much the Pass API may lag, and which identifiers key a customer, best first."""

    staleness: timedelta
    identifier_order: tuple[str, ...]


def derive_statuses(con: duckdb.DuckDBPyConnection, rules: StatusRules, now: datetime) -> None:
    """Build registers, customers and what belongs to them anew, in one transaction; keep each version that is replaced.

    `now` (aware) is the moment from which a new version holds.
    """
    with transaction(con):
        con.execute(f"CREATE OR REPLACE TEMP TABLE touched_customers AS {query('touched_customers')}")
        derive_registers(con, rules)
        derive_customers(con, rules, now)
        con.execute(f"INSERT INTO touched_customers {query('touched_customers')}")
        mark_changed(con, now)
        con.execute("DELETE FROM raw.touched_passes")
    drop_temporary(con, "touched_customers")
    con.execute("CHECKPOINT")


def derive_registers(con: duckdb.DuckDBPyConnection, rules: StatusRules) -> None:
    """Build wallet.registers and wallet.ignored_events anew, in the caller's transaction."""
    with weighed_evidence(con, rules):
        _rebuild(con, "ignored_events")
        _rebuild(con, "registers", "wallet_registers")


@contextmanager
def weighed_evidence(con: duckdb.DuckDBPyConnection, rules: StatusRules) -> Iterator[None]:
    """Hold, for the length of a block, the evidence and what it decides.

    That is in temporary tables and views: evidence_events and wallet_evidence, ordered_evidence and register_decisions.
    """
    con.execute("SET VARIABLE staleness = ?", [rules.staleness])
    _build_temporary(con, "evidence_events", "wallet_evidence")
    for view in _VIEWS:
        con.execute(f"CREATE OR REPLACE TEMP VIEW {view} AS {query(view)}")
    yield
    for view in _VIEWS:
        con.execute(f"DROP VIEW temp.{view}")
    drop_temporary(con, "wallet_evidence", "evidence_events")


def derive_customers(con: duckdb.DuckDBPyConnection, rules: StatusRules, now: datetime) -> None:
    """Build who the customers are, their status and its versions anew, in the caller's transaction."""
    identify_passes(con, rules)
    _resolve_passes(con, len(rules.identifier_order))
    for table in ("customer_wallet_status", "unmatched_passes", "identity_conflicts"):
        _rebuild(con, table)
    _keep_versions(con, now)
    drop_temporary(con, "pass_identities", "pass_resolutions")


def identify_passes(con: duckdb.DuckDBPyConnection, rules: StatusRules) -> None:
    """Build wallet.pass_identifiers anew from the evidence; leaves the temporary table pass_identities."""
    con.execute("SET VARIABLE staleness = ?", [rules.staleness])
    _build_temporary(con, "evidence_events", "pass_identities")
    with identifier_order(con, rules):
        _rebuild(con, "pass_identifiers")
    drop_temporary(con, "evidence_events")


@contextmanager
def identifier_order(con: duckdb.DuckDBPyConnection, rules: StatusRules) -> Iterator[None]:
    """Hold, for the length of a block, what the query pass_identifiers takes beside the table pass_identities."""
    _register_ascii_domain(con)
    con.execute("CREATE OR REPLACE TEMP TABLE identifier_order (rank INTEGER, name VARCHAR, path VARCHAR)")
    for rank, name in enumerate(rules.identifier_order, start=1):
        con.execute("INSERT INTO identifier_order VALUES (?, ?, ?)", [rank, name, f'$."{name}"'])
    yield
    drop_temporary(con, "identifier_order")


@lru_cache(maxsize=65_536)  # many passes, few domains
def ascii_domain(domain: str) -> str:
    """Return the domain as UTS #46 writes it in ASCII, non-transitional; unchanged where it is no valid domain."""
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError:
        return domain


def normalise_identifiers(con: duckdb.DuckDBPyConnection, written: Sequence[tuple[str, str]]) -> list[str | None]:
    """Return the values of some identifiers, given by name and as written, in the form of wallet.pass_identifiers.

    They come in the order given; None stands for one that is none, such as a blank.
    """
    _register_ascii_domain(con)
    values = {"names": [name for name, _ in written], "written": [value for _, value in written]}
    given = "SELECT unnest(range(len($names))) AS n, unnest($names::VARCHAR[]) AS name"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE identifier_order AS SELECT n AS rank, name, '$.n' || n AS path FROM ({given})",
        {"names": values["names"]},
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE pass_identities AS SELECT '' AS pass_id, NULL::TIMESTAMP AS carried_at,"
        f" json_object('n' || n, written) AS identifiers FROM ({given}, unnest($written::VARCHAR[]) AS written)",
        values,
    )
    found = dict(con.execute(f"SELECT rank, value FROM ({query('pass_identifiers')})").fetchall())
    drop_temporary(con, "pass_identities", "identifier_order")
    return [found.get(place) for place in range(len(written))]


def mark_changed(con: duckdb.DuckDBPyConnection, now: datetime) -> int:
    """Leave to the sync whom events touch, and those of touched_customers whose row changed at `now`; count them."""
    (changed,) = one_row(
        con, f"INSERT INTO wallet.changed_customers BY NAME {query('changed_customers')}", {"now": naive(now)}
    )
    return int(changed)


def drop_temporary(con: duckdb.DuckDBPyConnection, *names: str) -> None:
    """Drop temporary tables that are there."""
    for name in names:
        con.execute(f"DROP TABLE IF EXISTS temp.{name}")


def _resolve_passes(con: duckdb.DuckDBPyConnection, ranks: int) -> None:
    con.execute(
        "CREATE OR REPLACE TEMP TABLE pass_resolutions"
        " (pass_id VARCHAR, identifier_name VARCHAR, identifier_value VARCHAR, customer_key VARCHAR)"
    )
    for rank in range(1, ranks + 1):
        con.execute(f"INSERT INTO pass_resolutions BY NAME {query('pass_customers')}", {"rank": rank})
    _rebuild(con, "pass_customers", "pass_resolutions")


def _register_ascii_domain(con: duckdb.DuckDBPyConnection) -> None:
    with suppress(duckdb.NotImplementedException):  # it is there already
        con.create_function("ascii_domain", ascii_domain)


def _rebuild(con: duckdb.DuckDBPyConnection, table: str, select: str | None = None) -> None:
    con.execute(f"DELETE FROM wallet.{table}")
    con.execute(f"INSERT INTO wallet.{table} BY NAME {query(select or table)}")


def _build_temporary(con: duckdb.DuckDBPyConnection, *names: str) -> None:
    for name in names:
        con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query(name)}")


def _keep_versions(con: duckdb.DuckDBPyConnection, now: datetime) -> None:
    moment = naive(now)
    con.execute(query("close_replaced_versions"), {"now": moment})
    con.execute(
        f"INSERT INTO wallet.customer_status_changes BY NAME {query('customer_status_changes')}", {"now": moment}
    )
