"""HubSpot: contacts in batches, and the definitions of their properties. Ids are text everywhere."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

from pydantic import SecretStr

from wallet_pipeline.clients.http import (
    NOTHING_DONE,
    TRANSIENT_STATUSES,
    Answer,
    AuthenticationError,
    ConfigurationError,
    HttpClient,
    NotFoundError,
    QuotaError,
    ScopeError,
    ServiceError,
    TimeLimits,
    UnexpectedAnswerError,
    UnreachableError,
)
from wallet_pipeline.clients.pacing import HubSpotPacer, RateLimits

BATCH = 100
BATCH_WITH_HISTORY = 50
COMPLETE = "COMPLETE"

_NO_STATUS = 0
_SERVICE = "HubSpot"
_LOCKED, _TOO_MANY = 423, 429
_SERVER_ERRORS = range(500, 600)
_TRANSIENT = TRANSIENT_STATUSES | {_LOCKED, *_SERVER_ERRORS}
_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _CONFLICT = 401, 403, 404, 409
_REQUEST_TIMEOUT, _TOO_LONG, _NO_JSON = 408, 414, 415
_CONFIGURATION = frozenset({_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _TOO_LONG, _NO_JSON})
_REFUSALS = frozenset({400, _CONFLICT})
_OK = frozenset({200, 201, 207})
_LONGEST_MESSAGE = 300
_COMPARE = "Compare with HubSpot's reference; if a proxy stands between, let the address through."
_PERSONAL = re.compile(r"\S+@\S+|\[[^\]]*\]")
_OWNER = re.compile(r"Existing ID: (\d+)|(\d+) already has that value")
# Their messages say no more than the code, and quote the value.
_TELLING_CODES = frozenset(
    {
        "CONFLICTING_UNIQUE_VALUE", "INVALID_DATE", "INVALID_EMAIL", "INVALID_LONG", "INVALID_OPTION",
        "PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE",
    }
)  # fmt: skip

T = TypeVar("T")

Operation = Literal["update", "upsert", "create"]


@dataclass(frozen=True)
class RowError:
    """Why HubSpot did not do what was asked, without personal data, and for which inputs.

    `owners` are the records that have the key already.
    """

    status: int
    category: str
    codes: frozenset[str]
    message: str
    ids: frozenset[str] = frozenset()
    trace_ids: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()


class RefusedError(ConfigurationError):
    """HubSpot refused a request as a whole and did nothing of it; `error` says why. An input of it may be to blame."""

    def __init__(self, what: str, error: RowError) -> None:
        super().__init__(
            f"{_SERVICE} refused {what} ({error.status} {error.category}): {error.message}. If it goes on, compare the"
            " settings that begin with HUBSPOT_ and CRM_ with the account, and the request with HubSpot's reference."
        )
        self.error = error


@dataclass(frozen=True)
class PropertyVersion:
    """A value that a property had, since when (as HubSpot writes a time), and who gave it, as far as HubSpot says."""

    value: str | None
    timestamp: str
    source_type: str
    source_id: str = ""
    source_label: str = ""
    user_id: str = ""


@dataclass(frozen=True)
class Contact:
    """A contact as an answer shows it. `trace_id` is filled by some writes only, `history` where it was asked for."""

    id: str
    properties: Mapping[str, str | None]
    trace_id: str | None = None
    history: Mapping[str, list[PropertyVersion]] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchAnswer:
    """What a batch call did, in no order. An input that is in neither list is unsettled.

    So are all of them while the status is another than COMPLETE.
    """

    contacts: list[Contact]
    errors: list[RowError]
    status: str = COMPLETE


class HubSpot:
    """Contacts of one account. Thread-safe; paced by the limits that HubSpot's answers tell."""

    def __init__(
        self,
        base_url: str,
        version: str,
        access_token: SecretStr,
        limits: TimeLimits | None = None,
        attempts: int = 6,
        reserve: float = 0.1,
        lock_lasts: float = 2,
    ) -> None:
        headers = {"Authorization": f"Bearer {access_token.get_secret_value()}", "Accept": "application/json"}
        limits = limits or TimeLimits()
        self._pacer = HubSpotPacer(reserve, longest_wait=limits.call, lock_lasts=lock_lasts)
        self._http = HttpClient(_SERVICE, base_url, headers, limits, attempts, self._pacer)
        self._contacts = f"/crm/objects/{quote(version, safe='')}/contacts"
        self._properties = f"/crm/properties/{quote(version, safe='')}/contacts"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def requests(self) -> int:
        """Number of requests sent so far, retries included."""
        return self._pacer.requests

    @property
    def errors(self) -> int:
        """Number of answers so far with a status of 400 or above, which HubSpot wants below 5 % of the requests."""
        return self._pacer.errors

    @property
    def rate_limits(self) -> RateLimits:
        """What may be sent, as far as it is known by now."""
        return self._pacer.rate_limits

    @property
    def server_time(self) -> datetime | None:
        """HubSpot's clock (aware, UTC) as its last answer told it; None when it did not."""
        return self._http.server_time

    def read_contacts(
        self,
        ids: Sequence[str],
        properties: Sequence[str],
        id_property: str | None = None,
        with_history: Sequence[str] = (),
    ) -> BatchAnswer:
        """Return the contacts with these ids, up to 100 different ones, or values of a unique property or of `email`.

        With the history of some properties up to 50. Needs crm.objects.contacts.read. Raises ServiceError.
        """
        payload = {
            "inputs": [{"id": one} for one in ids],
            "properties": list(properties),
            "propertiesWithHistory": list(with_history),
            **({"idProperty": id_property} if id_property else {}),
        }
        return self._call("POST", f"{self._contacts}/batch/read", _read_answer, payload=payload)

    def read_contact(
        self, contact_id: str, properties: Sequence[str], with_history: Sequence[str] = ()
    ) -> Contact | None:
        """Return the contact that this id leads to, under its present id. Raises ServiceError."""
        path = f"{self._contacts}/{quote(contact_id, safe='')}"
        asked = {"properties": properties, "propertiesWithHistory": with_history}
        try:
            params = {name: ",".join(names) for name, names in asked.items() if names}
            return self._call("GET", path, _shown_contact, params=params)
        except RefusedError as refusal:
            if refusal.error.status == _NOT_FOUND:
                return None
            raise

    def write_contacts(self, operation: Operation, inputs: Sequence[Mapping[str, Any]]) -> BatchAnswer:
        """Update by record id, upsert by a unique property, or create, up to 100 contacts, each with a trace id.

        Needs crm.objects.contacts.write. A create is not sent again when its answer is lost, and nothing when its
        answer is no whole one: UnreachableError then leaves open whether it happened. Raises RefusedError when nothing
        of the batch was done, and ServiceError.
        """
        return self._call(
            "POST",
            f"{self._contacts}/batch/{operation}",
            _batch_answer,
            is_read=False,
            payload={"inputs": list(inputs)},
            repeatable=operation != "create",
        )

    def try_to_write(self) -> None:
        """Ask to update no contact at all, which changes nothing: raises ScopeError when even that is not allowed.

        HubSpot looks at the scopes before it looks at the inputs; what it says about a list without any is no matter.
        Raises ServiceError.
        """
        with suppress(RefusedError):
            self.write_contacts("update", [])

    def read_definitions(self) -> dict[str, dict[str, Any]]:
        """Return the definitions of all contact properties by name. Raises ServiceError."""
        return self._call("GET", self._properties, _by_name)

    def read_groups(self) -> set[str]:
        """Return the names of all property groups. Raises ServiceError."""
        return set(self._call("GET", f"{self._properties}/groups", _by_name))

    def create_definition(self, definition: Mapping[str, Any]) -> None:
        """Create a property. Needs crm.schemas.contacts.write. Raises RefusedError (409: it exists), ServiceError."""
        self._call("POST", self._properties, _object, is_read=False, payload=definition)

    def create_group(self, group: Mapping[str, Any]) -> None:
        """Create a property group. Needs crm.schemas.contacts.write. Raises RefusedError, ServiceError."""
        self._call("POST", f"{self._properties}/groups", _object, is_read=False, payload=group)

    def _call(
        self, method: str, path: str, understand: Callable[[Any], T], *, is_read: bool = True, **request: Any
    ) -> T:
        """Return what `understand` makes of the JSON of a request that was accepted, in part or in whole.

        The body decides, not the status: what is no whole answer is none, and asked for again where that changes
        nothing. `understand` raises UnexpectedAnswerError for it, this UnreachableError.
        """
        what = f"{method} {path}"
        answer = self._http.call(
            method,
            path,
            transient=_TRANSIENT,
            nothing_done=NOTHING_DONE | {_LOCKED},
            is_usable=lambda one: not is_read or one.status not in _OK or _is_whole(one, understand),
            **request,
        )
        if answer.status not in _OK:
            raise _refusal(answer, what)
        try:
            return understand(answer.json(_SERVICE))
        except UnexpectedAnswerError as error:
            raise UnreachableError(f"{_SERVICE} gave no whole answer to {what}: {error}") from None


