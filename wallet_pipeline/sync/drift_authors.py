"""Find out who caused the drift in crm.drift, and when: by the CRM's own history of each field."""

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from wallet_pipeline.clients.http import ServiceError
from wallet_pipeline.sync.destination import MERGE, TIME_FIELDS, Destination, Value, Version
from wallet_pipeline.sync.queries import as_json, query
from wallet_pipeline.sync.read_back import is_equal
from wallet_pipeline.warehouse.connection import OpenWarehouse, naive, transaction
from wallet_pipeline.warehouse.queries import aware

log = logging.getLogger(__name__)

UNKNOWN = "unknown"
# Who wrote a value that was never written: the field was empty from the beginning.
NOBODY = "nobody"

_READERS = 8
_BATCHES_AT_ONCE = 40
_ASKED_FOR = timedelta(days=7)
# The CRM's clock and ours may be apart by so much.
_CLOCKS_APART = timedelta(minutes=5)


@dataclass(frozen=True)
class Authors:
    """How many discoveries of drift the CRM was asked about, and of how many its history tells who caused it.

    `requests` is what that took; `stopped` says why the rest was left to the next run.
    """

    asked: int
    named: int
    requests: int
    stopped: str | None


@dataclass(frozen=True)
class _Drift:
    """One discovery in crm.drift; times are aware, in UTC."""

    customer_key: str
    record_id: str
    field: str
    expected: str | None
    found: str | None
    found_at: datetime
    is_repaired: bool


@dataclass(frozen=True)
class _Author:
    """Who changed a field, since when it has held what was found, and who had written what was expected."""

    changed_by: str = UNKNOWN
    changed_at: datetime | None = None
    source_type: str | None = None
    written_by: str = UNKNOWN


_Answer = list[tuple[_Drift, _Author]]
_ANSWERS = json.dumps(
    [
        dict.fromkeys(("customer_key", "field", "changed_by", "source_type", "written_by", "found"), "VARCHAR")
        | dict.fromkeys(("found_at", "changed_at"), "TIMESTAMP")
    ]
)


def name_authors(
    open_warehouse: OpenWarehouse,
    destination: Destination,
    tolerance: timedelta,
    now: datetime,
    between: Callable[[], None] | None = None,
) -> Authors:
    """Ask the CRM once for the history of each field in crm.drift, and note there who caused it.

    `now` is aware. `between` is called between pages; who lets nobody pass in between asks for one page alone. A CRM
    that cannot be read ends it, without an error. What was not answered is asked by a later run.
    """
    asked = named = requests = 0
    after = ""
    with ThreadPoolExecutor(_READERS) as readers:
        while page := _next_page(open_warehouse, destination, now, after):
            if between and after and (stopped := _end_of(between)):
                return Authors(asked, named, requests, stopped)
            before = destination.requests
            answers, stopped = _ask(destination, tolerance, page, readers)
            requests += destination.requests - before
            _keep(open_warehouse, answers)
            asked += len(answers)
            named += sum(author.changed_by != UNKNOWN for _, author in answers)
            log.info("%s: asked who caused %d differences, %d are known", destination.name, asked, named)
            if stopped or between is None:
                return Authors(asked, named, requests, stopped)
            after = page[-1].record_id
    return Authors(asked, named, requests, None)


def _end_of(step: Callable[[], None]) -> str | None:
    """Return the error of the CRM with which a step ended, if it did."""
    try:
        step()
    except ServiceError as error:
        return str(error)
    return None


def _next_page(open_warehouse: OpenWarehouse, destination: Destination, now: datetime, after: str) -> list[_Drift]:
    records = destination.capabilities.history_batch * _BATCHES_AT_ONCE
    with open_warehouse() as con:
        rows = con.execute(
            query("drift_unasked"), {"since": naive(now - _ASKED_FOR), "after": after, "records": records}
        ).fetchall()
    return [
        _Drift(key, record_id, field, expected, found, aware(found_at), is_repaired)
        for key, record_id, field, expected, found, found_at, is_repaired in rows
    ]


