"""The rules in words: why a register, a pass or a value is as it is, and what became of evidence that did not count."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

WALLETS = {"apple": "Apple Wallet", "google": "Google Wallet"}

RULES = {
    "installed, dated": "The newest evidence says that it is installed. The date is that of the newest list, since the"
    " pass was last not installed, that gives a date which can be true.",
    "installed, undated": "The newest evidence says that it is installed. No list since the pass was last not installed"
    " gives a date that can be true, so the earliest evidence since then dates it.",
    "uninstalled, told": "The newest evidence says that it is not installed. The last event that tells of the removal"
    " says when.",
    "uninstalled, inferred": "The newest evidence says that it is not installed. Nobody told when it was removed: the"
    " start of the first list without it stands for the moment (inferred).",
    "never installed": "No evidence of an installation.",
}
_TIMES = {
    "installed, dated": "gives the date",
    "installed, undated": "gives the time: the earliest",
    "uninstalled, told": "gives the time",
    "uninstalled, inferred": "gives the time: its beginning",
}
_EVENTS_NOT_COUNTED = {
    "unknown wallet": "only Apple Wallet and Google Wallet count",
    "quarantined": "set aside for good: it is dated more than 5 minutes after it arrived",
    "still registered": "the pass is still installed on another device",
}
_LISTS_NOT_COUNTED = {
    "held": "it stopped a run, and is no evidence until somebody approves it",
    "incomplete": "it was incomplete: that it lacks the pass says nothing",
    "missed once": "one list that lacks the pass says nothing: only the next one that lacks it, too, counts",
}


def moment(at: datetime | None) -> str:
    """Return a time as people read it: UTC, cut to seconds."""
    return "never" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def listed(names: Sequence[str], joiner: str = "and") -> str:
    """Return names as a sentence has them: A, B and C."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {joiner} {names[-1]}"


def roles(piece: Mapping[str, Any], rule: str) -> list[str]:
    """Return what a piece of evidence is to its register."""
    found = ["decides"] if piece["decides"] else []
    if piece["times"]:
        found.append(_TIMES[rule])
    if piece["proves"]:
        found.append("shows that it was installed before")
    return found


def why_no_evidence(reason: str) -> str:
    """Return why an event did not count."""
    return next((text for word, text in _EVENTS_NOT_COUNTED.items() if reason.startswith(word)), reason)


def why_list_says_nothing(reason: str, lists: int) -> str:
    """Return why lists without the pass did not count."""
    return _LISTS_NOT_COUNTED[reason] if lists == 1 else f"of each: {_LISTS_NOT_COUNTED[reason]}"


def why_there(row: Mapping[str, Any], identifier_order: Sequence[str]) -> str:
    """Return why a pass belongs to its customer, or to nobody, with what to do about that."""
    borne = f"{row['identifier_name']}={row['identifier_value']}"
    if row["resolution"] == "unmatched":
        return (
            f"It belongs to no customer: it bears none of {listed(identifier_order, 'or')}. Give it one of these, or"
            " name an identifier that it does bear in IDENTIFIER_ORDER."
        )
    if row["resolution"] == "conflict":
        others = row["disputed_by"]
        whose = f"{listed(others)} bear it as well" if others else "a pass in conflict bears it as well"
        return (
            f"It belongs to nobody: the best that it bears is {borne}, and {whose}. Correct the passes, so that one"
            " customer bears it, or give this pass a better identifier."
        )
    if row["joined_through"]:
        passes = listed([f"pass {one}" for one in row["joined_through"]])
        return f"It belongs to {row['customer_key']}: the best that it bears is {borne}, as does its {passes}."
    return f"It belongs to {row['customer_key']}, which it bears."