def _is_whole(answer: Answer, understand: Callable[[Any], object]) -> bool:
    try:
        understand(answer.json(_SERVICE))
    except UnexpectedAnswerError:
        return False
    return True


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise UnexpectedAnswerError(f"{_SERVICE} answered with JSON that is no object. {_COMPARE}")
    return body


def _list(body: Mapping[str, Any], name: str, default: Any = None) -> list[Any]:
    found = default if body.get(name) is None else body[name]
    if not isinstance(found, list):
        raise UnexpectedAnswerError(f"{_SERVICE} answered without a list of {name}. {_COMPARE}")
    return found


def _read_answer(body: Any) -> BatchAnswer:
    """Return what a read has found: an answer that was not finished would pass for contacts that do not exist."""
    for one in _list(_object(body), "results"):
        _shown_contact(one)
    answer = _batch_answer(body)
    if answer.status != COMPLETE:
        raise UnexpectedAnswerError(f"{_SERVICE} answered before it had finished ({answer.status}).")
    return answer


def _batch_answer(body: Any) -> BatchAnswer:
    errors = [one if isinstance(one, dict) else {"message": one} for one in _list(_object(body), "errors", [])]
    return BatchAnswer(
        [_contact(one) for one in _list(body, "results", [])],
        [_row_error(_NO_STATUS, one) for one in errors],
        str(body.get("status") or COMPLETE),
    )


