"""Property definitions and groups of the contact object: the built-in ones, the checks, the tables that hold them."""

import json
import re
import sqlite3
import time
from collections.abc import Iterable, Mapping
from typing import Any

from wallet_pipeline.sandbox.hubspot_errors import ApiError, invalid, not_found
from wallet_pipeline.sandbox.hubspot_values import iso

DEFAULT_GROUP = "contactinformation"
MAX_UNIQUE = 10

SCHEMA = """
CREATE TABLE properties (name TEXT PRIMARY KEY, definition TEXT NOT NULL, archived INTEGER NOT NULL DEFAULT 0);
CREATE TABLE property_groups (name TEXT PRIMARY KEY, definition TEXT NOT NULL);
"""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}", re.ASCII)
_FIELD_TYPES = {
    "bool": {"booleancheckbox", "calculation_equation"},
    "date": {"date"},
    "datetime": {"date"},
    "enumeration": {"booleancheckbox", "checkbox", "radio", "select", "calculation_equation"},
    "number": {"number", "calculation_equation"},
    "phone_number": {"phonenumber"},
    "string": {"file", "html", "phonenumber", "text", "textarea", "calculation_equation"},
}
_OPTION_MEMBERS = {"label": str, "value": str, "displayOrder": int, "hidden": bool}
_CHANGEABLE = {"label", "description", "groupName", "fieldType", "options", "displayOrder", "hidden", "formField"}


