"""Contacts in the state file: rows, unique keys, merged-away ids, and who changed what.

Values are kept as a JSON object a contact, without the empty ones. Each change is one row of `changes`, so a property's
history is read from there. `keys` holds every value that can identify a contact, secondary e-mail addresses too.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wallet_pipeline.sandbox.hubspot_definitions import Definitions
from wallet_pipeline.sandbox.hubspot_values import iso

SCHEMA = """
CREATE TABLE contacts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
    archived_ms INTEGER, properties TEXT NOT NULL);
CREATE TABLE keys (name TEXT, value TEXT, contact_id INTEGER NOT NULL, PRIMARY KEY (name, value)) WITHOUT ROWID;
CREATE TABLE aliases (old_id INTEGER PRIMARY KEY, contact_id INTEGER NOT NULL);
CREATE TABLE changes (
    id INTEGER PRIMARY KEY, contact_id INTEGER NOT NULL, at_ms INTEGER NOT NULL, source_type TEXT NOT NULL,
    source_id TEXT, source_label TEXT, user_id INTEGER, properties TEXT NOT NULL);
CREATE TABLE api_writes (
    id INTEGER PRIMARY KEY, contact_id INTEGER NOT NULL, at_ms INTEGER NOT NULL, operation TEXT NOT NULL,
    names TEXT NOT NULL);
