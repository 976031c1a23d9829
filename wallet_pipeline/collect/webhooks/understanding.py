"""What a kept delivery says: an event of raw.wallet_events, or the reason why it is none. Pure, and never an exception.

The vendor does not publish how its deliveries are laid out, so the places are settings. What a delivery leaves out is
absent; what it says and nobody can read is never guessed. Reasons go into tables and logs: they quote no value but the
name of an event type.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from wallet_pipeline.collect.webhooks.inbox import Delivery, Source
from wallet_pipeline.settings import Settings

Kind = Literal["installed", "uninstalled"]
Paths = tuple[tuple[str, ...], ...]

_KINDS: dict[str, Kind] = {"pass.installed": "installed", "pass.uninstalled": "uninstalled"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LONGEST_NAME = 200
_MOST_DIGITS = 4300
_DEEPEST = 64
# DuckDB takes seconds to bring very long texts of combining characters into one form.
_LONGEST_IDENTIFIERS = 10_000
_QUOTABLE_TYPE = re.compile(r"[\w:.-]{1,60}", re.ASCII)
_COUNT = re.compile(r"\d{1,18}", re.ASCII)
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:[Tt ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:[.,]\d+)?)?)?(?P<zone>[Zz]|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)
_QUERY = re.compile(r"[?#].*", re.DOTALL)
_TOKENS = re.compile(rb'\\.|["{}\[\]]', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u[0-9a-f]{4}|.)")
_NUL = r"\u0000"
_BROKEN_TEXT = "NUL or half a character in the"


class Event(NamedTuple):
    """A row of raw.wallet_events. Times are microseconds since 1970, UTC; `identifiers` is a JSON object as text."""

    delivery_id: int
    received_at: int
    source: Source
    pass_id: str
    wallet: str
    kind: Kind
    event_id: str
    occurred_at: int
    time_is_receipt: bool
    active_registrations: int | None
    pass_type: str | None
    identifiers: str | None
    acquisition_source: str | None


@dataclass(frozen=True)
class NotUnderstood:
    """A delivery that says nothing of an install or uninstall that could be understood, and why."""

    reason: str


@dataclass(frozen=True)
class EventMapping:
    """Where a delivery holds what: paths, tried in their order, each at the top of the body and then below `data`."""

    type: Paths
    event_id: Paths
    time: Paths
    pass_id: Paths
    pass_type: Paths
    wallet: Paths
    identifiers: Paths
    active_count: Paths
    source: Paths

    @classmethod
    def from_settings(cls, settings: Settings) -> "EventMapping":
        """Return the mapping that the settings describe."""
        return cls(
            type=_paths(settings.event_type_at),
            event_id=_paths(settings.event_id_at),
            time=_paths(settings.event_time_at),
            pass_id=_paths(settings.event_pass_id_at),
            pass_type=_paths(settings.event_pass_type_at),
            wallet=_paths(settings.event_wallet_at),
            identifiers=_paths(settings.event_identifiers_at),
            active_count=_paths(settings.event_active_count_at),
            source=_paths(settings.event_source_at),
        )


def understand(delivery: Delivery, mapping: EventMapping) -> Event | NotUnderstood:
    """Return the event that a delivery tells of, or why it could not be understood."""
    try:
        return _event(delivery, mapping, _members(delivery.body))
    except _NotUnderstoodError as problem:
        return NotUnderstood(str(problem))


class _NotUnderstoodError(Exception):
    """Carries the reason to `understand`."""


class _Written(str):
    """A number that keeps its digits: one with a fraction or an exponent, or -0. Its type is not `str`, so no text."""

    __slots__ = ()


def _event(delivery: Delivery, mapping: EventMapping, body: dict[str, Any]) -> Event:
    data = body.get("data")
    roots = (body, data) if isinstance(data, dict) else (body,)
    kind = _kind(_first(roots, mapping.type))
    time = _first(roots, mapping.time)
    return Event(
        delivery_id=delivery.delivery_id,
        received_at=delivery.received_at,
        source=delivery.source,
        pass_id=_pass_id(_first(roots, mapping.pass_id)),
        wallet=_wallet(_first(roots, mapping.wallet)),
        kind=kind,
        event_id=_event_id(_first(roots, mapping.event_id)) or delivery.body_sha256.hex(),
        occurred_at=delivery.received_at if time is None else _microseconds(time),
        time_is_receipt=time is None,
        active_registrations=_count(_first(roots, mapping.active_count)),
        pass_type=_pass_type(_first(roots, mapping.pass_type)),
        identifiers=_canonical(_first(roots, mapping.identifiers)),
        acquisition_source=_source(_first(roots, mapping.source)),
    )


def _paths(written: tuple[str, ...]) -> Paths:
    return tuple(tuple(path.split(".")) for path in written)


def _first(roots: tuple[dict[str, Any], ...], paths: Paths) -> Any:
    """Return the first value that is there; None, null and blank text are not."""
    for path in paths:
        for root in roots:
            value: Any = root
            for name in path:
                value = value.get(name) if isinstance(value, dict) else None
            if value is not None and not (isinstance(value, str) and not value.strip()):
                return value
    return None


def _members(body: bytes) -> dict[str, Any]:
    # Not left to the parser: where it gives up depends on how deep the call stack is already.
    if body.count(b"{") + body.count(b"[") > _DEEPEST and _depth(body) > _DEEPEST:
        raise _NotUnderstoodError("nested too deeply")
    try:
        value = _DECODER.decode(body.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise _NotUnderstoodError("not UTF-8") from None
    except json.JSONDecodeError:
        raise _NotUnderstoodError("not JSON") from None
    if not isinstance(value, dict):
        raise _NotUnderstoodError("not a JSON object")
    return value


def _depth(body: bytes) -> int:
    """Return how deep objects and lists are nested; of what is no JSON, some number."""
    depth = deepest = 0
    in_string = False
    for token in _TOKENS.findall(body):
        if token == b'"':
            in_string = not in_string
        elif not in_string and len(token) == 1:
            depth += 1 if token in b"{[" else -1
            deepest = max(deepest, depth)
    return deepest


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise _NotUnderstoodError("a name twice in one object")
    return found


def _whole_number(digits: str) -> int | _Written:
    if len(digits) > _MOST_DIGITS:
        raise _NotUnderstoodError(f"a number of more than {_MOST_DIGITS} digits")
    return _Written(digits) if digits == "-0" else int(digits)


def _no_constant(_: str) -> None:
    raise _NotUnderstoodError("not JSON: NaN or Infinity")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_Written, parse_int=_whole_number, parse_constant=_no_constant
)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _kind(event_type: Any) -> Kind:
    if event_type is None:
        raise _NotUnderstoodError("no event type")
    if type(event_type) is not str:
        raise _NotUnderstoodError("event type is not text")
    name = event_type.strip()
    kind = _KINDS.get(name.lower().replace(":", "."))
    if kind is None:
        quoted = f": {name}" if _QUOTABLE_TYPE.fullmatch(name) else ""
        raise _NotUnderstoodError(f"event type is no install or uninstall{quoted}")
    return kind


def _pass_id(value: Any) -> str:
    if value is None:
        raise _NotUnderstoodError("no pass id")
    name = str(value) if type(value) is int else _name(value)
    if name is None:
        raise _NotUnderstoodError("pass id is not a printable text of up to 200 characters")
    return name


def _wallet(value: Any) -> str:
    if value is None:
        raise _NotUnderstoodError("no wallet")
    name = _name(value)
    if name is None:
        raise _NotUnderstoodError("wallet is not a printable text of up to 200 characters")
    return name.lower()


def _name(value: Any) -> str | None:
    name = value.strip() if type(value) is str else ""
    return name if name and name.isprintable() and len(name) <= _LONGEST_NAME else None


def _event_id(value: Any) -> str | None:
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        return None
    return _storable(str(value), "event id")


def _pass_type(value: Any) -> str | None:
    return _storable(value, "pass type") if type(value) is str else None


def _microseconds(time: Any) -> int:
    found = _TIME.fullmatch(time.strip()) if type(time) is str else None
    if found is None:
        raise _NotUnderstoodError("time is no ISO 8601 time")
    if found["zone"] is None:
        raise _NotUnderstoodError("time without a zone")
    try:
        moment = datetime.fromisoformat(found[0].upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _NotUnderstoodError("time is no ISO 8601 time") from None
    return (moment - _EPOCH) // _MICROSECOND


def _count(value: Any) -> int | None:
    if value is None:
        return None
    written = str(value).strip() if type(value) is str or type(value) is int else ""
    if not _COUNT.fullmatch(written):
        raise _NotUnderstoodError("active count is no whole number from 0 up")
    return int(written)


def _source(value: Any) -> str | None:
    """Return medium/origin, or the text that stands there; an origin without its query, which may name a person.

    None for what cannot be read: the event counts all the same, from an unknown source.
    """
    parts = [value.get("medium"), value.get("origin")] if isinstance(value, dict) else [value]
    texts = [_QUERY.sub("", part).strip() for part in parts if type(part) is str]
    return _name("/".join(text for text in texts if text))


def _canonical(identifiers: Any) -> str | None:
    """Return identifiers as raw.passes has them: sorted by name, control characters escaped as DuckDB does."""
    if identifiers is None:
        return None
    if not isinstance(identifiers, dict):
        raise _NotUnderstoodError("identifiers are no JSON object")
    text = _ENCODER.encode(dict(sorted(identifiers.items())))
    if "\\" in text:
        text = _ESCAPE.sub(_as_duckdb_escapes, text)
    if len(text) > _LONGEST_IDENTIFIERS:
        raise _NotUnderstoodError(f"identifiers of more than {_LONGEST_IDENTIFIERS} characters")
    return _storable(text, "identifiers")


def _as_duckdb_escapes(escape: re.Match[str]) -> str:
    if escape[0] == _NUL:
        raise _NotUnderstoodError(f"{_BROKEN_TEXT} identifiers")
    return f"\\u{escape[0][2:].upper()}" if escape[0].startswith("\\u") else escape[0]


def _storable(text: str, what: str) -> str:
    if "\0" in text or not _is_unicode(text):
        raise _NotUnderstoodError(f"{_BROKEN_TEXT} {what}")
    return text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
