"""The catalogue: what tables and views the warehouse has, and what they mean: the migrations alone say it."""

from dataclasses import dataclass

import duckdb

from wallet_pipeline.warehouse.connection import migrate
from wallet_pipeline.warehouse.queries import read_query


@dataclass(frozen=True)
class Column:
    """A column: its name, DuckDB's name of its type, and its comment."""

    name: str
    kind: str
    comment: str


@dataclass(frozen=True)
class Table:
    """A table or view: its comment, and its columns in their order."""

    comment: str
    columns: list[Column]


def read_catalogue() -> dict[str, Table]:
    """Return the tables and views of an empty warehouse by `schema.name`, in the order in which they are made."""
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        migrate(con)
        rows = con.execute(read_query("wallet_pipeline.warehouse", "catalogue")).fetchall()
    return {name: Table(comment, [Column(*one) for one in columns]) for name, comment, columns in rows}
