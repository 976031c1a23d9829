"""The trend tables are what a count of every pass on every day says, for random histories and time zones."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from operator import add
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallet_pipeline.derive.trends import derive_trends

from .trends_oracle import TOLD_TYPE, History, Oracle
from .worlds import Warehouse

START = datetime(2026, 2, 20)  # noqa: DTZ001  UTC, as the warehouse keeps times
DAYS = 50
# Clocks change on 2026-03-08 in New York, 2026-03-29 in Paris and 2026-04-05, by half an hour, on Lord Howe Island.
# Kathmandu is 5:45 ahead.
ZONES = st.sampled_from([
    ZoneInfo(name)
    for name in ("UTC", "Europe/Paris", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
])  # fmt: skip
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
            st.tuples(moments, kinds, st.sampled_from(PASSES), wallets),
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
    sources = draw(
        st.lists(
            st.tuples(
                st.builds(add, st.sampled_from([at for at, *_ in events]) | moments, offsets_of_clocks),
                st.sampled_from(PASSES),
                st.just("apple"),
                st.sampled_from(["email", "qrcode/shop"]),
            ),
            max_size=6,
        )
    )
    snapshots = draw(st.lists(moments, max_size=2))
    return History(days, [*set(events)], registers, listed, snapshots, draw(versions()), sources)


kinds = st.sampled_from(["installed", "installed", "uninstalled", "uninstalled", "created"])
offsets_of_clocks = st.sampled_from(
    [timedelta(0), timedelta(seconds=-60), timedelta(seconds=-61), timedelta(seconds=2)]
)
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
            (at, kind, pass_id, history.listed.get(pass_id, (TOLD_TYPE,))[0], wallet)
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
    con.execute("DELETE FROM raw.wallet_events")
    for at, pass_id, wallet, source in history.sources:
        con.execute(
            "INSERT INTO raw.wallet_events (occurred_at, kind, pass_id, wallet, acquisition_source)"
            " VALUES (?, 'installed', ?, ?, ?)",
            [at, pass_id, wallet, source],
        )
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

    spells = [
        (
            one.pass_id,
            one.wallet,
            one.number,
            one.pass_type,
            oracle.created.get(one.pass_id),
            one.begin,
            one.end,
            one.source,
        )
        for one in oracle.spells
    ]
    spell = "pass_id, wallet, number, pass_type, created_at, installed_at, uninstalled_at, acquisition_source"
    assert rows(spell, "installations") == sorted(spells, key=str)
    created = [(pass_id, oracle.types[pass_id], at) for pass_id, at in oracle.created.items()]
    assert rows("*", "created_passes") == sorted(created, key=str)
    for table, period, expected in [
        ("adoption_daily", "day", oracle.daily()),
        ("adoption_weekly", "week AS period", oracle.periods("W")),
        ("adoption_monthly", "month AS period", oracle.periods("M")),
    ]:
        equal(expected, shared.con.execute(f"SELECT {period}, * FROM adoption.{table}").df())
    assert rows("*", "adoption_cohorts") == sorted(oracle.cohorts(), key=str)
    hours = "round(p50_hours, 6), round(p90_hours, 6)"
    times = f"created_month, pass_type, wallet, passes, installed_passes, {hours}"
    times += ", within_1_hour, within_1_day, within_7_days, within_30_days"
    assert rows(times, "time_to_install") == sorted(oracle.time_to_install(), key=str)
    assert rows("*", "churn") == sorted(oracle.churn(), key=str)
    assert rows("*", "adoption_by_source") == sorted(oracle.by_source(), key=str)
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


DAY = timedelta(days=1)


def days(first: date, count: int) -> list[date]:
    """Return so many days from the first on."""
    return [first + n * DAY for n in range(count)]


@pytest.mark.parametrize(
    ("zone", "first", "hours"),
    [
        ("Europe/Paris", date(2026, 3, 28), [24, 23, 24]),
        ("Europe/Paris", date(2026, 10, 24), [24, 25, 24]),
        ("Australia/Lord_Howe", date(2026, 4, 4), [24, 24.5, 24]),
        ("Australia/Lord_Howe", date(2026, 10, 3), [24, 23.5, 24]),
        # Midnight comes twice, or not at all.
        ("Atlantic/Azores", date(2026, 10, 24), [24, 25, 24]),
        ("Atlantic/Azores", date(2026, 3, 28), [24, 23, 24]),
        ("America/Santiago", date(2026, 4, 4), [25, 24, 24]),
        ("Africa/Cairo", date(2026, 4, 23), [24, 23, 24]),
    ],
)
def test_day_is_as_long_as_the_clocks_make_it(shared: Warehouse, zone: str, first: date, hours: list[float]) -> None:
    """Days of 23, 25 or another number of hours begin and end at their midnights."""
    fill(shared.con, History(days(first - DAY, 5), [], {}, {}, [], []))
    derive_trends(shared.con, ZoneInfo(zone), datetime(2027, 1, 1, tzinfo=UTC))
    found = shared.con.execute(
        "SELECT day, epoch(ends_at - starts_at) / 3600, timezone(time_zone, starts_at AT TIME ZONE 'UTC')::DATE"
        " FROM adoption.calendar WHERE day BETWEEN $first AND $first + 2 ORDER BY day",
        {"first": first},
    ).fetchall()
    assert found == [(day, length, day) for day, length in zip(days(first, 3), hours, strict=True)]


def test_day_that_a_zone_skipped_is_no_day(shared: Warehouse) -> None:
    """On Samoa no 30 December 2011 is counted, and what happened around it is counted once, where it belongs."""
    around = datetime(2011, 12, 30, 9, 59), datetime(2011, 12, 30, 10)  # noqa: DTZ001  UTC, as the warehouse keeps times
    events = [(at, "installed", pass_id, "apple") for at, pass_id in zip(around, "ab", strict=True)]
    fill(shared.con, History(days(date(2011, 12, 28), 6), events, {}, {}, [], []))
    derive_trends(shared.con, ZoneInfo("Pacific/Apia"), datetime(2012, 2, 1, tzinfo=UTC))
    counts = "SELECT day, installs, installed_passes FROM adoption.adoption_daily WHERE wallet = 'apple' ORDER BY day"
    assert shared.con.execute(counts).fetchall() == [
        (date(2011, 12, 28), 0, 0),
        (date(2011, 12, 29), 1, 1),
        (date(2011, 12, 31), 1, 2),
        (date(2012, 1, 1), 0, 2),
        (date(2012, 1, 2), 0, 2),
    ]


def test_age_of_an_installation_is_below_its_bound(shared: Warehouse) -> None:
    """An installation that ended a microsecond before a bound is younger than it; one that reached it is not."""
    bounds = [1, 7, 30, 90, 365]
    events = []
    for bound in bounds:
        for name, age in (("below", bound * DAY - timedelta(microseconds=1)), ("at", bound * DAY)):
            pass_id = f"{name} {bound}"
            events += [(START, "installed", pass_id, "apple"), (START + age, "uninstalled", pass_id, "apple")]
    fill(shared.con, History(days(START.date(), 366), events, {}, {}, [], []))
    derive_trends(shared.con, ZoneInfo("UTC"), datetime(2028, 1, 1, tzinfo=UTC))
    ages = "SELECT younger_than_days, sum(uninstalls)::BIGINT FROM adoption.churn GROUP BY ALL ORDER BY 1 NULLS LAST"
    assert shared.con.execute(ages).fetchall() == [(1, 1), (7, 2), (30, 2), (90, 2), (365, 2), (None, 1)]


@pytest.mark.parametrize(
    ("now", "months"), [(datetime(2026, 3, 31, 23, tzinfo=UTC), []), (datetime(2026, 4, 1, tzinfo=UTC), [0])]
)
def test_month_that_goes_on_is_not_in_the_cohorts(shared: Warehouse, now: datetime, months: list[int]) -> None:
    """On the last day of a month its cohort is still open; when the month is over it is there."""
    created = START.replace(month=3, day=2)
    fill(shared.con, History(days(date(2026, 3, 1), 31), [], {}, {"a": ("loyalty", created)}, [], []))
    derive_trends(shared.con, ZoneInfo("UTC"), now)
    found = shared.con.execute("SELECT months_since FROM adoption.adoption_cohorts WHERE wallet = 'any'").fetchall()
    assert [since for (since,) in found] == months


def test_day_on_which_nothing_happened_is_a_row_of_zeros(shared: Warehouse) -> None:
    """Of each day that was read there is a row for every pass type and wallet."""
    fill(shared.con, History(days(START.date(), 3), [(START, "installed", "a", "apple")], {}, {}, [], []))
    derive_trends(shared.con, ZoneInfo("UTC"), datetime(2026, 4, 1, tzinfo=UTC))
    found = "SELECT day, wallet, installs, installed_passes FROM adoption.adoption_daily ORDER BY ALL"
    assert shared.con.execute(found).fetchall() == [
        (day, wallet, installs if wallet == "apple" else 0, 1 if wallet == "apple" else 0)
        for day, installs in zip(days(START.date(), 3), [1, 0, 0], strict=True)
        for wallet in ("apple", "google")
    ]


@pytest.mark.parametrize(
    ("before", "listed_at", "spells"),
    [
        ([], None, [(START + DAY, START + DAY)]),
        ([], START + DAY, [(START + DAY, None)]),
        ([START], None, [(START, START + DAY)]),
        ([START], START + DAY, [(START, START + DAY), (START + DAY, None)]),
    ],
    ids=["came and went", "came", "went", "went and came back"],
)
def test_install_comes_before_uninstall_of_the_same_moment(
    shared: Warehouse,
    before: list[datetime],
    listed_at: datetime | None,
    spells: list[tuple[datetime, datetime | None]],
) -> None:
    """As in the status rules, what both are told of ends there; if the registers have it, it goes on, or came back."""
    both = [(START + DAY, "installed", "a", "apple"), (START + DAY, "uninstalled", "a", "apple")]
    events = [(at, "installed", "a", "apple") for at in before] + both
    register = (listed_at is not None, listed_at, START + DAY)
    listed = {"a": ("loyalty", START)}
    fill(shared.con, History(days(START.date(), 3), events, {("a", "apple"): register}, listed, [], []))
    derive_trends(shared.con, ZoneInfo("UTC"), datetime(2026, 4, 1, tzinfo=UTC))
    found = "SELECT installed_at, uninstalled_at FROM adoption.installations ORDER BY number"
    assert shared.con.execute(found).fetchall() == spells
    sums = "sum(first_installs)::INT, sum(reinstalls)::INT, sum(uninstalls)::INT, max_by(installed_passes, day)"
    counts = f"SELECT {sums} FROM adoption.adoption_daily WHERE wallet = 'apple'"
    assert shared.con.execute(counts).fetchall() == [
        (1, len(spells) - 1, sum(end is not None for _, end in spells), int(listed_at is not None))
    ]


def test_source_belongs_to_the_installation_that_goes_on(shared: Warehouse) -> None:
    """The first event of an installation that tells a source counts, up to a minute before it; others are nobody's."""
    turns = [(START, "installed"), (START + DAY, "uninstalled"), (START + 2 * DAY, "installed")]
    events = [(at, kind, pass_id, "apple") for at, kind in turns for pass_id in ("a", "b")]
    nobodys = [(86_401, "after the end"), (2 * 86_400 - 61, "too early")]
    told = [(-60, "email"), (5, "second device"), (2 * 86_400 + 2, "qrcode"), (2 * 86_400 + 3, "app")]
    sources = [
        (START + timedelta(seconds=after), pass_id, "apple", source)
        for pass_id, moments_told in (("a", nobodys + told), ("b", nobodys))
        for after, source in moments_told
    ]
    fill(shared.con, History(days(START.date(), 3), events, {}, {}, [], [], sources))
    derive_trends(shared.con, ZoneInfo("UTC"), datetime(2026, 4, 1, tzinfo=UTC))
    found = "SELECT pass_id, number, acquisition_source FROM adoption.installations ORDER BY ALL"
    assert shared.con.execute(found).fetchall() == [
        ("a", 1, "email"),
        ("a", 2, "qrcode"),
        ("b", 1, None),
        ("b", 2, None),
    ]


