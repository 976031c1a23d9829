"""Pages of passes into a staging file: bytes to rows, with no secret ever on a disk or in a message."""

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import duckdb
import fsspec

_MEMORY_LIMIT = "256MB"
# A number with a fraction or an exponent: DuckDB would write 1.10 as 1.1, and an identifier is what the JSON says.
_FRACTIONAL_NUMBER = re.compile(rb'"\s*:\s*-?\d+[.eE]')
_NAMED_PASSES = 5


class SnapshotError(Exception):
    """The list of passes cannot be used; the message says what is wrong with it and what to do next."""


class PageLoader:
    """Loads pages into the table `listing` of a staging file of its own."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self._memory = fsspec.filesystem("memory")
        self._query = (files("wallet_pipeline.collect") / "sql" / "listing.sql").read_text()
        con.register_filesystem(self._memory)

    def load(self, index: int, body: bytes) -> int:
        """Append the page's passes to `listing` and return how many they are. Raises SnapshotError."""
        if _FRACTIONAL_NUMBER.search(body):
            body = _numbers_as_written(body)
        path = f"/wallet_pipeline/{uuid.uuid4().hex}.json"
        self._memory.pipe(path, body)
        try:
            self._con.execute(f"CREATE OR REPLACE TEMP TABLE page AS {self._query}", {"file": f"memory://{path}"})
        except (duckdb.InvalidInputException, duckdb.ConversionException) as error:
            # The library's message quotes whole passes, secrets too: only the kind of mismatch is passed on.
            raise SnapshotError(_misshapen(index, error)) from None
        finally:
            self._memory.rm(path)
        self._check_page(index)
        self._con.execute("INSERT INTO listing SELECT * FROM page")
        return self._scalar("SELECT count(*) FROM page")

    def distinct_passes(self) -> int:
        """Return how many different passes have been loaded."""
        return self._scalar("SELECT count(DISTINCT pass_id) FROM listing")

    def clear(self) -> None:
        """Forget all pages."""
        self._con.execute("DELETE FROM listing")

    def _check_page(self, index: int) -> None:
        if nameless := self._scalar("SELECT count(*) FROM page WHERE coalesce(trim(pass_id), '') = ''"):
            raise SnapshotError(
                f"Page {index} of the passes has {nameless} without an id, so they cannot be told apart. Nothing was"
                " taken over; ask the vendor's support what these passes are."
            )
        unreadable = self._con.execute(
            "SELECT pass_id || ' (' || array_to_string(unreadable, ', ') || ')' FROM page"
            " WHERE len(unreadable) > 0 ORDER BY 1"
        ).fetchall()
        if unreadable:
            named = ", ".join(name for (name,) in unreadable[:_NAMED_PASSES])
            raise SnapshotError(
                f"Page {index} of the passes has {len(unreadable)} with an installation date that is no date: {named}."
                " Nothing was taken over, for reading it as `not installed` would be a guess; show these passes to the"
                " vendor's support."
            )

    def _scalar(self, query: str) -> int:
        row = self._con.execute(query).fetchone()
        return int(row[0]) if row else 0


@contextmanager
def open_staging(file: Path) -> Iterator[PageLoader]:
    """Create the staging file and yield a loader for it; bounded memory, and never a spill file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    con = duckdb.connect(file, config={"memory_limit": _MEMORY_LIMIT, "temp_directory": ""})
    try:
        con.execute("SET TimeZone = 'UTC'")
        con.execute(
            "CREATE TABLE listing (pass_id VARCHAR, pass_type VARCHAR, created_at TIMESTAMP, identifiers VARCHAR,"
            " apple_at TIMESTAMP, google_at TIMESTAMP, unreadable VARCHAR[], other_wallets BIGINT)"
        )
        yield PageLoader(con)
    finally:
        con.close()


def _numbers_as_written(body: bytes) -> bytes:
    try:
        return json.dumps(json.loads(body, parse_float=str)).encode()
    except ValueError:
        return body  # not JSON: the loader says so, in one place


def _misshapen(index: int, error: duckdb.Error) -> str:
    mismatch = re.search(r"Expected (\w+), but got (\w+)", str(error))
    found = f": {mismatch[1]} was expected, {mismatch[2]} came" if mismatch else ""
    return (
        f"Page {index} of the passes has another shape than documented (a list of passes, whose `providers` maps a"
        f" wallet to a date){found}. Nothing was taken over; the API may have changed: compare with its reference."
    )
