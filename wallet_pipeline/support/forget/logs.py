"""What Dagster keeps of runs below .dagster/: its books, which are SQLite, and what runs printed."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.support.forget.sqlite import connect, wipe
from wallet_pipeline.support.forget.traces import Traces


class LogError(ExplainedError):
    """A log of runs cannot be read or changed; the message says which and what to do."""


_SQLITE = b"SQLite format 3\0"
_COMPANIONS = ("-wal", "-shm", "-journal")


def redact_logs(folder: Path, traces: Traces, *, write: bool) -> tuple[int, list[Path]]:
    """Replace traces by asterisks in all files of a folder, in place: processes that write to them go on.

    Returns how many rows and lines there were, and the files in whose free space some may remain. Without `write`
    nothing is changed. Raises LogError.
    """
    places, unclean = 0, []
    for file in _files(folder):
        with _explaining(file):
            if _is_sqlite(file):
                places += _redact_rows(file, traces, write=write)
                if write and not wipe(file, traces.in_logs):
                    unclean.append(file)
            else:
                places += _redact_lines(file, traces, write=write)
    return places, unclean


@contextmanager
def _explaining(file: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        pass  # Dagster has deleted a run
    except (sqlite3.Error, OSError) as error:
        raise LogError(
            f"{file} cannot be searched: {error}. Check the folder's rights and the free disk space, wait until no run"
            " is going on, and run the same command again: it begins anew."
        ) from error


def _files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.is_symlink() and not file.name.endswith(_COMPANIONS):
            yield file


def _is_sqlite(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(_SQLITE)) == _SQLITE


def _redact_rows(file: Path, traces: Traces, *, write: bool) -> int:
    """Redact each text of each row of each table; return how many there were."""
    places = 0
    with closing(connect(file)) as con:
        con.create_function("redacted", 1, traces.redact, deterministic=True)
        for table, column in _columns(con):
            place = f'"{column}" <> redacted("{column}")'
            where = f"""WHERE typeof("{column}") = 'text' AND {place}"""
            if write:
                statement = f'UPDATE "{table}" SET "{column}" = redacted("{column}") {where}'
                places += con.execute(statement).rowcount
            else:
                places += con.execute(f'SELECT count(*) FROM "{table}" {where}').fetchone()[0]
        if write:
            con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return places


def _columns(con: sqlite3.Connection) -> list[tuple[str, str]]:
    return con.execute(
        "SELECT t.name, c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c"
        " WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    ).fetchall()


def _redact_lines(file: Path, traces: Traces, *, write: bool) -> int:
    """Overwrite what is to be redacted where it stands, byte by byte; return in how many lines that was."""
    places = 0
    with file.open("r+b" if write else "rb") as opened:
        start = 0
        for line in iter(opened.readline, b""):
            text = line.decode("utf-8", "surrogateescape")
            redacted = traces.redact(text)
            if redacted != text:
                places += 1
                if write:
                    opened.seek(start)
                    opened.write(redacted.encode("utf-8", "surrogateescape"))
            start += len(line)
            opened.seek(start)
    return places
