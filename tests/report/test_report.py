"""The report as a file: small, without anybody in it, and put in place at once."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Script
from wallet_pipeline.report.charts import BLUE, Series, bars
from wallet_pipeline.report.content import read_content
from wallet_pipeline.report.errors import ReportError
from wallet_pipeline.report.figures import FIGURES
from wallet_pipeline.report.names import OTHERS, labels
from wallet_pipeline.report.page import put_report, render
from wallet_pipeline.report.svg import draw

from .conftest import NOW, ZONE

StartScript = Callable[[str], Script]
# Trends of five years, of thirty pass types in two wallets, with something on every day.
FIVE_YEARS = """
    INSERT INTO adoption.calendar
    SELECT day, date_trunc('week', day), '', date_trunc('month', day), day, day + INTERVAL 1 DAY, TRUE, 'UTC'
    FROM (SELECT DATE '2021-01-01' + range::INTEGER AS day FROM range(1827));
    CREATE TEMP TABLE types AS SELECT repeat('t', 50) || range AS pass_type FROM range(30);
    CREATE TEMP TABLE series AS FROM types CROSS JOIN (VALUES ('apple'), ('google'), ('any')) w (wallet);
    CREATE TEMP TABLE statuses AS FROM (VALUES ('none'), ('apple'), ('google'), ('both')) s (status);
    CREATE TEMP TABLE months AS SELECT DISTINCT month FROM adoption.calendar;
    INSERT INTO adoption.installations (pass_id, wallet, pass_type) SELECT pass_type, 'apple', pass_type FROM types;
    INSERT INTO adoption.adoption_daily
    SELECT day, pass_type, wallet, 1234567, 123456, 1111111, 1234560, 7, 1, 1, 12345678, 3, 123456789, 0.123
    FROM adoption.calendar CROSS JOIN series WHERE wallet <> 'any';
    INSERT INTO adoption.adoption_cohorts
    SELECT m.month, pass_type, wallet, date_diff('month', m.month, l.month), 1000000, 900000, 800000, 0.9, 0.8
    FROM months m JOIN months l ON l.month >= m.month CROSS JOIN series;
    INSERT INTO adoption.time_to_install
    SELECT month, pass_type, wallet, 1000000, 900000, 1.5, 4000.5, 1, 1000, 100000, 800000
    FROM months CROSS JOIN series;
    INSERT INTO adoption.churn
    SELECT month, pass_type, wallet, age, 123456, 1, 2, 3
    FROM months CROSS JOIN series CROSS JOIN (VALUES (1), (7), (30), (90), (365), (NULL)) a (age);
    INSERT INTO adoption.status_daily
    SELECT day, status, 1234567 FROM adoption.calendar CROSS JOIN statuses;
    INSERT INTO adoption.wallet_switches
    SELECT day, a.status, b.status, 12345 FROM adoption.calendar CROSS JOIN statuses a CROSS JOIN statuses b
    WHERE a.status <> b.status;
"""


def test_five_years_make_a_small_file(empty: duckdb.DuckDBPyConnection) -> None:
    """Five years of thirty pass types stay below two megabytes: summed up, and the largest types alone."""
    empty.execute(FIVE_YEARS)
    content = read_content(empty)
    rows = {name: len(some) for name, some in content.rows.items()}
    assert (content.period, rows["installed"], rows["pass_types"], rows["cohorts"]) == ("week", 262, 21, 24 * 25 / 2)
    assert (rows["installed_by_type"], rows["time_to_install"], rows["hours_to_install"]) == (262 * 8, 36, 24 * 7)
    assert len(render(content, ZONE, NOW).encode()) < 2_000_000


@pytest.mark.parametrize(("days", "period"), [(120, "day"), (121, "week"), (1830, "week"), (1831, "month")])
def test_points_stand_for_longer_periods_in_longer_histories(
    empty: duckdb.DuckDBPyConnection, days: int, period: str
) -> None:
    """A history of months is shown by the day, one of years by the week, and beyond five years by the month."""
    empty.execute(
        "INSERT INTO adoption.calendar (day) SELECT '2020-01-01'::DATE + range::INTEGER FROM range(?)", [days]
    )
    empty.execute("INSERT INTO adoption.adoption_daily (day, wallet) SELECT day, 'apple' FROM adoption.calendar")
    content = read_content(empty)
    assert content.period == period
    assert len(content.rows["installed"]) == {"day": days, "week": days // 7 + 1, "month": 61}[period]


def test_nothing_yet(empty: duckdb.DuckDBPyConnection) -> None:
    """Before the first run the page says what is missing, and what brings it; no chart is drawn of nothing."""
    page = render(read_content(empty), ZONE, NOW)
    assert "There are no trends yet" in page
    assert "There are no customers yet" in page
    assert page.count("Nothing to show yet.") == len(FIGURES)
    assert "<svg" not in page


def test_nobody_is_in_it(page: str, warehouse: duckdb.DuckDBPyConnection) -> None:
    """No pass id, no customer, no e-mail: counts alone."""
    customers = "SELECT customer_key, identifier_value, email FROM wallet.customer_wallet_status"
    keys = warehouse.execute(customers).fetchall()
    ids = warehouse.execute("SELECT pass_id FROM wallet.pass_customers").fetchall()
    known = {value for row in [*keys, *ids] for value in row}
    assert len(known) > 500
    assert [value for value in known if value in page] == []


def test_it_says_when_and_whose_days(page: str) -> None:
    """The page names its moment and the time zone of its days, at the top and at each chart."""
    assert "Made <time>2026-06-09 23:07 America/New_York</time>." in page
    assert "Days, weeks and months are those of America/New_York;" in page
    assert page.count("Time zone America/New_York, made 2026-06-09 23:07 America/New_York.") == len(FIGURES)


def test_it_may_load_nothing(page: str) -> None:
    """Its policy forbids scripts and every request, whatever might get into it."""
    assert """content="default-src 'none'; style-src 'unsafe-inline'">""" in page
    assert re.findall(r"<script|javascript:|\bon\w+=\"|@import", page) == []


def test_same_tables_make_the_same_page(warehouse: duckdb.DuckDBPyConnection, page: str) -> None:
    """The page depends on the tables and the moment alone."""
    assert render(read_content(warehouse), ZONE, NOW) == page


def test_warehouse_is_left_as_it_was(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Reading leaves no table behind."""
    read_content(warehouse)
    assert warehouse.execute("SELECT table_name FROM duckdb_tables() WHERE temporary").fetchall() == []


