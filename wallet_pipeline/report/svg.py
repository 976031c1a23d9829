"""A chart as an SVG element: drawn by Vega-Lite when the report is made, so that the page needs no script."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import vl_convert

from wallet_pipeline.report.charts import Spec
from wallet_pipeline.report.errors import ReportError

_SVG = "{http://www.w3.org/2000/svg}"
_LONG_FRACTION = re.compile(r"-?\d+\.\d{3,}")
_CONFIG = {
    "background": None,
    "font": "Arial, Helvetica, Liberation Sans, sans-serif",
    # Room for a browser whose letters are wider.
    "padding": 16,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "currentColor", "titleColor": "currentColor", "labelLimit": 0,
        "domainColor": "#888888", "tickColor": "#888888", "gridColor": "#888888", "gridOpacity": 0.25,
        "titlePadding": 12, "labelFontSize": 11, "titleFontWeight": "normal",
    },
    "legend": {
        "labelColor": "currentColor", "labelLimit": 0, "orient": "top", "title": None, "columns": 4,
        "columnPadding": 16, "labelFontSize": 11,
    },
}  # fmt: skip


def draw_all(specs: Sequence[Spec], alternatives: Sequence[str]) -> list[str]:
    """Return the charts, each with a text for those who cannot see it. Raises ReportError.

    They are drawn in a process of their own, which the library ends where it meets a text that it cannot draw.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return list(pool.map(draw, specs, alternatives))
        except BrokenProcessPool as error:
            raise ReportError(
                "The charts could not be drawn: the process that drew them has died. The last good report is still in"
                " place. Run again with more free memory; if it stays so, report it with the names of your pass types."
            ) from error


def draw(spec: Spec, alternative: str) -> str:
    """Return a chart as an SVG element."""
    ET.register_namespace("", _SVG.strip("{}"))
    svg = vl_convert.vegalite_to_svg(spec, config=_CONFIG, allowed_base_urls=[])
    root = ET.fromstring(svg)  # noqa: S314  written by Vega-Lite a line above
    for element in root.iter():
        _show_text_on_hover(element)
        _shorten(element)
    if (drawn := len(root.findall(f".//{_SVG}title"))) != (given := len(spec["data"]["values"])):
        raise ReportError(
            f"Of {given} numbers only {drawn} were drawn. The last good report is still in place. Report this with the"
            f" names of your pass types. {alternative}"
        )
    # The size is that of the view box, unless the page is narrower.
    root.set("style", f"max-width: {root.attrib.pop('width')}px")
    del root.attrib["height"]
    root.attrib |= {"role": "img", "aria-label": alternative}
    return ET.tostring(root, encoding="unicode")


def _show_text_on_hover(element: ET.Element) -> None:
    """Give a mark its text as a title, which browsers show; those who listen have the table instead."""
    text = element.attrib.pop("aria-label", None)
    if text and element.attrib.get("aria-roledescription") in {"bar", "point", "rect mark"}:
        ET.SubElement(element, f"{_SVG}title").text = text
    for name in ("aria-roledescription", "aria-hidden", "role"):
        element.attrib.pop(name, None)


def _shorten(element: ET.Element) -> None:
    """Cut coordinates to a hundredth of a pixel: thousands of marks are drawn."""
    for name in element.attrib.keys() & {"d", "transform"}:
        element.set(name, _LONG_FRACTION.sub(lambda found: f"{float(found[0]):.2f}", element.attrib[name]))
