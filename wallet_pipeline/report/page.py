"""The report as one HTML file, put in place at once."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.report import numbers
from wallet_pipeline.report.content import Content
from wallet_pipeline.report.figures import COHORTS, FIGURES, LARGEST_DRAWN, LARGEST_LISTED, MONTHS, Figure
from wallet_pipeline.report.svg import draw
from wallet_pipeline.warehouse.files import sync

_LIMITS = {"listed": LARGEST_LISTED, "drawn": LARGEST_DRAWN, "cohorts": COHORTS, "months": MONTHS}


class ReportError(ExplainedError):
    """The report could not be written; the last good one is still in place."""


@dataclass(frozen=True)
class Section:
    """A figure as the page has it: texts, its chart and the cells of its table."""

    name: str
    title: str
    meaning: str
    headings: list[str]
    cells: list[list[str]]
    chart: Markup


def render(content: Content, zone: ZoneInfo, now: datetime) -> str:
    """Return the page, of a moment in the time zone by whose days was counted, or else in `zone`.

    Names are text in it, wherever they come from: nothing of them is taken for HTML or a script.
    """
    zone = ZoneInfo(content.headline["time_zone"] or zone.key)
    pages = Environment(
        loader=PackageLoader(__package__, "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    pages.filters |= {"count": numbers.count, "share": numbers.share}
    made = f"{now.astimezone(zone):%Y-%m-%d %H:%M} {zone.key}"
    sections = [_section(one, content) for one in FIGURES]
    return pages.get_template("page.html").render(top=content.headline, sections=sections, made=made, zone=zone.key)


def put_report(page: str, file: Path) -> None:
    """Write the page to `file` at once: who opens it sees the old one or the new one, whole. Raises ReportError."""
    aside = file.with_name(f"{file.name}.tmp")
    try:
        aside.write_text(page, encoding="utf-8")
        sync(aside)
        aside.replace(file)
        sync(file.parent)
    except OSError as error:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise ReportError(
            f"{file} could not be written: {error}. The last good report is still in place. Check the free disk"
            " space and the folder's rights, and run again."
        ) from error


def _section(figure: Figure, content: Content) -> Section:
    words = {"period": content.period, "Period": content.period.capitalize(), **_LIMITS}
    meaning = figure.meaning.format(**words)
    headings = [heading.format(**words) for heading in figure.columns.values()]
    rows = content.rows[figure.name]
    cells = [[_cell(figure, name, row) for name in figure.columns] for row in rows]
    chart = Markup(draw(figure.chart(rows), _alternative(figure.title, headings, cells))) if rows else Markup()  # noqa: S704
    return Section(figure.name, figure.title, meaning, headings, cells, chart)


def _cell(figure: Figure, column: str, row: Mapping[str, Any]) -> str:
    value = row[column]
    if value is None:
        return ""
    say = figure.say.get(column, numbers.count)
    return value if isinstance(value, str) else say(value)


def _alternative(title: str, headings: list[str], cells: list[list[str]]) -> str:
    newest = ", ".join(f"{heading}: {cell}" for heading, cell in zip(headings, cells[-1], strict=True))
    return f"Chart: {title}. The last of {len(cells)} rows of its table says: {newest}."
