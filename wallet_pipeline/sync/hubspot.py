"""HubSpot behind the port: property names, text forms of values, merged records, errors by class."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from wallet_pipeline.clients.http import UnexpectedAnswerError, UnreachableError
from wallet_pipeline.clients.hubspot import BATCH, Contact, HubSpot, Operation, RefusedError, RowError
from wallet_pipeline.clients.pacing import Quota
from wallet_pipeline.settings import Settings
from wallet_pipeline.sync.destination import (
    FIELDS,
    TIME_FIELDS,
    Capabilities,
    Definitions,
    DefinitionsError,
    ErrorClass,
    Key,
    Receipt,
    Record,
    Value,
    Write,
)

_GROUP = {"name": "wallet", "label": "Wallet"}
_ADDRESSES = ("email", "hs_additional_emails")
_CONFIG_CODES = {"PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE", "INVALID_OPTION"}
_CLASSES: dict[str, ErrorClass] = {"CONFLICT": "identity", "OBJECT_NOT_FOUND": "identity", "RATE_LIMITS": "quota"}
_EXISTS = 409


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
        read_batch=BATCH, write_batch=BATCH, time_precision=timedelta(milliseconds=1), create_needs_email=True
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
        return self._client.quota

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
        if key == "record_id":
            return self._read_by_record_id(values)
        id_property = self._customer_property if key == "customer_id" else "email"
        answer = self._client.read_contacts(values, self._shown, id_property)
        found: dict[str, Record] = {}
        for contact in answer.contacts:
            found |= dict.fromkeys(self._key_values(key, contact), self._record(contact))
        asked = {value: value.lower() if key == "email" else value for value in values}
        return {value: found[form] for value, form in asked.items() if form in found}

    def write(self, writes: Sequence[Write]) -> list[Receipt]:
        """Update by record id; create by upsert on the customer property, or plainly where there is no customer id."""
        batches: dict[Operation, list[Write]] = {"update": [], "upsert": [], "create": []}
        for one in writes:
            batches[_operation(one)].append(one)
        return [receipt for operation, batch in batches.items() if batch for receipt in self._send(operation, batch)]

    def _read_by_record_id(self, ids: Sequence[str]) -> dict[str, Record]:
        """Return records by the ids asked for. An id that the answer does not settle is read alone."""
        answer = self._client.read_contacts(ids, self._shown)
        found: dict[str, Record] = {}
        for contact in answer.contacts:
            former = _split(contact.properties.get("hs_merged_object_ids"))
            found |= dict.fromkeys([*former, contact.id], self._record(contact))
        missing = {one for error in answer.errors for one in error.ids}
        for unsettled in [one for one in ids if one not in found and one not in missing]:
            if contact_found := self._client.read_contact(unsettled, self._shown):
                found[unsettled] = self._record(contact_found)
        return {one: found[one] for one in ids if one in found}

    def _key_values(self, key: Key, contact: Contact) -> list[str]:
        if key == "customer_id":
            value = contact.properties.get(self._customer_property)
            return [value] if value else []
        return [one.lower() for name in _ADDRESSES for one in _split(contact.properties.get(name))]

    def _record(self, contact: Contact) -> Record:
        fields = {name: _value(name, contact.properties.get(name)) for name in FIELDS}
        return Record(contact.id, contact.properties.get(self._customer_property) or None, fields)

    def _send(self, operation: Operation, writes: list[Write]) -> list[Receipt]:
        """Send one batch; one that is refused as a whole is halved until the rows to blame stand alone."""
        try:
            answer = self._client.write_contacts(operation, [self._input(operation, one) for one in writes])
        except RefusedError as refusal:
            if len(writes) == 1:
                return [_failed(writes[0], refusal.error)]
            middle = len(writes) // 2
            return self._send(operation, writes[:middle]) + self._send(operation, writes[middle:])
        except UnreachableError as error:
            return [Receipt(one.trace_id, "unknown", one.record_id, "transient", str(error)) for one in writes]
        by_trace = {one.trace_id: one.id for one in answer.contacts if one.trace_id}
        written = {one.id for one in answer.contacts}
        return [_receipt(one, by_trace, written, answer.errors) for one in writes]

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


def _receipt(write: Write, by_trace: Mapping[str, str], written: set[str], errors: Iterable[RowError]) -> Receipt:
    """Join by trace id or record id; a write that is neither among results nor errors stays unknown."""
    keys = {write.record_id, write.customer_id}
    for error in errors:
        if write.trace_id in error.trace_ids or (not error.trace_ids and keys & error.ids):
            return _failed(write, error)
    record_id = by_trace.get(write.trace_id) or (write.record_id if write.record_id in written else None)
    if record_id:
        return Receipt(write.trace_id, "accepted", record_id)
    return Receipt(write.trace_id, "unknown", write.record_id, "transient", "HubSpot's answer does not mention it")


def _failed(write: Write, error: RowError) -> Receipt:
    message = error.message
    for personal in (write.customer_id, write.email):
        message = message.replace(personal, "…") if personal else message
    return Receipt(write.trace_id, "failed", write.record_id, _error_class(error), message)


def _error_class(error: RowError) -> ErrorClass:
    if "CONFLICTING_UNIQUE_VALUE" in error.codes or error.status == _EXISTS:
        return "identity"
    if error.codes & _CONFIG_CODES:
        return "config"
    return _CLASSES.get(error.category, "data")


@contextmanager
def _unless_it_exists() -> Iterator[None]:
    try:
        yield
    except RefusedError as refusal:
        if refusal.error.status != _EXISTS:
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


def _moment(name: str, text: str) -> datetime:
    """Return a time that HubSpot gives as ISO text, with or without milliseconds, or as epoch milliseconds."""
    try:
        if text.lstrip("-").isdigit():
            return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(text))
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UnexpectedAnswerError(
            f"HubSpot gave a value of {name} that is no time. Check the property's type in HubSpot: datetime."
        ) from error


def _text(value: Value) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"
    return value or ""
