"""Names as people read them: whatever a tenant has called a pass type."""

from collections.abc import Iterable

OTHERS = "all others"
_NAMELESS = "(no type)"
_LONGEST = 40


def labels(names: Iterable[str]) -> dict[str, str]:
    """Return how each name is shown: in one line, of visible characters, not longer than 40, and no two alike."""
    shown: dict[str, str] = {}
    taken = {OTHERS}
    for name in names:
        shown[name] = _untaken(_readable(name), taken)
        taken.add(shown[name])
    return shown


def _readable(name: str) -> str:
    text = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in " ".join(name.split()))
    return (text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…") or _NAMELESS


def _untaken(label: str, taken: set[str]) -> str:
    number, numbered = 1, label
    while numbered in taken:
        number += 1
        numbered = f"{label} ({number})"
    return numbered
