"""Runs of the sync under the faults of the matrix, and what became of each customer in them."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Literal

from pydantic import SecretStr

from tests.sync.conftest import APPLE, GOOGLE, SYNC_TOKEN, Account, Pipeline
from tests.sync.faults import FAULTS, NOTHING, Action, Fault, Key, Phase, Target
from wallet_pipeline.clients.http import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    QuotaError,
    ScopeError,
    TimeLimits,
    UnexpectedAnswerError,
    UnreachableError,
)
from wallet_pipeline.clients.hubspot import BATCH, HubSpot, RefusedError
from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.sandbox.hubspot import CONTACTS
from wallet_pipeline.sync.destination import FIELDS, DefinitionsError, Receipt, Write
from wallet_pipeline.sync.hubspot import HubSpotDestination

Kind = Literal["update", "upsert", "create"]

KINDS: tuple[Kind, ...] = ("update", "upsert", "create")
BOTH = APPLE | GOOGLE | {"wallet_status": "both"}
# As in production, but for the pauses: of the client before another try, of a window of requests, of a lock.
_LIMITS = TimeLimits(connect=5, silence=20, answer=20, call=60, pause=0.02)
_WINDOW_MS, _LOCK_LASTS = 100, 0.02
_READ, _WRITE = "batch/read", "batch/(update|upsert|create)"
_SLICES = len(KINDS)
_ENDS: dict[type[Exception], str] = {
    AuthenticationError: "token",
    ScopeError: "scope",
    NotFoundError: "address",
    ConfigurationError: "altered request",
    DefinitionsError: "property",
    QuotaError: "quota",
    RefusedError: "refusal",
    UnreachableError: "no answer",
    UnexpectedAnswerError: "unknown answer",
}


@dataclass
class Customer:
    """A customer, and what was seen of it: in the run under a fault, and after the run without one."""

    kind: Kind
    key: str
    email: str
    record_id: str | None = None
    receipts: list[Receipt] = field(default_factory=list)
    held: bool = False
    outcome: str | None = None
    # Class, message, next step and number of attempts of its place in the list.
    listed: tuple[str, str, str, int] | None = None
    contacts: int = 0
    holds_at_last: bool = False

    @property
    def customer_id(self) -> str | None:
        """The customer id, if it has one."""
        name, _, value = self.key.partition("=")
        return value if name == "customerId" else None

    @property
    def is_accounted_for(self) -> bool:
        """Whether the CRM holds the truth and is known to, or the customer is listed with all that belongs to that."""
        if self.outcome == "verified":
            return self.held and self.listed is None
        return self.listed is not None and all(self.listed)

    def words(self, *, asked_again: bool) -> str:
        """Return what became of the customer."""
        if self.listed:
            return f"listed: {self.listed[0]}"
        if asked_again or len(self.receipts) > 1:
            return "retried, verified"
        is_unknown = any(one.outcome == "unknown" for one in self.receipts)
        return "read, verified" if is_unknown else "verified"

    @property
    def asked_by(self) -> dict[Key, str]:
        """The values by which the sync asks for the customer."""
        if self.record_id:
            return {"record_id": self.record_id}
        return {"customer_id": self.customer_id, "email": self.email} if self.customer_id else {"email": self.email}

    @property
    def written_by(self) -> tuple[Key, str]:
        """The value by which the sync writes the customer."""
        return next(iter(self.asked_by.items()))


@dataclass
class Group:
    """Customers of each kind, those of a kind travelling together."""

    fault: Fault
    customers: dict[Kind, list[Customer]]
    # How many requests about a first customer there were, as the rules have counted them.
    requests: Counter[Kind] = field(default_factory=Counter)
    met: set[Kind] = field(default_factory=set)

    def everyone(self) -> Iterator[Customer]:
        """Yield all customers."""
        for kind in KINDS:
            yield from self.customers[kind]

    def words(self, kind: Kind, usual: int = 0) -> str:
        """Return what the matrix says about the customers of a kind, for which so many requests are usual."""
        asked_again = self.requests[kind] > usual
        return " / ".join(sorted({one.words(asked_again=asked_again) for one in self.customers[kind]}))


@dataclass(frozen=True)
class End:
    """How a run ended: a word, what it said, whether it was an error, and whether it changed the CRM."""

    reason: str
    message: str
    is_error: bool
    changed: bool
    customers: list[Customer]

    @property
    def words(self) -> str:
        """What the matrix says about it."""
        listed = sorted({f"listed: {one.listed[0]}" for one in self.customers if one.listed})
        return "; ".join([f"{'stops' if self.is_error else 'parks'}: {self.reason}", *listed])


class Watched(HubSpotDestination):
    """The destination, with what it said about each write, and a place to act before and after it."""

    def __init__(self, account: Account) -> None:
        self.client = HubSpot(
            account.url, "2026-09", SecretStr(SYNC_TOKEN), _LIMITS, attempts=3, lock_lasts=_LOCK_LASTS
        )
        super().__init__(self.client, "customer_id")
        self.receipts: dict[str, list[Receipt]] = {}
        self.before_write: Callable[[], object] = lambda: None
        self.after_write: Callable[[Sequence[Write], Sequence[Receipt]], object] = lambda *_: None

    def ask_at_once(self, batch: int) -> None:
        """Read and write no more than so many customers in a request."""
        self.capabilities = replace(self.capabilities, read_batch=batch, write_batch=batch)

    def write(self, writes: Sequence[Write]) -> list[Receipt]:
        """Write, and remember what was said."""
        self.before_write()
        receipts = super().write(writes)
        for one in receipts:
            self.receipts.setdefault(one.trace_id, []).append(one)
        self.after_write(writes, receipts)
        return receipts


class World:
    """An account, a sync, and groups of customers in both."""

    def __init__(self, account: Account, pipeline: Pipeline) -> None:
        self.account = account
        self.pipeline = pipeline
        self.destination = Watched(account)
        self.groups: list[Group] = []
        self._adding = threading.Lock()
        self._foreign = account.add(email="nobody@x.test", firstname="Nobody", wallet_status="both")
        pipeline.destination = self.destination
        account.switch(rate_limit=10_000, rate_window_ms=_WINDOW_MS)

    def close(self) -> None:
        """Close the connections."""
        self.destination.client.__exit__()

    def populate(self, faults: Iterable[Fault], each: int = 2) -> None:
        """Give each fault customers: linked to a contact that holds no state yet, and unknown to the CRM."""
        self.groups = [_group(number, fault, each) for number, fault in enumerate(faults)]
        known = [one for group in self.groups for one in group.customers["update"]]
        for start in range(0, len(known), BATCH):
            self._add(known[start : start + BATCH])
        self.pipeline.sql(
            "INSERT INTO crm.links (customer_key, record_id, via, linked_at)"
            " SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), 'customer_id', now()::TIMESTAMP",
            [[one.key for one in known], [one.record_id for one in known]],
        )

    def everyone(self) -> list[Customer]:
        """Return all customers."""
        return [one for group in self.groups for one in group.everyone()]

    def tell(self, truth: dict[str, Any]) -> None:
        """Let the truth of all customers change."""
        self.truth = truth | {"wallet_last_changed_at": self.pipeline.now - timedelta(hours=1)}
        self.pipeline.customers({one.key: one.email for one in self.everyone()}, self.truth)

    def spoil(self, path: str, action: Action, *, name: str | None = None, times: int | None = None) -> int:
        """Let requests to a path, those that hold a value, be spoilt; return the rule's id."""
        body = None if name is None else f'"{re.escape(name)}"'
        with self._adding:
            rule = {"path": path, "body": body, "times": times, "action": action}
            rule_id: int = self.account.control("POST", "faults", rule)["id"]
            return rule_id

    def end_faults(self) -> list[dict[str, Any]]:
        """Take all rules away and return what they had counted."""
        rules: list[dict[str, Any]] = self.account.control("GET", "faults")
        self.account.control("DELETE", "faults")
        return rules

    def read_alone(self) -> set[str]:
        """Return the ids of contacts that were asked for one by one since this was asked last."""
        paths = self.account.control("GET", "requests")
        self.account.forget_requests()
        return {path.rsplit("/", 1)[-1] for path in paths if path.startswith("GET /crm/objects")}

    def take_back(self) -> None:
        """Let a person undo what was written."""
        for record_id, values in self.account.contacts().items():
            if record_id != self._foreign and values.get("wallet_status"):
                self.account.edit(record_id, wallet_status="none")

    def see(self) -> None:
        """Note what became of each customer in the run that has ended."""
        contacts, rows = Contacts(self.account), self.pipeline.sql
        outcomes = dict(
            rows(
                "SELECT customer_key, max_by(outcome, rowid) FROM crm.deliveries WHERE intended_at >= ? GROUP BY ALL",
                [self.pipeline.now.replace(tzinfo=None)],
            )
        )
        listed = {
            key: (error_class, message, next_step, attempts)
            for key, error_class, message, next_step, attempts in rows(
                "SELECT customer_key, error_class, message, next_step, attempts FROM crm.rejections"
            )
        }
        keys = dict(rows("SELECT delivery_id, customer_key FROM crm.deliveries"))
        receipts: dict[str, list[Receipt]] = {}
        for delivery_id, given in self.destination.receipts.items():
            receipts.setdefault(keys[delivery_id], []).extend(given)
        for one in self.everyone():
            one.held, one.outcome = self._holds(contacts, one), outcomes.get(one.key)
            one.listed, one.receipts = listed.get(one.key), receipts.get(one.key, [])
        self.destination.receipts.clear()

    def end_without_faults(self) -> None:
        """Let the truth move once more, run without faults, and note what the CRM holds."""
        self.destination.ask_at_once(BATCH)
        self.pipeline.now += timedelta(minutes=1)
        self.tell(BOTH)
        self.pipeline.run()
        contacts = Contacts(self.account)
        for one in self.everyone():
            one.contacts = len(contacts.of(one))
            one.holds_at_last = self._holds(contacts, one)

    @property
    def foreign_contact(self) -> dict[str, str]:
        """What the contact holds that is no customer's."""
        return self.account.contacts()[self._foreign]

    def _add(self, customers: list[Customer]) -> None:
        """Make contacts, a hundred at once."""
        inputs = [{"properties": {"email": one.email, "customer_id": one.customer_id}} for one in customers]
        answer = self.account.api("POST", f"{CONTACTS}/batch/create", {"inputs": inputs})
        made = {one["properties"]["email"]: one["id"] for one in answer.json()["results"]}
        for one in customers:
            one.record_id = made[one.email]

    def _holds(self, contacts: "Contacts", customer: Customer) -> bool:
        truth = {name: _text(value) for name in FIELDS if (value := self.truth.get(name)) is not None}
        held = [{name: one[name] for name in FIELDS if name in one} for one in contacts.of(customer)]
        return held == [truth]


