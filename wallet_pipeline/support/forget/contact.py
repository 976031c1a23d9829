"""The person's contact in the CRM: only its five wallet fields, and only when that was asked for."""

from dataclasses import dataclass

from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.sync.destination import FIELDS, Destination, Record, Write

NOTHING_REMOVED = (
    "Nothing was removed. Look at the contact, then run `wallet-pipeline forget` again, with --crm or without."
)


class ContactError(ExplainedError):
    """The contact's wallet fields could not be cleared; the message says why. Nothing was removed anywhere."""


@dataclass(frozen=True)
class Contact:
    """The contact that the person is linked to, the customer id that it should carry, and who else is linked to it."""

    record_id: str
    customer_id: str | None
    others: int


def clear_contact(destination: Destination, contact: Contact) -> str:
    """Clear the wallet fields of a contact, read it back, and return what was done. Raises ContactError, ServiceError.

    A contact that is somebody else's too, or is gone, is left alone.
    """
    if contact.others:
        return "left alone: another customer is linked to the same contact"
    record = _read(destination, contact)
    if record is None:
        return f"the linked contact is not in {destination.name} any more"
    if record.record_id != contact.record_id:
        raise ContactError(
            f"{destination.name} has merged the linked contact into another one since the last run, which may be"
            " somebody else's, too. Nothing was removed. Call `wallet-pipeline run`, which finds out, and then"
            " `wallet-pipeline forget` again; or call it without --crm."
        )
    if None not in (record.customer_id, contact.customer_id) and record.customer_id != contact.customer_id:
        return "left alone: the linked contact carries another customer id"
    held = [name for name in FIELDS if record.fields.get(name) is not None]
    if not held:
        return "the contact held no wallet field"
    (receipt,) = destination.write([Write("forget", record.record_id, None, None, dict.fromkeys(FIELDS))])
    after = _read(destination, contact)
    if after is None or any(after.fields.get(name) is not None for name in FIELDS):
        said = f": {receipt.message}" if receipt.message else ", read back, it still holds some"
        raise ContactError(f"{destination.name} did not clear the contact's wallet fields{said}. {NOTHING_REMOVED}")
    return f"{len(held)} wallet fields of the contact cleared, and read back"


def _read(destination: Destination, contact: Contact) -> Record | None:
    return destination.read("record_id", [contact.record_id]).get(contact.record_id)
