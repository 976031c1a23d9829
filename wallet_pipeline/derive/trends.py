"""Adoption trends: counts over time for analysts, from Insights and the registers."""

import duckdb

from wallet_pipeline.derive.statuses import query
from wallet_pipeline.warehouse.connection import transaction


def derive_adoption_daily(con: duckdb.DuckDBPyConnection) -> None:
    """Build adoption.adoption_daily anew, in one transaction."""
    with transaction(con):
        con.execute("DELETE FROM adoption.adoption_daily")
        con.execute(f"INSERT INTO adoption.adoption_daily BY NAME {query('adoption_daily')}")
    con.execute("CHECKPOINT")
