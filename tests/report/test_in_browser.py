"""The report in a browser: it opens alone, shows its charts, and says what the tables say."""

import re
from collections import Counter
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from wallet_pipeline.report.figures import FIGURES

from .browser import SVG, Opened, open_in_browser, read_opened
from .conftest import TYPES

NAMES = [one.name for one in FIGURES]
ORDERED_STATUSES = ["both", "apple", "google", "none"]
# The last day that is over in New York.
LAST = pd.Timestamp("2026-06-08")


@pytest.fixture(scope="module")
def daily(warehouse: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Give adoption_daily with the week of each day."""
    frame = warehouse.execute("FROM adoption.adoption_daily").df()
    frame["week"] = frame["day"].dt.to_period("W").dt.start_time
    return frame


def count(number: float) -> str:
    """Return a number as the page has it."""
    return f"{int(number):,}"


def percent(share: float) -> str:
    """Return a share as the page has it."""
    return f"{100 * share:.1f}%"


def test_a_browser_would_tell(tmp_path: Path) -> None:
    """The errors and requests of another page are seen, so that their absence says something."""
    bad = tmp_path / "bad.html"
    bad.write_text('<body><svg><image href="http://127.0.0.1:9/x.png" /></svg><script>nope()</script></body>')
    open_in_browser(bad, tmp_path)
    page = read_opened(tmp_path)
    assert page.requests == ["http://127.0.0.1:9/x.png"]
    assert "nope is not defined" in page.console[0]


def test_it_opens_without_an_error(opened: Opened) -> None:
    """The console stays empty: no error, nothing that the page's own policy forbids."""
    assert opened.console == []


def test_it_asks_for_nothing(opened: Opened) -> None:
    """The page needs no network: it requests nothing."""
    assert opened.requests == []


@pytest.mark.parametrize("name", NAMES)
def test_chart_is_drawn(opened: Opened, name: str) -> None:
    """Each section has a chart with marks, axes with texts, and a text for those who cannot see it."""
    (svg,) = opened.section(name).iter(f"{SVG}svg")
    assert opened.marks(name)
    assert len(opened.labels(name)) > 2
    assert (svg.attrib["role"], svg.attrib["aria-label"][:7]) == ("img", "Chart: ")


@pytest.mark.parametrize("name", NAMES)
def test_table_explains_itself(opened: Opened, name: str) -> None:
    """Each table has a caption with time zone and moment, and a heading for each column and row."""
    section = opened.section(name)
    heads = [one.attrib["scope"] for one in section.iter("th")]
    assert heads == ["col"] * len(section.findall(".//thead/tr/th")) + ["row"] * len(opened.table(name))
    assert section.findtext(".//caption", "").endswith("America/New_York, 2026-06-09 23:07 America/New_York")


def test_ids_are_unique(opened: Opened) -> None:
    """No two elements share an id, in whichever chart they are."""
    ids = Counter(one.attrib["id"] for one in opened.body.iter() if "id" in one.attrib)
    assert [name for name, times in ids.items() if times > 1] == []


def test_links_lead_to_sections(opened: Opened) -> None:
    """Each link at the top leads to a section, and each section has one."""
    assert [one.attrib["href"] for one in opened.body.iter("a")] == [f"#{name}" for name in NAMES]


def test_numbers_at_the_top(opened: Opened, warehouse: duckdb.DuckDBPyConnection, daily: pd.DataFrame) -> None:
    """The numbers at the top are those of the tables."""
    status = warehouse.execute("FROM wallet.customer_wallet_status").df()["wallet_status"].value_counts()
    installed = warehouse.execute("FROM wallet.registers WHERE installed").df()
    created = set(warehouse.execute("FROM adoption.created_passes").df()["pass_id"])
    ever = set(warehouse.execute("FROM adoption.installations").df()["pass_id"])
    flows = {}
    for days in (7, 30):
        for when, end in (("", LAST), ("_before", LAST - pd.Timedelta(days=days))):
            some = daily[(daily["day"] <= end) & (daily["day"] > end - pd.Timedelta(days=days))]
            flows |= {f"{kind}_{days}{when}": count(some[kind].sum()) for kind in ("installs", "uninstalls")}
        net = daily[(daily["day"] <= LAST) & (daily["day"] > LAST - pd.Timedelta(days=days))]["net"].sum()
        flows[f"net_{days}"] = f"{net:+,d}"
    assert opened.numbers() == {
        "customers": count(status.sum()),
        **{f"customers_{name}": count(status[name]) for name in ORDERED_STATUSES},
        "installed_share": percent(installed["pass_id"].nunique() / len(created)),
        "passes": count(len(created)),
        "passes_installed": count(installed["pass_id"].nunique()),
        "installed_apple": count((installed["wallet"] == "apple").sum()),
        "installed_google": count((installed["wallet"] == "google").sum()),
        "ever_share": percent(len(ever & created) / len(created)),
        **flows,
    }


def test_installed_over_time(opened: Opened, daily: pd.DataFrame) -> None:
    """A history of months is shown by the week: what is installed is that of its last day."""
    ends = daily[daily["day"].isin(daily.groupby("week")["day"].max())]
    table = ends.pivot_table(index="week", columns="wallet", values="installed_passes", aggfunc="sum")
    assert opened.table("installed") == [
        [f"{week:%Y-%m-%d}", count(row["apple"]), count(row["google"])] for week, row in table.iterrows()
    ]


def test_installs_over_time(opened: Opened, daily: pd.DataFrame) -> None:
    """What came and went in a week is the sum of its days."""
    columns = ["first_installs", "reinstalls", "uninstalls"]
    weeks = daily.groupby("week")[columns].sum()
    assert opened.table("installs") == [
        [f"{week:%Y-%m-%d}", *map(count, row), str(int(row.iloc[0] + row.iloc[1] - row.iloc[2]))]
        for week, row in weeks.iterrows()
    ]


@pytest.mark.parametrize("name", ["installs", "recent_days"])
def test_what_left_hangs_down(opened: Opened, name: str) -> None:
    """Bars of installs stand on the line from which those of uninstalls hang."""
    tops: dict[str, list[float]] = {"installs": [], "uninstalls": []}
    for path in opened.section(name).iter(f"{SVG}path"):
        said = path.findtext(f"{SVG}title", ": 0").lower()
        if not said.endswith(": 0"):
            (top,) = re.findall(r"^M[-\d.]+,([-\d.]+)", path.attrib["d"])
            tops["uninstalls" if "uninstalls" in said else "installs"].append(float(top))
    assert max(tops["installs"]) <= min(tops["uninstalls"])


def test_recent_days(opened: Opened, daily: pd.DataFrame) -> None:
    """The last 30 days are those that are over, in the time zone of the trends."""
    days = pd.date_range(end=LAST, periods=30)
    table = daily[daily["day"].isin(days)].pivot_table(
        index="day", columns="wallet", values=["installs", "uninstalls"], aggfunc="sum"
    )
    keys = [("installs", "apple"), ("installs", "google"), ("uninstalls", "apple"), ("uninstalls", "google")]
    assert opened.table("recent_days") == [
        [f"{day:%Y-%m-%d}", *(count(row[key]) for key in keys)] for day, row in table.iterrows()
    ]


def test_pass_types(opened: Opened, warehouse: duckdb.DuckDBPyConnection, daily: pd.DataFrame) -> None:
    """The largest types have a row each, under names that can be told apart; the others are added up."""
    passes = warehouse.execute("FROM wallet.pass_customers").df()
    sizes = sorted(passes["pass_type"].value_counts().items(), key=lambda one: (-one[1], one[0]))
    installed = warehouse.execute("FROM wallet.registers WHERE installed").df().merge(passes, on="pass_id")
    month = daily[daily["day"].isin(pd.date_range(end=LAST, periods=30))]

    def numbers(types: list[str]) -> list[str]:
        own = installed[installed["pass_type"].isin(types)]
        flows = month[month["pass_type"].isin(types)][["installs", "uninstalls"]].sum()
        known = passes["pass_type"].isin(types).sum()
        return [
            count((own["wallet"] == "apple").sum()),
            count((own["wallet"] == "google").sum()),
            count(known),
            percent(own["pass_id"].nunique() / known),
            *map(count, flows),
        ]

    types = [name for name, _ in sizes]
    rows = opened.table("pass_types")
    assert [row[1:] for row in rows] == [numbers([name]) for name in types[:20]] + [numbers(types[20:])]
    assert len({row[0] for row in rows}) == 21
    assert rows[-1][0] == "all others"


def test_odd_names_are_texts(opened: Opened) -> None:
    """A pass type's name is shown as it is, in the table and in the chart, and is nothing but text."""
    shown = [row[0] for row in opened.table("pass_types")]
    plain = {
        "<script>alert(1)</script>",
        "say \"hi\" & 'bye'",
        "a.b[0]",
        "toString",
        "datum.value",
        "Gutschein für Ümit",
    }
    assert {*plain, "(no type)", "all others (2)", "\ufffdright to left", "two lines\ufffd"} <= {*shown}
    assert [name for name in shown if name.startswith("x")] == ["x" * 39 + "…", "x" * 39 + "… (2)"]
    assert {*shown} <= {label.strip() for label in opened.labels("pass_types")}
    tags = {one.tag for one in opened.body.iter()}
    assert not tags & {"script", "img", "iframe", "style", f"{SVG}script", f"{SVG}image", f"{SVG}a"}


def test_installed_by_type(opened: Opened, daily: pd.DataFrame) -> None:
    """The seven largest types and the sum of all others add up to all that is installed."""
    table = pd.DataFrame(opened.table("installed_by_type"), columns=["week", "type", "installed"])
    sums = table.astype({"installed": int}).groupby("week")["installed"].sum()
    ends = daily[daily["day"].isin(daily.groupby("week")["day"].max())].groupby("week")["installed_passes"].sum()
    assert sums.tolist() == ends.tolist()
    assert table["type"].nunique() == 8
    loyalty = daily[(daily["pass_type"] == "loyalty") & (daily["day"] == daily["day"].max())]["installed_passes"].sum()
    assert table[table["type"] == "loyalty"].iloc[-1]["installed"] == count(loyalty)


def test_cohorts(opened: Opened, warehouse: duckdb.DuckDBPyConnection) -> None:
    """The cohorts are those of the table, all pass types added, in any wallet; a cell of the map for each row."""
    frame = warehouse.execute("FROM adoption.adoption_cohorts WHERE wallet = 'any'").df()
    sums = frame.groupby(["created_month", "months_since"])[["passes", "retained_passes", "installed_passes"]].sum()
    rows = [
        [f"{month:%Y-%m}", str(since), count(all_of), count(now), percent(now / all_of), percent(ever / all_of)]
        for (month, since), (all_of, now, ever) in sums.iterrows()  # type: ignore[misc]
    ]
    assert opened.table("cohorts") == rows
    assert len(opened.marks("cohorts")) == len(rows)


def test_time_to_install(opened: Opened, warehouse: duckdb.DuckDBPyConnection) -> None:
    """The columns are disjoint and add up to the passes created in the month."""
    frame = warehouse.execute("FROM adoption.time_to_install WHERE wallet = 'any'").df()
    bounds = ["within_1_hour", "within_1_day", "within_7_days", "within_30_days", "installed_passes", "passes"]
    sums = frame.groupby("created_month")[bounds].sum()
    assert opened.table("time_to_install") == [
        [f"{month:%Y-%m}", *map(count, row.diff().fillna(row.iloc[0]))] for month, row in sums.iterrows()
    ]


def test_hours_to_install(opened: Opened, warehouse: duckdb.DuckDBPyConnection) -> None:
    """The hours of the largest types are those of the table."""
    frame = warehouse.execute("FROM adoption.time_to_install WHERE wallet = 'any' AND pass_type = 'loyalty'").df()
    rows = [row for row in opened.table("hours_to_install") if row[1] == "loyalty"]
    assert rows == [
        [f"{row.created_month:%Y-%m}", "loyalty", f"{row.p50_hours:,.1f}", f"{row.p90_hours:,.1f}"]
        for row in frame.sort_values("created_month").itertuples()
    ]


def test_churn(opened: Opened, warehouse: duckdb.DuckDBPyConnection) -> None:
    """Uninstalls by age are those of the table, and their marks say the same numbers."""
    frame = warehouse.execute("FROM adoption.churn").df().fillna({"younger_than_days": 9999})
    ages = [1, 7, 30, 90, 365, 9999]
    table = frame.pivot_table(index="month", columns="younger_than_days", values="uninstalls", aggfunc="sum")
    table = table.reindex(columns=ages).fillna(0)
    assert opened.table("churn") == [[f"{month:%Y-%m}", *map(count, row)] for month, row in table.iterrows()]
    first = table.index[0]
    assert f"{first:%Y-%m}, 7 to 30 days: {count(table.loc[first, 30])}" in opened.marks("churn")


def test_reinstalls(opened: Opened, warehouse: duckdb.DuckDBPyConnection) -> None:
    """The share that came back is that of the table."""
    frame = warehouse.execute("FROM adoption.churn").df()
    back = ["back_within_1_day", "back_within_7_days", "back_within_30_days"]
    sums = frame.groupby("month")[["uninstalls", *back]].sum()
    assert opened.table("reinstalls") == [
        [f"{month:%Y-%m}", count(row.iloc[0]), *(percent(row[name] / row.iloc[0]) for name in back)]
        for month, row in sums.iterrows()
    ]


def test_sources(opened: Opened, warehouse: duckdb.DuckDBPyConnection) -> None:
    """The sources with most installs have a row each, whatever they are called; the others are added up."""
    frame = warehouse.execute("FROM adoption.adoption_by_source").df()
    sums = frame.groupby("acquisition_source", as_index=False)[["installs", "still_installed"]].sum()
    sums["ended"] = sums["installs"] - sums["still_installed"]
    sums = sums.sort_values(["installs", "acquisition_source"], ascending=[False, True])
    rows = sums[["acquisition_source", "still_installed", "ended"]].to_numpy().tolist()
    others = sums.iloc[20:][["still_installed", "ended"]].sum()
    expected = [*rows[:20], ["all others", *others]]
    assert opened.table("sources") == [[name, count(goes_on), count(ended)] for name, goes_on, ended in expected]
    assert {"constructor", "unknown", "a.b[0]/</script>"} <= {row[0] for row in opened.table("sources")}


def test_statuses(opened: Opened, warehouse: duckdb.DuckDBPyConnection) -> None:
    """Customers by status are those at the end of the week's last day; both, apple, google, none from the bottom up."""
    frame = warehouse.execute("FROM adoption.status_daily").df()
    frame["week"] = frame["day"].dt.to_period("W").dt.start_time
    ends = frame[frame["day"].isin(frame.groupby("week")["day"].max())]
    table = ends.pivot_table(index="week", columns="wallet_status", values="customers", aggfunc="sum")
    assert opened.table("statuses") == [
        [f"{week:%Y-%m-%d}", *(count(row[name]) for name in ORDERED_STATUSES)] for week, row in table.iterrows()
    ]


def test_switches(opened: Opened, warehouse: duckdb.DuckDBPyConnection) -> None:
    """Switches are those of the last 30 days that are over, without customers who came in or left."""
    frame = warehouse.execute("FROM adoption.wallet_switches").df()
    moved = frame[(frame["from_status"] != "new") & (frame["to_status"] != "gone")]
    some = moved[moved["day"].between(LAST - pd.Timedelta(days=29), LAST)]
    sums = some.groupby(["from_status", "to_status"])["customers"].sum()
    rows = [[left, to, count(number)] for (left, to), number in sums.items()]  # type: ignore[misc]
    assert opened.table("switches") == rows
    assert sorted(opened.marks("switches")) == sorted(f"from {left}, to {to}: {number}" for left, to, number in rows)


def test_world_has_all_types(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Each of the odd names is there, or the tests above would prove less."""
    found = warehouse.execute("SELECT DISTINCT pass_type FROM wallet.pass_customers").fetchall()
    assert {name for (name,) in found} == {*TYPES}