"""
INDEXES = """
CREATE INDEX aliases_by_contact ON aliases (contact_id);
CREATE INDEX changes_by_contact ON changes (contact_id);
CREATE INDEX api_writes_by_time ON api_writes (at_ms);
"""

_SELECT = "SELECT id, properties, created_ms, updated_ms, archived_ms FROM contacts"
_MAX_ID_DIGITS = 18

Key = tuple[str, str]


@dataclass(frozen=True)
class Source:
    """Who makes a change, as the property history names it."""

    type: str
    id: str | None = None
    label: str | None = None
    user_id: int | None = None


@dataclass
class Contact:
    """One contact; `values` holds the properties that have a value, as they are kept."""

    id: str
    values: dict[str, str]
    created_ms: int
    updated_ms: int
    archived_ms: int | None = None


@dataclass(frozen=True)
class Version:
    """One value that a property had, and who gave it."""

    value: str
    at_ms: int
    source: Source


class Contacts:
    """Reads and changes contacts; the caller has opened the transaction."""

    def __init__(self, connection: sqlite3.Connection, definitions: Definitions) -> None:
        self._connection = connection
        self._definitions = definitions

    def find(self, contact_id: str, *, archived: bool = False) -> Contact | None:
        """Return the contact with this id, or the one that it was merged into."""
        if not _is_id(contact_id):
            return None
        row = self._connection.execute(
            f"{_SELECT} WHERE id = coalesce((SELECT contact_id FROM aliases WHERE old_id = ?1), ?1)", (int(contact_id),)
        ).fetchone()
        contact = _contact(row) if row else None
        return contact if contact and (contact.archived_ms is not None) == archived else None

    def find_by(self, name: str, value: str, *, archived: bool = False) -> Contact | None:
        """Return the contact that is identified by this value, for e-mail in any letter case."""
        if name == "hs_object_id":
            return self.find(value, archived=archived)
        key = (name, value.lower() if name == "email" else value)
        row = self._connection.execute("SELECT contact_id FROM keys WHERE name = ? AND value = ?", key).fetchone()
        return self.find(str(row[0]), archived=archived) if row else None

    def page(self, after: int, limit: int, *, archived: bool = False) -> list[Contact]:
        """Return up to `limit` contacts in the order of their ids, the first one beyond `after`."""
        state = "archived_ms IS NOT NULL" if archived else "archived_ms IS NULL"
        rows = self._connection.execute(f"{_SELECT} WHERE id > ? AND {state} ORDER BY id LIMIT ?", (after, limit))
        return [_contact(row) for row in rows]

    def create(self, values: Mapping[str, str], source: Source) -> Contact:
        """Add a contact; its keys must be free."""
        now = _now_ms()
        kept = {name: value for name, value in values.items() if value}
        row = self._connection.execute(
            "INSERT INTO contacts (created_ms, updated_ms, properties) VALUES (?, ?, ?) RETURNING id",
            (now, now, _dump(kept)),
        ).fetchone()
        contact = Contact(str(row[0]), kept, now, now)
        self._add_keys(contact.id, keys_of(kept, self._definitions.unique_names))
        self._note_change(contact, kept, source)
        return contact

    def update(self, contact: Contact, values: Mapping[str, str], source: Source, *, note_equal: bool) -> Contact:
        """Set the given values, "" clears. Equal values leave no trace unless `note_equal` says so."""
        noted = {name: value for name, value in values.items() if note_equal or contact.values.get(name, "") != value}
        if not noted:
            return contact
        merged = {name: value for name, value in {**contact.values, **values}.items() if value}
        changed = Contact(contact.id, merged, contact.created_ms, _now_ms())
        self._move_keys(contact, changed)
        self._connection.execute(
            "UPDATE contacts SET properties = ?, updated_ms = ? WHERE id = ?",
            (_dump(merged), changed.updated_ms, int(contact.id)),
        )
        self._note_change(changed, noted, source)
        return changed

    def archive(self, contact: Contact) -> None:
        """Archive a contact; its keys become free."""
        self._drop_keys(contact)
        self._connection.execute("UPDATE contacts SET archived_ms = ? WHERE id = ?", (_now_ms(), int(contact.id)))

    def merge(self, primary: Contact, secondary: Contact, *, new_id: bool, fill: bool) -> Contact:
        """Make one contact of two and return it; the ids that are gone lead to it."""
        gone = [primary, secondary] if new_id else [secondary]
        values = _merged_values(primary, secondary, gone, fill=fill)
        for contact in (primary, secondary):
            self._drop_keys(contact)
        self._connection.executemany("DELETE FROM contacts WHERE id = ?", [(int(contact.id),) for contact in gone])
        merged = self._put_merged(primary, secondary, values, new_id=new_id)
        self._lead_to(merged, gone)
        self._add_keys(merged.id, keys_of(values, self._definitions.unique_names))
        self._note_change(merged, values, Source("MERGE_OBJECTS"))
        return merged

    def owner(self, key: Key) -> str | None:
        """Return the id of the contact that has this key."""
        row = self._connection.execute("SELECT contact_id FROM keys WHERE name = ? AND value = ?", key).fetchone()
        return str(row[0]) if row else None

    def history(self, contact: Contact, names: Iterable[str]) -> dict[str, list[Version]]:
        """Return all values that these properties had, newest first, merged-away records' values included."""
        rows = self._connection.execute(
            "SELECT properties, at_ms, source_type, source_id, source_label, user_id FROM changes WHERE contact_id = ?1"
            " OR contact_id IN (SELECT old_id FROM aliases WHERE contact_id = ?1) ORDER BY at_ms DESC, id DESC",
            (int(contact.id),),
        )
        found: dict[str, list[Version]] = {name: [] for name in names}
        for properties, at_ms, *source in rows:
            values = json.loads(properties)
            for name in found.keys() & values.keys():
                found[name].append(Version(values[name], at_ms, Source(*source)))
        return found

    def clear_property(self, name: str) -> None:
        """Take a deleted property off all contacts."""
        self._connection.execute("DELETE FROM keys WHERE name = ?", (name,))
        self._connection.execute(
            "UPDATE contacts SET properties = json_remove(properties, ?1) WHERE json_type(properties, ?1) IS NOT NULL",
            (f'$."{name}"',),
        )

    def pick(self, count: int, values: Mapping[str, str], where_set: str) -> list[Contact]:
        """Return contacts whose `where_set` has a value and that differ from `values`, spread over all contacts."""
        rows = self._connection.execute(
            f"{_SELECT} WHERE archived_ms IS NULL AND json_type(properties, ?) IS NOT NULL"
            " ORDER BY id % 1000003 * 7919 % 1000003, id",
            (f'$."{where_set}"',),
        )
        picked: list[Contact] = []
        for contact in map(_contact, rows):
            if len(picked) == count:
                break
            if any(contact.values.get(name, "") != value for name, value in values.items()):
                picked.append(contact)
        return picked

    def note_api_write(self, contact: Contact, operation: str, names: Iterable[str]) -> None:
        """Remember that the API accepted a write, whether or not it changed a value."""
        self._connection.execute(
            "INSERT INTO api_writes (contact_id, at_ms, operation, names) VALUES (?, ?, ?, ?)",
            (int(contact.id), _now_ms(), operation, json.dumps(sorted(names))),
        )

    def api_writes(self, since_ms: int) -> list[dict[str, Any]]:
        """Return the writes through the API from a time on, oldest first."""
        rows = self._connection.execute(
            "SELECT contact_id, at_ms, operation, names FROM api_writes WHERE at_ms >= ? ORDER BY id", (since_ms,)
        )
        return [
            {"id": str(contact_id), "at": iso(at_ms), "operation": operation, "properties": json.loads(names)}
            for contact_id, at_ms, operation, names in rows
        ]

    def _put_merged(self, primary: Contact, secondary: Contact, values: dict[str, str], *, new_id: bool) -> Contact:
        now, created = _now_ms(), min(primary.created_ms, secondary.created_ms)
        row = self._connection.execute(
            "INSERT OR REPLACE INTO contacts (id, created_ms, updated_ms, properties) VALUES (?, ?, ?, ?) RETURNING id",
            (None if new_id else int(primary.id), created, now, _dump(values)),
        ).fetchone()
        return Contact(str(row[0]), values, created, now)

    def _lead_to(self, merged: Contact, gone: Iterable[Contact]) -> None:
        for contact in gone:
            pair = (int(merged.id), int(contact.id))
            self._connection.execute("UPDATE aliases SET contact_id = ? WHERE contact_id = ?", pair)
            self._connection.execute("INSERT INTO aliases (contact_id, old_id) VALUES (?, ?)", pair)

    def _note_change(self, contact: Contact, values: Mapping[str, str], source: Source) -> None:
        self._connection.execute(
            "INSERT INTO changes (contact_id, at_ms, source_type, source_id, source_label, user_id, properties)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                int(contact.id),
                contact.updated_ms,
                source.type,
                source.id,
                source.label,
                source.user_id,
                _dump(values),
            ),
        )

    def _move_keys(self, old: Contact, new: Contact) -> None:
        unique = self._definitions.unique_names
        before, after = keys_of(old.values, unique), keys_of(new.values, unique)
        self._connection.executemany("DELETE FROM keys WHERE name = ? AND value = ?", before - after)
        self._add_keys(new.id, after - before)

    def _drop_keys(self, contact: Contact) -> None:
        keys = keys_of(contact.values, self._definitions.unique_names)
        self._connection.executemany("DELETE FROM keys WHERE name = ? AND value = ?", keys)

    def _add_keys(self, contact_id: str, keys: Iterable[Key]) -> None:
        self._connection.executemany("INSERT INTO keys VALUES (?, ?, ?)", [(*key, int(contact_id)) for key in keys])


