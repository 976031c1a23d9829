"""The charts of the report: what each shows, says of itself, and has in its table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from wallet_pipeline.report import charts, numbers
from wallet_pipeline.report.charts import BLUE, GREEN, GREY, OLIVE, ORANGE, RED, SKY, STEPS, Chart, Series

# How much is shown: the page opens at once, however long the history and however many the pass types.
LARGEST_LISTED, LARGEST_DRAWN = 20, 7
COHORTS, MONTHS, YEAR = 24, 36, 12

_WALLETS = (Series("apple", "Apple Wallet", BLUE), Series("google", "Google Wallet", ORANGE))
_BY_WALLET = {one.column: one.title for one in _WALLETS}
_PERIOD = {"period": "{Period} from"}


@dataclass(frozen=True)
class Figure:
    """A chart with a table of its numbers.

    `name` is that of its query in `sql/`, where `limits` are bound; `columns` has the headings of its columns, and
    `say` the words for numbers that are no counts. `{period}` in a text is day, week or month, as the history is long.
    """

    name: str
    title: str
    meaning: str
    columns: Mapping[str, str]
    chart: Chart
    say: Mapping[str, Callable[[Any], str]] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)


FIGURES = (
    Figure(
        "installed",
        "Passes installed",
        "Passes in a wallet at the end of each {period}. A pass that is in both wallets counts in each of them.",
        _PERIOD | _BY_WALLET,
        partial(charts.lines, x="period", series=_WALLETS, y_title="passes installed"),
    ),
    Figure(
        "installs",
        "Installs and uninstalls",
        "Passes that came into a wallet in each {period}, for the first time or again, and those that left it"
        " (downwards). A further device is no further install.",
        _PERIOD
        | {"first_installs": "First installs", "reinstalls": "Re-installs", "uninstalls": "Uninstalls", "net": "Net"},
        partial(
            charts.bars,
            x="period",
            series=(
                Series("first_installs", "First installs", GREEN),
                Series("reinstalls", "Re-installs", SKY),
                Series("uninstalls", "Uninstalls", RED, down=True),
            ),
            y_title="passes",
        ),
    ),
    Figure(
        "recent_days",
        "The last 30 days, day by day",
        "Installs on each of the last 30 days that are over, and uninstalls (downwards), by wallet.",
        {
            "day": "Day",
            "apple_installs": "Apple installs",
            "google_installs": "Google installs",
            "apple_uninstalls": "Apple uninstalls",
            "google_uninstalls": "Google uninstalls",
        },
        partial(
            charts.bars,
            x="day",
            series=(
                Series("apple_installs", "Apple installs", BLUE),
                Series("google_installs", "Google installs", ORANGE),
                Series("apple_uninstalls", "Apple uninstalls", SKY, down=True),
                Series("google_uninstalls", "Google uninstalls", OLIVE, down=True),
            ),
            y_title="passes",
        ),
    ),
    Figure(
        "pass_types",
        "By pass type",
        "Passes installed now, of the {listed} pass types with most passes; all others are added up in one row. The"
        " share is that of the passes created that are in at least one wallet now.",
        {
            "pass_type": "Pass type",
            **_BY_WALLET,
            "passes": "Passes created",
            "installed_share": "Share installed",
            "installs_30": "Installs, 30 days",
            "uninstalls_30": "Uninstalls, 30 days",
        },
        partial(charts.ranking, x="pass_type", series=_WALLETS, y_title="passes installed"),
        {"installed_share": numbers.share},
        {"largest": LARGEST_LISTED},
    ),
    Figure(
        "installed_by_type",
        "Passes installed, by pass type",
        "Passes installed at the end of each {period}, both wallets added, of the {drawn} pass types with most"
        " passes; all others are added up.",
        _PERIOD | {"pass_type": "Pass type", "installed": "Installed"},
        partial(charts.lines_by, x="period", by="pass_type", value="installed", y_title="passes installed"),
        limits={"largest": LARGEST_DRAWN},
    ),
    Figure(
        "cohorts",
        "What became of the passes of a month",
        "Of the passes created in a month, the percentage that was in at least one wallet at the end of that month"
        " (0) and of each month after it; the newest {cohorts} months of creation, once a month is over. The table"
        " also says how many had been installed by then at all.",
        {
            "created_month": "Created in",
            "months_since": "Months after",
            "passes": "Passes created",
            "retained_passes": "Installed then",
            "retained_share": "Share installed then",
            "installed_share": "Share ever installed",
        },
        partial(
            charts.heat_map,
            x="months_since",
            y="created_month",
            value="retained_share",
            titles=("months after", "created in"),
            say=numbers.whole_percent,
            full=1,
        ),
        {"retained_share": numbers.share, "installed_share": numbers.share},
        {"months": COHORTS},
    ),
    Figure(
        "time_to_install",
        "Time to install",
        "The passes created in each of the last {months} months, by the time until they came into a wallet for the"
        " first time. Passes of the newest months may still come.",
        {
            "created_month": "Created in",
            "hour": "Within an hour",
            "day": "Within a day",
            "days_7": "Within 7 days",
            "days_30": "Within 30 days",
            "later": "Later",
            "not_yet": "Not yet, or unknown when",
        },
        partial(
            charts.bars,
            x="created_month",
            series=(
                Series("hour", "within an hour", STEPS[0]),
                Series("day", "within a day", STEPS[1]),
                Series("days_7", "within 7 days", STEPS[2]),
                Series("days_30", "within 30 days", STEPS[3]),
                Series("later", "later", STEPS[4]),
                Series("not_yet", "not yet, or unknown when", STEPS[5]),
            ),
            y_title="of the passes created",
            of_all=True,
        ),
        limits={"months": MONTHS},
    ),
    Figure(
        "hours_to_install",
        "Hours to install, by pass type",
        "Of the passes created in a month and installed since, half were installed within so many hours; of the"
        " {drawn} pass types with most passes. The table also says within how many hours nine of ten were.",
        {
            "created_month": "Created in",
            "pass_type": "Pass type",
            "p50_hours": "Half, hours",
            "p90_hours": "Nine of ten, hours",
        },
        partial(
            charts.lines_by, x="created_month", by="pass_type", value="p50_hours", y_title="hours", say=numbers.hours
        ),
        {"p50_hours": numbers.hours, "p90_hours": numbers.hours},
        {"largest": LARGEST_DRAWN, "months": COHORTS},
    ),
    Figure(
        "churn",
        "How long passes had been installed when they left",
        "Uninstalls of each of the last {months} months, by the age of the installation.",
        {
            "month": "Month",
            "day": "Below a day",
            "days_7": "1 to 7 days",
            "days_30": "7 to 30 days",
            "days_90": "30 to 90 days",
            "days_365": "90 to 365 days",
            "older": "Older or unknown",
        },
        partial(
            charts.bars,
            x="month",
            series=(
                Series("day", "below a day", STEPS[0]),
                Series("days_7", "1 to 7 days", STEPS[1]),
                Series("days_30", "7 to 30 days", STEPS[2]),
                Series("days_90", "30 to 90 days", STEPS[3]),
                Series("days_365", "90 to 365 days", STEPS[4]),
                Series("older", "older or unknown", STEPS[5]),
            ),
            y_title="uninstalls",
        ),
        limits={"months": MONTHS},
    ),
    Figure(
        "reinstalls",
        "Who came back",
        "Of the uninstalls of a month, the share after which the pass was in the same wallet again within a day, 7"
        " and 30 days. The newest month may still rise.",
        {
            "month": "Month",
            "uninstalls": "Uninstalls",
            "within_1_day": "Back within a day",
            "within_7_days": "Within 7 days",
            "within_30_days": "Within 30 days",
        },
        partial(
            charts.lines,
            x="month",
            series=(
                Series("within_1_day", "within a day", BLUE),
                Series("within_7_days", "within 7 days", ORANGE),
                Series("within_30_days", "within 30 days", GREEN),
            ),
            y_title="of the uninstalls",
            say=numbers.share,
            digits=".0%",
        ),
        dict.fromkeys(("within_1_day", "within_7_days", "within_30_days"), numbers.share),
        {"months": MONTHS},
    ),
    Figure(
        "sources",
        "Where installs came from",
        "Installs of the last {year} months, by the source that an event told (medium/origin), and how many of them go"
        " on; the {listed} sources with most installs, all others added up.",
        {"acquisition_source": "Source", "still_installed": "Still installed", "ended": "Removed again"},
        partial(
            charts.ranking,
            x="acquisition_source",
            series=(
                Series("still_installed", "still installed", GREEN),
                Series("ended", "removed again", RED),
            ),
            y_title="installs",
        ),
        limits={"largest": LARGEST_LISTED, "months": YEAR},
    ),
    Figure(
        "statuses",
        "Customers by wallet status",
        "Customers at the end of each {period}, by the wallets that hold a pass of theirs, as it was known at the"
        " time; from the first daily run on.",
        _PERIOD | {"both": "Both", "apple": "Apple only", "google": "Google only", "none": "None"},
        partial(
            charts.bars,
            x="period",
            series=(
                Series("both", "both", GREEN),
                Series("apple", "apple", BLUE),
                Series("google", "google", ORANGE),
                Series("none", "none", GREY),
            ),
            y_title="customers",
        ),
    ),
    Figure(
        "switches",
        "Switches between statuses",
        "Customers who went from one wallet status (left) to another (below) on the last 30 days that are over;"
        " who did so twice counts twice. Those who came in or left do not count here.",
        {"from_status": "From", "to_status": "To", "customers": "Customers"},
        partial(
            charts.heat_map,
            x="to_status",
            y="from_status",
            value="customers",
            titles=("to", "from"),
            say=numbers.count,
        ),
    ),
)
