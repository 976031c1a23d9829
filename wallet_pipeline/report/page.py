"""The report as one HTML file, put in place at once."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from wallet_pipeline.report import numbers
from wallet_pipeline.report.content import Content
from wallet_pipeline.report.errors import ReportError
from wallet_pipeline.report.figures import COHORTS, FIGURES, LARGEST_DRAWN, LARGEST_LISTED, MONTHS, YEAR, Figure
from wallet_pipeline.report.svg import draw_all
from wallet_pipeline.warehouse.files import sync

_LIMITS = {"listed": LARGEST_LISTED, "drawn": LARGEST_DRAWN, "cohorts": COHORTS, "months": MONTHS, "year": YEAR}


@dataclass(frozen=True)
class Section:
    """A figure as the page has it, without its chart: texts, and the cells of its table."""

    name: str
    title: str
    meaning: str
    headings: list[str]
    cells: list[list[str]]

    def alternative(self) -> str:
        """Return what the chart says to those who cannot see it."""
        last = ", ".join(f"{heading}: {cell}" for heading, cell in zip(self.headings, self.cells[-1], strict=True))
        return f"Chart: {self.title}. The last of {len(self.cells)} rows of its table says: {last}."


def render(content: Content, zone: ZoneInfo, now: datetime) -> str:
    """Return the page as of `now`, told in the time zone whose days the trends are counted by; before any, in `zone`.

    Names are text in it, wherever they come from: nothing of them is taken for HTML or a script. Raises ReportError.
    """
    zone = ZoneInfo(content.headline["time_zone"] or zone.key)
    pages = Environment(
        loader=PackageLoader(__package__, "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    pages.filters |= {"count": numbers.count, "share": numbers.share}
    made = f"{now.astimezone(zone):%Y-%m-%d %H:%M} {zone.key}"
    sections = [_section(one, content) for one in FIGURES]
    return pages.get_template("page.html").render(
        top=content.headline, sections=sections, charts=_charts(content, sections), made=made, zone=zone.key
    )


def put_report(page: str, file: Path) -> None:
    """Write the page to `file` at once: who opens it sees the old one or the new one, whole. Raises ReportError."""
    aside = file.with_name(f"{file.name}.tmp")
    try:
        _check_no_folder(file, aside)
        aside.unlink(missing_ok=True)
        with aside.open("x", encoding="utf-8") as new:  # never through a link of that name
            new.write(page)
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


def _check_no_folder(*places: Path) -> None:
    for place in places:
        if place.is_dir():
            raise ReportError(
                f"The report could not be written: {place} is a folder. Move it away or rename it, and run again."
            )


def _section(figure: Figure, content: Content) -> Section:
    words = {"period": content.period, "Period": content.period.capitalize(), **_LIMITS}
    meaning = figure.meaning.format(**words)
    headings = [heading.format(**words) for heading in figure.columns.values()]
    rows = content.rows[figure.name]
    cells = [[_cell(figure, name, row) for name in figure.columns] for row in rows]
    return Section(figure.name, figure.title, meaning, headings, cells)


def _cell(figure: Figure, column: str, row: Mapping[str, Any]) -> str:
    value = row[column]
    if value is None:
        return ""
    say = figure.say.get(column, numbers.count)
    return value if isinstance(value, str) else say(value)


def _charts(content: Content, sections: Sequence[Section]) -> dict[str, Markup]:
    """Return the charts of those sections that have rows, by name, as the page takes them over."""
    some = {one.name: one.alternative() for one in sections if one.cells}
    specs = [figure.chart(content.rows[figure.name]) for figure in FIGURES if figure.name in some]
    return {
        name: Markup(svg)  # noqa: S704  drawn by us, names are escaped in it
        for name, svg in zip(some, draw_all(specs, list(some.values())), strict=True)
    }
