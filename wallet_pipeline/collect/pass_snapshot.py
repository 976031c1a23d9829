"""A snapshot: the whole list of passes, read page by page, judged, and merged as evidence."""

import fcntl
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import duckdb

from wallet_pipeline.clients.wallet_crew import PassPage, WalletCrew
from wallet_pipeline.collect.page_loader import PageLoader, SnapshotError, open_staging
from wallet_pipeline.warehouse.connection import transaction

log = logging.getLogger(__name__)

OpenWarehouse = Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]
_READINGS = 3
_CLOCK_TOLERANCE = timedelta(minutes=5)
_SECONDS_BETWEEN_REPORTS = 5.0
_HELD_FILES_KEPT = 3
# Pages that are loaded by one statement: a statement a page takes twice as long.
_PAGES_AT_ONCE = 8


@dataclass(frozen=True)
class Snapshot:
    """A snapshot and what became of it. Times are aware, UTC; `verdict` is `accepted` or `held`."""

    snapshot_id: str
    started_at: datetime
    finished_at: datetime
    complete: bool
    passes: int
    highest_total: int
    pages: int
    attempts: int
    clock: str
    undated: int
    other_wallets: int
    verdict: str
    reason: str | None


@dataclass
class _Reading:
    """One reading of the whole list."""

    started_at: datetime
    clock: str
    our_start: datetime
    pages: int = 0
    passes: int = 0
    highest_total: int = 0


def snapshot_id(started_at: datetime, suffix: str) -> str:
    """Return an id that sorts by start."""
    return f"{started_at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{suffix}"


def take_snapshot(
    open_warehouse: OpenWarehouse,
    client: WalletCrew,
    staging_dir: Path,
    *,
    page_size: int,
    concurrency: int,
    min_share: float,
    clock: Callable[[], datetime],
) -> Snapshot:
    """Read all passes into a staging file, judge them, and merge them in one short transaction if they are accepted.

    A snapshot that is incomplete, or has less than `min_share` of the passes of the last accepted one, is held: it is
    booked and its file kept, and it is no evidence until `approve_snapshot`. Raises ServiceError, SnapshotError; then
    nothing has changed.
    """
    with _staging_file(staging_dir) as staged:
        with open_staging(staged) as loader:
            reading, attempts, distinct = _read_until_it_stands_still(client, loader, page_size, concurrency, clock)
        with open_warehouse() as con, _attached(con, staged):
            snapshot = _judge(con, reading, attempts, distinct, min_share, clock())
            with transaction(con):
                _book(con, snapshot)
                if snapshot.verdict == "accepted":
                    _merge(con, snapshot.snapshot_id)
        if snapshot.verdict == "held":
            _keep_held(staged, staging_dir, snapshot.snapshot_id)
        return snapshot


def approve_snapshot(open_warehouse: OpenWarehouse, staging_dir: Path, held_id: str) -> Snapshot:
    """Make a held snapshot evidence after all. Raises SnapshotError when there is none of that id."""
    staged = _held_file(staging_dir, held_id)
    with open_warehouse() as con:
        row = con.execute(
            "SELECT * FROM raw.snapshots WHERE snapshot_id = ? AND verdict = 'held'", [held_id]
        ).fetchone()
        if row is None or not staged.exists():
            held = con.execute(
                "SELECT snapshot_id FROM raw.snapshots WHERE verdict = 'held' ORDER BY 1 DESC LIMIT 3"
            ).fetchall()
            known = ", ".join(name for (name,) in held) or "none"
            raise SnapshotError(
                f"There is no held snapshot {held_id!r} to approve (the last held ones: {known}). Run without an"
                " approval to take a new one."
            )
        with _attached(con, staged), transaction(con):
            con.execute(
                "UPDATE raw.snapshots SET verdict = 'accepted', reason = 'approved; it was held: ' || reason"
                " WHERE snapshot_id = ?",
                [held_id],
            )
            _merge(con, held_id)
        snapshot = _booked(con, held_id)
    _remove(staged)
    return snapshot