class _Meeting:
    """The faults of one point: their rules, and which customers each of them is about."""

    def __init__(self, world: World, phase: Phase) -> None:
        self._world = world
        self._phase = phase
        self._path = _WRITE if phase == "write" else _READ
        self._rules: dict[int, tuple[Group, Kind]] = {}
        self._not_yet_written = {one.written_by[1]: (group, one) for group in world.groups for one in group.everyone()}

    def begin(self) -> None:
        """Let the requests about the first customer of each kind be spoilt."""
        for group in self._world.groups:
            for kind in KINDS:
                first = group.customers[kind][0]
                for key, name in dict([first.written_by]).items() if self._phase == "write" else first.asked_by.items():
                    self._add(group, kind, key, name)

    def begin_after(self, writes: Sequence[Write], receipts: Sequence[Receipt]) -> None:
        """Let the reading back of what was written for the first time be spoilt."""
        for write, receipt in zip(writes, receipts, strict=True):
            written_by = str(write.record_id or write.customer_id or write.email)
            group, customer = self._not_yet_written.pop(written_by, (None, None))
            if group and customer:
                customer.record_id = receipt.record_id
                if customer is group.customers[customer.kind][0]:
                    self._add(group, customer.kind, "record_id", str(receipt.record_id))

    def end(self) -> None:
        """Let no request be spoilt any more, and note how many there were."""
        for rule in self._world.end_faults():
            group, kind = self._rules[rule["id"]]
            group.requests[kind] += rule["matched"]
        alone = self._world.read_alone()
        for group in self._world.groups:
            for one in group.everyone():
                group.requests[one.kind] += one.record_id in alone

    def _add(self, group: Group, kind: Kind, key: Key, name: str) -> None:
        first = group.customers[kind][0]
        other = self._world.account.add(email=f"{key}-{first.email}") if group.fault.is_of_people else ""
        action = group.fault.act(Target(first.record_id, first.email, other), key, self._phase)
        if action:
            times = None if self._phase in group.fault.lasts else 1
            self._rules[self._world.spoil(self._path, action, name=name, times=times)] = group, kind
            group.met.add(kind)


