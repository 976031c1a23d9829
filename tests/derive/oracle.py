"""The status rules in plain Python, from their text alone: every observation of every snapshot, one rule a function.

Nothing here is shared with the package, so that one mistake cannot pass on both sides.
"""

import json
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import idna

WALLETS = ("apple", "google")
CLOCK_TOLERANCE = timedelta(minutes=5)
YEAR_2000 = datetime(2000, 1, 1, tzinfo=UTC)
# Unicode's White_Space (str.strip also takes U+001C to U+001F), and the two invisible ones that the rules name.
BLANKS = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\u200b\ufeff"
)


class Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


@dataclass(frozen=True)
class Delivery:
    """One delivery of an event; `identifiers` is JSON text."""

    pass_id: str
    wallet: str
    kind: str
    event_id: str
    at: datetime
    received_at: datetime
    active: int | None = None
    pass_type: str | None = None
    identifiers: str | None = None


@dataclass(frozen=True)
class Listing:
    """A pass as a snapshot lists it; `identifiers` is JSON text, `providers` maps a wallet to a date."""

    pass_id: str
    providers: tuple[tuple[str, str | None], ...] | None
    identifiers: str | None = None
    pass_type: str | None = "loyalty"


@dataclass(frozen=True)
class Snapshot:
    """A snapshot that is evidence; of two of one start the one with the smaller name began first."""

    name: str
    start: datetime
    complete: bool
    listings: tuple[Listing, ...]


@dataclass(frozen=True)
class World:
    """A set of evidence, in some order of arrival."""

    deliveries: tuple[Delivery, ...]
    snapshots: tuple[Snapshot, ...]


@dataclass(frozen=True)
class Event:
    """All deliveries of one event, folded; it carries the maps and types of each of them."""

    pass_id: str
    wallet: str
    kind: str
    event_id: str
    occurred_at: datetime
    received_at: datetime
    active: int
    pass_types: tuple[str, ...]
    identifiers: tuple[str, ...]

    @property
    def quarantined(self) -> bool:
        """Whether it is dated in the future of its first receipt."""
        return self.occurred_at > self.received_at + CLOCK_TOLERANCE

    @property
    def evidence(self) -> bool:
        """Whether it counts."""
        still_registered = self.kind == "uninstalled" and self.active > 0
        return self.wallet in WALLETS and not self.quarantined and not still_registered


@dataclass(frozen=True)
class Piece:
    """A piece of a register's evidence with its place in the order."""

    order: tuple[Any, ...]
    installed: bool
    at: datetime
    event: bool
    installed_at: datetime | None = None


def world_of(case: dict[str, Any]) -> World:
    """Return the world that a golden case describes."""
    return World(
        tuple(
            Delivery(
                event["pass_id"],
                event["wallet"],
                event["kind"],
                event["event_id"],
                moment(event["at"]),
                moment(event.get("received_at", event["at"])),
                event.get("active"),
                event.get("type"),
                json.dumps(event["identifiers"]) if "identifiers" in event else None,
            )
            for event in case["events"]
        ),
        tuple(
            Snapshot(
                snapshot["id"],
                moment(snapshot["start"]),
                snapshot["complete"],
                tuple(
                    Listing(
                        listed["id"],
                        None if listed["providers"] is None else tuple(listed["providers"].items()),
                        json.dumps(listed["identifiers"]),
                        listed["type"],
                    )
                    for listed in snapshot["passes"]
                ),
            )
            for snapshot in case["snapshots"]
        ),
    )


def moment(text: str) -> datetime:
    """Return the time in UTC; digits after the microseconds are cut."""
    return datetime.fromisoformat(text).astimezone(UTC)


def status_of(world: World, staleness: timedelta, identifier_order: tuple[str, ...]) -> dict[str, list[Any]]:
    """Return everything that the rules say of the world, in the form of the cases' `expected`, and two lists more.

    `never` lists the registers that have evidence and were never installed, `types` the type of each pass.
    """
    folded = fold(world.deliveries)
    events = [event for event in folded if event.evidence]
    snapshots = sorted(world.snapshots, key=lambda snapshot: (snapshot.start, snapshot.name))
    known = {event.pass_id for event in events} | {listed.pass_id for s in snapshots for listed in s.listings}
    registers = {
        (pass_id, wallet): register(evidence)
        for pass_id in known
        for wallet in WALLETS
        if (evidence := evidence_of(pass_id, wallet, events, snapshots, staleness))
    }
    identities = {pass_id: identity(pass_id, events, snapshots, staleness) for pass_id in known}
    borne = {
        pass_id: identifiers_borne(identifiers, identifier_order) for pass_id, (identifiers, _) in identities.items()
    }
    customers, conflicts = resolve(borne, identifier_order)
    return {
        "registers": [
            {
                "pass": pass_id,
                "wallet": wallet,
                **row,
                "installed_at": written(row["installed_at"], "microseconds"),
                "changed_at": written(row["changed_at"], "microseconds"),
            }
            for (pass_id, wallet), row in sorted(registers.items())
            if row["changed_at"]
        ],
        "never": sorted(register for register, row in registers.items() if not row["changed_at"]),
        "customers": [
            {"customer": customer, **customer_row([p for p, c in customers.items() if c == customer], registers)}
            for customer in sorted(set(customers.values()))
        ],
        "unmatched": sorted(pass_id for pass_id, values in borne.items() if not values),
        "types": sorted((pass_id, pass_type) for pass_id, (_, pass_type) in identities.items()),
        "conflicts": sorted(conflicts),
        "shared": shared_values(borne, customers),
        "quarantined": sorted({event.event_id for event in folded if event.quarantined}),
    }


