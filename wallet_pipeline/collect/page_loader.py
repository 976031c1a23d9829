"""Pages of passes into a staging file: bytes to rows, with no secret ever on a disk or in a message."""

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb
import fsspec

from wallet_pipeline.collect.queries import query
from wallet_pipeline.errors import ExplainedError

_MEMORY_LIMIT = "256MB"
_FRACTIONAL_NUMBER = r'(":|[\[,])-?\d+[.eE]'
_NAMED_PASSES = 5


class SnapshotError(ExplainedError):
    """The list of passes cannot be used; the message says what is wrong with it and what to do next."""


class PageLoader:
    """Loads pages into the table `pages` of a staging file of its own, to be read through its view `listing`."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self._memory = fsspec.filesystem("memory")
        self._folder = f"/wallet_pipeline/{uuid.uuid4().hex}"
        con.register_filesystem(self._memory)

    def load(self, pages: Mapping[int, bytes]) -> int:
        """Append the passes of some pages, by index, and return how many they are. Raises SnapshotError."""
        before = self._scalar("SELECT count(*) FROM pages")
        self._insert(pages)
        if rewritten := self._pages_with_rewritten_numbers(pages):
            self._con.execute("DELETE FROM pages WHERE page IN (SELECT unnest(?::BIGINT[]))", [rewritten])
            self._insert({index: _numbers_as_written(pages[index]) for index in rewritten})
        return self._scalar("SELECT count(*) FROM pages") - before

    def _insert(self, pages: Mapping[int, bytes]) -> None:
        mismatch = ""
        try:
            for index, body in pages.items():
                self._memory.pipe(f"{self._folder}/{index}.json", body)
            files_read = {"files": [f"memory://{self._folder}/{index}.json" for index in pages]}
            self._con.execute(f"INSERT INTO pages {query('pages')}", files_read)
        except (duckdb.InvalidInputException, duckdb.DataError) as error:
            mismatch = _misshapen(error)
        finally:
            self._memory.rm(self._folder, recursive=True)
        if mismatch:
            # Raised out here: the library's message quotes whole passes, secrets too, and a context would carry it on.
            raise SnapshotError(mismatch)

    def _pages_with_rewritten_numbers(self, pages: Mapping[int, bytes]) -> list[int]:
        """Return the pages with a fraction or an exponent among the identifiers.

        DuckDB writes 1.10 as 1.1 and 1e3 as 1000.0, but an identifier is what the JSON says. Looking here takes a
        tenth of the time that looking through the bytes of the pages takes.
        """
        rows = self._con.execute(
            "SELECT DISTINCT page FROM pages"
            " WHERE page IN (SELECT unnest(?::BIGINT[])) AND regexp_matches(identifiers, ?)",
            [list(pages), _FRACTIONAL_NUMBER],
        ).fetchall()
        return [page for (page,) in rows]

    def check(self) -> None:
        """Raise SnapshotError when a loaded pass cannot be used: it has no id, or a date that is none."""
        if nameless := self._scalar("SELECT count(*) FROM pages WHERE coalesce(trim(pass_id), '') = ''"):
            raise SnapshotError(
                f"{nameless} of the listed passes have no id, so they cannot be told apart. Nothing was taken over; ask"
                " the vendor's support what these passes are."
            )
        unreadable = self._con.execute(
            "SELECT DISTINCT pass_id || ' (' || array_to_string(unreadable, ', ') || ')' FROM listing"
            " WHERE len(unreadable) > 0 ORDER BY 1"
        ).fetchall()
        if unreadable:
            named = ", ".join(name for (name,) in unreadable[:_NAMED_PASSES])
            raise SnapshotError(
                f"{len(unreadable)} passes have an installation date that is no date: {named}. Nothing was taken over,"
                " for reading it as `not installed` would be a guess; show these passes to the vendor's support."
            )

    def distinct_passes(self) -> int:
        """Return how many different passes have been loaded."""
        return self._scalar("SELECT count(DISTINCT pass_id) FROM pages")

    def clear(self) -> None:
        """Forget all pages."""
        self._con.execute("DELETE FROM pages")

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
            "CREATE TABLE pages (page BIGINT, pass_id VARCHAR, pass_type VARCHAR, created_at VARCHAR, identifiers JSON,"
            " providers MAP(VARCHAR, VARCHAR))"
        )
        con.execute(f"CREATE VIEW listing AS {query('listing')}")
        yield PageLoader(con)
        # Closing would do it too, and say nothing when it fails: a full disk must be an error here.
        con.execute("CHECKPOINT")
    finally:
        con.close()


def _numbers_as_written(body: bytes) -> bytes:
    try:
        return json.dumps(json.loads(body, parse_float=str)).encode()
    except ValueError:
        return body  # not JSON: the loader says so, in one place


def _misshapen(error: duckdb.Error) -> str:
    page = re.search(r"(\d+)\.json", str(error))
    mismatch = re.search(r"Expected (\w+), but got (\w+)", str(error))
    found = f": {mismatch[1]} was expected, {mismatch[2]} came" if mismatch else ""
    return (
        f"Page {page[1] if page else ''} of the passes has another shape than documented (a list of passes, whose"
        f" `providers` maps a wallet to a date){found}. Nothing was taken over; the API may have changed: compare with"
        " its reference."
    )
