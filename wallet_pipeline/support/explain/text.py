"""An explanation as text for people: what matters first, then everything."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from wallet_pipeline.support.explain.crm import tell_fight
from wallet_pipeline.support.explain.explanation import Crm, Evidence, Explanation, Pass, Register
from wallet_pipeline.support.explain.words import WALLETS, moment
from wallet_pipeline.sync.destination import FIELDS

_VIA = {"customer_id": "by its customer number", "email": "by the e-mail", "created": "created by this pipeline"}


def as_text(explanation: Explanation) -> str:
    """Return the explanation as lines of printable characters."""
    return "\n".join(map(printable, _lines(explanation)))


def printable(text: str) -> str:
    """Return a text with everything escaped that a terminal may take for more than a character."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def _lines(found: Explanation) -> Iterator[str]:
    subject = found.customer.customer_key if found.customer else f"pass {found.passes[0].pass_id}"
    yield f"{subject}, as known at {moment(found.as_of)}. All times are UTC."
    yield from _section("Summary", found.summary)
    if found.customer:
        known = [f"key: {found.customer.customer_key}", f"e-mail: {found.customer.email or 'none'}"]
        yield from _section("Customer", [*known, f"passes: {found.customer.passes}", *found.customer.notes])
    for one in found.passes:
        yield from _section(_title(one), _pass(one))
    if found.row:
        yield from _section("Row", (line for one in found.row for line in _field(one.name, one.value, one.reason)))
    if found.crm:
        yield from _section("CRM", _crm(found.crm))
    yield from _section("Timeline", _timeline(found))


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield ""
    yield title
    for line in lines:
        yield f"  {line}"


def _title(one: Pass) -> str:
    created = f", created {moment(one.created_at)}" if one.created_at else ""
    return f"Pass {one.pass_id} ({one.pass_type or 'no type'}{created})"


def _pass(one: Pass) -> Iterator[str]:
    bears = ", ".join(f"{name}={value}" for name, value in one.identifiers.items())
    yield f"identifiers: {bears or 'none'}"
    yield one.reason
    for register in one.registers:
        yield from _register(register)
    if one.not_counted:
        yield "Did not count:"
        for piece in one.not_counted:
            yield f"  {_span(piece.first_at, piece.last_at)}  {piece.what}; {piece.reason}"


def _register(register: Register) -> Iterator[str]:
    yield f"{WALLETS[register.wallet]}: {_state(register)}"
    yield f"  {register.reason}"
    for piece in register.evidence:
        role = f"  ← {', '.join(piece.role)}" if piece.role else ""
        yield f"  {_span(piece.first_at, piece.last_at)}  {_piece(piece)}{role}"


def _state(register: Register) -> str:
    if register.installed:
        return f"installed since {moment(register.installed_at)}"
    if register.changed_at is None:
        return "never installed"
    return f"removed at {moment(register.changed_at)}{' (inferred)' if register.changed_at_inferred else ''}"


def _piece(piece: Evidence) -> str:
    if piece.kind == "event":
        return f"event {piece.last_id}: {piece.says}, received {moment(piece.received_at)}"
    source = "list" if piece.first_at == piece.last_at else "lists"
    if piece.installed_at:
        return f"{source}: installed since {moment(piece.installed_at)}"
    if piece.given_at:
        return f"{source}: installed; the date {moment(piece.given_at)} cannot be true"
    return f"{source}: {piece.says}"


def _span(first: datetime, last: datetime) -> str:
    return f"{moment(first):42}" if first == last else f"{moment(first)} to {moment(last)}"


def _field(name: str, value: str | datetime | None, reason: str) -> Iterator[str]:
    yield f"{name:27} {_value(value)}"
    yield f"{'':27} {reason}"


def _value(value: str | datetime | None) -> str:
    if isinstance(value, datetime):
        return moment(value)
    return value or "nothing"


def _crm(crm: Crm) -> Iterator[str]:
    yield crm.sentence
    yield _link(crm.link)
    if crm.plan:
        yield f"Planned at {moment(crm.plan['planned_at'])}: {crm.plan['action']}, {crm.plan['reason']}"
        yield from (f"  {change}" for change in _changes(crm.plan))
    for one in crm.drift:
        yield _drift(one)
    yield from map(tell_fight, crm.fights)


def _link(link: Mapping[str, Any] | None) -> str:
    if link is None:
        return "Linked to no record of the CRM."
    found = f", found {_VIA[link['via']]} at {moment(link['linked_at'])}" if link["via"] else ""
    return f"Linked to record {link['record_id']}{found}."


def _changes(plan: Mapping[str, Any]) -> Iterator[str]:
    for name in FIELDS:
        if plan[f"held_{name}"] != plan[name]:
            yield f"{name}: {_value(plan[f'held_{name}'])} → {_value(plan[name])}"


def _drift(one: Mapping[str, Any]) -> str:
    by = one["changed_by"] if one["changed_by"] not in (None, "unknown") else "somebody"
    when = f" at {moment(one['changed_at'])}" if one["changed_at"] else ""
    repaired = f"put right at {moment(one['repaired_at'])}" if one["repaired_at"] else "not put right yet"
    return (
        f"Drift: {by} changed {one['field']}{when} from {one['expected'] or 'nothing'} to {one['found'] or 'nothing'};"
        f" found at {moment(one['found_at'])}, {repaired}."
    )


def _timeline(found: Explanation) -> Iterator[str]:
    if not found.timeline:
        yield "Nothing yet."
    for one in found.timeline:
        place = " ".join(filter(None, [one.pass_id, WALLETS.get(one.wallet or "", one.wallet)]))
        subject = f"record {one.record_id}" if one.record_id else place
        text = ": ".join(filter(None, [one.what, one.detail]))
        yield f"{moment(one.happened_at)}  {one.kind:14}  {subject + '  ' if subject else ''}{text}"
