"""HubSpot behind the port: property names, text forms of values, merged records, errors by class."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from wallet_pipeline.clients.http import UnexpectedAnswerError, UnreachableError
from wallet_pipeline.clients.hubspot import (
    BATCH,
    BATCH_WITH_HISTORY,
    BatchAnswer,
    Contact,
    HubSpot,
    Operation,
    PropertyVersion,
    RefusedError,
)
from wallet_pipeline.settings import Settings
from wallet_pipeline.sync.destination import (
    CUSTOMER_ID,
    FIELDS,
    TIME_FIELDS,
    Capabilities,
    Definitions,
    DefinitionsError,
    Key,
    Quota,
    Receipt,
    Record,
    Value,
    Version,
    Write,
)
from wallet_pipeline.sync.hubspot_receipts import EXISTS, MISSING, error_class, failed, receipts, unknown
from wallet_pipeline.sync.hubspot_sources import in_words

_GROUP = {"name": "wallet", "label": "Wallet"}
_ADDRESSES = ("email", "hs_additional_emails")
# A refused batch is divided here: no other place finds one bad row of a hundred with fewer requests, 12 at most.
_FIRST_PART = 0.38
# HubSpot wants less than 5 % of the answers to be errors. A run that sends little may have a few all the same: a good
# row among rows that were refused before is found by errors alone.
_MAX_ERROR_SHARE, _FEW_ERRORS = 0.04, 20
_NOT_ALONE = "refused again, with others that were refused before and not one by one:"


@contextmanager
def connect(settings: Settings) -> Iterator["HubSpotDestination"]:
    """Open HubSpot with the settings' address, version and token; raises MissingSettingError."""
    token = settings.hubspot_credentials()
    address = settings.hubspot_base_url, settings.hubspot_api_version
    with HubSpot(*address, token, reserve=settings.hubspot_reserve) as client:
        yield HubSpotDestination(client, settings.crm_customer_property)


