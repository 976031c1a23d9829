"""A warehouse that has gone through the stages, and the file and folder that analysts read."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from tests.collect.snapshots import take
from tests.conftest import Data, Tenant
from wallet_pipeline.derive.statuses import StatusRules, derive_customers, derive_registers
from wallet_pipeline.derive.trends import derive_trends
from wallet_pipeline.warehouse.publish import Published, publish

RULES = StatusRules(timedelta(seconds=60), ("customerId", "accountId", "email"))


@pytest.fixture
def bi_file(data: Data) -> Path:
    """Give the name of the file for analysts."""
    return data.folder / "wallet_bi.duckdb"


@pytest.fixture
def derived(world: Tenant, data: Data) -> Data:
    """Give a warehouse that has gone through the stages before publishing."""
    take(data, world, page_size=1000)
    with data.open() as con:
        derive_registers(con, RULES)
        derive_customers(con, RULES, datetime.now(UTC))
        derive_trends(con, ZoneInfo("UTC"), datetime.now(UTC))
    return data


def publish_now(data: Data, bi_file: Path) -> Published:
    """Publish the warehouse."""
    with data.open() as con:
        return publish(con, bi_file)


def read(bi_file: Path, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query on the published file, as an analyst's tool reads it."""
    with duckdb.connect(bi_file, read_only=True) as con:
        return con.execute(query).fetchall()