def keys_of(values: Mapping[str, str], unique_names: Iterable[str]) -> set[Key]:
    """Return what identifies a contact: its e-mail addresses and the values of unique properties."""
    addresses = [values.get("email", ""), *values.get("hs_additional_emails", "").split(";")]
    keys = {("email", address) for address in addresses if address}
    return keys | {(name, values[name]) for name in unique_names if values.get(name)}


def rows_to_load(contacts: Iterable[Mapping[str, str]], now_ms: int) -> Iterator[tuple[int, int, str]]:
    """Yield a row of the table `contacts` for each contact of a new account, e-mail in lower case."""
    for contact in contacts:
        values = {name: value.lower() if "email" in name else value for name, value in contact.items() if value}
        yield now_ms, now_ms, _dump(values)


def _merged_values(primary: Contact, secondary: Contact, gone: list[Contact], *, fill: bool) -> dict[str, str]:
    values = {**secondary.values, **primary.values} if fill else dict(primary.values)
    addresses = [
        address
        for contact in (primary, secondary)
        for address in [contact.values.get("email", ""), *contact.values.get("hs_additional_emails", "").split(";")]
        if address and address != values.get("email")
    ]
    merged_ids = [
        one
        for contact in (primary, secondary)
        for one in [*contact.values.get("hs_merged_object_ids", "").split(";"), contact.id if contact in gone else ""]
        if one
    ]
    values |= {"hs_additional_emails": ";".join(addresses), "hs_merged_object_ids": ";".join(merged_ids)}
    return {name: value for name, value in values.items() if value}


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_ID_DIGITS and str(int(text)) == text


def _contact(row: tuple[int, str, int, int, int | None]) -> Contact:
    number, properties, created_ms, updated_ms, archived_ms = row
    return Contact(str(number), json.loads(properties), created_ms, updated_ms, archived_ms)


def _dump(values: Mapping[str, str]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
