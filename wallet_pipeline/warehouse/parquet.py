"""The tables for analysts as Parquet files: a folder for each publication, and a link that leads to the newest one."""

import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.warehouse.files import sync
from wallet_pipeline.warehouse.queries import read_query

_SPILL = "spill"
_MARK = "made-by-wallet-pipeline.txt"


class PublishError(ExplainedError):
    """The copy could not be made; the last good one is still in place."""


@dataclass(frozen=True)
class ParquetSets:
    """The sets of Parquet files beside a file for analysts. `link` leads to the newest, each is a numbered folder.

    A link is put in place at once, a folder with files in it never is. Who follows the link once and then stays in the
    folder sees one publication only.
    """

    link: Path

    @property
    def home(self) -> Path:
        """The folder of the sets."""
        return self.link.with_name(f"{self.link.name}.publications")

    def begin(self) -> Path:
        """Return the new, empty folder of the next set. Raises PublishError."""
        self._settle()
        self.discard()
        folder = self.home / str(self._number(self._shown()) + 1)
        folder.mkdir()
        return folder

    def discard(self) -> None:
        """Remove what unfinished publications have left. Raises PublishError."""
        newest = self._number(self._shown())
        self._remove(one for one in self._sets() if self._number(one) > newest)

    def prepare(self, folder: Path) -> None:
        """Lay everything of a finished set on the disk, and a link to it that only waits for its name."""
        for file in folder.iterdir():
            file.chmod(0o444)
            sync(file)
        sync(folder)
        self._waiting.unlink(missing_ok=True)
        self._waiting.symlink_to(Path(self.home.name) / folder.name)
        sync(self.home)

    def show(self) -> None:
        """Let the link lead to the set that was prepared; the one before it stays for who reads it, older ones go."""
        before = self._shown()
        self._waiting.replace(self.link)
        sync(self.link.parent)
        with suppress(OSError):  # the next publication tries again
            self._remove_all_but(before, self._shown())

    def remove_earlier(self) -> None:
        """Remove all sets but the newest."""
        self._remove_all_but(self._shown())

    def _settle(self) -> None:
        """Mark the folder of the sets as ours, a new or an empty one. Raises PublishError."""
        if self._is_ours():
            return
        with suppress(FileExistsError):
            self.home.mkdir(parents=True)
        if not self.home.is_dir() or any(self.home.iterdir()):
            raise PublishError(self._occupied(self.home, f"a folder of Parquet files with {_MARK} in it"))
        (self.home / _MARK).write_text(
            "wallet-pipeline makes and removes the numbered folders beside this file. Keep nothing else here.\n",
            encoding="utf-8",
        )
        sync(self.home)

    def _is_ours(self) -> bool:
        return (self.home / _MARK).exists()

    @property
    def _waiting(self) -> Path:
        return self.home / "newest"

    def _shown(self) -> Path | None:
        """Return the folder to which the link leads; raises PublishError when something else has its name."""
        if not self.link.is_symlink():
            if self.link.exists():
                raise PublishError(self._occupied(self.link, "a link to the newest Parquet files"))
            return None
        target = self.link.parent / self.link.readlink()
        if target.parent != self.home or not target.name.isdecimal():
            raise PublishError(self._occupied(self.link, "a link to the newest Parquet files"))
        return target

    def _sets(self) -> list[Path]:
        return [one for one in self.home.iterdir() if one.name.isdecimal()] if self._is_ours() else []

    def _remove_all_but(self, *kept: Path | None) -> None:
        self._remove(one for one in self._sets() if one not in kept)

    @staticmethod
    def _remove(sets: Iterable[Path]) -> None:
        for one in sets:
            shutil.rmtree(one)

    @staticmethod
    def _number(folder: Path | None) -> int:
        return int(folder.name) if folder else 0

    @staticmethod
    def _occupied(place: Path, ours: str) -> str:
        return (
            f"{place} is not what this pipeline puts there, {ours}. It was left alone, and the last good file is still"
            " in place. Give it another name, or DATA_DIR another folder, and run again."
        )


def write_set(con: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, int]:
    """Write each table and view of a database as a Parquet file, with its comments; return the rows in the files."""
    spill = folder / _SPILL
    con.execute(f"SET temp_directory = {_quoted(spill)}")
    for name, comments in _comments(con).items():
        con.execute(
            f"COPY (FROM {name}) TO {_quoted(folder / f'{name}.parquet')}"
            f" (FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{comments}}})"
        )
    with suppress(FileNotFoundError):
        shutil.rmtree(spill)
    rows = con.execute(
        f"SELECT parse_filename(file_name, true), num_rows FROM parquet_file_metadata({_quoted(folder / '*.parquet')})"
    ).fetchall()
    return dict(rows)


def _comments(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return by table the comments as members of a struct: `comment`, and `comment.<column>` for each column."""
    comments: dict[str, list[str]] = {}
    for source, column, comment in con.execute(read_query("wallet_pipeline.warehouse", "comments")).fetchall():
        key = "comment" if column is None else f"comment.{column}"
        comments.setdefault(source.removeprefix("main."), []).append(f'"{key}": {_quoted(comment or "")}')
    return {name: ", ".join(members) for name, members in comments.items()}


def _quoted(text: str | Path) -> str:
    return "'" + str(text).replace("'", "''") + "'"
