# ruff: noqa: INP001  (a script, not a package)
"""Rewrites the parts of the documentation that are made from the code: `python docs/tables.py`."""

import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from wallet_pipeline.settings import Settings
from wallet_pipeline.warehouse.connection import migrate
from wallet_pipeline.warehouse.publish import PUBLISHED

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
    """Return every table of the warehouse with its columns, from the comments in the migrations."""
    published = {source: name for name, source in PUBLISHED.items()}
    with duckdb.connect() as con:
        migrate(con)
        tables = con.execute(
            "SELECT schema_name || '.' || table_name, comment FROM (SELECT * FROM duckdb_tables() UNION ALL BY NAME"
            " SELECT view_name AS table_name, view_oid AS table_oid, * FROM duckdb_views())"
            " WHERE NOT internal AND schema_name <> 'main' ORDER BY table_oid"
        ).fetchall()
        columns = con.execute(
            "SELECT schema_name || '.' || table_name, column_name, data_type, comment FROM duckdb_columns()"
            " WHERE NOT internal ORDER BY column_index"
        ).fetchall()
    tables.sort(key=lambda table: [*published].index(table[0]) if table[0] in published else len(published))
    return "\n\n".join(
        _section(name, comment, published.get(name), [column[1:] for column in columns if column[0] == name])
        for name, comment in tables
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


def _section(table: str, comment: str, published: str | None, columns: list[tuple[str, str, str]]) -> str:
    title = f"## {published}" if published else f"## {table}"
    place = f"Warehouse: `{table}`." if published else f"In {_NOT_PUBLISHED}."
    rows = [f"| `{name}` | {kind} | {text} |" for name, kind, text in columns]
    return "\n".join([title, "", f"{comment} {place}", "", "| column | type | meaning |", "| --- | --- | --- |", *rows])


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
