"""Rejections: customers whose truth the CRM does not hold, by what is to be done about them."""

from dataclasses import dataclass
from datetime import datetime

import duckdb

from wallet_pipeline.sync.queries import query
from wallet_pipeline.warehouse.queries import aware


@dataclass(frozen=True)
class Rejections:
    """How many customers stand in crm.rejections for one reason, since when (aware, UTC), and up to how often tried."""

    error_class: str
    message: str | None
    next_step: str
    customers: int
    first_at: datetime
    attempts: int


def sum_up_rejections(con: duckdb.DuckDBPyConnection, *, by_message: bool) -> list[Rejections]:
    """Return the twenty largest groups of equal error class and next step, and where asked for of equal message."""
    rows = con.execute(query("open_rejections"), {"by_message": by_message}).fetchall()
    return [
        Rejections(error_class, message, next_step, customers, aware(first_at), attempts)
        for error_class, message, next_step, customers, first_at, attempts in rows
    ]