def meet_passing_faults(world: World, phase: Phase) -> dict[str, Group]:
    """Let each fault that does not end a run meet its customers at one point of a run; then run without faults."""
    world.populate(one for one in FAULTS if phase in one.at and phase not in one.stops)
    world.tell(GOOGLE)
    meeting = _Meeting(world, phase)
    if phase == "plan":
        world.destination.ask_at_once(2)
        meeting.begin()
    world.pipeline.plan()
    if phase == "plan":
        meeting.end()
    elif phase == "back":
        world.destination.after_write = meeting.begin_after
    else:
        meeting.begin()
    world.destination.ask_at_once(2)
    world.pipeline.deliver()
    meeting.end()
    world.see()
    world.destination.after_write = lambda *_: None
    world.end_without_faults()
    return {group.fault.title: group for group in world.groups}


def meet_ending_faults(world: World, phase: Phase) -> dict[str, End]:
    """Let one fault after the other end the delivery of one plan, or the plan, at this point; then run once without."""
    world.populate([NOTHING])
    world.tell(GOOGLE)
    if phase != "plan":
        world.pipeline.plan()
    world.destination.ask_at_once(2)
    ends = {one.title: _meet(world, phase, one) for one in FAULTS if phase in one.stops}
    world.end_without_faults()
    return ends


