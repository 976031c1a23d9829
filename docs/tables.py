# ruff: noqa: INP001  (a script, not a package)
"""Rewrites the parts of the documentation that are made from the code: `python docs/tables.py`."""

import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from wallet_pipeline.settings import Settings
from wallet_pipeline.warehouse.catalogue import Table, read_catalogue
from wallet_pipeline.warehouse.publish import PUBLISHED, published_types

ROOT = Path(__file__).resolve().parent.parent
_NOT_PUBLISHED = "the warehouse only"


def settings_table() -> str:
    """Return every setting with its default and its sentence, as a Markdown table."""
    rows = [
        f"| `{name.upper()}` | {_default(setting)} | {setting.description} |"
        for name, setting in Settings.model_fields.items()
    ]
    return "\n".join(["| setting | default | meaning |", "| --- | --- | --- |", *rows])


def data_dictionary() -> str:
    """Return every table of the warehouse with its columns, from the comments in the migrations.

    What is published has the types of the file for analysts.
    """
    published = {source: name for name, source in PUBLISHED.items()}
    tables, types = read_catalogue(), published_types()
    order = [*published, *(name for name in tables if name not in published)]
    return "\n\n".join(
        _section(name, tables[name], published.get(name), types.get(published.get(name, ""), {})) for name in order
    )


def up_to_date(file: Path) -> str:
    """Return the text of a file with its generated parts as the code has them now."""
    text = file.read_text()
    for name, make in PARTS[file.relative_to(ROOT).as_posix()].items():
        start, end = f"<!-- {name}: made by docs/tables.py -->", f"<!-- end of {name} -->"
        before, marked, rest = text.partition(start)
        _, closed, after = rest.partition(end)
        if not marked or not closed:
            raise ValueError(f"{file} lacks the marker {start} or {end}.")
        text = f"{before}{start}\n{make()}\n{end}{after}"
    return text


def _default(setting: FieldInfo) -> str:
    value = setting.default
    if isinstance(value, SecretStr) or value in ("", ()):
        return "none: you give it"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    return f"`{value}`"


def _section(name: str, table: Table, published: str | None, types: dict[str, str]) -> str:
    title = f"## {published}" if published else f"## {name}"
    place = f"Warehouse: `{name}`." if published else f"In {_NOT_PUBLISHED}."
    rows = [f"| `{one.name}` | {types.get(one.name, one.kind)} | {one.comment} |" for one in table.columns]
    return "\n".join(
        [title, "", f"{table.comment} {place}", "", "| column | type | meaning |", "| --- | --- | --- |", *rows]
    )


PARTS: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"settings": settings_table},
    "docs/data-dictionary.md": {"tables": data_dictionary},
}


def main() -> int:
    """Rewrite the files and return the exit status."""
    for name in PARTS:
        file = ROOT / name
        file.write_text(up_to_date(file))
    return 0


if __name__ == "__main__":
    sys.exit(main())
