"""The trend tables are what a count of every pass on every day says, for random histories and time zones."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from wallet_pipeline.derive.trends import derive_trends

from .trends_oracle import History, Oracle
from .worlds import Warehouse

START = datetime(2026, 2, 20)  # noqa: DTZ001  UTC, as the warehouse keeps times
DAYS = 50
# Clocks change on 2026-03-08 in New York and on 2026-03-29 in Paris; Kathmandu is 5:45 ahead.
ZONES = st.sampled_from([ZoneInfo(name) for name in ("UTC", "Europe/Paris", "America/New_York", "Asia/Kathmandu")])
PASSES = ["a", "b", "c"]
# Few hours: events meet each other, the edges of days, and each other again after whole days.
moments = st.builds(
    lambda day, hour: START + timedelta(days=day, hours=hour),
    st.integers(0, DAYS - 1) | st.sampled_from([0, 1, 7, 30]),
    st.sampled_from([0, 1, 12, 23]),
)


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Return a history in which Insights, registers and lists may say different things."""
    offsets = draw(st.sets(st.integers(0, DAYS - 1), max_size=3))
    days = [START.date() + timedelta(days=n) for n in range(DAYS) if n not in offsets]
    events = draw(
        st.lists(
            st.tuples(moments, st.sampled_from(["installed", "uninstalled"]), st.sampled_from(PASSES), wallets),
            min_size=6,
            max_size=18,
        )
    )
    listed = {
        pass_id: (draw(st.sampled_from(["loyalty", "offer"])), draw(moments))
        for pass_id in draw(st.sets(st.sampled_from(PASSES), min_size=1))
    }
    registers = {}
    for pass_id in listed:
        for wallet in ("apple", "google"):
            installed, changed = draw(st.booleans()), draw(st.none() | moments)
            # What was never installed has no change; what is has both.
            at = draw(moments)
            registers[pass_id, wallet] = (installed, at if installed else None, at if installed else changed)
    return History(days, [*set(events)], registers, listed, draw(st.lists(moments, max_size=2)), draw(versions()))


wallets = st.sampled_from(["apple", "apple", "apple", "google", ""])


@st.composite
def versions(draw: st.DrawFn) -> list[tuple[str, str, datetime, datetime | None]]:
    """Return versions of customers' statuses, with and without a gap between them."""
    rows: list[tuple[str, str, datetime, datetime | None]] = []
    for customer in ("x", "y"):
        edges = sorted(draw(st.sets(moments, max_size=5)))
        for begin, end in pairwise([*edges, None]):
            if draw(st.integers(0, 3)):
                rows.append((customer, draw(st.sampled_from(["none", "apple", "google", "both"])), begin, end))
    return rows


def fill(con: duckdb.DuckDBPyConnection, history: History) -> None:
    """Put a history into the warehouse."""
    for table, values in {
        "raw.insights_days": [(day, START) for day in history.days],
        "raw.insights_events": [
            (at, kind, pass_id, history.listed.get(pass_id, ("",))[0], wallet)
            for at, kind, pass_id, wallet in history.events
        ],
        "wallet.registers": [
            (*key, installed, installed_at, changed_at, None, None)
            for key, (installed, installed_at, changed_at) in history.registers.items()
        ],
        "wallet.pass_customers": [
            (pass_id, *listed, "unmatched", None, None, None, None) for pass_id, listed in history.listed.items()
        ],
        "wallet.customer_status_changes": [
            (customer, status, None, None, None, None, begin, end) for customer, status, begin, end in history.statuses
        ],
    }.items():
        con.execute(f"DELETE FROM {table}")
        if values:
            con.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values[0]))})", values)
    con.execute("DELETE FROM raw.snapshots")
    for at in history.snapshots:
        con.execute("INSERT INTO raw.snapshots (started_at, verdict, complete) VALUES (?, 'accepted', TRUE)", [at])


@given(history=histories(), zone=ZONES)
def test_tables_are_what_counting_says(shared: Warehouse, history: History, zone: ZoneInfo) -> None:
    """Each cell of each table equals a count over all passes, whatever the sources say."""
    now = START + timedelta(days=DAYS - 1, hours=12)
    fill(shared.con, history)
    derive_trends(shared.con, zone, now.replace(tzinfo=UTC))
    oracle = Oracle(history, zone, now)

    def rows(columns: str, table: str) -> list[tuple[Any, ...]]:
        return sorted(shared.con.execute(f"SELECT {columns} FROM adoption.{table}").fetchall(), key=str)

    spells = [(one.pass_id, one.wallet, one.number, one.pass_type, one.begin, one.end) for one in oracle.spells]
    assert rows("pass_id, wallet, number, pass_type, installed_at, uninstalled_at", "installations") == sorted(
        spells, key=str
    )
    for table, period, expected in [
        ("adoption_daily", "day", oracle.daily()),
        ("adoption_weekly", "week AS period", oracle.periods("W")),
        ("adoption_monthly", "month AS period", oracle.periods("M")),
    ]:
        equal(expected, shared.con.execute(f"SELECT {period}, * FROM adoption.{table}").df())
    cohort = "created_month, pass_type, wallet, months_since, passes, installed_passes, retained_passes"
    assert rows(cohort, "adoption_cohorts") == sorted(oracle.cohorts(), key=str)
    hours = "round(p50_hours, 6), round(p90_hours, 6)"
    times = f"created_month, pass_type, wallet, passes, installed_passes, {hours}, within_1_day"
    assert rows(times, "time_to_install") == sorted(oracle.time_to_install(), key=str)
    assert rows("*", "churn") == sorted(oracle.churn(), key=str)
    assert rows("*", "status_daily") == sorted(oracle.status_daily(), key=str)
    assert rows("*", "wallet_switches") == sorted(oracle.switches(), key=str)


def equal(expected: pd.DataFrame, found: pd.DataFrame) -> None:
    """Compare the columns of the one with those of the other."""
    if expected.empty:
        assert found.empty
        return
    keys = [name for name in ("day", "period", "pass_type", "wallet") if name in expected]
    both = [frame.astype({keys[0]: str}).sort_values(keys).reset_index(drop=True) for frame in (expected, found)]
    both[1][keys[0]] = both[1][keys[0]].str[:10]
    pd.testing.assert_frame_equal(both[0], both[1][list(both[0].columns)], check_dtype=False)
