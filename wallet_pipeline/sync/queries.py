"""The texts of the sync's `sql/`, and values on their way into a table."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from wallet_pipeline.warehouse.connection import naive
from wallet_pipeline.warehouse.queries import read_query

query = partial(read_query, "wallet_pipeline.sync")


def as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values in the form in which a JSON row takes them into a table: times as text, UTC, without a zone."""
    return {name: naive(value).isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
