"""What HubSpot said about each write: its answer joined with what was sent, and its errors by class."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence

from wallet_pipeline.clients.hubspot import COMPLETE, BatchAnswer, Contact, Operation, RowError
from wallet_pipeline.sync.destination import ErrorClass, Receipt, Write

log = logging.getLogger(__name__)

# What an answer calls an input by: "trace id" or "key", and its value.
Name = tuple[str, str]

EXISTS, MISSING = 409, "OBJECT_NOT_FOUND"
_TOO_MANY_IDENTITIES = 414
_CONFIG_CODES = {"PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE", "INVALID_OPTION"}
_CLASSES: dict[str, ErrorClass] = {
    "CONFLICT": "identity",
    MISSING: "identity",
    "MISSING_SCOPES": "config",
    "INVALID_AUTHENTICATION": "config",
    "EXPIRED_AUTHENTICATION": "config",
    "RATE_LIMITS": "quota",
    "VALIDATION_ERROR": "data",
}
_PASSING: tuple[ErrorClass, ...] = ("quota", "transient")
_LEFT_OUT = "HubSpot's answer does not mention it"


def receipts(
    operation: Operation, customer_property: str, writes: Sequence[Write], answer: BatchAnswer
) -> list[Receipt]:
    """Return a receipt a write, joined by trace id, record id or key: the order of an answer says nothing.

    A write that is neither among results nor errors stays unknown, and so does each in an answer that was not finished.
    """
    if answer.status != COMPLETE:
        return [unknown(one, f"HubSpot answered before it had finished ({answer.status})") for one in writes]
    sent = {name: one.trace_id for one in writes for name in _names_of_write(operation, one)}
    accepted = {
        sent[name]: one.id
        for one in answer.contacts
        for name in _names_of_contact(operation, customer_property, one)
        if name in sent
    }
    errors = {sent[name]: one for one in answer.errors for name in _names_of_error(one) if name in sent}
    stray = _stray(answer.errors, sent, writes)
    return [_receipt(one, writes, accepted.get(one.trace_id), errors.get(one.trace_id), stray) for one in writes]


def failed(write: Write, error: RowError, batch: Sequence[Write]) -> Receipt:
    """Return that a write was refused, without the keys of any customer of its batch; unknown if it may pass later."""
    message = _without_keys(error.message, batch)
    if error.owners and not any(owner in message for owner in error.owners):
        message += f" (record {', '.join(sorted(error.owners))})"
    kind = error_class(error)
    return Receipt(write.trace_id, "unknown" if kind in _PASSING else "failed", write.record_id, kind, message)


def unknown(write: Write, message: str) -> Receipt:
    """Return that a write may or may not have happened."""
    return Receipt(write.trace_id, "unknown", write.record_id, "transient", message)


def error_class(error: RowError) -> ErrorClass:
    """Return whose turn it is. What HubSpot calls by a new name may pass, unless it is a refusal by its status."""
    if "CONFLICTING_UNIQUE_VALUE" in error.codes or error.status in (EXISTS, _TOO_MANY_IDENTITIES):
        return "identity"
    if error.codes & _CONFIG_CODES:
        return "config"
    return _CLASSES.get(error.category, "data" if error.status or error.codes or not error.category else "transient")


def _stray(errors: Sequence[RowError], sent: Mapping[Name, str], writes: Sequence[Write]) -> RowError | None:
    """Return the first error that names no input that was sent."""
    strays = [one for one in errors if not any(name in sent for name in _names_of_error(one))]
    if strays:
        said = _without_keys(strays[0].message, writes)
        log.warning("HubSpot's answer holds %d errors for inputs that it does not name: %s", len(strays), said)
    return next(iter(strays), None)


def _receipt(
    write: Write, batch: Sequence[Write], record_id: str | None, error: RowError | None, stray: RowError | None
) -> Receipt:
    if error:
        return failed(write, error, batch)
    if record_id:
        return Receipt(write.trace_id, "accepted", record_id)
    if stray is None:
        return unknown(write, _LEFT_OUT)
    if len(batch) == 1:
        return failed(write, stray, batch)
    said = _without_keys(stray.message, batch)
    return unknown(write, f"{_LEFT_OUT}, but says of an input that it does not name: {said}")


def _names_of_write(operation: Operation, write: Write) -> Iterator[Name]:
    yield "trace id", write.trace_id
    key = {"update": write.record_id, "upsert": write.customer_id, "create": write.email}[operation]
    if key:
        yield "key", key.lower() if operation == "create" else key


def _names_of_contact(operation: Operation, customer_property: str, contact: Contact) -> Iterator[Name]:
    if contact.trace_id:
        yield "trace id", contact.trace_id
    properties = contact.properties
    key = {"update": contact.id, "upsert": properties.get(customer_property), "create": properties.get("email")}
    if value := key[operation]:
        yield "key", value.lower() if operation == "create" else value


def _names_of_error(error: RowError) -> Iterator[Name]:
    """Yield the trace ids that an error names, or else the keys: one error may be about many inputs."""
    yield from (("trace id", one) for one in error.trace_ids)
    if not error.trace_ids:
        yield from (("key", one) for one in error.ids)


def _without_keys(message: str, writes: Sequence[Write]) -> str:
    keys = sorted({key for one in writes for key in (one.customer_id, one.email) if key}, key=len, reverse=True)
    if not keys:
        return message
    return re.sub(rf"(?<!\w)(?:{'|'.join(map(re.escape, keys))})(?!\w)", "…", message, flags=re.IGNORECASE)
