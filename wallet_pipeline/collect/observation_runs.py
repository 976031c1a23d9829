"""Merging a snapshot into the tables of runs: equal observations of consecutive snapshots are one row."""

import duckdb

from wallet_pipeline.collect.queries import query
from wallet_pipeline.warehouse.queries import one_row


def merge_runs(con: duckdb.DuckDBPyConnection, snapshot_id: str) -> None:
    """Merge the staging database that is attached as `staging`; the snapshot is booked as accepted already."""
    _merge_table(con, "passes", ["pass_id"], ["pass_type", "created_at", "identifiers"], snapshot_id)
    _merge_table(con, "wallet_observations", ["pass_id", "wallet"], ["present", "installed_at"], snapshot_id)


def _merge_table(
    con: duckdb.DuckDBPyConnection, table: str, key: list[str], values: list[str], snapshot_id: str
) -> None:
    """Merge the staged rows into a table of runs, wherever in the order of snapshots this one stands.

    A run that spans the snapshot and agrees with it stays as it is. One that does not is cut there: it ends at the
    snapshot before, and what lies after it begins anew at the next one. Only changes are written.
    """
    before, after = one_row(
        con,
        "SELECT max(snapshot_id) FILTER (snapshot_id < $id), min(snapshot_id) FILTER (snapshot_id > $id)"
        " FROM raw.snapshots WHERE verdict = 'accepted'",
        {"id": snapshot_id},
    )
    staged = query(f"staged_{table}")
    columns = ", ".join(key + values)
    same = " AND ".join(f"r.{column} IS NOT DISTINCT FROM s.{column}" for column in key + values)
    con.execute(f"CREATE OR REPLACE TEMP TABLE staged AS {staged}")
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE spanning AS SELECT rowid AS run, {columns}, last_snapshot FROM raw.{table}"
        " WHERE first_snapshot <= $before AND (last_snapshot IS NULL OR last_snapshot >= $after)",
        {"before": before, "after": after},
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE cut AS SELECT * FROM spanning r ANTI JOIN staged s ON {same}")
    if after:
        con.execute(f"INSERT INTO raw.{table} SELECT {columns}, $after, last_snapshot FROM cut", {"after": after})
    con.execute(
        f"UPDATE raw.{table} SET last_snapshot = $before WHERE rowid IN (SELECT run FROM cut)", {"before": before}
    )
    con.execute(
        f"INSERT INTO raw.{table} SELECT {columns}, $id, if($after IS NULL, NULL, $id) FROM staged s"
        f" ANTI JOIN spanning r ON {same}",
        {"id": snapshot_id, "after": after},
    )
    con.execute("DROP TABLE cut; DROP TABLE spanning; DROP TABLE staged")
