"""The JSON object holds all, and is described."""

import json
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from wallet_pipeline.support.explain.explanation import Explanation

from .conftest import ask

ROOT = Path(__file__).parents[3]


def test_json_holds_the_explanation(of_ann: Path) -> None:
    """The object has the format's number, the times in ISO with Z, and the same content as the text."""
    found = ask(of_ann, "a-1")
    read = json.loads(found.as_json())
    assert (read["format"], read["as_of"], read["summary"]) == (1, "2026-03-11T12:00:00Z", found.summary)
    decided = [
        (one["wallet"], piece["last_id"])
        for register in read["passes"]
        for one in register["registers"]
        for piece in one["evidence"]
        if "decides" in piece["role"]
    ]
    assert len(decided) == 4
    assert len(read["timeline"]) == len(found.timeline)
    assert all(re.fullmatch(r"2026-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", one["happened_at"]) for one in read["timeline"])


def test_json_is_documented() -> None:
    """docs/explain.md names every key of the object."""
    page = (ROOT / "docs" / "explain.md").read_text()
    assert [name for name in sorted(keys(Explanation)) if f"`{name}`" not in page] == []


def keys(kind: Any) -> set[str]:
    """Return the names of all fields of a dataclass and of those in it."""
    hints = get_type_hints(kind)
    inner = (one for hint in hints.values() for one in (hint, *get_args(hint)) if is_dataclass(one))
    return {field.name for field in fields(kind)}.union(*(keys(one) for one in inner))
