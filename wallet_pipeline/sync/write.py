"""Bring the plan to the CRM: in slices, each booked before, read before, written, read back, and booked again."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

import duckdb

from wallet_pipeline.clients.http import ConfigurationError, QuotaError, UnexpectedAnswerError
from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.sync.destination import (
    DefinitionsError,
    Destination,
    ErrorClass,
    Receipt,
    Record,
    Scope,
    Write,
)
from wallet_pipeline.sync.ledger import (
    Intention,
    Outcome,
    Via,
    book,
    close_abandoned,
    intend,
    owned_records,
    park,
    withdraw,
)
from wallet_pipeline.sync.mass_change import StoppedPlanError
from wallet_pipeline.sync.plan import PlanRules
from wallet_pipeline.sync.read_back import differences, holds, is_verified, locate
from wallet_pipeline.sync.setup_crm import require_definitions
from wallet_pipeline.warehouse.connection import OpenWarehouse

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]

# Slices between two openings of the warehouse, all on their way at once: with answers that take 0.3 s that is 50
# requests a second, enough for the pacer to make up for the pauses between the waves.
_SLICES_AT_ONCE = 16
_ATTEMPTS = 2
_ANOTHERS = "the CRM record belongs to another customer"
_GONE = "the CRM record is gone"
_MOVED = "the customer's CRM record is another one since the plan was made"
_DIFFERS = "read back, the record holds something else than was written: it was changed in the same moment"
_VANISHED = "read back, the record is gone: it was deleted or merged in the same moment"

Kind = Literal["created", "linked", "updated"]


@dataclass(frozen=True)
class DeliveryResult:
    """What became of the plan. written = created + linked + updated, of which `verified` were read back as meant.

    `errors` of the `requests` were answered with an error.
    """

    written: int
    verified: int
    created: int
    linked: int
    updated: int
    dropped: int
    unverified: int
    rejected: int
    conflict: int
    unknown: int
    outdated: int
    left: int
    requests: int
    errors: int
    stopped: str | None


@dataclass
class _Slice:
    """Up to 100 intentions on their way: what was sent, what came of each, and the error that cut it short."""

    intentions: Sequence[Intention]
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    sent: dict[str, Kind] = field(default_factory=dict)
    error: ExplainedError | None = None

    def unsent(self) -> list[str]:
        """Return the delivery ids of which nothing became."""
        return [one.delivery_id for one in self.intentions if one.delivery_id not in self.outcomes]


def deliver(
    open_warehouse: OpenWarehouse,
    destination: Destination,
    rules: PlanRules,
    clock: Clock,
    scope: Scope = "all",
    between: Callable[[], None] = lambda: None,
) -> DeliveryResult:
    """Send the newest plan of that scope, if it is admitted, and return what became of it.

    For one run at a time. `between` is called when nothing is on its way, wave by wave. A plan that is replaced
    meanwhile is left. `stopped` says why a day's quota ended the run. Whatever ends it, what is left is listed in
    crm.rejections. Raises StoppedPlanError, DefinitionsError, and ServiceError (booked first) for any other end.
    """
    before = destination.requests, destination.errors
    with open_warehouse() as con:
        close_abandoned(con)
        plan_id, last = _admitted_plan(con, scope)
    sender = _Sender(open_warehouse, destination, rules, clock)
    done, tally, error = _send_all(sender, plan_id, last, between)
    if error:
        with open_warehouse() as con:
            park(con, plan_id, _class_of(error), str(error), clock())
    if error and not isinstance(error, QuotaError):
        raise error
    left = last - done + tally["unsent"]
    asked = destination.requests - before[0], destination.errors - before[1]
    return _result(tally, left, *asked, str(error) if error else None)


def _admitted_plan(con: duckdb.DuckDBPyConnection, scope: Scope) -> tuple[str, int]:
    """Return the id of the newest plan in crm.plan and its last position; StoppedPlanError when it is not admitted."""
    row = con.execute(
        "SELECT plan_id, coalesce(max(position), 0), admitted, verdict"
        " FROM crm.plan JOIN (FROM crm.plans WHERE scope = ?) p USING (plan_id)"
        " GROUP BY plan_id, admitted, verdict, p.planned_at ORDER BY p.planned_at DESC",
        [scope],
    ).fetchone()
    plan_id, last, admitted, verdict = row or ("", 0, True, "")
    if not admitted:
        raise StoppedPlanError(verdict)
    return plan_id, last


def _send_all(
    sender: "_Sender", plan_id: str, last: int, between: Callable[[], None]
) -> tuple[int, Counter[str], ExplainedError | None]:
    """Send wave by wave; the warehouse is open only to take a wave, and to book it."""
    done, tally = 0, Counter[str]()
    began = time.monotonic()
    with ThreadPoolExecutor(_SLICES_AT_ONCE) as threads:
        while done < last:
            try:
                between() if done else sender.check()
            except ExplainedError as end:
                return done, tally, end
            until = min(last, done + _SLICES_AT_ONCE * sender.size)
            slices = sender.send_wave(threads, plan_id, done, until)
            tally.update(outdated=until - done - sum(len(one.intentions) for one in slices))
            tally.update(_counts(slices))
            done = until
            if error := next((one.error for one in slices if one.error), None):
                return done, tally, error
            rate = (done - tally["unsent"]) / max(time.monotonic() - began, 0.001)
            log.info("%s: %d of %d customers sent, %.0f/s", sender.name, done - tally["unsent"], last, rate)
    return done, tally, None


def _counts(slices: Iterable[_Slice]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for one in slices:
        counts["unsent"] += len(one.unsent())
        for delivery_id, outcome in one.outcomes.items():
            if outcome.accepted_at:
                counts.update(["written", one.sent[delivery_id]])
            if outcome.outcome == "verified" and not outcome.accepted_at:
                counts["dropped"] += 1
            else:
                counts[outcome.outcome] += 1
    return counts


def _result(tally: Counter[str], left: int, requests: int, errors: int, stopped: str | None) -> DeliveryResult:
    names = ("written", "verified", "created", "linked", "updated", "dropped", "unverified", "rejected", "conflict")
    counts = {name: tally[name] for name in (*names, "unknown", "outdated")}
    return DeliveryResult(**counts, left=left, requests=requests, errors=errors, stopped=stopped)


class _Sender:
    """Sends slices, several at a time."""

    def __init__(self, open_warehouse: OpenWarehouse, destination: Destination, rules: PlanRules, clock: Clock) -> None:
        self.open_warehouse = open_warehouse
        self.clock = clock
        self.name = destination.name
        self.size = min(destination.capabilities.read_batch, destination.capabilities.write_batch)
        self._destination = destination
        self._tolerance = rules.tolerance
        self._precision = destination.capabilities.time_precision
        self._asking = threading.Lock()
        self._end: ExplainedError | None = None

    def check(self) -> None:
        """Raise DefinitionsError unless the CRM's fields are as they should be."""
        require_definitions(self._destination)

    def send_wave(self, threads: ThreadPoolExecutor, plan_id: str, after: int, until: int) -> list[_Slice]:
        """Book the plan's rows at these positions as intended, send them in slices, and book what became of each."""
        with self.open_warehouse() as con:
            since = self.clock()
            intentions = intend(con, plan_id, after, until, since)
        slices = [_Slice(intentions[at : at + self.size]) for at in range(0, len(intentions), self.size)]
        list(threads.map(self.send, slices))
        with self.open_warehouse() as con:
            withdraw(con, [delivery_id for one in slices for delivery_id in one.unsent()], since)
            book(con, [outcome for one in slices for outcome in one.outcomes.values()], since, self.clock())
        return slices

    def send(self, work: _Slice) -> None:
        """Fill in the slice's outcomes. An error that ends the run leaves unknown what was sent, the rest without."""
        pending = list(work.intentions)
        try:
            if self._end is not None:
                raise self._end
            for attempt in range(1, _ATTEMPTS + 1):
                pending = self._attempt(work, pending, is_last=attempt == _ATTEMPTS)
        except ExplainedError as error:
            work.error = self._end = error
            for delivery_id in work.sent:
                unknown = Outcome(delivery_id, "unknown", error_class=_class_of(error), message=str(error))
                work.outcomes.setdefault(delivery_id, unknown)

    def _attempt(self, work: _Slice, intentions: list[Intention], *, is_last: bool) -> list[Intention]:
        """Read, write what differs, read back; return those whose fate only another attempt can settle."""
        records = locate(self._destination, intentions) if intentions else {}
        strangers = self._strangers(intentions, records)
        writes: dict[str, Write] = {}
        for one in intentions:
            judged = self._judge(work, one, records.get(one.delivery_id), strangers)
            if isinstance(judged, Write):
                writes[one.delivery_id] = judged
                work.sent.setdefault(one.delivery_id, _kind(judged, one))
            else:
                work.outcomes[one.delivery_id] = judged
        if not writes:
            return []
        receipts = {one.trace_id: one for one in self._destination.write(list(writes.values()))}
        again = self._read_back(
            work, [one for one in intentions if one.delivery_id in writes], receipts, is_last=is_last
        )
        self._stop_if_misconfigured(receipts.values())
        return again

    def _stop_if_misconfigured(self, receipts: Iterable[Receipt]) -> None:
        """Raise DefinitionsError when a field is refused as such: no other row will fare better."""
        refused = next((one for one in receipts if one.error_class == "config"), None)
        if refused:
            self.check()
            raise DefinitionsError(
                f"{self.name} refuses a field of the sync ({refused.message}). Check the property in the CRM, its"
                " options, and whether it may be written; then run again."
            )

    def _judge(self, work: _Slice, one: Intention, record: Record | None, strangers: set[str]) -> Write | Outcome:
        """Return what to write, or the outcome when nothing is to be written."""
        if record is None:
            if one.action == "create":
                held = {name: value for name, value in one.truth.items() if value is not None}
                return Write(one.delivery_id, None, one.customer_id, one.email, held, one.refused_before)
            return Outcome(one.delivery_id, "rejected", error_class="identity", message=_GONE)
        if one.record_id not in (None, record.record_id):
            return Outcome(one.delivery_id, "rejected", error_class="identity", message=_MOVED)
        if record.record_id in strangers or _carries_another(record, one):
            return Outcome(one.delivery_id, "conflict", record.record_id, error_class="identity", message=_ANOTHERS)
        if holds(record, one, self._tolerance, self._precision):
            return self._verified(work, one, record)
        customer_id = one.owed_id if record.customer_id is None else None
        fields = differences(record, one.truth, self._precision)
        return Write(one.delivery_id, record.record_id, customer_id, None, fields, one.refused_before)

    def _strangers(self, intentions: Iterable[Intention], records: Mapping[str, Record]) -> set[str]:
        """Return records that were found just now, not by the plan, and are another customer's too."""
        found = {
            one.customer_key: record.record_id
            for one in intentions
            if one.record_id is None and (record := records.get(one.delivery_id))
        }
        if not found:
            return set()
        with self._asking, self.open_warehouse() as con:
            owned = owned_records(con, found)
        return owned | {record_id for record_id, times in Counter(found.values()).items() if times > 1}

    def _read_back(
        self, work: _Slice, sent: list[Intention], receipts: Mapping[str, Receipt], *, is_last: bool
    ) -> list[Intention]:
        """Settle what was sent by reading it; return those to try again: unanswered, or refused over a key."""
        accepted_at = self.clock()
        records = locate(self._destination, [_as_received(one, receipts[one.delivery_id]) for one in sent])
        again = []
        for one in sent:
            receipt, record = receipts[one.delivery_id], records.get(one.delivery_id)
            if record and is_verified(record, one, self._precision):
                work.outcomes[one.delivery_id] = self._verified(work, one, record)
            elif receipt.outcome == "accepted":
                work.outcomes[one.delivery_id] = _unverified(
                    work, one, receipt, accepted_at, _DIFFERS if record else _VANISHED
                )
            elif not is_last and (receipt.outcome == "unknown" or receipt.error_class == "identity"):
                again.append(one)
            else:
                refused = receipt.outcome == "failed"
                work.outcomes[one.delivery_id] = Outcome(
                    one.delivery_id, "rejected" if refused else "unknown", one.record_id,
                    error_class=receipt.error_class, message=receipt.message, refused=refused,
                )  # fmt: skip
        return again

    def _verified(self, work: _Slice, one: Intention, record: Record) -> Outcome:
        """Return that a record holds the truth; when something was sent, that is also proof that it was taken."""
        now = self.clock()
        accepted_at = now if one.delivery_id in work.sent else None
        via = _via(work, one, record)
        return Outcome(one.delivery_id, "verified", record.record_id, via, accepted_at, verified_at=now)


