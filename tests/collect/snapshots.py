"""Taking snapshots as the pipeline does, and staging lists of passes without a service."""

import json
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from tests.conftest import Data, Tenant
from wallet_pipeline.collect.page_loader import open_staging
from wallet_pipeline.collect.pass_snapshot import Snapshot, snapshot_id, take_snapshot


def now() -> datetime:
    """Return this moment, aware, UTC."""
    return datetime.now(UTC)


def take(
    data: Data,
    tenant: Tenant,
    *,
    page_size: int = 10,
    concurrency: int = 4,
    min_share: float = 0.9,
    clock: Callable[[], datetime] = now,
    open_warehouse: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]] | None = None,
    **client: Any,
) -> Snapshot:
    """Take a snapshot of the tenant into the data folder."""
    with tenant.client(**client) as service:
        return take_snapshot(
            open_warehouse or data.open,
            service,
            data.staging,
            page_size=page_size,
            concurrency=concurrency,
            min_share=min_share,
            clock=clock,
        )


def stage(file: Path, *passes: dict[str, Any]) -> Path:
    """Write a staging file that lists these passes on one page."""
    with open_staging(file) as loader:
        loader.load({0: json.dumps(passes).encode()})
    return file


def accepted(day: int, passes: int) -> Snapshot:
    """Return the bookkeeping of a complete, accepted snapshot that started on a day of January 2026."""
    start = datetime(2026, 1, day, tzinfo=UTC)
    return Snapshot(
        snapshot_id=snapshot_id(start, "test"),
        started_at=start,
        finished_at=start,
        complete=True,
        passes=passes,
        highest_total=passes,
        pages=1,
        attempts=1,
        clock="server",
        undated=0,
        other_wallets=0,
        verdict="accepted",
        reason=None,
    )


def everything_told(error: BaseException) -> str:
    """Return all that an exception says by any way of showing it, with its causes and contexts, suppressed ones too."""
    texts = [*traceback.format_exception(error)]
    told: BaseException | None = error
    while told is not None:
        texts += [str(told), repr(told), *map(repr, told.args)]
        told = told.__cause__ or told.__context__
    return "\n".join(texts)
