"""Small pictures in the metadata of assets."""

import xml.etree.ElementTree as ET
from urllib.parse import unquote

import pytest

from wallet_pipeline.defs.sparkline import sparkline


def picture(values: list[int]) -> list[tuple[int, int]]:
    """Return the points of the picture."""
    markdown = sparkline("Passes", values).value
    address = markdown[markdown.index("(data:image/svg+xml,") : markdown.index(")")].removeprefix(
        "(data:image/svg+xml,"
    )
    assert not {*" ()<>\"'"} & {*address}
    path = ET.fromstring(unquote(address))[0].attrib["d"]  # noqa: S314  our own
    return [(int(x), int(y)) for x, y in (point.split(",") for point in path[1:].split("L"))]


def test_line_goes_from_zero_to_the_highest() -> None:
    """The highest value lies at the top, zero at the bottom, and the last one at the right."""
    assert picture([0, 5, 10]) == [(0, 40), (120, 20), (240, 0), (240, 0)]


@pytest.mark.parametrize("values", [[7], [0, 0], [0]])
def test_few_values_are_drawn(values: list[int]) -> None:
    """One value, or nothing but zeros, is a picture, too."""
    assert len(picture(values)) == len(values) + 1


def test_nothing_is_said() -> None:
    """Without any value there is no picture."""
    assert sparkline("Passes", []).value == "nothing yet"


def test_picture_is_shown_inline() -> None:
    """However many and large the values, the text stays below the length beyond which the UI hides it."""
    assert len(sparkline("Customers with a pass in a wallet", [10**9 - 1 + n for n in range(2000)]).value) < 1_000


def test_words_tell_the_same() -> None:
    """Who does not see the picture reads the first, last and highest value."""
    assert sparkline("Passes", [1000, 3000, 2000]).value.endswith("Passes: 1,000 to 2,000, 3,000 at most")
