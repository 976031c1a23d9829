"""Changes from outside the API: people in the CRM, its workflows, imports, other apps."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wallet_pipeline.sandbox.hubspot_contacts import Contact, Source
from wallet_pipeline.sandbox.hubspot_records import Records
from wallet_pipeline.sandbox.hubspot_store import Store

_DEFAULT_USER = 77
# A workflow's edit names the enrolment of the contact, not the workflow.
_ENROLMENT = "enrollmentId:583071390870;actionExecutionIndex:3"


def source_of(given: Mapping[str, Any] | None) -> Source:
    """Return who makes an edit, from its JSON form: {"type", "userId", "id", "label"}, by default a person."""
    given = given or {}
    kind = given.get("type", "CRM_UI")
    user_id = given.get("userId", _DEFAULT_USER if kind == "CRM_UI" else None)
    default_ids = {"CRM_UI": f"userId:{user_id}", "AUTOMATION_PLATFORM": _ENROLMENT}
    return Source(kind, given.get("id", default_ids.get(kind)), given.get("label"), user_id)


@dataclass
class ForeignEdit:
    """An edit that waits for reads: of this contact, or of any that it would change. The first `skip` go by."""

    contact_id: str | None
    skip: int
    times: int
    values: Mapping[str, str]
    source: Source

    def target(self, contacts: Iterable[Contact], kept: Mapping[str, str]) -> Contact | None:
        """Return the contact that is to be edited before these are read, and count the read."""
        found = next((one for one in contacts if self.contact_id in (None, one.id) and _differs(one, kept)), None)
        if found and self.skip:
            self.skip -= 1
            return None
        self.times -= 1 if found else 0
        return found


class EditsBeforeRead:
    """Foreign edits that happen just before a batch read is answered."""

    def __init__(self, store: Store, records: Records) -> None:
        self._store = store
        self._records = records
        self._waiting: list[ForeignEdit] = []

    def add(self, edit: ForeignEdit) -> None:
        """Let the reads to come be preceded by this edit; wrong values raise a 400."""
        self._records.check(edit.values)
        self._waiting.append(edit)

    def precede(self, contacts: Collection[Contact]) -> bool:
        """Make the edits that are due before these contacts are shown; tell whether there was one."""
        due = [(one, one.target(contacts, self._records.check(one.values))) for one in self._waiting]
        self._waiting = [one for one in self._waiting if one.times > 0]
        for edit, target in due:
            if target:
                with self._store.transaction():
                    self._records.update(target, edit.values, edit.source)
        return any(target for _, target in due)


def _differs(contact: Contact, values: Mapping[str, str]) -> bool:
    return any(contact.values.get(name, "") != value for name, value in values.items())
