"""Changes of the world: what `advance` asks for, and the passes that come and go while the list is read."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from wallet_pipeline.sandbox.listing import Listing, Query
from wallet_pipeline.sandbox.world import Event, ListedPass, World, iso, micros, read_sql

# Microseconds; further back than any history.
_LONG_AGO = 400 * 86_400_000_000


class NotEnoughPassesError(Exception):
    """The world has fewer passes that a change may fall on than were asked for."""


class Counts(BaseModel):
    """How many changes of each kind to make, and when: now, or at a given time."""

    model_config = ConfigDict(extra="forbid")

    installs: int = Field(default=0, ge=0)
    uninstalls: int = Field(default=0, ge=0)
    second_devices: int = Field(default=0, ge=0)
    deletes: int = Field(default=0, ge=0)
    identifier_changes: int = Field(default=0, ge=0)
    new_passes: int = Field(default=0, ge=0)
    at: datetime | None = None

    def kinds(self) -> dict[str, int]:
        """Return the number of changes of each kind that is asked for."""
        return {kind: count for kind, count in self.model_dump(exclude={"at"}).items() if count}


@dataclass(frozen=True)
class Happening:
    """An event, and the body of the pass that it happened to, as it is listed afterwards."""

    event: Event
    body: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What an advance did: an answer per change for the caller, and the events that it made."""

    answers: list[dict[str, Any]]
    happenings: list[Happening]


@dataclass
class _Step:
    """One change to make: its number, its time, the pass it falls on, and what becomes of that."""

    number: str
    at: int
    listed: ListedPass
    wallet: str | None = None
    body: dict[str, Any] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.body = json.loads(self.listed.body)

    @property
    def devices(self) -> int:
        """Devices that hold the pass in the wallet of the change."""
        return int(getattr(self.listed, f"{self.wallet}_devices"))

    def set_devices(self, devices: int) -> None:
        """Change the number of devices; the body is left to the caller."""
        if self.wallet == "apple":
            self.listed = replace(self.listed, apple_devices=devices)
        else:
            self.listed = replace(self.listed, google_devices=devices)

    def tell(self, event_type: str, **properties: Any) -> None:
        """Add an event at the time of the change."""
        known = {"passId": self.listed.id, "passType": self.body["passType"]}
        event_id, operation = _hex(self.number, event_type)[:32], _hex(self.number, "operation")[:16]
        self.events.append(Event(event_id, iso(self.at), event_type, operation, {**known, **properties}))

    def tell_registration(self, event_type: str) -> None:
        """Add an event of installing or uninstalling."""
        self.tell(
            event_type,
            device=self.wallet,
            activeRegistrationCount=self.devices,
            identifiers=self.body["identifiers"],
        )

    def finished(self) -> ListedPass:
        """Return the pass as it is listed from now on."""
        return replace(self.listed, body=_json(self.body), touched_at=iso(self.at))


def _install(step: _Step) -> dict[str, Any]:
    step.body["providers"] = {**(step.body["providers"] or {}), step.wallet: iso(step.at)}
    step.set_devices(1)
    step.tell_registration("Pass:Installed")
    return {}


def _uninstall(step: _Step) -> dict[str, Any]:
    del step.body["providers"][step.wallet]
    step.set_devices(0)
    step.tell_registration("Pass:Uninstalled")
    return {}


def _add_second_device(step: _Step) -> dict[str, Any]:
    step.set_devices(2)
    step.tell_registration("Pass:Installed")
    return {}


def _change_identifier(step: _Step) -> dict[str, Any]:
    new_customer = f"C-N{step.number}"
    step.body["identifiers"] = {"customerId": new_customer}
    step.body["lastUpdateDate"] = iso(step.at)
    step.listed = replace(step.listed, customer_id=new_customer)
    step.tell("Pass:Updated")
    return {"new_customer_id": new_customer}


def _create(step: _Step) -> dict[str, Any]:
    step.tell("Pass:Created")
    return {}


def _delete(_: _Step) -> dict[str, Any]:
    return {}


# Each changes the step's body and tells its events; it returns what the caller is to know beyond the usual.
_KINDS: dict[str, Callable[[_Step], dict[str, Any]]] = {
    "installs": _install,
    "uninstalls": _uninstall,
    "second_devices": _add_second_device,
    "deletes": _delete,
    "identifier_changes": _change_identifier,
    "new_passes": _create,
}
_OF_A_WALLET = {"installs", "uninstalls", "second_devices"}