def fold(deliveries: Iterable[Delivery]) -> list[Event]:
    """Fold the deliveries of one (pass, wallet, kind, event id)."""
    groups: dict[tuple[str, str, str, str], list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        groups[delivery.pass_id, delivery.wallet, delivery.kind, delivery.event_id].append(delivery)
    return [
        Event(
            *key,
            occurred_at=min(delivery.at for delivery in group),
            received_at=min(delivery.received_at for delivery in group),
            active=max(delivery.active or 0 for delivery in group),
            pass_types=tuple(delivery.pass_type for delivery in group if delivery.pass_type is not None),
            identifiers=tuple(delivery.identifiers for delivery in group if delivery.identifiers is not None),
        )
        for key, group in groups.items()
    ]


def evidence_of(
    pass_id: str, wallet: str, events: list[Event], snapshots: list[Snapshot], staleness: timedelta
) -> list[Piece]:
    """Return the register's evidence in its order (rule 1)."""
    pieces = [
        Piece(
            (event.occurred_at, 0, event.kind == "uninstalled", event.event_id),
            installed=event.kind == "installed",
            at=event.occurred_at,
            event=True,
        )
        for event in events
        if (event.pass_id, event.wallet) == (pass_id, wallet)
    ]
    for snapshot in snapshots:
        listings = [listed for listed in snapshot.listings if listed.pass_id == pass_id]
        if listings:
            pieces.append(observation(snapshot, wallet, listings, staleness))
    pieces.extend(
        Piece(
            (snapshot.start - staleness, 1, snapshot.start, snapshot.name),
            installed=False,
            at=snapshot.start,
            event=False,
        )
        for snapshot in gone_at(pass_id, snapshots)
    )
    return sorted(pieces, key=lambda piece: piece.order)


def observation(snapshot: Snapshot, wallet: str, listings: list[Listing], staleness: timedelta) -> Piece:
    """Return what the snapshot, which lists the pass once or more, says of the register."""
    texts = [dict(listed.providers or ()).get(wallet) for listed in listings]
    dates = [moment(text) for text in texts if text]
    effective = snapshot.start - staleness
    date = max(dates, default=None)
    if date and YEAR_2000 <= date <= snapshot.start + CLOCK_TOLERANCE:
        effective = max(date, effective)
    else:
        date = None
    return Piece(
        (effective, 1, snapshot.start, snapshot.name),
        installed=bool(dates),
        at=snapshot.start,
        event=False,
        installed_at=date,
    )


def gone_at(pass_id: str, snapshots: list[Snapshot]) -> list[Snapshot]:
    """Return the complete snapshots that miss the pass as the complete one before them did."""
    complete = [snapshot for snapshot in snapshots if snapshot.complete]
    missing = [all(listed.pass_id != pass_id for listed in snapshot.listings) for snapshot in complete]
    return [complete[i] for i in range(1, len(complete)) if missing[i - 1] and missing[i]]


def register(evidence: list[Piece]) -> dict[str, Any]:
    """Return the register's state (rules 1 to 3)."""
    never = {"installed": False, "installed_at": None, "changed_at": None, "last_event": None, "inferred": False}
    installed = evidence[-1].installed
    others = [i for i, piece in enumerate(evidence) if piece.installed != installed]
    stretch = evidence[others[-1] + 1 :] if others else evidence
    if installed:
        dates = [piece.installed_at for piece in stretch if piece.installed_at]
        since = dates[-1] if dates else min(piece.at for piece in stretch)
        return {
            "installed": True,
            "installed_at": since,
            "changed_at": since,
            "last_event": "installed",
            "inferred": False,
        }
    uninstalls = [piece.at for piece in stretch if piece.event]
    if uninstalls:
        return never | {"changed_at": uninstalls[-1], "last_event": "uninstalled"}
    if others:
        return never | {"changed_at": stretch[0].at, "last_event": "uninstalled", "inferred": True}
    return never


def identity(
    pass_id: str, events: list[Event], snapshots: list[Snapshot], staleness: timedelta
) -> tuple[dict[str, Any], str | None]:
    """Return the identifiers and the type of the pass by the newest evidence that carries them."""
    maps: list[tuple[datetime, bool, str]] = []
    types: list[tuple[datetime, bool, str]] = []
    for event in events:
        if event.pass_id == pass_id:
            carried = [read_json(text) for text in event.identifiers]
            maps.extend((event.occurred_at, False, canonical(carries)) for carries in carried if carries)
            types.extend((event.occurred_at, False, pass_type) for pass_type in event.pass_types)
    for snapshot in snapshots:
        for listed in snapshot.listings:
            if listed.pass_id == pass_id:
                carries = read_json(listed.identifiers or "null") or {}
                maps.append((snapshot.start - staleness, True, canonical(carries)))
                if listed.pass_type is not None:
                    types.append((snapshot.start - staleness, True, listed.pass_type))
    identifiers = read_json(max(maps)[2]) if maps else {}
    return identifiers, max(types)[2] if types else None


def read_json(text: str) -> Any:
    """Return what the JSON says, numbers as they are written."""
    return json.loads(text, parse_int=Number, parse_float=Number)


def canonical(value: Any) -> str:
    """Return the JSON text with sorted keys, numbers as they are written."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def identifiers_borne(identifiers: dict[str, Any], identifier_order: tuple[str, ...]) -> dict[str, str]:
    """Return the values that count, by name, best first."""
    values = {name: normalised(name, identifiers.get(name)) for name in identifier_order}
    return {name: value for name, value in values.items() if value}


def normalised(name: str, value: Any) -> str | None:
    """Return the value as customers are told apart by it; None when it is no identifier."""
    if not isinstance(value, str):
        return None
    text = unicodedata.normalize("NFC", value.strip(BLANKS))
    if name.rpartition(".")[2] != "email":
        return text or None
    # str.lower is the full mapping; it differs for a single code point in the one that gets longer, the Turkish I.
    text = unicodedata.normalize("NFC", "".join(character.lower()[0] for character in text))
    local, at, domain = text.rpartition("@")
    return f"{local}{at}{ascii_domain(domain) if at else domain}" or None


def ascii_domain(domain: str) -> str:
    """Return the domain by UTS #46, non-transitional; as it stands where that fails."""
    try:
        return idna.encode(domain, uts46=True, transitional=False).decode()
    except idna.IDNAError:
        return domain


def resolve(borne: dict[str, dict[str, str]], identifier_order: tuple[str, ...]) -> tuple[dict[str, str], set[str]]:
    """Return the customer of each pass that has one, and the passes in conflict."""
    customers: dict[str, str] = {}
    conflicts: set[str] = set()
    for name in identifier_order:
        rank = {pass_id: values[name] for pass_id, values in borne.items() if next(iter(values), None) == name}
        joined = {pass_id: _bearers(name, value, borne, customers, conflicts) for pass_id, value in rank.items()}
        for pass_id, bearers in joined.items():
            if len(bearers) > 1 or None in bearers:
                conflicts.add(pass_id)
            else:
                customers[pass_id] = next(iter(bearers), None) or f"{name}={rank[pass_id]}"
    return customers, conflicts


def _bearers(
    name: str, value: str, borne: dict[str, dict[str, str]], customers: dict[str, str], conflicts: set[str]
) -> set[str | None]:
    """Return the customers that bear the value on passes resolved so far, None standing for a pass in conflict."""
    settled = [pass_id for pass_id in borne if pass_id in customers or pass_id in conflicts]
    return {customers.get(pass_id) for pass_id in settled if borne[pass_id].get(name) == value}


def shared_values(borne: dict[str, dict[str, str]], customers: dict[str, str]) -> list[str]:
    """Return the values that two or more customers bear."""
    bearers: dict[str, set[str]] = defaultdict(set)
    for pass_id, customer in customers.items():
        for name, value in borne[pass_id].items():
            bearers[f"{name}={value}"].add(customer)
    return sorted(value for value, keys in bearers.items() if len(keys) > 1)


def customer_row(passes: list[str], registers: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    """Return the row of the customer to whom these passes resolve, cut to milliseconds."""
    rows = [(wallet, row) for (pass_id, wallet), row in registers.items() if pass_id in passes]
    since = {
        wallet: min((row["installed_at"] for of, row in rows if of == wallet and row["installed"]), default=None)
        for wallet in WALLETS
    }
    installed = [wallet for wallet in WALLETS if since[wallet]]
    newest = max(
        (
            (row["changed_at"], row["last_event"] == "uninstalled", row["last_event"])
            for _, row in rows
            if row["changed_at"]
        ),
        default=(None, False, None),
    )
    return {
        "wallet_status": "both" if len(installed) == len(WALLETS) else (installed or ["none"])[0],
        "apple_wallet_installed_at": written(since["apple"], "milliseconds"),
        "google_wallet_installed_at": written(since["google"], "milliseconds"),
        "wallet_last_changed_at": written(newest[0], "milliseconds"),
        "wallet_last_event": newest[2],
    }


def written(at: datetime | None, timespec: str) -> str | None:
    """Return the time as the cases write it; further digits are cut."""
    return at and at.replace(tzinfo=None).isoformat(timespec=timespec) + "Z"
