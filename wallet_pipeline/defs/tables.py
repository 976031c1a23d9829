"""What the UI shows of a table: its comments and columns, and how many rows it has."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import dagster as dg
import duckdb

from wallet_pipeline.warehouse.catalogue import Table, read_catalogue


def description(table: str) -> str:
    """Return the comment of a warehouse table."""
    return _catalogue()[table].comment


def definition_metadata(table: str) -> dict[str, Any]:
    """Return the table's name and columns, as metadata that is there before the first run."""
    return {
        "dagster/table_name": table,
        "dagster/column_schema": dg.TableSchema(
            [dg.TableColumn(one.name, one.kind, description=one.comment) for one in _catalogue()[table].columns]
        ),
    }


def breakdown(con: duckdb.DuckDBPyConnection, query: str) -> dg.MarkdownMetadataValue:
    """Return the rows of a short query as a Markdown table, as `markdown_table` does."""
    cursor = con.execute(query)
    return markdown_table([column[0] for column in cursor.description or []], cursor.fetchall())


def markdown_table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> dg.MarkdownMetadataValue:
    """Return rows under their names as a Markdown table. The column `customer` is shown without e-mails."""
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(map(_cell, names, row)) + " |" for row in rows]
    return dg.MetadataValue.md("\n".join(lines))


def _cell(name: str, value: object) -> str:
    """Return a value as it stands in a Markdown table: a CRM's message may hold what would end the cell.

    `wallet-pipeline forget` looks for people in this form, too.
    """
    if value is None:
        return ""
    text = _without_email(str(value)) if name == "customer" else str(value)
    return " ".join(text.replace("|", r"\|").split("\n"))


def _without_email(customer_key: str) -> str:
    name, _, value = customer_key.partition("=")
    return f"{name}=…" if name == "email" or "@" in value else customer_key


@cache
def _catalogue() -> dict[str, Table]:
    return read_catalogue()
