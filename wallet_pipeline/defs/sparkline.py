"""Small pictures in the metadata of assets."""

from collections.abc import Sequence
from urllib.parse import quote

import dagster as dg

_WIDTH, _HEIGHT = 240, 40
# With more of them the UI would hide the picture behind a link: it shows a thousand characters.
_POINTS = 60


def sparkline(what: str, values: Sequence[int]) -> dg.MarkdownMetadataValue:
    """Return the newest values, 60 at most, as a line that goes from zero to the highest; and in words."""
    newest = list(values[-_POINTS:])
    if not newest:
        return dg.MetadataValue.md("nothing yet")
    highest = max(*newest, 1)
    step = _WIDTH / max(len(newest) - 1, 1)
    points = [
        f"{round(place * step)},{round(_HEIGHT - _HEIGHT * value / highest)}" for place, value in enumerate(newest)
    ]
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 -2 {_WIDTH} {_HEIGHT + 4}' width='{_WIDTH}'>"
        f"<path d='M{'L'.join([*points, points[-1]])}' fill='none' stroke='#0072b2' stroke-width='2'/></svg>"
    )
    words = f"{what}: {newest[0]:,} to {newest[-1]:,}, {highest:,} at most"
    return dg.MetadataValue.md(f"![{words}](data:image/svg+xml,{quote(svg, safe='/:=,')})\n\n{words}")