class HubSpotDestination:
    """Contacts as a destination."""

    name = "HubSpot"
    capabilities = Capabilities(
        read_batch=BATCH,
        history_batch=BATCH_WITH_HISTORY,
        write_batch=BATCH,
        time_precision=timedelta(milliseconds=1),
        create_needs_email=True,
    )

    def __init__(self, client: HubSpot, customer_property: str) -> None:
        self._client = client
        self._customer_property = customer_property
        self._wanted = {one["name"]: one for one in _definitions(customer_property)}
        self._shown = (*FIELDS, customer_property, *_ADDRESSES, "hs_merged_object_ids")

    @property
    def requests(self) -> int:
        """Number of requests sent so far, retries included."""
        return self._client.requests

    @property
    def errors(self) -> int:
        """Number of these that were answered by an error."""
        return self._client.errors

    @property
    def quota(self) -> Quota:
        """What may be sent, as far as it is known by now."""
        limits = self._client.rate_limits
        return Quota(limits.per_window, limits.window, limits.per_day, limits.left_today)

    def check_definitions(self) -> Definitions:
        """Return which properties exist; raises DefinitionsError for one of a wrong form."""
        known = self._client.read_definitions()
        problems = [text for name, one in self._wanted.items() if name in known for text in _problems(one, known[name])]
        if problems:
            raise DefinitionsError(
                f"HubSpot has contact properties of another form than the sync needs: {'; '.join(problems)}. Type and"
                " uniqueness of a property cannot be changed: remove or rename it in HubSpot (Settings > Properties),"
                " or name another customer property in CRM_CUSTOMER_PROPERTY; then run `wallet-pipeline setup-crm`."
            )
        ours = {name: known[name] for name in self._wanted if name in known}
        missing = tuple(name for name in self._wanted if name not in known)
        return Definitions(tuple(ours), missing, sha256(json.dumps(ours, sort_keys=True).encode()).hexdigest())

    def create_definitions(self, names: Sequence[str]) -> None:
        """Create the group, when missing, and properties. What somebody else creates meanwhile is left as it is."""
        if _GROUP["name"] not in self._client.read_groups():
            with _unless_it_exists():
                self._client.create_group(_GROUP)
        for name in names:
            with _unless_it_exists():
                self._client.create_definition(self._wanted[name])

    def read(self, key: Key, values: Sequence[str]) -> dict[str, Record]:
        """Return the records by the value asked for."""
        asked = {value: value.lower() if key == "email" else value for value in values}
        found = self._find(key, list(dict.fromkeys(asked.values())))
        return {value: self._record(found[form]) for value, form in asked.items() if form in found}

    def read_history(self, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, dict[str, list[Version]]]:
        """Return the values that fields of contacts had, newest first, by the ids asked for."""
        names = {field: self._customer_property if field == CUSTOMER_ID else field for field in fields}
        found = self._find("record_id", list(record_ids), list(names.values()))
        return {
            one: {field: _versions(field, found[one].history.get(name, [])) for field, name in names.items()}
            for one in record_ids
            if one in found
        }

    def write(self, writes: Sequence[Write]) -> list[Receipt]:
        """Update by record id; create by upsert on the customer property, or plainly where there is no customer id."""
        batches: dict[Operation, list[Write]] = {"update": [], "upsert": [], "create": []}
        for one in writes:
            batches[_operation(one)].append(one)
        return [receipt for operation, batch in batches.items() if batch for receipt in self._send(operation, batch)]

    def _find(self, key: Key, asked: list[str], with_history: Sequence[str] = ()) -> dict[str, Contact]:
        """Return contacts by the values asked for. Those that the answer leaves out without a word are read again.

        A record id is read alone, since it may have been merged; other values together, since HubSpot does not promise
        to name those that nobody has.
        """
        found, unsettled = self._ask(key, asked, with_history)
        if key == "record_id":
            contacts = {one: self._client.read_contact(one, self._shown, with_history) for one in unsettled}
            return found | {one: contact for one, contact in contacts.items() if contact}
        return found | self._ask(key, unsettled, with_history)[0] if unsettled else found

    def _ask(self, key: Key, asked: list[str], with_history: Sequence[str]) -> tuple[dict[str, Contact], list[str]]:
        """Return the contacts that an answer shows, and the values that it leaves open."""
        answer = self._read(key, asked, with_history)
        found: dict[str, Contact] = {}
        for contact in answer.contacts:
            found |= dict.fromkeys(self._key_values(key, contact), contact)
        missing = {one for error in answer.errors if error.category == MISSING for one in error.ids}
        return found, [one for one in asked if one not in found and one not in missing]

    def _read(self, key: Key, asked: list[str], with_history: Sequence[str]) -> BatchAnswer:
        """Read a batch; one that is refused as a whole is halved, down to the value that cannot be asked for."""
        id_property = {"record_id": None, "customer_id": self._customer_property, "email": "email"}[key]
        try:
            return self._client.read_contacts(asked, self._shown, id_property, with_history)
        except RefusedError as refusal:
            if len(asked) == 1:
                return _nobodys(asked[0], refusal)
        middle = len(asked) // 2
        one, other = (self._read(key, part, with_history) for part in (asked[:middle], asked[middle:]))
        return BatchAnswer(one.contacts + other.contacts, one.errors + other.errors)

    def _key_values(self, key: Key, contact: Contact) -> list[str]:
        """Return the values by which a contact answers; by record id also those of records merged into it."""
        if key == "record_id":
            return [*_split(contact.properties.get("hs_merged_object_ids")), contact.id]
        if key == "customer_id":
            value = contact.properties.get(self._customer_property)
            return [value] if value else []
        return [one.lower() for name in _ADDRESSES for one in _split(contact.properties.get(name))]

    def _record(self, contact: Contact) -> Record:
        fields = {name: _value(name, contact.properties.get(name)) for name in FIELDS}
        return Record(contact.id, contact.properties.get(self._customer_property) or None, fields)

    def _send(self, operation: Operation, writes: list[Write]) -> list[Receipt]:
        """Send one batch; of one that is refused as a whole, find the rows to blame, so that the others land.

        A field that is refused would be refused in every row. Rows that were refused before are not worth more errors
        than HubSpot puts up with.
        """
        try:
            answer = self._client.write_contacts(operation, [self._input(operation, one) for one in writes])
        except UnreachableError as error:
            return [unknown(one, str(error)) for one in writes]
        except RefusedError as refusal:
            is_known = all(one.refused_before for one in writes) and self._gets_too_many_errors()
            if len(writes) == 1 or error_class(refusal.error) == "config":
                return [failed(one, refusal.error, writes) for one in writes]
            return _not_alone(writes, refusal) if is_known else self._divide(operation, writes)
        return receipts(operation, self._customer_property, writes, answer)

    def _divide(self, operation: Operation, writes: list[Write]) -> list[Receipt]:
        """Send a refused batch in two parts. If the first one lands, the other would be refused, and is divided too."""
        first = max(1, round(len(writes) * _FIRST_PART))
        landed, rest = self._send(operation, writes[:first]), writes[first:]
        is_to_blame = len(rest) > 1 and all(one.outcome == "accepted" for one in landed)
        return landed + (self._divide(operation, rest) if is_to_blame else self._send(operation, rest))

    def _gets_too_many_errors(self) -> bool:
        return self.errors > max(_FEW_ERRORS, _MAX_ERROR_SHARE * self.requests)

    def _input(self, operation: Operation, write: Write) -> dict[str, Any]:
        properties = {name: _text(value) for name, value in write.fields.items()}
        if write.customer_id is not None:
            properties[self._customer_property] = write.customer_id
        if operation == "update":
            return {"id": write.record_id, "objectWriteTraceId": write.trace_id, "properties": properties}
        if write.email is not None:
            properties["email"] = write.email
        if operation == "create":
            return {"objectWriteTraceId": write.trace_id, "associations": [], "properties": properties}
        return {
            "idProperty": self._customer_property,
            "id": write.customer_id,
            "objectWriteTraceId": write.trace_id,
            "properties": properties,
        }


