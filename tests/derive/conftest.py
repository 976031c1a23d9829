"""Fresh warehouses, and how many examples the property tests try."""

import os
from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import HealthCheck, settings

from wallet_pipeline.warehouse.connection import migrate

from .worlds import Warehouse

settings.register_profile(
    "ci",
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "search", settings.get_profile("ci"), max_examples=int(os.environ.get("EXAMPLES", "3000")), derandomize=False
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture
def warehouse() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield an empty, migrated warehouse in memory, in UTC."""
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    migrate(con)
    yield con
    con.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Warehouse]:
    """Yield a warehouse that the examples of a file share: building one takes longer than an example."""
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    migrate(con)
    yield Warehouse(con)
    con.close()
