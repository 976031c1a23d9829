"""The faults of the matrix: what HubSpot, the network and other people do, and where it ends a run."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Phase = Literal["plan", "before", "write", "back"]
Key = Literal["record_id", "customer_id", "email"]
Action = dict[str, Any]

READS: tuple[Phase, ...] = ("plan", "before", "back")
EVERYWHERE: tuple[Phase, ...] = ("plan", "before", "write", "back")


@dataclass(frozen=True)
class Target:
    """The row that a fault is about: its record, when it has one, its address, and a contact of nobody's."""

    record_id: str | None
    email: str
    other: str


@dataclass(frozen=True)
class Fault:
    """A row of the matrix. It passes after one request, unless it `lasts` or even `stops` the run at a point.

    Where it lasts it meets each request about the first of two rows that travel together.
    """

    title: str
    action: Action | Callable[[Target, Key, Phase], Action | None]
    lasts: tuple[Phase, ...] = ()
    stops: tuple[Phase, ...] = ()
    at: tuple[Phase, ...] = EVERYWHERE

    @property
    def is_of_people(self) -> bool:
        """Whether somebody acts, and the answers are true."""
        return callable(self.action)

    def act(self, target: Target, key: Key, phase: Phase) -> Action | None:
        """Return what is done to a request that asks for the target by this key; None where it cannot happen."""
        return self.action(target, key, phase) if callable(self.action) else self.action


def refused(status: int, message: str, category: str = "VALIDATION_ERROR", **more: Any) -> Action:
    """Return an error answer as HubSpot words it."""
    body = {"status": "error", "category": category, "message": message, "correlationId": "c-1", **more}
    return {"type": "status", "status": status, "body": body}


def bad_value(code: str, message: str, name: str = "wallet_status") -> Action:
    """Return a refusal whose list of problems stands as JSON inside its message."""
    problem = {"isValid": False, "message": message, "error": code, "name": name, "localizedErrorMessage": message}
    return refused(400, f"Property values were not valid: {json.dumps([problem])}")


