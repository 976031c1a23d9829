"""The warehouse as it was known at a moment, in memory, for the passes and customers that a question may be about.

Their evidence is copied as far as it had arrived, the rules of the pipeline run on it, and what was held true, planned
and sent by then is laid beside. So the small warehouse answers as the large one would have answered then.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from wallet_pipeline.derive import statuses
from wallet_pipeline.derive.statuses import (
    StatusRules,
    derive_customers,
    derive_registers,
    drop_temporary,
    identifier_order,
    normalise_identifiers,
)
from wallet_pipeline.support.customers import split_identifier
from wallet_pipeline.support.explain.queries import query
from wallet_pipeline.warehouse.connection import migrate, naive, readable
from wallet_pipeline.warehouse.queries import named_values

_EVIDENCE = ("raw.snapshots", "raw.passes", "raw.wallet_observations", "raw.wallet_events")
_HISTORY = (
    "wallet.customer_status_changes", "wallet.changed_customers", "crm.links", "crm.plans", "crm.plan",
    "crm.deliveries", "crm.drift", "crm.rejections",
)  # fmt: skip


@contextmanager
def recalled(
    warehouse_file: Path, wait: float, rules: StatusRules, asked: str, as_of: datetime | None, now: datetime
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield the small warehouse as of a moment (aware), or of now: for whoever `asked` may name.

    The warehouse itself is open only while rows are copied, and nothing is written to it. Raises WarehouseError.
    """
    known_at = {"known_at": naive(as_of) if as_of else datetime.max}  # noqa: DTZ901  as the warehouse keeps times
    with closing(duckdb.connect()) as con:
        con.execute("SET TimeZone = 'UTC'")
        migrate(con)
        with readable(con, warehouse_file, wait):
            with _inside_warehouse(con):
                named = name_asked(con, rules, asked)
                _gather_component(con, rules, named)
                _copy(con, _EVIDENCE, known_at)
            _derive(con, rules, as_of or now)
            with _inside_warehouse(con):
                con.execute(f"CREATE TEMP TABLE concerned_customers AS {query('concerned_customers')}", named)
                _copy(con, _HISTORY, known_at)
        _find_earlier_identifiers(con, rules)
        yield con


@contextmanager
def _inside_warehouse(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    con.execute("USE warehouse")
    try:
        yield
    finally:
        con.execute("USE memory")


def name_asked(con: duckdb.DuckDBPyConnection, rules: StatusRules, asked: str) -> dict[str, str | None]:
    """Return what was asked, and the identifier in it, normalised, or null."""
    name, value = split_identifier(asked, rules)
    if name and value is not None:
        (value,) = normalise_identifiers(con, [(name, value)])
    return {"asked": asked, "name": name, "value": value}


def _gather_component(con: duckdb.DuckDBPyConnection, rules: StatusRules, named: Mapping[str, Any]) -> None:
    """Find the passes in question and all that share a value with them, to the last one."""
    _find_earlier_identifiers(con, rules)
    con.execute(f"CREATE TEMP VIEW borne AS {query('borne')}")
    con.execute(f"CREATE TEMP TABLE component AS {query('seeds')}", named)
    con.execute("CREATE TEMP TABLE added AS FROM component")
    while con.execute("FROM added LIMIT 1").fetchone():
        con.execute(f"CREATE OR REPLACE TEMP TABLE added AS {query('kin')}")
        con.execute("INSERT INTO component FROM added")
    con.execute("DROP VIEW borne")


def _find_earlier_identifiers(con: duckdb.DuckDBPyConnection, rules: StatusRules) -> None:
    con.execute(f"CREATE OR REPLACE TEMP TABLE pass_identities AS {query('earlier_carriers')}")
    with identifier_order(con, rules):
        con.execute(f"CREATE OR REPLACE TEMP TABLE earlier_identifiers AS {statuses.query('pass_identifiers')}")
    drop_temporary(con, "pass_identities")


def _copy(con: duckdb.DuckDBPyConnection, tables: tuple[str, ...], known_at: Mapping[str, Any]) -> None:
    for table in tables:
        text = query(f"known/{table}")
        con.execute(f"INSERT INTO memory.{table} BY NAME {text}", named_values(text, known_at))


def _derive(con: duckdb.DuckDBPyConnection, rules: StatusRules, moment: datetime) -> None:
    derive_registers(con, rules)
    derive_customers(con, rules, moment)
    # Which versions were really held true, the history says.
    con.execute("DELETE FROM wallet.customer_status_changes")