def _operation(write: Write) -> Operation:
    if write.record_id is not None:
        return "update"
    return "create" if write.customer_id is None else "upsert"


def _not_alone(writes: Sequence[Write], refusal: RefusedError) -> list[Receipt]:
    """Return that writes were refused together; the reason may be that of one of them."""
    receipts = [failed(one, refusal.error, writes) for one in writes]
    return [replace(one, message=f"{_NOT_ALONE} {one.message}") for one in receipts]


def _nobodys(value: str, refusal: RefusedError) -> BatchAnswer:
    """Return the answer to a value that HubSpot does not look for, and that so no contact has; others are raised."""
    if refusal.error.category != MISSING and "INVALID_EMAIL" not in refusal.error.codes:
        raise refusal
    return BatchAnswer([], [replace(refusal.error, category=MISSING, ids=frozenset({value}))])


@contextmanager
def _unless_it_exists() -> Iterator[None]:
    try:
        yield
    except RefusedError as refusal:
        if refusal.error.status != EXISTS:
            raise


def _definitions(customer_property: str) -> list[dict[str, Any]]:
    return [
        _enumeration("wallet_status", "walletStatus", ("none", "apple", "google", "both")),
        _definition("apple_wallet_installed_at", "appleWalletInstalledAt", "datetime", "date"),
        _definition("google_wallet_installed_at", "googleWalletInstalledAt", "datetime", "date"),
        _definition("wallet_last_changed_at", "walletLastChangedAt", "datetime", "date"),
        _enumeration("wallet_last_event", "walletLastEvent", ("installed", "uninstalled")),
        _definition(customer_property, "Customer ID", "string", "text") | {"hasUniqueValue": True},
    ]


def _definition(name: str, label: str, kind: str, field_type: str) -> dict[str, Any]:
    named = {"name": name, "label": label, "groupName": _GROUP["name"]}
    return named | {"type": kind, "fieldType": field_type, "formField": False}


def _enumeration(name: str, label: str, values: Sequence[str]) -> dict[str, Any]:
    options = [
        {"label": value.title(), "value": value, "displayOrder": place, "hidden": False}
        for place, value in enumerate(values)
    ]
    return _definition(name, label, "enumeration", "select") | {"options": options}


def _problems(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    name, problems = wanted["name"], []
    if found.get("type") != wanted["type"]:
        problems.append(f"{name} has type {found.get('type')} instead of {wanted['type']}")
    known = {option.get("value") for option in found.get("options") or []}
    lacking = [option["value"] for option in wanted.get("options", []) if option["value"] not in known]
    if lacking and not problems:
        problems.append(f"{name} lacks the option {', '.join(lacking)} (add it in HubSpot)")
    if wanted.get("hasUniqueValue") and not found.get("hasUniqueValue"):
        problems.append(f"{name} does not demand unique values")
    return problems


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(";") if part.strip()]


def _value(name: str, text: str | None) -> Value:
    if not text:
        return None
    return _moment(name, text) if name in TIME_FIELDS else text


def _versions(field: str, history: Iterable[PropertyVersion]) -> list[Version]:
    """Return a property's history, newest first; what was no time in a field of times, or has no time, is left out."""
    versions = []
    for one in history:
        with suppress(ValueError, OverflowError):
            value = _time(one.value) if one.value and field in TIME_FIELDS else one.value or None
            versions.append(Version(value, _time(one.timestamp), in_words(one), one.source_type))
    return sorted(versions, key=lambda version: version.at, reverse=True)


def _moment(name: str, text: str) -> datetime:
    try:
        return _time(text)
    except (ValueError, OverflowError) as error:
        raise UnexpectedAnswerError(
            f"HubSpot gave a value of {name} that is no time. Check the property's type in HubSpot: datetime."
        ) from error


def _time(text: str) -> datetime:
    """Return a time that HubSpot gives as ISO text, with or without milliseconds, or as epoch milliseconds."""
    if text.lstrip("-").isdigit():
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(text))
    return datetime.fromisoformat(text).astimezone(UTC)


def _text(value: Value) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"
    return value or ""
