"""Derive only what new events touch: their passes, and the passes that share an identifier with them, to the last one.

These passes make up a small warehouse of their own, in memory. There the rules run just as for all passes, and the rows
that come out take the place of the old ones. Nothing outside can matter: a register depends on its own evidence, and
customers that share no identifier do not know each other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import duckdb

from wallet_pipeline.derive.statuses import (
    StatusRules,
    derive_customers,
    derive_registers,
    drop_temporary,
    identify_passes,
    mark_changed,
    query,
)
from wallet_pipeline.warehouse.connection import transaction
from wallet_pipeline.warehouse.queries import one_row, row_count

_EVIDENCE = ("raw.wallet_events", "raw.passes", "raw.wallet_observations")
_BY_PASS = (
    "wallet.registers", "wallet.ignored_events", "wallet.pass_identifiers", "wallet.pass_customers",
    "wallet.unmatched_passes",
)  # fmt: skip
_BY_CUSTOMER = ("wallet.customer_wallet_status", "wallet.customer_status_changes")


@dataclass(frozen=True)
class Touched:
    """How many passes had new events and were derived with them, and how many customers the sync is to look at."""

    passes: int
    derived: int
    changed_customers: int


def derive_touched(con: duckdb.DuckDBPyConnection, rules: StatusRules, now: datetime) -> Touched:
    """Derive what the passes in raw.touched_passes touch; the tables are then as if everything had been derived anew.

    Evidence that no derivation has seen yet, as of a snapshot just accepted, counts for these passes only. `now`
    (aware) is the moment from which a new version holds.
    """
    with _small_warehouse(con):
        con.execute("CREATE TABLE touched.component AS SELECT DISTINCT pass_id FROM raw.touched_passes")
        passes = row_count(con, "touched.component")
        if passes == 0:
            return Touched(0, 0, 0)
        _gather(con, rules)
        with _inside(con):
            derive_registers(con, rules)
            derive_customers(con, rules, now)
        with transaction(con):
            changed = _put_back(con, now)
            con.execute("DELETE FROM raw.touched_passes")
        drop_temporary(con, "touched_customers")
        return Touched(passes, row_count(con, "touched.component"), changed)


def count_touched(con: duckdb.DuckDBPyConnection) -> int:
    """Return how many passes have events that no derivation has seen."""
    return row_count(con, "(SELECT DISTINCT pass_id FROM raw.touched_passes)")


@contextmanager
def _small_warehouse(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    con.execute("ATTACH ':memory:' AS touched")
    try:
        con.execute("CREATE SCHEMA touched.raw; CREATE SCHEMA touched.wallet")
        con.execute("CREATE TABLE touched.raw.snapshots AS FROM raw.snapshots")
        for table in (*_EVIDENCE, *_BY_PASS, *_BY_CUSTOMER, "wallet.identity_conflicts"):
            con.execute(f"CREATE TABLE touched.{table} AS FROM {table} LIMIT 0")
        yield
    finally:
        con.execute("DETACH touched")


@contextmanager
def _inside(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let names lead into the small warehouse for the length of a block."""
    (home,) = one_row(con, "SELECT current_database()")
    con.execute("USE touched")
    try:
        yield
    finally:
        con.execute(f'USE "{home}"')


def _gather(con: duckdb.DuckDBPyConnection, rules: StatusRules) -> None:
    """Bring in the evidence of the touched passes and of all that share a value with them, before or now."""
    con.execute("CREATE TABLE touched.added AS FROM touched.component")
    while row_count(con, "touched.added"):
        for table in _EVIDENCE:
            con.execute(f"INSERT INTO touched.{table} FROM {table} SEMI JOIN touched.added USING (pass_id)")
        with _inside(con):
            identify_passes(con, rules)
        con.execute(f"CREATE OR REPLACE TABLE touched.added AS {query('related_passes')}")
        con.execute("INSERT INTO touched.component FROM touched.added")
    drop_temporary(con, "pass_identities")
    con.execute(
        "CREATE TABLE touched.values AS"
        " SELECT name, value FROM wallet.pass_identifiers SEMI JOIN touched.component USING (pass_id)"
        " UNION SELECT name, value FROM touched.wallet.pass_identifiers"
    )
    con.execute(
        "CREATE TABLE touched.customers AS"
        " SELECT DISTINCT customer_key FROM wallet.pass_customers SEMI JOIN touched.component USING (pass_id)"
    )
    con.execute(
        "INSERT INTO touched.wallet.customer_status_changes FROM wallet.customer_status_changes"
        " SEMI JOIN touched.customers USING (customer_key) WHERE valid_to IS NULL"
    )


def _put_back(con: duckdb.DuckDBPyConnection, now: datetime) -> int:
    """Replace the rows of the component and return how many customers have another row than before."""
    for table in _BY_PASS:
        con.execute(f"DELETE FROM {table} WHERE pass_id IN (FROM touched.component)")
    con.execute("DELETE FROM wallet.customer_wallet_status WHERE customer_key IN (FROM touched.customers)")
    con.execute(
        "DELETE FROM wallet.customer_status_changes WHERE valid_to IS NULL AND customer_key IN (FROM touched.customers)"
    )
    con.execute(
        "DELETE FROM wallet.identity_conflicts WHERE CASE kind WHEN 'conflict' THEN pass_id IN (FROM touched.component)"
        " ELSE (identifier_name, identifier_value) IN (SELECT (name, value) FROM touched.values) END"
    )
    for table in (*_BY_PASS, *_BY_CUSTOMER, "wallet.identity_conflicts"):
        con.execute(f"INSERT INTO {table} BY NAME FROM touched.{table}")
    con.execute(
        "CREATE OR REPLACE TEMP TABLE touched_customers AS FROM touched.customers"
        " UNION SELECT customer_key FROM touched.wallet.customer_wallet_status"
    )
    return mark_changed(con, now)
