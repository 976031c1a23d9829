"""The copy of the warehouse that analysts read, a file and Parquet files: written aside, then put in place at once."""

import logging
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from wallet_pipeline.warehouse.connection import migrate
from wallet_pipeline.warehouse.files import put_in_place, remove
from wallet_pipeline.warehouse.parquet import ParquetSets, PublishError, write_set
from wallet_pipeline.warehouse.queries import one_row, read_query, row_count

log = logging.getLogger(__name__)

# In the order of the README's table; each keeps its comments.
PUBLISHED = {
    "customer_wallet_status": "wallet.customer_wallet_status",
    "wallet_registers": "wallet.registers",
    "customer_status_changes": "wallet.customer_status_changes",
    "pass_customers": "wallet.pass_customers",
    "pass_identifiers": "wallet.borne_identifiers",
    "unmatched_passes": "wallet.unmatched_passes",
    "wallet_observations": "raw.wallet_observations",
    "wallet_events": "raw.wallet_events",
    "ignored_events": "wallet.ignored_events",
    "unusable_deliveries": "raw.unusable_deliveries",
    "identity_conflicts": "wallet.identity_conflicts",
    "conflicting_customers": "wallet.conflicting_customers",
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
    "adoption_by_source": "adoption.adoption_by_source",
    "status_daily": "adoption.status_daily",
    "wallet_switches": "adoption.wallet_switches",
    "event_arrivals": "wallet.event_arrivals",
    "reconciliation": "wallet.reconciliation",
    "reconciliation_reasons": "wallet.reconciliation_reasons",
    "reconciliation_differences": "wallet.reconciliation_differences",
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
_WALLETS = ("apple", "google")
_STATUSES = ("none", *_WALLETS, "both")
_EVENTS = ("installed", "uninstalled")
# Columns whose values the pipeline alone makes, with all that there are, in the order in which they sort.
ENUMS: dict[str, dict[str, tuple[str, ...]]] = {
    "customer_wallet_status": {"wallet_status": _STATUSES, "wallet_last_event": _EVENTS},
    "customer_status_changes": {"wallet_status": _STATUSES, "wallet_last_event": _EVENTS},
    "wallet_registers": {"wallet": _WALLETS, "last_event": _EVENTS},
    "wallet_observations": {"wallet": _WALLETS},
    "wallet_events": {"kind": _EVENTS},
    "ignored_events": {"kind": _EVENTS},
    "installations": {"wallet": _WALLETS},
    "adoption_daily": {"wallet": _WALLETS},
    "adoption_weekly": {"wallet": _WALLETS},
    "adoption_monthly": {"wallet": _WALLETS},
    "adoption_cohorts": {"wallet": (*_WALLETS, "any")},
    "time_to_install": {"wallet": (*_WALLETS, "any")},
    "churn": {"wallet": _WALLETS},
    "adoption_by_source": {"wallet": _WALLETS},
    "status_daily": {"wallet_status": _STATUSES},
    "wallet_switches": {"from_status": ("new", *_STATUSES), "to_status": (*_STATUSES, "gone")},
    "event_arrivals": {"wallet": _WALLETS, "kind": _EVENTS},
    "reconciliation": {"wallet": _WALLETS, "verdict": ("agree", "explained", "not compared", "not explained")},
    "reconciliation_reasons": {"wallet": _WALLETS},
    "reconciliation_differences": {"wallet": _WALLETS},
    "crm_plan": {"wallet_status": _STATUSES, "wallet_last_event": _EVENTS},
    "crm_deliveries": {"wallet_status": _STATUSES, "wallet_last_event": _EVENTS},
}
# Columns with several values in one, as text that every tool can show.
_TEXTS = {
    "identifiers": """array_to_string(
        [one.key || '=' || coalesce(one.value, '') FOR one IN map_entries(identifiers::JSON::MAP(VARCHAR, VARCHAR))],
        ', '
    )""",
    "customer_keys": "array_to_string(customer_keys, ', ')",
}
# Readable by DuckDB 1.4, 1.5 and 2.x.
_STORAGE_VERSION = "v1.4.0"


@dataclass(frozen=True)
class Published:
    """The file for analysts, the link to the Parquet files, and the number of rows of each table."""

    file: Path
    parquet: Path
    rows: dict[str, int]


def parquet_sets(bi_file: Path) -> ParquetSets:
    """Return the sets of Parquet files beside the file for analysts."""
    return ParquetSets(bi_file.with_name("bi"))


def publish(con: duckdb.DuckDBPyConnection, bi_file: Path) -> Published:
    """Copy the tables for analysts to `bi_file` and, as Parquet, to the folder `bi` beside it. Raises PublishError.

    Readers that have the old file or the old folder open keep it.
    """
    aside, sets = bi_file.with_name(bi_file.name + ".tmp"), parquet_sets(bi_file)
    try:
        remove(aside)
        folder = sets.begin()
        rows = _write(con, aside, folder)
        sets.prepare(folder)
        aside.chmod(0o444)
        put_in_place(aside, bi_file)
        sets.show()
    except PublishError:
        _clean(aside, sets)
        raise
    except (OSError, duckdb.Error) as error:
        _clean(aside, sets)
        raise PublishError(
            f"{bi_file} could not be written: {str(error).splitlines()[0]}. The last good file is still in place."
            " Check the free disk space and the folder's rights, and run again."
        ) from error
    return Published(bi_file, sets.link, rows)


def published_types() -> dict[str, dict[str, str]]:
    """Return the types of the columns of each published table, as long as no value is unforeseen."""
    with duckdb.connect() as con:
        migrate(con)
        con.execute("ATTACH ':memory:' AS bi")
        _copy_all(con)
        rows = con.execute(
            "SELECT table_name, map(list(column_name), list(data_type)) FROM duckdb_columns()"
            " WHERE database_name = 'bi' GROUP BY table_name"
        ).fetchall()
    return dict(rows)


def _clean(aside: Path, sets: ParquetSets) -> None:
    with suppress(OSError, PublishError):
        remove(aside)
        sets.discard()


def _write(con: duckdb.DuckDBPyConnection, aside: Path, folder: Path) -> dict[str, int]:
    """Write the file and then, from it, the Parquet files; return the number of rows of each table."""
    quoted = str(aside).replace("'", "''")
    con.execute(f"ATTACH '{quoted}' AS bi (STORAGE_VERSION '{_STORAGE_VERSION}')")
    try:
        _copy_all(con)
        con.execute("CHECKPOINT bi")
    except duckdb.Error:
        # It fails once more where the disk is full, and would hide why.
        with suppress(duckdb.Error):
            con.execute("DETACH bi")
        raise
    con.execute("DETACH bi")
    with duckdb.connect(aside, read_only=True) as copy:
        written = write_set(copy, folder)
        return {name: _counted(con, copy, name, written[name]) for name in PUBLISHED}


def _copy_all(con: duckdb.DuckDBPyConnection) -> None:
    for name, source in PUBLISHED.items():
        if name in _VIEWS:
            con.execute(f"CREATE VIEW bi.main.{name} AS {_over_published_tables(con, source)}")
        else:
            con.execute(f"CREATE TABLE bi.main.{name} AS SELECT {_columns(con, name)} FROM {source}")
    _copy_comments(con)


def _columns(con: duckdb.DuckDBPyConnection, name: str) -> str:
    """Return what to select for a published table: all columns, some of them in another form than in the warehouse."""
    there = {row[0] for row in con.execute(f"DESCRIBE {PUBLISHED[name]}").fetchall()}
    forms = {column: text for column, text in _TEXTS.items() if column in there}
    for column, values in ENUMS.get(name, {}).items():
        if _is_foreseen(con, name, column, values):
            forms[column] = f"{column}::ENUM{values}"
    return f"* REPLACE ({', '.join(f'{form} AS {column}' for column, form in forms.items())})" if forms else "*"


def _is_foreseen(con: duckdb.DuckDBPyConnection, name: str, column: str, values: tuple[str, ...]) -> bool:
    """Tell whether a column has no other values than these; else it is published as text, and no row is lost."""
    (other,) = one_row(con, f"SELECT any_value({column}) FROM {PUBLISHED[name]} WHERE {column} NOT IN {values}")
    if other is not None:
        log.warning("%s.%s is published as text: it holds %r, which is none of %s", name, column, other, values)
    return other is None


def _over_published_tables(con: duckdb.DuckDBPyConnection, view: str) -> str:
    """Return the query of a view of the warehouse, with the published name of each table in it.

    The warehouse keeps it in DuckDB's own writing, where each table is followed by its alias.
    """
    (sql,) = one_row(con, "SELECT sql FROM duckdb_views() WHERE schema_name || '.' || view_name = ?", [view])
    text = str(sql).partition(" AS ")[2]
    for name, source in PUBLISHED.items():
        text = re.sub(rf"\b{re.escape(source)} AS\b", f"{name} AS", text)
    return text


def _copy_comments(con: duckdb.DuckDBPyConnection) -> None:
    """Give the published tables and views, and their columns, the comments of what they are copies of."""
    names = {source: name for name, source in PUBLISHED.items()}
    for source, column, comment in con.execute(read_query("wallet_pipeline.warehouse", "comments")).fetchall():
        if name := names.get(source):
            kind = "VIEW" if name in _VIEWS else "TABLE"
            what = f"{kind} bi.main.{name}" if column is None else f'COLUMN bi.main.{name}."{column}"'
            text = (comment or "").replace("'", "''")
            con.execute(f"COMMENT ON {what} IS '{text}'")


def _counted(con: duckdb.DuckDBPyConnection, copy: duckdb.DuckDBPyConnection, name: str, in_parquet: int) -> int:
    """Compare the copies, opened anew, with their source: one that lost rows must not replace a good one."""
    source = PUBLISHED[name]
    expected, found = row_count(con, source), row_count(copy, name)
    if not expected == found == in_parquet:
        raise PublishError(
            f"The copies of {source} have {found} rows, and {in_parquet} as Parquet, instead of {expected}. The last"
            " good file is still in place; run again."
        )
    return found
