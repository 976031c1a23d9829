"""Deliveries of the inbox into raw.wallet_events, each exactly once; and again, after the mapping was corrected.

Bodies are read and mapped while the warehouse is closed. Each batch is one short transaction, with the cursor in it.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from wallet_pipeline.collect.queries import query
from wallet_pipeline.collect.webhooks.inbox import (
    Delivery,
    InboxError,
    erase_deliveries,
    newest_delivery,
    note_taken,
    read_chosen,
    read_deliveries,
)
from wallet_pipeline.collect.webhooks.understanding import Event, EventMapping, NotUnderstood, understand
from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.warehouse.connection import OpenWarehouse, naive, transaction

log = logging.getLogger(__name__)

# A body has up to 256 KiB: read few at a time, and end a batch early when they are large.
_READ_AT_ONCE = 250
_BATCH = 10_000
_BATCH_BYTES = 32 * 2**20
_NAMED_IDS = 5

# A row of outcomes: the delivery's id, time and source, what its event says, and last the reason why it is none.
_Outcome = tuple[Any, ...]
_COLUMNS = (*Event._fields, "reason")
_NO_EVENT = (None,) * (len(Event._fields) - 3)


class ReplayError(ExplainedError):
    """The deliveries that were chosen cannot be read again; the message says why and what to do."""


@dataclass(frozen=True)
class TakenEvents:
    """What a take-over brought: deliveries, the events among them, the others by reason, and the last id taken over.

    Deliveries of forgotten passes are counted alone: they were left out, and erased from the inbox.
    """

    deliveries: int
    events: int
    unusable: dict[str, int]
    up_to: int
    forgotten: int = 0


@dataclass(frozen=True)
class Selection:
    """Deliveries to read again: those that meet all that is given, so all of them when nothing is.

    `since` and `until` (aware) bound the time of receipt, `until` left out; `reason` is how the stored reason begins.
    """

    ids: tuple[int, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Replay:
    """Deliveries that were read again, by what became of them; `missing` ones are in the inbox no longer.

    `forgotten` ones are of passes that are forgotten: they are removed here and in the inbox.
    """

    unchanged: int = 0
    now_understood: int = 0
    no_longer_understood: int = 0
    understood_differently: int = 0
    other_reason: int = 0
    forgotten: int = 0
    missing: int = 0

    @property
    def changed(self) -> int:
        """Deliveries whose outcome is another one than the warehouse holds."""
        understood = self.now_understood + self.no_longer_understood + self.understood_differently
        return understood + self.other_reason + self.forgotten


def taken_up_to(con: duckdb.DuckDBPyConnection) -> int:
    """Return the id of the last delivery that was taken over; 0 before the first."""
    (cursor,) = con.execute("SELECT delivery_id FROM raw.inbox_cursor").fetchone() or (0,)
    return int(cursor)


def take_events(open_warehouse: OpenWarehouse, inbox_file: Path, mapping: EventMapping) -> TakenEvents:
    """Take over what the inbox holds beyond the cursor, in batches; whatever dies when, each delivery once.

    What arrives meanwhile is left for the next time. Raises InboxError, WarehouseError.
    """
    with open_warehouse() as con:
        cursor = taken_up_to(con)
    newest = newest_delivery(inbox_file)
    if newest == 0:
        log.info("nothing was ever received in %s: nothing to take over", inbox_file)
        return TakenEvents(0, 0, {}, cursor)
    if newest < cursor:
        log.warning(
            "the inbox %s ends before what was taken over: it was put back, or begun anew after a clock had been ahead;"
            " it is read from its beginning",
            inbox_file,
        )
        with open_warehouse() as con:
            con.execute("UPDATE raw.inbox_cursor SET delivery_id = 0")
        cursor = 0
    reasons: Counter[str | None] = Counter()
    forgotten = 0
    started = time.monotonic()
    _tell_receiver(inbox_file, cursor)
    while outcomes := _batch(_new_deliveries(inbox_file, cursor, newest), mapping):
        with open_warehouse() as con:
            taken, left_out, cursor = _take(con, inbox_file, outcomes, cursor)
        _tell_receiver(inbox_file, cursor)
        reasons.update(outcome[-1] for outcome in taken)
        forgotten += left_out
        speed = reasons.total() / (time.monotonic() - started)
        log.info("took over %d deliveries, up to %d; %.0f per second", reasons.total(), cursor, speed)
    if forgotten:
        log.info("%d deliveries of forgotten passes were left out, and erased from the inbox", forgotten)
    unusable = {reason: count for reason, count in reasons.items() if reason is not None}
    return TakenEvents(reasons.total(), reasons[None], unusable, cursor, forgotten)


def replay(
    open_warehouse: OpenWarehouse, inbox_file: Path, mapping: EventMapping, selection: Selection, *, dry_run: bool
) -> Replay:
    """Map deliveries again that were taken over, and put what they say now in the place of what they said.

    Only what changes is written, a batch a transaction; the passes that it names, before or now, are then touched. A
    dry run writes nothing and returns the same. Raises ReplayError, InboxError, WarehouseError.
    """
    if not inbox_file.exists():
        raise InboxError(f"There is no inbox {inbox_file}: nothing was ever received. Check DATA_DIR.")
    with open_warehouse() as con:
        _refuse_unknown(con, selection.ids)
        ids = _chosen(con, selection, after=0)
    changes: Counter[str] = Counter()
    while ids:
        outcomes = _batch(_kept_deliveries(inbox_file, ids), mapping)
        up_to = outcomes[-1][0] if outcomes else ids[-1]
        changes["missing"] += sum(one <= up_to for one in ids) - len(outcomes)
        with open_warehouse() as con:
            changes.update(_read_again(con, inbox_file, outcomes, dry_run=dry_run))
            ids = _chosen(con, selection, after=up_to)
        log.info("read %d deliveries again, up to %d", changes.total(), up_to)
    return Replay(**{field.name: changes[field.name] for field in fields(Replay)})


def _new_deliveries(inbox_file: Path, after: int, until: int) -> Iterator[list[Delivery]]:
    while deliveries := read_deliveries(inbox_file, after, _READ_AT_ONCE, until):
        yield deliveries
        after = deliveries[-1].delivery_id


def _kept_deliveries(inbox_file: Path, ids: list[int]) -> Iterator[list[Delivery]]:
    for start in range(0, len(ids), _READ_AT_ONCE):
        yield read_chosen(inbox_file, ids[start : start + _READ_AT_ONCE])


def _batch(parts: Iterable[list[Delivery]], mapping: EventMapping) -> list[_Outcome]:
    """Map deliveries until a batch is full, in number or in bytes."""
    outcomes: list[_Outcome] = []
    size = 0
    for deliveries in parts:
        outcomes += [_outcome(delivery, mapping) for delivery in deliveries]
        size += sum(len(delivery.body) for delivery in deliveries)
        if len(outcomes) >= _BATCH or size >= _BATCH_BYTES:
            break
    return outcomes


def _outcome(delivery: Delivery, mapping: EventMapping) -> _Outcome:
    said = understand(delivery, mapping)
    if isinstance(said, NotUnderstood):
        return (delivery.delivery_id, delivery.received_at, delivery.source, *_NO_EVENT, said.reason)
    return (*said, None)


def _take(
    con: duckdb.DuckDBPyConnection, inbox_file: Path, outcomes: list[_Outcome], after: int
) -> tuple[list[_Outcome], int, int]:
    """Store what lies beyond the cursor as it is now, and return it with the cursor as it is then.

    Between the two stands how many deliveries were of forgotten passes.
    """
    with transaction(con):
        cursor = taken_up_to(con)
        # Another run may have been faster. If the warehouse was put back to an older state, what was read leaves a gap.
        new = [outcome for outcome in outcomes if outcome[0] > cursor] if cursor >= after else []
        if not new:
            return [], 0, cursor
        _stage(con, new)
        # An inbox that was put back brings deliveries again that are here already.
        _take_back_outcomes(con)
        forgotten = _leave_out_forgotten(con, inbox_file)
        _insert_outcomes(con)
        cursor = new[-1][0]
        con.execute("UPDATE raw.inbox_cursor SET delivery_id = ?", [cursor])
    return [outcome for outcome in new if outcome[0] not in forgotten], len(forgotten), cursor


def _tell_receiver(inbox_file: Path, cursor: int) -> None:
    try:
        note_taken(inbox_file, cursor)
    except InboxError as error:
        log.warning("the receiver's metrics do not know yet that deliveries were taken over: %s", error)


def _refuse_unknown(con: duckdb.DuckDBPyConnection, ids: tuple[int, ...]) -> None:
    unknown = con.execute(
        f"SELECT DISTINCT id FROM (SELECT unnest($ids::BIGINT[]) AS id)"
        f" ANTI JOIN ({query('taken_deliveries')}) ON id = delivery_id ORDER BY id",
        {"ids": list(ids)},
    ).fetchall()
    if unknown:
        named = ", ".join(str(one) for (one,) in unknown[:_NAMED_IDS])
        raise ReplayError(
            f"{len(unknown)} of the chosen deliveries were never taken over: {named}. raw.unusable_deliveries and"
            " raw.wallet_events name those that were, in the column delivery_id; what only the inbox has, the next run"
            " takes over anyway."
        )


def _chosen(con: duckdb.DuckDBPyConnection, selection: Selection, after: int) -> list[int]:
    """Return the ids of the next batch."""
    rows = con.execute(
        f"SELECT delivery_id FROM ({query('taken_deliveries')}) WHERE delivery_id > $after"
        " AND ($ids::BIGINT[] IS NULL OR delivery_id IN (SELECT unnest($ids::BIGINT[])))"
        " AND received_at >= coalesce($since::TIMESTAMP, received_at)"
        " AND ($until::TIMESTAMP IS NULL OR received_at < $until::TIMESTAMP)"
        " AND ($reason::VARCHAR IS NULL OR starts_with(reason, $reason)) ORDER BY delivery_id LIMIT $most",
        {
            "after": after,
            "ids": list(selection.ids) or None,
            "since": selection.since and naive(selection.since),
            "until": selection.until and naive(selection.until),
            "reason": selection.reason,
            "most": _BATCH,
        },
    ).fetchall()
    return [one for (one,) in rows]


def _read_again(
    con: duckdb.DuckDBPyConnection, inbox_file: Path, outcomes: list[_Outcome], *, dry_run: bool
) -> dict[str, int]:
    """Replace the rows of deliveries whose outcome is another one now, and return how many there are of each change."""
    with transaction(con):
        _stage(con, outcomes)
        con.execute(f"CREATE OR REPLACE TEMP VIEW taken_deliveries AS {query('taken_deliveries')}")
        con.execute(f"CREATE OR REPLACE TEMP TABLE outcome_changes AS {query('outcome_changes')}")
        changes = con.execute("SELECT change, count(*) FROM outcome_changes GROUP BY change").fetchall()
        if not dry_run:
            con.execute(
                "DELETE FROM outcomes WHERE delivery_id NOT IN"
                " (SELECT delivery_id FROM outcome_changes WHERE change <> 'unchanged')"
            )
            _take_back_outcomes(con)
            _leave_out_forgotten(con, inbox_file)
            _insert_outcomes(con)
    return dict(changes)


def _stage(con: duckdb.DuckDBPyConnection, outcomes: list[_Outcome]) -> None:
    lists = {name: [outcome[place] for outcome in outcomes] for place, name in enumerate(_COLUMNS)}
    con.execute(f"CREATE OR REPLACE TEMP TABLE outcomes AS {query('outcomes')}", lists)


def _take_back_outcomes(con: duckdb.DuckDBPyConnection) -> None:
    """Remove what the staged deliveries said before; the passes that it was about are touched."""
    con.execute(
        "INSERT INTO raw.touched_passes"
        " SELECT DISTINCT pass_id FROM raw.wallet_events SEMI JOIN outcomes USING (delivery_id)"
    )
    for table in ("raw.wallet_events", "raw.unusable_deliveries"):
        con.execute(f"DELETE FROM {table} WHERE delivery_id IN (SELECT delivery_id FROM outcomes)")


def _leave_out_forgotten(con: duckdb.DuckDBPyConnection, inbox_file: Path) -> set[int]:
    """Take staged deliveries of forgotten passes out, erase them from the inbox, and return their ids.

    In the transaction that leaves them behind: should it be undone, they are gone all the same.
    """
    rows = con.execute("DELETE FROM outcomes WHERE raw.is_forgotten(pass_id) RETURNING delivery_id").fetchall()
    forgotten = {delivery_id for (delivery_id,) in rows}
    if forgotten:
        erase_deliveries(inbox_file, sorted(forgotten))
    return forgotten


def _insert_outcomes(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("INSERT INTO raw.wallet_events BY NAME SELECT * EXCLUDE (reason) FROM outcomes WHERE reason IS NULL")
    con.execute(
        "INSERT INTO raw.unusable_deliveries BY NAME"
        " SELECT delivery_id, received_at, source, reason FROM outcomes WHERE reason IS NOT NULL"
    )
    con.execute("INSERT INTO raw.touched_passes SELECT DISTINCT pass_id FROM outcomes WHERE reason IS NULL")