def _kind(write: Write, intention: Intention) -> Kind:
    if write.record_id is None:
        return "created"
    return "updated" if intention.action == "update" else "linked"


def _carries_another(record: Record, one: Intention) -> bool:
    return None not in (record.customer_id, one.customer_id) and record.customer_id != one.customer_id


def _as_received(one: Intention, receipt: Receipt) -> Intention:
    return replace(one, record_id=receipt.record_id or one.record_id)


def _via(work: _Slice, one: Intention, record: Record) -> Via | None:
    """Return how a record that the plan did not know was found."""
    if one.record_id is not None:
        return None
    if work.sent.get(one.delivery_id) == "created":
        return "created"
    return "customer_id" if one.customer_id is not None and record.customer_id == one.customer_id else "email"


def _unverified(work: _Slice, one: Intention, receipt: Receipt, accepted_at: datetime, message: str) -> Outcome:
    via: Via | None = "created" if one.record_id is None and work.sent[one.delivery_id] == "created" else None
    return Outcome(
        one.delivery_id, "unverified", receipt.record_id, via, accepted_at, error_class="transient", message=message
    )


def _class_of(error: ExplainedError) -> ErrorClass:
    if isinstance(error, QuotaError):
        return "quota"
    config = ConfigurationError | UnexpectedAnswerError | DefinitionsError
    return "config" if isinstance(error, config) else "transient"