def _shown_contact(result: Any) -> Contact:
    """Return a contact with what was asked for: without any properties it would pass for one that holds nothing."""
    contact, shown = _contact(result), result.get("properties")
    if not isinstance(shown, dict) or len(shown) != len(contact.properties):
        raise UnexpectedAnswerError(f"{_SERVICE} answered with a contact without properties that are texts. {_COMPARE}")
    return contact


def _contact(result: Any) -> Contact:
    if not isinstance(result, dict) or not isinstance(result.get("id"), str):
        raise UnexpectedAnswerError(f"{_SERVICE} answered with a contact that has no id. {_COMPARE}")
    properties, traces = result.get("properties"), _texts(result.get("objectWriteTraceId"))
    given = properties.items() if isinstance(properties, dict) else []
    texts = {name: value for name, value in given if value is None or isinstance(value, str)}
    return Contact(result["id"], texts, traces[0] if traces else None, _history(result.get("propertiesWithHistory")))


def _history(given: Any) -> dict[str, list[PropertyVersion]]:
    """Return the versions of each property; what is not of that form tells nothing, and is left out."""
    if not isinstance(given, dict):
        return {}
    lists = {name: versions for name, versions in given.items() if isinstance(versions, list)}
    return {name: [_version(one) for one in versions if isinstance(one, dict)] for name, versions in lists.items()}


def _version(entry: Mapping[str, Any]) -> PropertyVersion:
    names = ("timestamp", "sourceType", "sourceId", "sourceLabel", "updatedByUserId")
    value = entry.get("value")
    return PropertyVersion(None if value is None else str(value), *(str(entry.get(name) or "") for name in names))


def _by_name(body: Any) -> dict[str, dict[str, Any]]:
    found = _list(_object(body), "results")
    if not all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in found):
        raise UnexpectedAnswerError(f"{_SERVICE} answered with definitions that have no name. {_COMPARE}")
    return {one["name"]: one for one in found}


def _refusal(answer: Answer, what: str) -> ServiceError:
    body = answer.json_object()
    if body is not None and _is_about_inputs(answer.status, body):
        return RefusedError(what, _row_error(answer.status, body))
    if answer.status in _CONFIGURATION:
        return _configuration_error(answer.status, body or {}, what)
    if answer.status == _TOO_MANY:
        return QuotaError(f"{_SERVICE} goes on asking for fewer requests (429 for {what}). Run again later.")
    if answer.status in (_LOCKED, _REQUEST_TIMEOUT, *_SERVER_ERRORS):
        return UnreachableError(
            f"{_SERVICE} goes on answering {answer.status} to {what}. Look at status.hubspot.com and run again when it"
            " is back."
        )
    return UnexpectedAnswerError(
        f"{_SERVICE} answered {answer.status} ({answer.kind}) to {what}, which this version of the pipeline does not"
        f" know. {_COMPARE}"
    )


