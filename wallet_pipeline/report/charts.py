"""What Vega-Lite draws of rows: lines over time, bars, and maps of cells."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wallet_pipeline.report.numbers import count

Rows = Sequence[Mapping[str, Any]]
Spec = dict[str, Any]
Chart = Callable[[Rows], Spec]
Say = Callable[[Any], str]

# To be told apart by the colour-blind too, on white and on black.
BLUE, ORANGE, GREEN, SKY, RED, PINK, OLIVE, GREY = _PALETTE = (
    "#0072b2", "#e69f00", "#009e73", "#56b4e9", "#d55e00", "#cc79a7", "#a89a00", "#8c8c8c",
)  # fmt: skip
# For what goes from short to long.
STEPS = ("#253494", "#2c7fb8", "#41b6c4", "#a1dab4", "#fed976", GREY)
_WIDTH, _HEIGHT, _ROW, _CELL = 720, 240, 24, 34
_WIDEST_BAR = 60
# More would be a string of pearls.
_POINTS_SHOWN = 130
# Days, weeks and months are names of places on the axis: no time zone of this machine moves them.
_ALONG = {
    "field": "x", "type": "ordinal", "title": None,
    "axis": {"labelAngle": 0, "labelOverlap": "greedy", "labelSeparation": 12, "ticks": False, "labelPadding": 8},
}  # fmt: skip


@dataclass(frozen=True)
class Series:
    """A column of the rows, drawn in its colour under its title; downwards if it counts what was lost."""

    column: str
    title: str
    colour: str
    down: bool = False


def lines(rows: Rows, x: str, series: Sequence[Series], y_title: str, say: Say = count, digits: str = ",") -> Spec:
    """Return a line for each series over the column `x`."""
    return _lines(_marks(rows, x, series, say), {one.title: one.colour for one in series}, _scale(y_title, digits))


def lines_by(rows: Rows, x: str, by: str, value: str, y_title: str, say: Say = count) -> Spec:
    """Return a line for each name in the column `by`, at most eight, over the column `x`; colours follow the rows."""
    names = dict.fromkeys(row[by] for row in rows)
    marks = [_mark(row[x], row[by], row[value], say) for row in rows]
    return _lines(marks, dict(zip(names, _PALETTE, strict=False)), _scale(y_title))


def bars(rows: Rows, x: str, series: Sequence[Series], y_title: str, *, of_all: bool = False) -> Spec:
    """Return a bar for each row, the series above each other; `of_all` makes them shares of their sum."""
    heights = {"stack": "normalize"} | _scale(y_title, ".0%") if of_all else _scale(y_title)
    return {
        "data": {"values": _marks(rows, x, series)},
        "width": {"step": min(_WIDTH / len(rows), _WIDEST_BAR)},
        "height": _HEIGHT,
        "mark": "bar",
        "encoding": {
            "x": _ALONG,
            "y": {"field": "value", "type": "quantitative"} | heights,
            **_colours({one.title: one.colour for one in series}),
            "order": {"field": "place"},
        },
    }


def ranking(rows: Rows, x: str, series: Sequence[Series], y_title: str) -> Spec:
    """Return a lying bar for each row, from top to bottom."""
    return {
        "data": {"values": _marks([{**row, x: _apart(row[x])} for row in rows], x, series)},
        "width": _WIDTH * 3 // 4,
        "height": _ROW * len(rows),
        "mark": "bar",
        "encoding": {
            "y": {"field": "x", "type": "nominal", "title": None, "sort": None},
            "x": {"field": "value", "type": "quantitative"} | _scale(y_title),
            **_colours({one.title: one.colour for one in series}),
            "order": {"field": "place"},
        },
    }


def heat_map(
    rows: Rows, x: str, y: str, value: str, titles: tuple[str, str], say: Say, full: float | None = None
) -> Spec:
    """Return a cell with its number for each row, darker up to the value `full`, or the highest there is."""
    darkest = full or max(row[value] for row in rows)
    cells = [
        {"x": row[x], "y": row[y], "value": row[value], "said": say(row[value])}
        | {"text": f"{titles[1]} {row[y]}, {titles[0]} {row[x]}: {say(row[value])}"}
        for row in rows
    ]
    place = {
        "x": {"field": "x", "type": "ordinal", "title": titles[0], "axis": {"labelAngle": 0}},
        "y": {"field": "y", "type": "ordinal", "title": titles[1]},
    }
    shade = {"scale": {"scheme": "blues", "domain": [0, darkest]}, "legend": None}
    ink = {"condition": {"test": f"datum.value > {darkest} / 2", "value": "white"}, "value": "#222222"}
    return {
        "data": {"values": cells},
        "width": {"step": _CELL},
        "height": {"step": _CELL * 3 // 4},
        "encoding": place | {"description": {"field": "text"}},
        "layer": [
            {"mark": "rect", "encoding": {"color": {"field": "value", "type": "quantitative"} | shade}},
            {"mark": {"type": "text", "fontSize": 10}, "encoding": {"text": {"field": "said"}, "color": ink}},
        ],
    }


def _lines(marks: list[Spec], colours: Mapping[str, str], heights: Spec) -> Spec:
    opacity = int(len({mark["x"] for mark in marks}) <= _POINTS_SHOWN)
    return {
        "data": {"values": marks},
        "width": _WIDTH,
        "height": _HEIGHT,
        "encoding": {
            "x": _ALONG,
            "y": {"field": "value", "type": "quantitative"} | heights,
            **_colours(colours),
        },
        "layer": [
            {"mark": {"type": "line", "strokeWidth": 2}},
            {"mark": {"type": "point", "filled": True, "size": 24, "opacity": opacity}},
        ],
    }


def _marks(rows: Rows, x: str, series: Iterable[Series], say: Say = count) -> list[Spec]:
    return [
        _mark(row[x], one.title, row[one.column], say, down=one.down) | {"place": place}
        for place, one in enumerate(series)
        for row in rows
        if row[one.column] is not None
    ]


def _mark(x: str, series: str, value: float, say: Say, *, down: bool = False) -> Spec:
    """Return what is drawn at a place, with its number in words."""
    return {
        "x": x,
        "series": series,
        "value": -value if down else value,
        "text": f"{x.strip()}, {series}: {say(value)}",
    }


def _apart(name: str) -> str:
    """Return a name that Vega's tables do not hold from the beginning, as they do `toString`: its bar would be lost."""
    return f" {name}"


def _scale(title: str, digits: str = ",") -> Spec:
    """Return an axis of numbers; those below zero are numbers of what was lost."""
    return {"title": title, "axis": {"labelExpr": f"format(abs(datum.value), '{digits}')", "tickCount": 5}}


def _colours(colours: Mapping[str, str]) -> Spec:
    scale = {"domain": list(colours), "range": list(colours.values())}
    return {
        "color": {"field": "series", "type": "nominal", "scale": scale},
        "description": {"field": "text"},
    }
