"""A snapshot: the whole list of passes, read page by page, judged, and merged as evidence."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from wallet_pipeline.clients.wallet_crew import WalletCrew
from wallet_pipeline.collect.observation_runs import merge_runs
from wallet_pipeline.collect.page_loader import SnapshotError, open_staging
from wallet_pipeline.collect.pass_list import CLOCK_TOLERANCE, READINGS, Reading, read_until_it_stands_still
from wallet_pipeline.warehouse.connection import OpenWarehouse, naive, transaction
from wallet_pipeline.warehouse.rewrite import rewrite
from wallet_pipeline.warehouse.staging import attached, work_file

# One is taken a day; each limit leaves room for a run that begins late and takes long.
LATE_AFTER, TOO_LATE_AFTER = timedelta(hours=26), timedelta(hours=36)
_HELD_FILES_KEPT = 3


@dataclass(frozen=True)
class Snapshot:
    """A snapshot and what became of it. Times are aware, UTC; `verdict` is `accepted` or `held`.

    `passes` are all that were listed, `forgotten` those of them that were left out.
    """

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
    forgotten: int = 0
    forgotten_apple: int = 0
    forgotten_google: int = 0


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
    with work_file(staging_dir, "reading") as staged:
        with open_staging(staged) as loader:
            reading, attempts, distinct = read_until_it_stands_still(client, loader, page_size, concurrency, clock)
        with open_warehouse() as con:
            with attached(con, staged, "staging"):
                snapshot = _judge(con, reading, attempts, distinct, min_share, clock())
                if snapshot.verdict == "accepted":
                    take_over(con, snapshot)
                elif snapshot.forgotten:
                    con.execute("DELETE FROM staging.pages WHERE raw.is_forgotten(pass_id)")
            if snapshot.verdict == "held":
                if snapshot.forgotten:
                    with duckdb.connect(staged, read_only=True) as listed:
                        rewrite(listed, staged)
                # The file first: an id that is booked can be approved.
                _keep_held(staged, staging_dir, snapshot.snapshot_id)
                take_over(con, snapshot)
        return snapshot


def approve_snapshot(open_warehouse: OpenWarehouse, staging_dir: Path, held_id: str, now: datetime) -> Snapshot:
    """Make a held snapshot evidence after all, from `now` (aware) on. Raises SnapshotError when there is none."""
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
        with attached(con, staged, "staging"), transaction(con):
            con.execute(
                "UPDATE raw.snapshots SET verdict = 'accepted', reason = 'approved; it was held: ' || reason,"
                " approved_at = ? WHERE snapshot_id = ?",
                [naive(now), held_id],
            )
            merge_runs(con, held_id)
        snapshot = _booked(con, held_id)
    _remove(staged)
    return snapshot


def take_over(con: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> None:
    """Book a snapshot and, if it is accepted, merge its staging database, attached as `staging`, in one transaction.

    A snapshot that is booked already changes nothing.
    """
    if con.execute("SELECT 1 FROM raw.snapshots WHERE snapshot_id = ?", [snapshot.snapshot_id]).fetchone():
        return
    with transaction(con):
        _book(con, snapshot)
        if snapshot.verdict == "accepted":
            merge_runs(con, snapshot.snapshot_id)


def _judge(
    con: duckdb.DuckDBPyConnection, reading: Reading, attempts: int, distinct: int, min_share: float, now: datetime
) -> Snapshot:
    complete = distinct >= reading.highest_total
    reason = _reason_to_hold(con, reading, complete=complete, distinct=distinct, min_share=min_share)
    row = con.execute(
        """
        SELECT
            count(*) FILTER (apple_at NOT BETWEEN '2000-01-01' AND $latest)
                + count(*) FILTER (google_at NOT BETWEEN '2000-01-01' AND $latest),
            coalesce(sum(other_wallets), 0),
            count(DISTINCT pass_id) FILTER (raw.is_forgotten(pass_id)),
            count(DISTINCT pass_id) FILTER (raw.is_forgotten(pass_id) AND apple_at IS NOT NULL),
            count(DISTINCT pass_id) FILTER (raw.is_forgotten(pass_id) AND google_at IS NOT NULL)
        FROM staging.listing
        """,
        {"latest": naive(reading.started_at + CLOCK_TOLERANCE)},
    ).fetchone()
    undated, other_wallets, forgotten, forgotten_apple, forgotten_google = map(int, row or (0,) * 5)
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
        undated=undated,
        other_wallets=other_wallets,
        verdict="held" if reason else "accepted",
        reason=reason,
        forgotten=forgotten,
        forgotten_apple=forgotten_apple,
        forgotten_google=forgotten_google,
    )


def _reason_to_hold(
    con: duckdb.DuckDBPyConnection, reading: Reading, *, complete: bool, distinct: int, min_share: float
) -> str | None:
    if not complete:
        return (
            f"incomplete: {distinct} different passes of {reading.highest_total} after {READINGS} readings; the list"
            " moves, or its total is wrong"
        )
    last = con.execute(
        "SELECT passes FROM raw.snapshots WHERE verdict = 'accepted' ORDER BY snapshot_id DESC LIMIT 1"
    ).fetchone()
    if last and distinct < min_share * last[0]:
        return f"shrunken: {distinct} passes, {last[0]} in the last accepted snapshot; the limit is {min_share:.0%}"
    return None


def _book(con: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> None:
    columns = ", ".join(f"${column} AS {column}" for column in Snapshot.__dataclass_fields__)
    con.execute(
        f"INSERT INTO raw.snapshots BY NAME SELECT {columns}",
        vars(snapshot) | {"started_at": naive(snapshot.started_at), "finished_at": naive(snapshot.finished_at)},
    )


def _booked(con: duckdb.DuckDBPyConnection, snapshot_id: str) -> Snapshot:
    columns = list(Snapshot.__dataclass_fields__)
    row = con.execute(f"SELECT {', '.join(columns)} FROM raw.snapshots WHERE snapshot_id = ?", [snapshot_id]).fetchone()
    values = dict(zip(columns, row or (), strict=True))
    for column in ("started_at", "finished_at"):
        values[column] = values[column].replace(tzinfo=UTC)
    return Snapshot(**values)


def _held_file(staging_dir: Path, held_id: str) -> Path:
    return staging_dir / f"held-{Path(held_id).name}.duckdb"


def _keep_held(staged: Path, staging_dir: Path, held_id: str) -> None:
    staged.replace(_held_file(staging_dir, held_id))
    for old in sorted(staging_dir.glob("held-*.duckdb"))[:-_HELD_FILES_KEPT]:
        _remove(old)


def _remove(staged: Path) -> None:
    for file in (staged, staged.with_name(staged.name + ".wal")):
        file.unlink(missing_ok=True)
