"""Adoption by day, from counts and registers to rows."""

from datetime import date

import duckdb
import pytest

from wallet_pipeline.derive.trends import derive_adoption_daily

DAYS = [date(2026, 3, day) for day in (1, 2, 3)]


@pytest.fixture
def counts(warehouse: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Give a warehouse with three days of counts and two passes installed in the end."""
    warehouse.executemany("INSERT INTO raw.insights_days VALUES (?, now()::TIMESTAMP)", [[day] for day in DAYS])
    warehouse.executemany(
        "INSERT INTO raw.insights_daily VALUES (?, ?, 'loyalty', 'apple', ?, ?)",
        [[DAYS[0], "Pass:Installed", 4, 3], [DAYS[2], "Pass:Installed", 1, 1], [DAYS[2], "Pass:Uninstalled", 2, 2]],
    )
    warehouse.execute(
        "INSERT INTO wallet.registers (pass_id, wallet, installed) VALUES ('a', 'apple', TRUE), ('b', 'apple', TRUE)"
    )
    warehouse.execute(
        "INSERT INTO wallet.pass_customers (pass_id, pass_type, resolution)"
        " VALUES ('a', 'loyalty', 'unmatched'), ('b', 'loyalty', 'unmatched')"
    )
    return warehouse


def rows(con: duckdb.DuckDBPyConnection, columns: str) -> list[tuple[object, ...]]:
    """Return columns of the table, by day."""
    derive_adoption_daily(con)
    return con.execute(f"SELECT {columns} FROM adoption.adoption_daily ORDER BY day, wallet").fetchall()


def test_a_day_without_events_is_a_row_of_zeros(counts: duckdb.DuckDBPyConnection) -> None:
    """Installs, uninstalls and net of each day, quiet ones included."""
    assert rows(counts, "installs, uninstalls, net") == [(4, 0, 4), (0, 0, 0), (1, 2, -1)]


def test_means_cover_the_days_there_are(counts: duckdb.DuckDBPyConnection) -> None:
    """The 7-day mean of the first days is over fewer days."""
    assert rows(counts, "installs_7d_mean") == [(4.0,), (2.0,), (5 / 3,)]


def test_installed_passes_walk_back_from_the_registers(counts: duckdb.DuckDBPyConnection) -> None:
    """Two are installed in the end; one came and two went on the last day, so three were before."""
    assert rows(counts, "installed_passes") == [(3,), (3,), (2,)]


def test_installed_passes_before_an_unread_day_are_unknown(counts: duckdb.DuckDBPyConnection) -> None:
    """Nobody can walk back over a day that was not read."""
    counts.execute("DELETE FROM raw.insights_days WHERE day = '2026-03-02'")
    assert rows(counts, "installed_passes") == [(None,), (2,)]