def _ask(
    destination: Destination, tolerance: timedelta, page: Sequence[_Drift], readers: ThreadPoolExecutor
) -> tuple[_Answer, str | None]:
    """Return the answers to a page of questions, and why there are no more of them."""
    answers: _Answer = []

    def ask(batch: dict[str, list[_Drift]]) -> _Answer:
        fields = dict.fromkeys(one.field for drifts in batch.values() for one in drifts)
        found = destination.read_history(list(batch), list(fields))
        return [
            (one, _author(one, found.get(record_id, {}).get(one.field, []), tolerance))
            for record_id, drifts in batch.items()
            for one in drifts
        ]

    try:
        for answer in readers.map(ask, _batches(page, destination.capabilities.history_batch)):
            answers += answer
    except ServiceError as error:
        return answers, str(error)
    return answers, None


def _batches(page: Iterable[_Drift], size: int) -> list[dict[str, list[_Drift]]]:
    """Return the discoveries of each record, in batches of records."""
    by_record = [(record_id, list(drifts)) for record_id, drifts in groupby(page, lambda one: one.record_id)]
    return [dict(by_record[start : start + size]) for start in range(0, len(by_record), size)]


def _author(drift: _Drift, versions: Sequence[Version], tolerance: timedelta) -> _Author:
    """Return who put the found value there, by a history that begins with the newest version."""
    expected, found = _value(drift.field, drift.expected), _value(drift.field, drift.found)
    place = _place(versions, found, drift.found_at)
    if place is None:
        return _Author()
    ours = [at for at, one in enumerate(versions) if is_equal(one.value, expected, tolerance)]
    written = next((versions[at].source for at in ours if at > place), None)
    if written is None and ours and not drift.is_repaired:
        # The newest version that we know is what was expected: how it was replaced is in no history, as after a merge.
        return _Author()
    if written is None and expected is None:
        written = NOBODY
    changed = versions[place]
    return _Author(changed.source, changed.at, changed.source_type, written or UNKNOWN)


def _place(versions: Sequence[Version], found: Value, found_at: datetime) -> int | None:
    """Return the place of the version that gave the field the found value; who gave it again has changed nothing.

    A merge has, though the other record's history before it may show the value, too. Of several versions it is the
    newest that is not younger than the discovery; clocks that disagree make it the newest.
    """
    given = [
        at
        for at, one in enumerate(versions)
        if one.value == found and (at + 1 == len(versions) or versions[at + 1].value != found or one.source == MERGE)
    ]
    in_time = [at for at in given if versions[at].at <= found_at + _CLOCKS_APART]
    return next(iter(in_time or given), None)


def _value(field: str, text: str | None) -> Value:
    return aware(datetime.fromisoformat(text)) if text and field in TIME_FIELDS else text


def _keep(open_warehouse: OpenWarehouse, answers: _Answer) -> None:
    """Note the answers. What another run has noted meanwhile stays."""
    if not answers:
        return
    rows = json.dumps([as_json(_row(drift, author)) for drift, author in answers])
    with open_warehouse() as con, transaction(con):
        con.execute(
            """
            UPDATE crm.drift d
            SET changed_by = a.changed_by, changed_at = a.changed_at, source_type = a.source_type,
                written_by = a.written_by
            FROM (SELECT unnest(from_json(?, ?), recursive := TRUE)) a
            WHERE d.changed_by IS NULL AND d.customer_key = a.customer_key AND d.field = a.field
                AND d.found_at = a.found_at AND d.found IS NOT DISTINCT FROM a.found
            """,
            [rows, _ANSWERS],
        )


def _row(drift: _Drift, author: _Author) -> dict[str, Any]:
    key = {"customer_key": drift.customer_key, "field": drift.field, "found": drift.found, "found_at": drift.found_at}
    return key | vars(author)
