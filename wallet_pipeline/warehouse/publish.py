"""The copy of the warehouse that analysts read: written aside, then put in place at once."""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.warehouse.files import put_in_place, remove
from wallet_pipeline.warehouse.queries import one_row

# In the order of the README's table; each keeps its comments.
PUBLISHED = {
    "customer_wallet_status": "wallet.customer_wallet_status",
    "wallet_registers": "wallet.registers",
    "customer_status_changes": "wallet.customer_status_changes",
    "pass_customers": "wallet.pass_customers",
    "unmatched_passes": "wallet.unmatched_passes",
    "wallet_observations": "raw.wallet_observations",
    "wallet_events": "raw.wallet_events",
    "ignored_events": "wallet.ignored_events",
    "unusable_deliveries": "raw.unusable_deliveries",
    "identity_conflicts": "wallet.identity_conflicts",
    "snapshots": "raw.snapshots",
    "insights_daily": "raw.insights_daily",
    "insights_corrections": "raw.insights_corrections",
    "calendar": "adoption.calendar",
    "installations": "adoption.installations",
    "created_passes": "adoption.created_passes",
    "adoption_daily": "adoption.adoption_daily",
    "adoption_weekly": "adoption.adoption_weekly",
    "adoption_monthly": "adoption.adoption_monthly",
    "adoption_cohorts": "adoption.adoption_cohorts",
    "time_to_install": "adoption.time_to_install",
    "churn": "adoption.churn",
    "status_daily": "adoption.status_daily",
    "wallet_switches": "adoption.wallet_switches",
    "event_arrivals": "wallet.event_arrivals",
    "crm_links": "crm.links",
    "crm_plan": "crm.plan",
    "crm_deliveries": "crm.deliveries",
    "crm_drift": "crm.drift",
    "crm_fights": "crm.fights",
    "crm_rejections": "crm.rejections",
    "customer_timeline": "wallet.customer_timeline",
}
# Views there, too, over the tables: as a table it would make the file nearly twice as large.
_VIEWS = {"customer_timeline"}
# Readable by DuckDB 1.4, 1.5 and 2.x.
_STORAGE_VERSION = "v1.4.0"


class PublishError(ExplainedError):
    """The copy could not be made; the last good one is still in place."""


@dataclass(frozen=True)
class Published:
    """The file for analysts and the number of rows of each of its tables."""

    file: Path
    rows: dict[str, int]


def publish(con: duckdb.DuckDBPyConnection, bi_file: Path) -> Published:
    """Copy the tables for analysts to `bi_file`; readers that have it open keep the old one. Raises PublishError."""
    aside = bi_file.with_name(bi_file.name + ".tmp")
    try:
        remove(aside)
        rows = _write(con, aside)
        aside.chmod(0o444)
        put_in_place(aside, bi_file)
    except PublishError:
        remove(aside)
        raise
    except (OSError, duckdb.Error) as error:
        with suppress(OSError):
            remove(aside)
        raise PublishError(
            f"{bi_file} could not be written: {str(error).splitlines()[0]}. The last good file is still in place."
            " Check the free disk space and the folder's rights, and run again."
        ) from error
    return Published(bi_file, rows)


def _write(con: duckdb.DuckDBPyConnection, aside: Path) -> dict[str, int]:
    quoted = str(aside).replace("'", "''")
    con.execute(f"ATTACH '{quoted}' AS bi (STORAGE_VERSION '{_STORAGE_VERSION}')")
    try:
        for name, source in PUBLISHED.items():
            if name in _VIEWS:
                con.execute(f"CREATE VIEW bi.main.{name} AS {_over_published_tables(con, source)}")
            else:
                con.execute(f"CREATE TABLE bi.main.{name} AS FROM {source}")
            _copy_comments(con, source, name)
        con.execute("CHECKPOINT bi")
    except duckdb.Error:
        # It fails once more where the disk is full, and would hide why.
        with suppress(duckdb.Error):
            con.execute("DETACH bi")
        raise
    con.execute("DETACH bi")
    return _count(con, aside)


def _over_published_tables(con: duckdb.DuckDBPyConnection, view: str) -> str:
    """Return the query of a view of the warehouse, with the published name of each table in it.

    The warehouse keeps it in DuckDB's own writing, where each table is followed by its alias.
    """
    (sql,) = one_row(con, "SELECT sql FROM duckdb_views() WHERE schema_name || '.' || view_name = ?", [view])
    text = str(sql).partition(" AS ")[2]
    for name, source in PUBLISHED.items():
        text = re.sub(rf"\b{re.escape(source)} AS\b", f"{name} AS", text)
    return text


def _copy_comments(con: duckdb.DuckDBPyConnection, source: str, name: str) -> None:
    schema, table = source.split(".")
    comments = con.execute(
        """
        SELECT NULL, comment FROM duckdb_tables()
        WHERE database_name = current_database() AND schema_name = $1 AND table_name = $2
        UNION ALL
        SELECT NULL, comment FROM duckdb_views()
        WHERE database_name = current_database() AND schema_name = $1 AND view_name = $2
        UNION ALL
        SELECT column_name, comment FROM duckdb_columns()
        WHERE database_name = current_database() AND schema_name = $1 AND table_name = $2
        """,
        [schema, table],
    ).fetchall()
    for column, comment in comments:
        kind = "VIEW" if name in _VIEWS else "TABLE"
        what = f"{kind} bi.main.{name}" if column is None else f'COLUMN bi.main.{name}."{column}"'
        text = (comment or "").replace("'", "''")
        con.execute(f"COMMENT ON {what} IS '{text}'")


def _count(con: duckdb.DuckDBPyConnection, aside: Path) -> dict[str, int]:
    """Compare the copy, opened anew, with its source: a copy that lost rows must not replace a good one."""
    rows = {}
    with duckdb.connect(aside, read_only=True) as copy:
        for name, source in PUBLISHED.items():
            expected, found = (_rows(con, source), _rows(copy, name))
            if expected != found:
                raise PublishError(f"The copy of {source} has {found} rows instead of {expected}; run again.")
            rows[name] = found
    return rows


def _rows(con: duckdb.DuckDBPyConnection, table: str) -> int:
    row = con.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0