def _configuration_error(status: int, body: Mapping[str, Any], what: str) -> ServiceError:
    if status == _UNAUTHORISED:
        return AuthenticationError(
            f"{_SERVICE} did not accept the access token (401) for {what}. It is wrong, expired or revoked: put a valid"
            " private-app token or service key into HUBSPOT_ACCESS_TOKEN and run again."
        )
    if status == _FORBIDDEN:
        scopes = " or ".join(_scopes(body)) or "a scope that HubSpot does not name"
        return ScopeError(
            f"The access token lacks {scopes} (403 for {what}). Add the scope to the private app or service key in"
            " HubSpot, or put a token that has it into HUBSPOT_ACCESS_TOKEN, and run again."
        )
    if status == _NOT_FOUND:
        return NotFoundError(
            f"{_SERVICE} knows no address {what} (404). Check HUBSPOT_BASE_URL and HUBSPOT_API_VERSION in the settings."
        )
    return ConfigurationError(
        f"{_SERVICE} answered {status} to {what}: the request did not arrive as it was sent. If a proxy stands between,"
        " let it leave address and headers alone; otherwise check HUBSPOT_BASE_URL."
    )


def _is_about_inputs(status: int, body: Mapping[str, Any]) -> bool:
    """Tell a request of which some input is refused from one that cannot be sent at all."""
    if status == _NOT_FOUND:
        return body.get("category") == "OBJECT_NOT_FOUND"
    if status == _TOO_LONG:
        return "identities" in str(body.get("message"))
    return status in _REFUSALS


def _scopes(body: Mapping[str, Any]) -> list[str]:
    return [scope for one in _entries(body) for scope in _texts(_context(one).get("requiredGranularScopes"))]


def _entries(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    errors = body.get("errors")
    return [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []


def _context(entry: Mapping[str, Any]) -> dict[str, Any]:
    context = entry.get("context")
    return context if isinstance(context, dict) else {}


def _row_error(status: int, entry: Mapping[str, Any]) -> RowError:
    context, parts = _context(entry), _entries(entry)
    text = str(entry.get("message") or "no message")
    texts = [text, *(str(part.get("message")) for part in parts)]
    listed = [problem for one in texts for problem in _value_problems(one)]
    problems = listed or [_value_problem(part) for part in parts]
    owners = [owner for found in _OWNER.findall(text) for owner in found if owner]
    return RowError(
        status=status,
        category=str(entry.get("category") or ""),
        codes=frozenset(str(one.get("error")) for one in problems),
        message=_without_personal_data(text, problems),
        ids=frozenset(_texts(context.get("ids"))),
        trace_ids=frozenset(_texts(context.get("objectWriteTraceId") or entry.get("objectWriteTraceId"))),
        owners=frozenset([*_texts(context.get("existingId")), *owners]),
    )


def _value_problem(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry of a refusal's `errors` in the form of those that stand inside a message."""
    name = ", ".join(_texts(_context(entry).get("propertyName"))) or entry.get("in")
    return {"name": name, "error": entry.get("code"), "message": entry.get("message")}


def _value_problems(message: str) -> list[dict[str, Any]]:
    """Return the list that stands as JSON inside the message of a 400 about property values."""
    start = message.find("[{")
    try:
        problems = json.loads(message[start:]) if start >= 0 else []
    except ValueError:
        return []
    return [one for one in problems if isinstance(one, dict)]


def _without_personal_data(message: str, problems: Iterable[Mapping[str, Any]]) -> str:
    named = [
        f"{one.get('name')}: {one.get('error')}"
        + ("" if one.get("error") in _TELLING_CODES else f" ({_PERSONAL.sub('…', str(one.get('message')))})")
        for one in problems
    ]
    return ("; ".join(named) or _PERSONAL.sub("…", message))[:_LONGEST_MESSAGE]


def _texts(value: Any) -> list[str]:
    if isinstance(value, list):
        return [str(one) for one in value]
    return [] if value is None else [str(value)]
