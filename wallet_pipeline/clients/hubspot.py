"""HubSpot: contacts in batches, and the definitions of their properties. Ids are text everywhere."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self
from urllib.parse import quote

from pydantic import SecretStr

from wallet_pipeline.clients.http import (
    TRANSIENT_STATUSES,
    Answer,
    AuthenticationError,
    HttpClient,
    NotFoundError,
    QuotaError,
    ScopeError,
    ServiceError,
    TimeLimits,
    UnexpectedAnswerError,
    UnreachableError,
)
from wallet_pipeline.clients.pacing import HubSpotPacer, Quota

BATCH = 100

_NO_STATUS = 0
_SERVICE = "HubSpot"
_LOCKED, _TOO_MANY = 423, 429
_TRANSIENT = TRANSIENT_STATUSES | {_LOCKED}
_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _CONFLICT = 401, 403, 404, 409
_REFUSALS = frozenset({400, _NOT_FOUND, _CONFLICT})
_OK = frozenset({200, 201, 207})
_SERVER_ERRORS = 500
_PERSONAL = re.compile(r"\S+@\S+|\[[^\]]*\]")

Operation = Literal["update", "upsert", "create"]


@dataclass(frozen=True)
class RowError:
    """Why HubSpot did not do what was asked, without personal data, and for which inputs."""

    status: int
    category: str
    codes: frozenset[str]
    message: str
    ids: frozenset[str] = frozenset()
    trace_ids: frozenset[str] = frozenset()


class RefusedError(ServiceError):
    """HubSpot refused a request as a whole and did nothing of it; `error` says why."""

    def __init__(self, what: str, error: RowError) -> None:
        super().__init__(
            f"{_SERVICE} refused {what} ({error.status} {error.category}): {error.message}. If it goes on, compare the"
            " settings that begin with HUBSPOT_ and CRM_ with the account, and the request with HubSpot's reference."
        )
        self.error = error


@dataclass(frozen=True)
class Contact:
    """A contact as an answer shows it. `trace_id` is filled by some writes only."""

    id: str
    properties: Mapping[str, str | None]
    trace_id: str | None = None


@dataclass(frozen=True)
class BatchAnswer:
    """What a batch call did, in no order. An input that is in neither list is unsettled."""

    contacts: list[Contact]
    errors: list[RowError]


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
    ) -> None:
        headers = {"Authorization": f"Bearer {access_token.get_secret_value()}", "Accept": "application/json"}
        limits = limits or TimeLimits()
        self._pacer = HubSpotPacer(reserve, longest_wait=limits.call)
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
    def quota(self) -> Quota:
        """What may be sent, as far as it is known by now."""
        return self._pacer.quota

    @property
    def server_time(self) -> datetime | None:
        """HubSpot's clock (aware, UTC) as its last answer told it; None when it did not."""
        return self._http.server_time

    def read_contacts(
        self, ids: Sequence[str], properties: Sequence[str], id_property: str | None = None
    ) -> BatchAnswer:
        """Return the contacts with these ids, up to 100 different ones, or values of a unique property or of `email`.

        Needs crm.objects.contacts.read. Raises ServiceError.
        """
        payload = {
            "inputs": [{"id": one} for one in ids],
            "properties": list(properties),
            "propertiesWithHistory": [],
            **({"idProperty": id_property} if id_property else {}),
        }
        return self._batch("read", payload, repeatable=True)

    def read_contact(self, contact_id: str, properties: Sequence[str]) -> Contact | None:
        """Return the contact that this id leads to, under its present id. Raises ServiceError."""
        path = f"{self._contacts}/{quote(contact_id, safe='')}"
        try:
            answer = self._call("GET", path, params={"properties": ",".join(properties)})
        except RefusedError as refusal:
            if refusal.error.status == _NOT_FOUND:
                return None
            raise
        return _contact(answer)

    def write_contacts(self, operation: Operation, inputs: Sequence[Mapping[str, Any]]) -> BatchAnswer:
        """Update by record id, upsert by a unique property, or create, up to 100 contacts, each with a trace id.

        Needs crm.objects.contacts.write. A create is not sent again when its answer is lost: UnreachableError then
        leaves open whether it happened. Raises RefusedError when nothing of the batch was done, and ServiceError.
        """
        return self._batch(operation, {"inputs": list(inputs)}, repeatable=operation != "create")

    def try_to_write(self) -> None:
        """Ask to update no contact at all, which changes nothing: raises ScopeError when even that is not allowed.

        HubSpot looks at the scopes before it looks at the inputs; what it says about a list without any is no matter.
        Raises ServiceError.
        """
        with suppress(RefusedError):
            self.write_contacts("update", [])

    def read_definitions(self) -> dict[str, dict[str, Any]]:
        """Return the definitions of all contact properties by name. Raises ServiceError."""
        return _by_name(self._call("GET", self._properties))

    def read_groups(self) -> set[str]:
        """Return the names of all property groups. Raises ServiceError."""
        return set(_by_name(self._call("GET", f"{self._properties}/groups")))

    def create_definition(self, definition: Mapping[str, Any]) -> None:
        """Create a property. Needs crm.schemas.contacts.write. Raises RefusedError (409: it exists), ServiceError."""
        self._call("POST", self._properties, payload=definition)

    def create_group(self, group: Mapping[str, Any]) -> None:
        """Create a property group. Needs crm.schemas.contacts.write. Raises RefusedError, ServiceError."""
        self._call("POST", f"{self._properties}/groups", payload=group)

    def _batch(self, operation: str, payload: Mapping[str, Any], *, repeatable: bool) -> BatchAnswer:
        body = self._call("POST", f"{self._contacts}/batch/{operation}", payload=payload, repeatable=repeatable)
        results, errors = body.get("results", []), body.get("errors", [])
        if not isinstance(results, list) or not isinstance(errors, list):
            raise UnexpectedAnswerError(f"{_SERVICE} answered a batch {operation} without lists of results and errors.")
        return BatchAnswer([_contact(one) for one in results], [_row_error(_NO_STATUS, one) for one in errors])

    def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """Return the body of a request that was accepted, in part or in whole. The body decides, not the status."""
        answer = self._http.call(method, path, transient=_TRANSIENT, **request)
        if answer.status not in _OK:
            raise _refusal(answer, f"{method} {path}")
        body = answer.json(_SERVICE)
        if not isinstance(body, dict):
            raise UnexpectedAnswerError(f"{_SERVICE} answered {method} {path} with JSON that is no object.")
        return body