def test_installation_says_who_told_its_begin_and_its_end(shared: Warehouse) -> None:
    """Insights as far as it does; where it lacks the install or the uninstall, the registers."""
    noon = START + timedelta(hours=12)
    events = [
        (START, "installed", "told", "apple"),
        (noon, "uninstalled", "told", "apple"),
        (START, "installed", "goes on", "apple"),
        (START, "installed", "no end", "apple"),
    ]
    registers = {
        ("told", "apple"): (False, None, noon),
        ("goes on", "apple"): (True, START, START),
        ("no end", "apple"): (False, None, noon),
        ("no begin", "apple"): (True, noon, noon),
    }
    fill(shared.con, History(days(START.date(), 2), events, registers, {}, [], []))
    derive_trends(shared.con, ZoneInfo("UTC"), datetime(2028, 1, 1, tzinfo=UTC))
    told = shared.con.execute(
        "SELECT pass_id, installed_at, begin_told_by, uninstalled_at, end_told_by FROM adoption.installations"
        " ORDER BY pass_id"
    )
    assert told.fetchall() == [
        ("goes on", START, "insights", None, None),
        ("no begin", noon, "registers", None, None),
        ("no end", START, "insights", noon, "registers"),
        ("told", START, "insights", noon, "insights"),
    ]
