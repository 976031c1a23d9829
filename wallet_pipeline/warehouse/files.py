"""Database files as files: their names, put in place at once, and removed."""

import os
from pathlib import Path


def put_in_place(aside: Path, file: Path) -> None:
    """Give a finished database file another one's name, on the disk when this returns; the other one is gone then."""
    sync(aside)
    wal(file).unlink(missing_ok=True)
    aside.replace(file)
    sync(file.parent)


def sync(path: Path) -> None:
    """Return when a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(file: Path) -> None:
    """Remove a database file, if it is there, and what DuckDB has laid beside it."""
    file.unlink(missing_ok=True)
    wal(file).unlink(missing_ok=True)


def wal(file: Path) -> Path:
    """Return the file to which DuckDB writes before it writes to the database file."""
    return file.with_name(f"{file.name}.wal")
