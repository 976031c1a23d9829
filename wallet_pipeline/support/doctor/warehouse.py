"""The warehouse: is there room, does it open, and what do its tables say of runs, events and customers."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb

from wallet_pipeline.collect.pass_snapshot import LATE_AFTER, TOO_LATE_AFTER
from wallet_pipeline.support.doctor.customers import customer_checks
from wallet_pipeline.support.doctor.events import event_checks
from wallet_pipeline.support.doctor.finding import Finding, each, ok, problem, warning
from wallet_pipeline.support.doctor.installation import WAREHOUSE_WAIT_S, Installation
from wallet_pipeline.support.doctor.runs import run_checks
from wallet_pipeline.support.doctor.words import age, size
from wallet_pipeline.warehouse.connection import WarehouseError, look_into, pending_migrations
from wallet_pipeline.warehouse.staging import leftovers

# A copy for analysts is written beside it, and DuckDB spills what does not fit into memory.
_ROOM, _LEAST_ROOM = 2, 200 * 2**20
_A_DAY = timedelta(days=1)


def examine_warehouse(installation: Installation) -> Iterator[Finding]:
    """Yield what is to be said of the warehouse, and by it."""
    settings = installation.settings
    yield from each(
        {
            "room": lambda: judge_room(_size(settings.warehouse_file), _free(settings.data_dir)),
            "staging": partial(_staging, installation),
            "file for analysts": partial(_file_for_analysts, installation),
        }
    )
    # Listed, so that the warehouse is closed again however slowly somebody reads.
    yield from list(_by_tables(installation))


def judge_room(warehouse: int, free: int) -> Iterator[Finding]:
    """Compare the free disk space with the size of the warehouse, both in bytes."""
    text = f"The warehouse has {size(warehouse)}; {size(free)} are free on its disk."
    step = "Free some space, or put DATA_DIR on a larger disk."
    if free < _LEAST_ROOM:
        yield problem(text, step)
    elif free < _ROOM * warehouse:
        yield warning(f"{text} A run may need twice the warehouse's size beside it.", step)
    else:
        yield ok(text)


def _by_tables(installation: Installation) -> Iterator[Finding]:
    file = installation.settings.warehouse_file
    if not file.exists():
        text = f"There is no warehouse {file}: no run has taken anything in yet."
        yield Finding("warning", text, "`wallet-pipeline run` makes it; or put DATA_DIR right.", "opens")
        return
    try:
        with look_into(file, min(installation.settings.warehouse_wait, WAREHOUSE_WAIT_S)) as con:
            is_of_today = list(each({"opens": partial(_is_of_today, con, file)}))
            yield from is_of_today
            if is_of_today[0].level == "ok":
                checks = run_checks(con, installation) | event_checks(con, installation)
                yield from each(checks | customer_checks(con, installation))
    except WarehouseError as error:
        yield Finding("problem", f"{error} Nothing more could be looked at in it.", check="opens")


def _is_of_today(con: duckdb.DuckDBPyConnection, file: Path) -> Iterator[Finding]:
    if _is_behind(con):
        yield warning(
            f"{file} opens, but its tables are of an earlier version: they were not looked at.",
            "`wallet-pipeline run` brings them up to date.",
        )
    else:
        yield ok(f"{file} opens.")


def _is_behind(con: duckdb.DuckDBPyConnection) -> bool:
    try:
        return bool(pending_migrations(con))
    except duckdb.CatalogException:  # a run died before it made the first table
        return True


def _file_for_analysts(installation: Installation) -> Iterator[Finding]:
    file = installation.settings.bi_file
    if not file.exists():
        yield warning(f"There is no {file} yet.", "`wallet-pipeline run` makes it, once a whole run has gone well.")
        return
    old = installation.clock() - datetime.fromtimestamp(file.stat().st_mtime, UTC)
    text = f"{file} was made {age(old)} ago."
    if old <= LATE_AFTER:
        yield ok(text)
    else:
        tell = problem if old > TOO_LATE_AFTER else warning
        yield tell(text, "A whole run makes it anew: see why none has gone well since, below.")


def _staging(installation: Installation) -> Iterator[Finding]:
    folder = installation.settings.staging_dir
    left = leftovers(folder, installation.clock() - _A_DAY)
    if not left:
        yield ok("No work file of a run that was killed is left over.")
        return
    yield warning(
        f"{len(left)} work files in {folder} have not been touched for a day ({size(sum(map(_size, left)))}).",
        "The next run of that kind removes them; when no run is going on, you may delete them.",
    )


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _free(folder: Path) -> int:
    there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    return shutil.disk_usage(there).free