def merge_staged(con: duckdb.DuckDBPyConnection, staged: Path, snapshot: Snapshot) -> None:
    """Book an accepted snapshot and merge its staging file; a snapshot that is booked already changes nothing."""
    with _attached(con, staged):
        merge_attached(con, snapshot)


def merge_attached(con: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> None:
    """Do what merge_staged does with a staging database that is attached already, as `staging`."""
    if con.execute("SELECT 1 FROM raw.snapshots WHERE snapshot_id = ?", [snapshot.snapshot_id]).fetchone():
        return
    with transaction(con):
        _book(con, snapshot)
        _merge(con, snapshot.snapshot_id)


def _read_until_it_stands_still(
    client: WalletCrew, loader: PageLoader, page_size: int, concurrency: int, clock: Callable[[], datetime]
) -> tuple[_Reading, int, int]:
    """Read the list again, a bounded number of times, while passes slip through because it moves."""
    for attempt in range(1, _READINGS + 1):
        loader.clear()
        reading = _read_all(client, loader, page_size, concurrency, clock)
        distinct = loader.distinct_passes()
        if distinct >= reading.highest_total:
            break
        log.warning(
            "reading %d of %d: %d different passes of %d; the list moved while it was read",
            attempt, _READINGS, distinct, reading.highest_total,
        )  # fmt: skip
    loader.check()
    return reading, attempt, distinct


def _read_all(
    client: WalletCrew, loader: PageLoader, page_size: int, concurrency: int, clock: Callable[[], datetime]
) -> _Reading:
    our_start = clock()
    first = client.read_passes(0, page_size)
    if first.total is None:
        raise SnapshotError(
            "The Wallet Crew did not say how many passes there are (header x-pagination-total), so nobody can tell"
            " whether the list is complete. Nothing was taken over; if a proxy stands between, let the header through."
        )
    reading = _Reading(*_start_of(first, our_start), our_start)
    progress = _Progress()
    size = _take(reading, loader, [first], progress)
    if size:
        _read_planned(client, loader, reading, size, concurrency, progress)
        _read_beyond(client, loader, reading, size, progress)
    return reading


def _start_of(first: PassPage, our_start: datetime) -> tuple[datetime, str]:
    server = first.server_time
    if server is not None and abs(server - our_start) <= _CLOCK_TOLERANCE:
        return server, "server"
    log.warning("the server's clock is missing or more than 5 minutes from ours (%s): our own counts", server)
    return our_start, "own"


def _take(reading: _Reading, loader: PageLoader, pages: list[PassPage], progress: "_Progress") -> int:
    count = loader.load({page.index: page.body for page in pages})
    reading.pages += len(pages)
    reading.passes += count
    reading.highest_total = max(reading.highest_total, *(page.total or 0 for page in pages))
    progress.report(reading)
    return count


def _read_planned(
    client: WalletCrew, loader: PageLoader, reading: _Reading, size: int, concurrency: int, progress: "_Progress"
) -> None:
    """Read the pages that the total announces, `concurrency` at a time; a total that grows announces more."""
    index = 1
    read: list[PassPage] = []
    running: set[Future[PassPage]] = set()
    with ThreadPoolExecutor(concurrency) as pool:
        try:
            while True:
                # A few more than can run at once, so that the readers have work while pages are being loaded.
                while len(running) < concurrency + _PAGES_AT_ONCE and index * size < reading.highest_total:
                    running.add(pool.submit(client.read_passes, index, size))
                    index += 1
                if read and (not running or len(read) >= _PAGES_AT_ONCE):
                    _take(reading, loader, read, progress)
                    read = []
                elif not running:
                    return
                else:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    read += [future.result() for future in done]
        finally:
            pool.shutdown(cancel_futures=True)


def _read_beyond(client: WalletCrew, loader: PageLoader, reading: _Reading, size: int, progress: "_Progress") -> None:
    """Read on past the announced total while pages are full and bring new passes: the total may be too low."""
    known = loader.distinct_passes()
    while reading.passes >= reading.pages * size:
        _take(reading, loader, [client.read_passes(reading.pages, size)], progress)
        before, known = known, loader.distinct_passes()
        if known == before:
            return


class _Progress:
    """Says every few seconds how far the reading is."""

    def __init__(self) -> None:
        self._began = self._reported = time.monotonic()

    def report(self, reading: _Reading) -> None:
        now = time.monotonic()
        if now - self._reported < _SECONDS_BETWEEN_REPORTS:
            return
        self._reported = now
        rate = reading.passes / (now - self._began)
        left = max(0, reading.highest_total - reading.passes) / rate if rate else 0
        log.info(
            "%d pages, %d of %d passes, %.0f passes/s, about %.0f s left",
            reading.pages, reading.passes, reading.highest_total, rate, left,
        )  # fmt: skip


def _judge(
    con: duckdb.DuckDBPyConnection, reading: _Reading, attempts: int, distinct: int, min_share: float, now: datetime
) -> Snapshot:
    complete = distinct >= reading.highest_total
    reason = _reason_to_hold(con, reading, complete=complete, distinct=distinct, min_share=min_share)
    row = con.execute(
        """
        SELECT
            count(*) FILTER (apple_at NOT BETWEEN '2000-01-01' AND $latest)
                + count(*) FILTER (google_at NOT BETWEEN '2000-01-01' AND $latest),
            coalesce(sum(other_wallets), 0)
        FROM staging.listing
        """,
        {"latest": _naive(reading.started_at + _CLOCK_TOLERANCE)},
    ).fetchone()
    undated, other_wallets = row or (0, 0)
    return Snapshot(
        # The Date header knows seconds only: our own clock orders the snapshots of one second.
        snapshot_id=snapshot_id(reading.started_at, f"{reading.our_start.timestamp() * 1_000_000:016.0f}"),
        started_at=reading.started_at,
        finished_at=now,
        complete=complete,
        passes=distinct,
        highest_total=reading.highest_total,
        pages=reading.pages,
        attempts=attempts,
        clock=reading.clock,
        undated=int(undated),
        other_wallets=int(other_wallets),
        verdict="held" if reason else "accepted",
        reason=reason,
    )


def _reason_to_hold(
    con: duckdb.DuckDBPyConnection, reading: _Reading, *, complete: bool, distinct: int, min_share: float
) -> str | None:
    if not complete:
        return (
            f"incomplete: {distinct} different passes of {reading.highest_total} after {_READINGS} readings; the list"
            " moves, or its total is wrong"
        )
    last = con.execute(
        "SELECT passes FROM raw.snapshots WHERE verdict = 'accepted' ORDER BY snapshot_id DESC LIMIT 1"
    ).fetchone()
    if last and distinct < min_share * last[0]:
        return f"shrunken: {distinct} passes, {last[0]} in the last accepted snapshot; the limit is {min_share:.0%}"
    return None


def _book(con: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> None:
    con.execute(
        "INSERT INTO raw.snapshots BY NAME SELECT $snapshot_id AS snapshot_id, $started_at AS started_at,"
        " $finished_at AS finished_at, $complete AS complete, $verdict AS verdict, $reason AS reason,"
        " $passes AS passes,"
        " $highest_total AS highest_total, $pages AS pages, $attempts AS attempts, $clock AS clock,"
        " $undated AS undated, $other_wallets AS other_wallets",
        vars(snapshot) | {"started_at": _naive(snapshot.started_at), "finished_at": _naive(snapshot.finished_at)},
    )


def _booked(con: duckdb.DuckDBPyConnection, snapshot_id: str) -> Snapshot:
    columns = list(Snapshot.__dataclass_fields__)
    row = con.execute(f"SELECT {', '.join(columns)} FROM raw.snapshots WHERE snapshot_id = ?", [snapshot_id]).fetchone()
    values = dict(zip(columns, row or (), strict=True))
    for column in ("started_at", "finished_at"):
        values[column] = values[column].replace(tzinfo=UTC)
    return Snapshot(**values)


def _merge(con: duckdb.DuckDBPyConnection, snapshot_id: str) -> None:
    _merge_runs(con, "passes", ["pass_id"], ["pass_type", "created_at", "identifiers"], snapshot_id)
    _merge_runs(con, "wallet_observations", ["pass_id", "wallet"], ["present", "installed_at"], snapshot_id)


def _merge_runs(
    con: duckdb.DuckDBPyConnection, table: str, key: list[str], values: list[str], snapshot_id: str
) -> None:
    """Merge the staged rows into a table of runs, wherever in the order of snapshots this one stands.

    A run that spans the snapshot and agrees with it stays as it is. One that does not is cut there: it ends at the
    snapshot before, and what lies after it begins anew at the next one. Only changes are written.
    """
    before, after = con.execute(
        "SELECT max(snapshot_id) FILTER (snapshot_id < $id), min(snapshot_id) FILTER (snapshot_id > $id)"
        " FROM raw.snapshots WHERE verdict = 'accepted'",
        {"id": snapshot_id},
    ).fetchone() or (None, None)
    staged = (files("wallet_pipeline.collect") / "sql" / f"staged_{table}.sql").read_text()
    columns = ", ".join(key + values)
    same = " AND ".join(f"r.{column} IS NOT DISTINCT FROM s.{column}" for column in key + values)
    con.execute(f"CREATE OR REPLACE TEMP TABLE staged AS {staged}")
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE spanning AS SELECT rowid AS run, {columns}, last_snapshot FROM raw.{table}"
        " WHERE first_snapshot <= $before AND (last_snapshot IS NULL OR last_snapshot >= $after)",
        {"before": before, "after": after},
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE cut AS SELECT * FROM spanning r ANTI JOIN staged s ON {same}")
    if after:
        con.execute(f"INSERT INTO raw.{table} SELECT {columns}, $after, last_snapshot FROM cut", {"after": after})
    con.execute(
        f"UPDATE raw.{table} SET last_snapshot = $before WHERE rowid IN (SELECT run FROM cut)", {"before": before}
    )
    con.execute(
        f"INSERT INTO raw.{table} SELECT {columns}, $id, if($after IS NULL, NULL, $id) FROM staged s"
        f" ANTI JOIN spanning r ON {same}",
        {"id": snapshot_id, "after": after},
    )
    con.execute("DROP TABLE cut; DROP TABLE spanning; DROP TABLE staged")


def _attached(con: duckdb.DuckDBPyConnection, staged: Path) -> AbstractContextManager[None]:
    return _Attached(con, staged)


class _Attached(AbstractContextManager[None]):
    """The staging file as schema `staging`, for the length of a block."""

    def __init__(self, con: duckdb.DuckDBPyConnection, staged: Path) -> None:
        self._con = con
        self._staged = str(staged).replace("'", "''")

    def __enter__(self) -> None:
        self._con.execute(f"ATTACH '{self._staged}' AS staging (READ_ONLY)")

    def __exit__(self, *_: object) -> None:
        self._con.execute("DETACH staging")


@contextmanager
def _staging_file(staging_dir: Path) -> Iterator[Path]:
    """Yield a new file name, removed at the end; remove first what readings that were killed have left behind.

    Each reading shares a lock on the folder: who gets it alone knows that no file there is in use.
    """
    staging_dir.mkdir(parents=True, exist_ok=True)
    with (staging_dir / "readings.lock").open("w") as lock:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for leftover in staging_dir.glob("reading-*"):
                leftover.unlink()
        fcntl.flock(lock, fcntl.LOCK_SH)
        staged = staging_dir / f"reading-{secrets.token_hex(8)}.duckdb"
        try:
            yield staged
        finally:
            _remove(staged)


def _held_file(staging_dir: Path, held_id: str) -> Path:
    return staging_dir / f"held-{Path(held_id).name}.duckdb"


def _keep_held(staged: Path, staging_dir: Path, held_id: str) -> None:
    staged.replace(_held_file(staging_dir, held_id))
    for old in sorted(staging_dir.glob("held-*.duckdb"))[:-_HELD_FILES_KEPT]:
        _remove(old)


def _remove(staged: Path) -> None:
    for file in (staged, staged.with_name(staged.name + ".wal")):
        file.unlink(missing_ok=True)


def _naive(moment: datetime) -> datetime:
    """Return the moment as the warehouse keeps it: UTC, without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)
