"""A fresh warehouse for each test."""

from collections.abc import Iterator

import duckdb
import pytest

from wallet_pipeline.warehouse.connection import migrate


@pytest.fixture
def warehouse() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield an empty, migrated warehouse in memory, in UTC."""
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    migrate(con)
    yield con
    con.close()
