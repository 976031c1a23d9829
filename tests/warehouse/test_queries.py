"""What all packages share in speaking to DuckDB."""

import duckdb
import pytest

from wallet_pipeline.warehouse.queries import named_values


@pytest.mark.parametrize(
    ("sql", "answer"),
    [("SELECT $day, $days", (1, 2)), ("SELECT $days", (2,)), ("SELECT $day", (1,)), ("SELECT 'day', 3", ("day", 3))],
)
def test_query_is_given_the_values_that_it_names(sql: str, answer: tuple[object, ...]) -> None:
    """A query runs with a choice of values, of which it names some: also where one name begins as another."""
    with duckdb.connect() as con:
        assert con.execute(sql, named_values(sql, {"day": 1, "days": 2})).fetchone() == answer