class Definitions:
    """The definitions in force, in memory and in the state file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.by_name: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, dict[str, Any]] = {}
        self.reload()

    def reload(self) -> None:
        """Read everything again, as after a transaction that was rolled back."""
        rows = self._connection.execute("SELECT name, definition FROM properties WHERE NOT archived ORDER BY rowid")
        self.by_name = {name: json.loads(definition) for name, definition in rows}
        rows = self._connection.execute("SELECT name, definition FROM property_groups ORDER BY rowid")
        self.groups = {name: json.loads(definition) for name, definition in rows}

    @property
    def unique_names(self) -> list[str]:
        """Names of the custom properties whose values identify a contact; e-mail is not among them."""
        return [name for name, definition in self.by_name.items() if definition["hasUniqueValue"]]

    def archived(self) -> list[dict[str, Any]]:
        """Return the deleted definitions."""
        rows = self._connection.execute("SELECT definition FROM properties WHERE archived ORDER BY rowid")
        return [{**json.loads(definition), "archived": True} for (definition,) in rows]

    def get(self, name: str) -> dict[str, Any]:
        """Return one definition or raise a 404."""
        if name not in self.by_name:
            raise not_found()
        return self.by_name[name]

    def create(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Add a custom property, or raise a 400 or 409."""
        self._check_new(given)
        definition = complete(given)
        self._connection.execute(
            "INSERT OR REPLACE INTO properties (name, definition) VALUES (?, ?)",
            (definition["name"], json.dumps(definition)),
        )
        self.by_name[definition["name"]] = definition
        return definition

    def change(self, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Alter a custom property; its name, type and uniqueness stay as they are."""
        old = self._custom(name)
        for fixed in ("type", "hasUniqueValue"):
            if changes.get(fixed, old[fixed]) != old[fixed]:
                raise invalid(f"{fixed} of property {name} cannot be changed")
        new = {**old, **{key: value for key, value in changes.items() if key in _CHANGEABLE}}
        self._check(new)
        new["updatedAt"] = _now()
        self._connection.execute("UPDATE properties SET definition = ? WHERE name = ?", (json.dumps(new), name))
        self.by_name[name] = new
        return new

    def archive(self, name: str) -> bool:
        """Delete a custom property; tell whether there was one of that name."""
        if name not in self.by_name:
            return False
        self._custom(name)
        self._connection.execute("UPDATE properties SET archived = 1 WHERE name = ?", (name,))
        del self.by_name[name]
        return True

    def create_group(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Add a group, or raise a 400 or 409."""
        if not (given.get("name") and given.get("label")):
            raise invalid("A property group needs name and label")
        if given["name"] in self.groups:
            raise ApiError(409, "OBJECT_ALREADY_EXISTS", f"A group named '{given['name']}' already exists.")
        return self._save_group({"displayOrder": -1, **_only(given, {"name", "label", "displayOrder"})})

    def change_group(self, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Alter label or place of a group."""
        return self._save_group({**self.get_group(name), **_only(changes, {"label", "displayOrder"})})

    def get_group(self, name: str) -> dict[str, Any]:
        """Return one group or raise a 404."""
        if name not in self.groups:
            raise not_found()
        return self.groups[name]

    def delete_group(self, name: str) -> None:
        """Delete a group that no property is in."""
        if any(definition["groupName"] == name for definition in self.by_name.values()):
            raise invalid(f"Group {name} still holds properties")
        self._connection.execute("DELETE FROM property_groups WHERE name = ?", (name,))
        self.groups.pop(name, None)

    def _save_group(self, given: Mapping[str, Any]) -> dict[str, Any]:
        group = {**given, "archived": False}
        self._connection.execute(
            "INSERT OR REPLACE INTO property_groups VALUES (?, ?)", (group["name"], json.dumps(group))
        )
        self.groups[group["name"]] = group
        return group

    def _custom(self, name: str) -> dict[str, Any]:
        definition = self.get(name)
        if definition["hubspotDefined"]:
            raise invalid(f"Property {name} is defined by HubSpot and cannot be changed")
        return definition

    def _check_new(self, given: Mapping[str, Any]) -> None:
        missing = [key for key in ("name", "label", "type", "fieldType", "groupName") if not given.get(key)]
        if missing:
            raise invalid(f"Some required fields were not set: {missing}")
        if not _NAME.fullmatch(str(given["name"])):
            raise invalid(f"Property name {given['name']} must be lower case letters, digits and underscores")
        if given["name"] in self.by_name:
            raise ApiError(409, "OBJECT_ALREADY_EXISTS", f"A property named '{given['name']}' already exists.")
        if given.get("hasUniqueValue") and len(self.unique_names) >= MAX_UNIQUE:
            raise invalid(f"An object can have at most {MAX_UNIQUE} properties with unique values")
        self._check(given)

    def _check(self, given: Mapping[str, Any]) -> None:
        if given["fieldType"] not in _FIELD_TYPES.get(given["type"], set()):
            raise invalid(f"fieldType {given['fieldType']} does not go with type {given['type']}")
        if given["groupName"] not in self.groups:
            raise invalid(f"Property group {given['groupName']} does not exist")
        for option in given.get("options", []):
            _check_option(option)


def complete(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition with all members that the service adds."""
    now = _now()
    return {
        "updatedAt": now,
        "createdAt": now,
        "description": "",
        "options": [],
        "displayOrder": -1,
        "calculated": False,
        "externalOptions": False,
        "archived": False,
        "hasUniqueValue": False,
        "hidden": False,
        "hubspotDefined": False,
        "modificationMetadata": {"archivable": True, "readOnlyDefinition": False, "readOnlyValue": False},
        "formField": False,
        "dataSensitivity": "non_sensitive",
        **given,
    }


def at_start() -> list[dict[str, Any]]:
    """Return the definitions of a new account: the built-in ones and the customer's key."""
    key = _text("customer_id", "Customer ID") | {"hasUniqueValue": True}
    return [complete(given) for given in (*_built_in(), key)]


def insert_at_start(connection: sqlite3.Connection, definitions: Iterable[Mapping[str, Any]]) -> None:
    """Fill the tables of a new state file."""
    connection.executemany(
        "INSERT INTO properties (name, definition) VALUES (?, ?)",
        [(definition["name"], json.dumps(definition)) for definition in definitions],
    )
    group = {"name": DEFAULT_GROUP, "label": "Contact information", "displayOrder": 0, "archived": False}
    connection.execute("INSERT INTO property_groups VALUES (?, ?)", (DEFAULT_GROUP, json.dumps(group)))


def _built_in() -> Iterable[dict[str, Any]]:
    for name, label in (
        ("email", "Email"),
        ("firstname", "First Name"),
        ("lastname", "Last Name"),
        ("phone", "Phone Number"),
        ("city", "City"),
        ("hs_additional_emails", "Additional email addresses"),
    ):
        yield _text(name, label) | _hubspot_defined(read_only=False)
    for name, label in (("hs_object_id", "Record ID"), ("hs_merged_object_ids", "Merged record IDs")):
        yield _text(name, label) | _hubspot_defined(read_only=True)
    for name, label in (("createdate", "Create Date"), ("lastmodifieddate", "Last Modified Date")):
        yield _text(name, label) | {"type": "datetime", "fieldType": "date"} | _hubspot_defined(read_only=True)


def _text(name: str, label: str) -> dict[str, Any]:
    return {"name": name, "label": label, "type": "string", "fieldType": "text", "groupName": DEFAULT_GROUP}


def _hubspot_defined(*, read_only: bool) -> dict[str, Any]:
    metadata = {"archivable": False, "readOnlyDefinition": True, "readOnlyValue": read_only}
    return {"hubspotDefined": True, "modificationMetadata": metadata}


def _check_option(option: Any) -> None:
    for member, kind in _OPTION_MEMBERS.items():
        if not isinstance(option, dict) or not isinstance(option.get(member), kind):
            raise invalid(f"Each option needs {', '.join(_OPTION_MEMBERS)}; {member} is missing or of another type")


def _only(given: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key in keys}


def _now() -> str:
    return iso(time.time_ns() // 1_000_000)