def meet_variants(world: World, variants: dict[str, dict[str, Any]]) -> dict[str, Group]:
    """Let the account answer in one way after the other, with a bad row of each kind; then run once without bad rows.

    Each way has customers of its own, of whom nothing is told before.
    """
    world.populate([NOTHING] * len(variants), each=3)
    bad = {kind: [group.customers[kind][-1] for group in world.groups] for kind in KINDS}
    refused = [*(one.record_id for one in bad["update"]), *(one.customer_id for one in bad["upsert"])]
    rule = "|".join(one.email for one in bad["create"])
    world.account.switch(refuse_ids=refused, validation_rules={"email": f"(?!{rule}).*"})
    usual = world.account.control("GET", "settings")
    met = dict(zip(variants, world.groups, strict=True))
    for title, switches in variants.items():
        world.account.switch(**switches)
        world.groups = [met[title]]
        world.tell(GOOGLE)
        world.pipeline.plan()
        world.pipeline.deliver()
        world.see()
        world.account.switch(**{name: usual[name] for name in switches})
    world.groups = list(met.values())
    world.account.switch(refuse_ids=[], validation_rules={})
    world.end_without_faults()
    return met


def _meet(world: World, phase: Phase, fault: Fault) -> End:
    action = fault.act(Target(None, "", ""), "record_id", phase)
    assert action is not None
    # The slices wait for each other, or the first one that fails would keep the others from being tried.
    together = threading.Barrier(_SLICES, timeout=30)
    world.destination.before_write = together.wait
    if phase == "back":
        written = threading.Barrier(_SLICES, action=lambda: world.spoil(_READ, action), timeout=30)
        world.destination.after_write = lambda *_: written.wait()
    else:
        world.spoil(_WRITE if phase == "write" else _READ, action)
    before = world.account.contacts()
    reason, message, is_error = _end_of(world.pipeline.plan if phase == "plan" else world.pipeline.deliver)
    world.end_faults()
    world.destination.before_write, world.destination.after_write = lambda: None, lambda *_: None
    world.see()
    changed = world.account.contacts() != before
    if changed:
        world.take_back()
    customers = [replace(one) for one in world.everyone()]
    if any(one.outcome == "rejected" for one in customers):
        # The same plan would not send them again.
        world.pipeline.now += timedelta(minutes=1)
        world.tell(APPLE if world.truth["wallet_status"] == "google" else GOOGLE)
        world.pipeline.plan()
    return End(reason, message, is_error, changed, customers)


def _end_of(run: Callable[[], Any]) -> tuple[str, str, bool]:
    try:
        stopped = run().stopped
    except ExplainedError as end:
        return _ENDS[type(end)], str(end), True
    return "quota", stopped or "", False


def _group(number: int, fault: Fault, each: int) -> Group:
    customers: dict[Kind, list[Customer]] = {}
    for kind in KINDS:
        identifier = "accountId" if kind == "create" else "customerId"
        names = [f"f{number:02}-{kind}-{place}" for place in range(each)]
        customers[kind] = [Customer(kind, f"{identifier}={name}", f"{name}@x.test") for name in names]
    return Group(fault, customers)


class Contacts:
    """What the CRM holds at a moment."""

    def __init__(self, account: Account) -> None:
        self._by_name: dict[str | None, dict[str, dict[str, str]]] = {}
        for record_id, values in account.contacts().items():
            addresses = [values.get("email", ""), *values.get("hs_additional_emails", "").split(";")]
            for name in filter(None, [values.get("customer_id"), *addresses]):
                self._by_name.setdefault(name, {})[record_id] = values

    def of(self, customer: Customer) -> list[dict[str, str]]:
        """Return the contacts that carry the customer's id or e-mail."""
        found = self._by_name.get(customer.customer_id, {}) | self._by_name.get(customer.email, {})
        return list(found.values())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else value.strftime("%Y-%m-%dT%H:%M:%S.000Z")