def advance(world: World, counts: Counts) -> Outcome:
    """Make the changes, no two on one customer, and return what changed; all or, with NotEnoughPassesError, nothing."""
    with world.transaction():
        steps = _draw(world, counts)
        answers = [{**_answer(kind, step), **_KINDS[kind](step)} for kind, step in steps]
        world.delete_passes([step.listed.id for kind, step in steps if kind == "deletes"])
        world.put_passes([step.finished() for kind, step in steps if kind != "deletes"])
        happenings = [Happening(event, step.body) for _, step in steps for event in step.events]
        world.add_events([happening.event for happening in happenings])
    return Outcome(answers, happenings)


def _draw(world: World, counts: Counts) -> list[tuple[str, _Step]]:
    number, now = world.next_change(sum(counts.kinds().values()))
    at = now if counts.at is None else micros(_utc(counts.at))
    steps: list[tuple[str, _Step]] = []
    for kind, wanted in counts.kinds().items():
        taken = [step.listed.customer_id for _, step in steps]
        for place, (listed, wallet) in enumerate(_drawn(world, kind, wanted, at, taken), start=len(steps)):
            name = f"{number}-{place}"
            chosen = listed or _new_pass(world.seed, name, at + place)
            steps.append((kind, _Step(name, at + place, chosen, wallet)))
    return steps


def _drawn(
    world: World, kind: str, wanted: int, at: int, taken: list[str | None]
) -> list[tuple[ListedPass | None, str | None]]:
    if kind == "new_passes":
        return [(None, None)] * wanted
    values = {"kind": kind, "at": iso(at), "taken": taken, "wanted": wanted}
    rows = world.connection.execute(read_sql("candidates"), values).fetchall()
    if len(rows) < wanted:
        raise NotEnoughPassesError(f"{kind}: {wanted} wanted, but only {len(rows)} passes can have that change")
    return [
        (
            ListedPass(pass_id, body, apple_devices, google_devices, customer_id, clean=True),
            wallet if kind in _OF_A_WALLET else None,
        )
        for pass_id, wallet, body, customer_id, apple_devices, google_devices in rows
    ]


def _answer(kind: str, step: _Step) -> dict[str, Any]:
    return {
        "kind": kind,
        "pass_id": step.listed.id,
        "wallet": step.wallet,
        "customer_id": step.listed.customer_id,
        "at": iso(step.at),
    }


def _new_pass(seed: int, name: str, at: int, pass_id: str | None = None) -> ListedPass:
    """Return a pass of a new customer that no wallet holds yet."""
    customer_id = f"C-N{name}"
    body = {
        "id": pass_id or _hex(seed, name, "pass")[:22],
        "secret": f"s3cr3t-{_hex(seed, name, 'secret')[:40]}",
        "creationDate": iso(at),
        "lastUpdateDate": iso(at),
        "passType": "loyalty",
        "identifiers": {"customerId": customer_id},
        "metadata": None,
        "additionalData": None,
        "providers": {},
    }
    return ListedPass(str(body["id"]), _json(body), customer_id=customer_id, clean=True, touched_at=iso(at))


class MovingList:
    """Lets passes come and go while the list is read: after every so many pages, for so many pages."""

    def __init__(self, world: World, listing: Listing) -> None:
        self._world = world
        self._listing = listing
        self._reads_left = 0
        self._every = 1
        self._moves = 0

    def start(self, reads: int, every: int) -> None:
        """Move the list after each `every`-th of the next `reads` pages."""
        self._reads_left, self._every, self._moves = reads, every, 0

    def page_was_read(self, query: Query, size: int) -> None:
        """Move the list if it is time: by turns a pass comes at the front, and one of the first page goes."""
        if not self._reads_left:
            return
        self._reads_left -= 1
        if self._reads_left % self._every:
            return
        self._moves += 1
        if self._moves % 2:
            self._insert_in_front(query)
        else:
            self._world.delete_passes([self._listing.id_at(query, size // 2)])

    def _insert_in_front(self, query: Query) -> None:
        number, now = self._world.next_change(1)
        column, descending = query.first_order
        # Before or behind every id that the world has: ids there begin with a hexadecimal digit.
        pass_id = f"zz-moved-{number:06}" if descending else f"-moved-{999_999 - number:06}"
        step = _Step(str(number), now, _new_pass(self._world.seed, str(number), now, pass_id))
        if column in {"created_at", "updated_at"} and not descending:
            long_ago = iso(now - _LONG_AGO - number)
            step.body.update(creationDate=long_ago, lastUpdateDate=long_ago)
        step.tell("Pass:Created")
        self._world.put_passes([step.finished()])
        self._world.add_events(step.events)


def _hex(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