def success(body: Any) -> Action:
    """Return an answer of success with another body; a text is served as JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    return {"type": "replace", "body": text, "headers": {"content-type": "application/json"}}


def limited(policy: str, **headers: str) -> Action:
    """Return a 429."""
    body = {
        "status": "error",
        "errorType": "RATE_LIMIT",
        "policyName": policy,
        "message": "You have reached your limit.",
    }
    return {"type": "status", "status": 429, "body": body, "headers": headers}


def down(status: int) -> Action:
    """Return a page of a gateway."""
    return {"type": "status", "status": status, "html": True}


def _merge(target: Target, key: Key, _: Phase) -> Action | None:
    body = {"primary": target.record_id, "secondary": target.other}
    return _control("merge", body) if key == "record_id" else None


def _edit(target: Target, key: Key, _: Phase) -> Action | None:
    path = f"contacts/{target.record_id}/edit"
    return _control(path, {"properties": {"wallet_status": "none"}}) if key == "record_id" else None


def _archive(target: Target, key: Key, _: Phase) -> Action | None:
    return _control(f"archive/{target.record_id}", {}) if key == "record_id" else None


def _appear(target: Target, key: Key, phase: Phase) -> Action | None:
    """Somebody makes the contact by hand: before the reading that would show it, or in the last moment."""
    if target.record_id is not None or (phase != "write" and key != "email"):
        return None
    return _control("contacts", {"properties": {"email": target.email}})


def _control(path: str, body: Mapping[str, Any]) -> Action:
    return {"type": "meanwhile", "path": f"/sandbox/{path}", "body": dict(body)}


_WRITE: tuple[Phase, ...] = ("write",)
_SCOPES = [{"message": "Missing.", "context": {"requiredGranularScopes": ["crm.objects.contacts.write"]}}]
_INVALID_DATE = bad_value("INVALID_LONG", "x was not a valid long.", "wallet_last_changed_at")
_INVALID_EMAIL = bad_value("INVALID_EMAIL", "Email address x is invalid", "email")
_RULE = bad_value("PROPERTY_VALIDATION_RULE", "The rule says no", "customer_id")
_TAKEN = bad_value("CONFLICTING_UNIQUE_VALUE", "{propertyName=x, value=X}. 999 already has that value.", "customer_id")
_NO_TOKEN = refused(401, "Authentication credentials not found.", "INVALID_AUTHENTICATION")
_NO_SCOPE = refused(403, "Scopes are missing.", "MISSING_SCOPES", errors=_SCOPES)
_GONE = refused(404, "Could not get some CONTACT objects, they may be deleted or not exist.", "OBJECT_NOT_FOUND")
_EXISTS = refused(409, "Contact already exists. Existing ID: 999", "CONFLICT")
_IDENTITIES = refused(414, "Cannot have more than 250 identities on a profile")
_LOCKED = refused(423, "Locked", "LOCKED")
_BURST = "TEN_SECONDLY_ROLLING"
_LIMITS = [
    f"X-HubSpot-RateLimit-{name}" for name in ("Max", "Remaining", "Interval-Milliseconds", "Daily", "Daily-Remaining")
]
_NAMELESS = {
    "errors": [{"status": "error", "category": "VALIDATION_ERROR", "message": "An input is bad", "context": {}}]
}

# What the others are compared with: the answer is as always.
NOTHING = Fault("nothing, for comparison", {"type": "headers"})
FAULTS = (
    NOTHING,
    Fault("400: an invalid date", _INVALID_DATE, _WRITE),
    Fault("400: an invalid e-mail", _INVALID_EMAIL, _WRITE),
    Fault("400: a rule of the account", _RULE, _WRITE),
    Fault("400: a unique value that another contact has", _TAKEN, _WRITE),
    Fault("400: the same id twice", refused(400, "Duplicate IDs found in batch input: [X]. IDs must be unique")),
    Fault("400: too many inputs", refused(400, "Limit of 100 inputs exceeded, the request holds 101")),
    Fault("400: unreadable JSON", refused(400, "Invalid input JSON")),
    Fault("400 to every read", refused(400, "Invalid input JSON"), stops=READS, at=READS),
    Fault("400: a property that does not exist", bad_value("PROPERTY_DOESNT_EXIST", "There is none"), stops=_WRITE),
    Fault("400: an option that does not exist", bad_value("INVALID_OPTION", "both is no option"), stops=_WRITE),
    Fault("400: a property that is read-only", bad_value("READ_ONLY_VALUE", "It is read-only"), stops=_WRITE),
    Fault("401: the token", _NO_TOKEN, stops=EVERYWHERE),
    Fault("403: a scope", _NO_SCOPE, stops=EVERYWHERE),
    Fault("404: a record that is gone", _GONE, _WRITE),
    Fault("404: the address", down(404), stops=EVERYWHERE),
    Fault("409: the contact exists", _EXISTS, _WRITE),
    Fault("414: more than 250 identities", _IDENTITIES, _WRITE),
    Fault("414: the address is too long", down(414), stops=EVERYWHERE),
    Fault("415: no JSON", down(415), stops=EVERYWHERE),
    Fault("423: locked", _LOCKED),
    Fault("423, as long as one asks", _LOCKED, _WRITE, READS),
    Fault("429: ten seconds", limited(_BURST)),
    Fault("429: ten seconds, with Retry-After", limited(_BURST, **{"Retry-After": "0.05"})),
    Fault("429, as long as one asks", limited(_BURST), stops=EVERYWHERE),
    Fault("429: the day", limited("DAILY"), stops=EVERYWHERE),
    Fault("429: Retry-After of a day", limited(_BURST, **{"Retry-After": "86400"}), stops=EVERYWHERE),
    Fault("477: the account is moved", down(477) | {"headers": {"Retry-After": "3600"}}, stops=EVERYWHERE),
    *(Fault(f"{status}", down(status)) for status in (500, 501, 502, 503, 504, 521, 522, 523, 524, 525, 526)),
    Fault("503, as long as one asks", down(503), _WRITE, READS),
    Fault("a status that is not known (302)", down(302), stops=EVERYWHERE),
    Fault("the answer is slow", {"type": "delay", "seconds": 0.05}),
    Fault("the connection breaks before", {"type": "drop"}),
    Fault("the connection breaks before, as long as one asks", {"type": "drop"}, _WRITE, READS),
    Fault("the connection breaks after the commit", {"type": "drop_after"}),
    Fault("the connection breaks after each commit", {"type": "drop_after"}, _WRITE, at=_WRITE),
    Fault("half an answer", {"type": "truncate"}),
    Fault("half an answer, its length told right", {"type": "truncate", "quietly": True}),
    Fault("a page of HTML with 200", {"type": "replace", "html": True}),
    Fault("HTML with 200, as long as one asks", {"type": "replace", "html": True}, _WRITE, READS),
    Fault("an empty answer", success("")),
    Fault("JSON that is no object", success([])),
    Fault("JSON of another shape", success({"message": "hello"})),
    Fault("contacts without properties", success({"status": "COMPLETE", "results": [{"id": "999"}]})),
    Fault("status PENDING", {"type": "json", "set": {"status": "PENDING"}}),
    Fault("status CANCELED and no results", success({"status": "CANCELED", "results": []})),
    Fault("an id in neither results nor errors", {"type": "json", "omit": 1}),
    Fault("an error that names no input", {"type": "json", "omit": 1, "set": _NAMELESS}),
    Fault("numErrors without errors", {"type": "json", "set": {"numErrors": 3}}),
    Fault("no headers about limits", {"type": "headers", "remove": _LIMITS}),
    Fault("somebody merges the contact in that moment", _merge),
    Fault("somebody edits the contact in that moment", _edit),
    Fault("somebody makes the contact in that moment", _appear),
    # The last one: who is looked for under further keys would shift the pairs of those behind.
    Fault("somebody deletes the contact in that moment", _archive),
)

# What an account may do differently, in all its answers, and results in another order in each of them.
VARIANTS: dict[str, dict[str, Any]] = {
    "errors on 200, numErrors wrong, a row named in a text; no member for no value, times without milliseconds": {
        "shuffle": True,
        "partial_status": "success",
        "num_errors": "wrong",
        "trace_in_errors": "string",
        "null_values": "missing",
        "datetime_out": "no_ms",
    },
    "numErrors absent, a row named at the top; missing ids not named, times as numbers": {
        "num_errors": "absent",
        "trace_in_errors": "top_level",
        "missing_in_errors": False,
        "datetime_out": "epoch_ms",
    },
    "results without trace ids and properties": {"trace_in_results": False, "write_results": "empty"},
    "one bad row refuses the whole batch": {"trace_multistatus": []},
}