def _contact(result: Any) -> Contact:
    if not isinstance(result, dict) or not isinstance(result.get("id"), str):
        raise UnexpectedAnswerError(f"{_SERVICE} answered with a contact that has no id.")
    return Contact(result["id"], result.get("properties") or {}, result.get("objectWriteTraceId"))


def _by_name(body: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in body.get("results", [])}


def _refusal(answer: Answer, what: str) -> ServiceError:
    body = _error_body(answer)
    if answer.status in (_UNAUTHORISED, _FORBIDDEN):
        return _credentials_error(answer.status, body, what)
    if answer.status == _TOO_MANY:
        return QuotaError(f"{_SERVICE} goes on asking for fewer requests (429 for {what}). Run again later.")
    if answer.status in _REFUSALS and body:
        return RefusedError(what, _row_error(answer.status, body))
    if answer.status == _NOT_FOUND:
        return NotFoundError(
            f"{_SERVICE} knows no address {what} (404). Check HUBSPOT_BASE_URL and HUBSPOT_API_VERSION in the settings."
        )
    if answer.status >= _SERVER_ERRORS or answer.status == _LOCKED:
        return UnreachableError(
            f"{_SERVICE} goes on answering {answer.status} to {what}. Look at status.hubspot.com and run again when it"
            " is back."
        )
    return UnexpectedAnswerError(
        f"{_SERVICE} answered {answer.status} ({answer.kind}) to {what}, which this version of the pipeline does not"
        " know. Compare with HubSpot's reference; if a proxy stands between, let the address through."
    )


def _credentials_error(status: int, body: Mapping[str, Any], what: str) -> ServiceError:
    if status == _UNAUTHORISED:
        return AuthenticationError(
            f"{_SERVICE} did not accept the access token (401) for {what}. It is wrong, expired or revoked: put a valid"
            " private-app token or service key into HUBSPOT_ACCESS_TOKEN and run again."
        )
    scopes = " or ".join(_scopes(body)) or "a scope that HubSpot does not name"
    return ScopeError(
        f"The access token lacks {scopes} (403 for {what}). Add the scope to the private app or service key in HubSpot,"
        " or put a token that has it into HUBSPOT_ACCESS_TOKEN, and run again."
    )


def _error_body(answer: Answer) -> dict[str, Any]:
    try:
        body = json.loads(answer.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _scopes(body: Mapping[str, Any]) -> list[str]:
    contexts = [one.get("context") or {} for one in body.get("errors") or []]
    return [scope for context in contexts for scope in context.get("requiredGranularScopes", [])]


def _row_error(status: int, entry: Mapping[str, Any]) -> RowError:
    context = entry.get("context") or {}
    traces = context.get("objectWriteTraceId") or entry.get("objectWriteTraceId")
    text = str(entry.get("message") or "no message")
    problems = _value_problems(text)
    return RowError(
        status=status,
        category=str(entry.get("category") or ""),
        codes=frozenset(str(one.get("error")) for one in problems),
        message=_without_personal_data(text, problems),
        ids=frozenset(_texts(context.get("ids"))),
        trace_ids=frozenset(_texts(traces)),
    )


def _value_problems(message: str) -> list[dict[str, Any]]:
    """Return the list that stands as JSON inside the message of a 400 about property values."""
    start = message.find("[{")
    try:
        problems = json.loads(message[start:]) if start >= 0 else []
    except ValueError:
        return []
    return [one for one in problems if isinstance(one, dict)]


def _without_personal_data(message: str, problems: Iterable[Mapping[str, Any]]) -> str:
    named = [f"{one.get('name')}: {one.get('error')}" for one in problems]
    return "; ".join(named) if named else _PERSONAL.sub("…", message)[:300]


def _texts(value: Any) -> list[str]:
    if isinstance(value, list):
        return [str(one) for one in value]
    return [] if value is None else [str(value)]
