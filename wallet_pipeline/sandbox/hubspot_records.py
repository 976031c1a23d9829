"""Writing and showing contacts by the CRM's rules; the API and the people in the CRM both go through here."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from wallet_pipeline.sandbox.hubspot_contacts import Contact, Source, Version, keys_of
from wallet_pipeline.sandbox.hubspot_errors import ApiError, conflict, invalid, invalid_values, problem
from wallet_pipeline.sandbox.hubspot_settings import Settings
from wallet_pipeline.sandbox.hubspot_store import Store
from wallet_pipeline.sandbox.hubspot_values import ValueRefusedError, iso, normalise, present

ALWAYS_SHOWN = ("createdate", "hs_object_id", "lastmodifieddate")
SHOWN_UNASKED = ("email", "firstname", "lastname")
# The vendor does not say what the answer for a rule of the account looks like.
_RULE = "PROPERTY_VALIDATION_RULE"
_ONE_OF = ("email", "firstname", "lastname")


class Records:
    """Contacts with their values checked on the way in and formatted on the way out."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def create(self, values: Mapping[str, str], source: Source) -> Contact:
        """Add a contact, or raise a 400 or 409."""
        checked = self.check(values)
        if not any(checked.get(name) for name in _ONE_OF):
            raise invalid(f"At least one of {', '.join(_ONE_OF)} is required to create a contact")
        self._check_keys(None, checked)
        return self._store.contacts.create(checked, source)

    def update(self, contact: Contact, values: Mapping[str, str], source: Source) -> Contact:
        """Set the given properties of a contact, or raise a 400 or 409."""
        checked = self.check(values)
        self._check_keys(contact, checked)
        return self._store.contacts.update(contact, checked, source, note_equal=self._settings.equal_write_history)

    def check_refusal(self, given_id: str, values: Iterable[str]) -> None:
        """Raise a 400 when the settings say that writes to this id break a rule of the account."""
        if given_id in self._settings.refuse_ids:
            raise invalid_values([problem(name, _RULE, f'The value of "{name}" breaks a rule') for name in values])

    def check(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return the values as they are kept, or raise one 400 that lists all that is wrong."""
        checked, problems = {}, []
        for name, value in values.items():
            try:
                checked[name] = self._check_value(name, value)
            except ValueRefusedError as error:
                problems.append(problem(name, error.code, str(error)))
        if problems:
            raise invalid_values(problems)
        return checked

    def show(self, contact: Contact, names: Iterable[str] = (), with_history: Iterable[str] = ()) -> dict[str, Any]:
        """Return a contact as an answer holds it; property names that do not exist are passed over."""
        asked = [name for name in (names or SHOWN_UNASKED) if name in self._store.definitions.by_name]
        shown: dict[str, Any] = {
            "id": contact.id,
            "properties": self._properties(contact, {*ALWAYS_SHOWN, *asked}),
            "createdAt": self._time(contact.created_ms),
            "updatedAt": self._time(contact.updated_ms),
            "archived": contact.archived_ms is not None,
        }
        if contact.archived_ms is not None:
            shown["archivedAt"] = self._time(contact.archived_ms)
        if with_history and self._settings.history != "absent":
            shown["propertiesWithHistory"] = self._history(contact, with_history)
        return shown

    def truth(self, contact: Contact) -> dict[str, Any]:
        """Return a contact with all values that it has, in one form whatever the settings say."""
        definitions = self._store.definitions.by_name
        values = {
            name: present(definitions[name], value, "iso")
            for name, value in contact.values.items()
            if name in definitions
        }
        return {
            "id": contact.id,
            "properties": values,
            "createdAt": iso(contact.created_ms),
            "updatedAt": iso(contact.updated_ms),
            "archived": contact.archived_ms is not None,
        }

    def _check_value(self, name: str, value: str) -> str:
        definition = self._store.definitions.by_name.get(name)
        if definition is None:
            raise ValueRefusedError("PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist')
        if definition["modificationMetadata"]["readOnlyValue"]:
            raise ValueRefusedError("READ_ONLY_VALUE", f'"{name}" is a read only property; its value cannot be set')
        rule = self._settings.validation_rules.get(name)
        if rule is not None and not re.fullmatch(rule, value):
            raise ValueRefusedError(_RULE, f'The value of "{name}" breaks a rule of this account')
        return normalise(definition, value) if value else ""

    def _check_keys(self, contact: Contact | None, changes: Mapping[str, str]) -> None:
        own_id = contact.id if contact else None
        for key in sorted(keys_of(changes, self._store.definitions.unique_names)):
            owner = self._store.contacts.owner(key)
            if owner not in (None, own_id):
                raise _clash(key, str(owner))

    def _properties(self, contact: Contact, names: Iterable[str]) -> dict[str, str | None]:
        style, definitions = self._settings.datetime_out, self._store.definitions.by_name
        values = contact.values | {
            "hs_object_id": contact.id,
            "createdate": str(contact.created_ms),
            "lastmodifieddate": str(contact.updated_ms),
        }
        shown = {
            name: present(definitions[name], values[name], style) if name in values else None for name in sorted(names)
        }
        if self._settings.null_values == "missing":
            return {name: value for name, value in shown.items() if value is not None}
        return shown

    def _history(self, contact: Contact, names: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
        known = [name for name in names if name in self._store.definitions.by_name]
        versions = self._store.contacts.history(contact, known)
        step = 1 if self._settings.history_order == "newest_first" else -1
        kept = {name: versions[name][: self._settings.history_depth] for name in known}
        return {name: [self._version(name, version) for version in kept[name][::step]] for name in known}

    def _version(self, name: str, version: Version) -> dict[str, Any]:
        source = version.source
        full = self._settings.history == "full"
        optional = {"sourceId": source.id, "sourceLabel": source.label, "updatedByUserId": source.user_id}
        definition = self._store.definitions.by_name[name]
        return {
            "value": present(definition, version.value, self._settings.datetime_out),
            "timestamp": self._time(version.at_ms),
            "sourceType": source.type,
            **{member: value for member, value in optional.items() if value is not None and full},
        }

    def _time(self, milliseconds: int) -> str:
        return iso(milliseconds, "no_ms" if self._settings.datetime_out == "no_ms" else "iso")


def _clash(key: tuple[str, str], owner: str) -> ApiError:
    name, value = key
    if name == "email":
        return conflict(owner)
    message = (
        f"Cannot set PropertyValueCoordinates{{propertyName={name}, value={value}}}. {owner} already has that value."
    )
    return invalid_values([problem(name, "CONFLICTING_UNIQUE_VALUE", message)])
