"""Operations on one contact, the list of all contacts, and merges."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from wallet_pipeline.sandbox.hubspot_contacts import Contact
from wallet_pipeline.sandbox.hubspot_errors import invalid, not_found
from wallet_pipeline.sandbox.hubspot_gate import Bodies, Call, Reply
from wallet_pipeline.sandbox.hubspot_records import Records
from wallet_pipeline.sandbox.hubspot_settings import Settings
from wallet_pipeline.sandbox.hubspot_store import Store

MAX_PAGE = 100
MAX_PAGE_WITH_HISTORY = 50
_DEFAULT_PAGE = 10


class _Change(BaseModel):
    model_config = ConfigDict(strict=True)
    properties: dict[str, str]


class _New(_Change):
    associations: list[Any] = []


class _Merge(BaseModel):
    model_config = ConfigDict(strict=True)
    primary: str = Field(alias="primaryObjectId")
    secondary: str = Field(alias="objectIdToMerge")


_CHANGE = Bodies(_Change)
_NEW = Bodies(_New, ("associations",))
_MERGE = Bodies(_Merge)


class Singles:
    """Handlers of /contacts, /contacts/{id} and /contacts/merge."""

    def __init__(self, store: Store, settings: Settings, records: Records) -> None:
        self._store = store
        self._settings = settings
        self._records = records

    def get(self, call: Call) -> Reply:
        """Answer GET /{id}; a merged-away id shows the record that it was merged into."""
        contact = self._find(call)
        return Reply(
            200, self._records.show(contact, _names(call, "properties"), _names(call, "propertiesWithHistory"))
        )

    def change(self, call: Call) -> Reply:
        """Answer PATCH /{id}."""
        values = _CHANGE.read(call, self._settings).properties
        self._records.check_refusal(call.path["id"], values)
        contact = self._find(call)
        by_id = call.query.get("idProperty") in (None, "hs_object_id")
        if by_id and contact.id != call.path["id"] and self._settings.merged_update == "dropped":
            return Reply(200, self._records.show(contact, values))
        with self._store.transaction():
            contact = self._records.update(contact, values, call.source)
            self._store.contacts.note_api_write(contact, "update", values)
        return Reply(200, self._records.show(contact, values))

    def create(self, call: Call) -> Reply:
        """Answer POST /."""
        values = _NEW.read(call, self._settings).properties
        with self._store.transaction():
            contact = self._records.create(values, call.source)
            self._store.contacts.note_api_write(contact, "create", values)
        return Reply(201, self._records.show(contact, values))

    def archive(self, call: Call) -> Reply:
        """Answer DELETE /{id}; an id that does not exist is passed over."""
        if contact := self._store.contacts.find(call.path["id"]):
            with self._store.transaction():
                self._store.contacts.archive(contact)
                self._store.contacts.note_api_write(contact, "archive", [])
        return Reply(204)

    def list(self, call: Call) -> Reply:
        """Answer GET /: a page of contacts in the order of their ids."""
        names, with_history = _names(call, "properties"), _names(call, "propertiesWithHistory")
        limit = _limit(call, MAX_PAGE_WITH_HISTORY if with_history else MAX_PAGE)
        contacts = self._store.contacts.page(_after(call), limit + 1, archived=call.archived)
        body: dict[str, Any] = {"results": [self._records.show(one, names, with_history) for one in contacts[:limit]]}
        if len(contacts) > limit:
            after = contacts[limit - 1].id
            body["paging"] = {"next": {"after": after, "link": f"?after={after}"}}
        return Reply(200, body)

    def merge(self, call: Call) -> Reply:
        """Answer POST /merge."""
        ids = _MERGE.read(call, self._settings)
        merged = merge(self._store, self._settings, ids.primary, ids.secondary)
        return Reply(200, self._records.show(merged))

    def _find(self, call: Call) -> Contact:
        key = call.query.get("idProperty", "hs_object_id")
        if key not in ("email", "hs_object_id", *self._store.definitions.unique_names):
            raise invalid(f"Unable to perform read by non-unique 0-1 property {key}")
        contact = self._store.contacts.find_by(key, call.path["id"], archived=call.archived)
        if contact is None:
            raise not_found()
        return contact


def merge(store: Store, settings: Settings, primary_id: str, secondary_id: str) -> Contact:
    """Merge two contacts in the style that the settings ask for, or raise a 400 or 404."""
    primary, secondary = store.contacts.find(primary_id), store.contacts.find(secondary_id)
    if primary is None or secondary is None:
        raise not_found()
    if primary.id == secondary.id:
        raise invalid("A contact cannot be merged with itself")
    with store.transaction():
        new_id = settings.merge_style == "new_id"
        return store.contacts.merge(primary, secondary, new_id=new_id, fill=settings.merge_fill)


def _names(call: Call, parameter: str) -> list[str]:
    return [name for name in call.query.get(parameter, "").split(",") if name]


def _limit(call: Call, most: int) -> int:
    text = call.query.get("limit", str(_DEFAULT_PAGE))
    if not (text.isdecimal() and 1 <= int(text) <= most):
        raise invalid(f"limit must be from 1 to {most}")
    return int(text)


def _after(call: Call) -> int:
    text = call.query.get("after", "0")
    if not text.isdecimal():
        raise invalid("after is no cursor of this list")
    return int(text)