@given(names=st.lists(st.text(max_size=60), unique=True))
def test_labels_can_be_told_apart(names: list[str]) -> None:
    """Whatever pass types are called, no two labels are alike, and none is empty, long or of more than a line."""
    shown = labels(names)
    assert list(shown) == names
    assert len({*shown.values(), OTHERS}) == len(names) + 1
    assert all(label.isprintable() and label == " ".join(label.split()) for label in shown.values())
    assert all(0 < len(label) <= 40 + len(" (100)") for label in shown.values())


def test_death_while_drawing_is_told(warehouse: duckdb.DuckDBPyConnection) -> None:
    """What ends the library that draws, such as a control character, ends neither the run nor the next report."""
    content = read_content(warehouse)
    rows = [row | {"pass_type": "bell \x07"} for row in content.rows["pass_types"]]
    with pytest.raises(ReportError, match=r"has died\. The last good report is still in place\. Run again"):
        render(replace(content, rows={**content.rows, "pass_types": rows}), ZONE, NOW)


def test_chart_that_lacks_a_number_is_none() -> None:
    """A chart from which the library has left something out, without a word, is noticed: no report is made of it."""
    rows = [{"day": "toString", "passes": 1}, {"day": "2026-01-01", "passes": 1}]
    with pytest.raises(ReportError, match=r"Of 2 numbers only 0 were drawn\. The last good report is still in place\."):
        draw(bars(rows, "day", [Series("passes", "Passes", BLUE)], "passes"), "Chart: passes.")


PUT_IN_TROUBLE = """
    import os, resource
    from pathlib import Path
    from wallet_pipeline.report.errors import ReportError
    from wallet_pipeline.report.page import put_report

    {trouble}
    try:
        put_report("new " * 1000, Path("{folder}/report.html"))
    except ReportError as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        # The folder's rights do not bind root, so root becomes nobody first.
        ("os.getuid() == 0 and os.setuid(65534)", "Permission denied"),
        ("resource.setrlimit(resource.RLIMIT_FSIZE, (1_000,) * 2)", "File too large"),
    ],
    ids=["read-only folder", "full disk"],
)
def test_last_good_report_stays(tmp_path: Path, start_script: StartScript, trouble: str, reason: str) -> None:
    """Where the page cannot be written, the message says why and what to do, and the page before it is still there."""
    folder = tmp_path / "for marketers"
    folder.mkdir()
    put_report("old", folder / "report.html")
    folder.chmod(0o555)
    try:
        said = start_script(PUT_IN_TROUBLE.format(trouble=trouble, folder=folder.name)).finish()
    finally:
        folder.chmod(0o755)
    assert said.startswith("for marketers/report.html could not be written: ")
    assert reason in said
    assert "The last good report is still in place. Check the free disk space" in said
    assert [(file.name, file.read_text()) for file in folder.iterdir()] == [("report.html", "old")]


def test_link_beside_the_report_is_removed_and_not_followed(tmp_path: Path) -> None:
    """A file to which somebody's link of the working file's name leads stays as it was."""
    theirs, file = tmp_path / "theirs.txt", tmp_path / "report.html"
    theirs.write_text("theirs")
    (tmp_path / "report.html.tmp").symlink_to(theirs)
    put_report("whole", file)
    assert (theirs.read_text(), file.read_text(), file.is_symlink()) == ("theirs", "whole", False)
    assert sorted(tmp_path.iterdir()) == [file, theirs]


@pytest.mark.parametrize("name", ["report.html", "report.html.tmp"])
def test_folder_in_the_way_of_the_report_is_named(tmp_path: Path, name: str) -> None:
    """A folder where the report or its working file belongs stays, and the message says that it is in the way."""
    (tmp_path / name).mkdir()
    with pytest.raises(ReportError, match=rf"/{name} is a folder\. Move it away or rename it, and run again\."):
        put_report("whole", tmp_path / "report.html")
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_half_a_page_is_written_over(tmp_path: Path) -> None:
    """What a killed run has left beside the report does not stop the next one."""
    (tmp_path / "report.html.tmp").write_text("half")
    put_report("whole", tmp_path / "report.html")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("report.html", "whole")]
