"""Control routes of the CRM stand-in: switches, edits by people, merges, and the truth for tests to compare with."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from wallet_pipeline.sandbox.hubspot_contacts import Contact
from wallet_pipeline.sandbox.hubspot_errors import invalid, not_found
from wallet_pipeline.sandbox.hubspot_gate import Bodies, Call, Reply, control
from wallet_pipeline.sandbox.hubspot_people import EditsBeforeRead, ForeignEdit, source_of
from wallet_pipeline.sandbox.hubspot_records import Records
from wallet_pipeline.sandbox.hubspot_settings import Settings
from wallet_pipeline.sandbox.hubspot_single import merge
from wallet_pipeline.sandbox.hubspot_store import Store
from wallet_pipeline.sandbox.hubspot_values import epoch_ms

_CHUNK = 1_000


class _Edit(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    properties: dict[str, str]
    source: dict[str, Any] | None = None


class _EditSome(_Edit):
    count: int = Field(ge=0)
    where_set: str = "email"


class _EditBeforeRead(_Edit):
    contact_id: str | None = None
    skip: int = Field(default=0, ge=0)
    times: int = Field(default=1, ge=1)


class _Merge(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    primary: str
    secondary: str


_EDIT = Bodies(_Edit)
_EDIT_SOME = Bodies(_EditSome)
_EDIT_BEFORE_READ = Bodies(_EditBeforeRead)
_MERGE = Bodies(_Merge)


class Controls:
    """Handlers of the paths below /sandbox/."""

    def __init__(self, store: Store, settings: Settings, records: Records, edits: EditsBeforeRead) -> None:
        self._store = store
        self._settings = settings
        self._records = records
        self._edits = edits

    def routes(self) -> list[Route]:
        """Return the routes; the more special paths come first."""
        return [
            Route("/sandbox/settings", control(self._show_settings), methods=["GET"]),
            Route("/sandbox/settings", control(self._change_settings), methods=["PATCH"]),
            Route("/sandbox/contacts", control(self._find), methods=["GET"]),
            Route("/sandbox/contacts", control(self._create), methods=["POST"]),
            Route("/sandbox/contacts/all", self._all, methods=["GET"]),
            Route("/sandbox/contacts/edit-some", control(self._edit_some), methods=["POST"]),
            Route("/sandbox/contacts/{id}/edit", control(self._edit), methods=["POST"]),
            Route("/sandbox/edit-before-read", control(self._edit_before_read), methods=["POST"]),
            Route("/sandbox/merge", control(self._merge), methods=["POST"]),
            Route("/sandbox/archive/{id}", control(self._archive), methods=["POST"]),
            Route("/sandbox/writes", control(self._writes), methods=["GET"]),
        ]

    def _show_settings(self, _: Call) -> Reply:
        return Reply(200, self._settings.model_dump())

    def _change_settings(self, call: Call) -> Reply:
        try:
            self._settings.change(call.json())
        except ValidationError as error:
            raise invalid(str(error)) from None
        return self._show_settings(call)

    def _find(self, call: Call) -> Reply:
        known = ("id", "email", *self._store.definitions.unique_names)
        if len(call.query) != 1 or not call.query.keys() <= set(known):
            raise invalid(f"Ask for one key of {known}")
        ((key, value),) = call.query.items()
        contact = self._store.contacts.find_by("hs_object_id" if key == "id" else key, value)
        return Reply(200, {"results": [self._records.truth(contact)] if contact else []})

    async def _all(self, _: Request) -> Response:
        return StreamingResponse(self._lines(), media_type="application/x-ndjson")

    def _lines(self) -> Iterator[str]:
        with self._store.snapshot() as contacts:
            after = 0
            while page := contacts.page(after, _CHUNK):
                yield "".join(f"{json.dumps(self._records.truth(one), ensure_ascii=False)}\n" for one in page)
                after = int(page[-1].id)

    def _create(self, call: Call) -> Reply:
        edit = _EDIT.read(call, self._settings)
        with self._store.transaction():
            return Reply(201, self._records.truth(self._records.create(edit.properties, source_of(edit.source))))

    def _edit(self, call: Call) -> Reply:
        edit = _EDIT.read(call, self._settings)
        contact = self._existing(call.path["id"])
        with self._store.transaction():
            contact = self._records.update(contact, edit.properties, source_of(edit.source))
        return Reply(200, self._records.truth(contact))

    def _edit_some(self, call: Call) -> Reply:
        edit = _EDIT_SOME.read(call, self._settings)
        values, source = self._records.check(edit.properties), source_of(edit.source)
        if edit.where_set not in self._store.definitions.by_name:
            raise invalid(f"There is no property {edit.where_set}")
        contacts = self._store.contacts.pick(edit.count, values, edit.where_set)
        with self._store.transaction():
            for contact in contacts:
                self._records.update(contact, edit.properties, source)
        return Reply(200, {"edited": [self._before(contact, values) for contact in contacts]})

    def _before(self, contact: Contact, names: Any) -> dict[str, Any]:
        had = self._records.truth(contact)["properties"]
        return {
            "id": contact.id,
            "customer_id": had.get("customer_id"),
            "email": had.get("email"),
            "old": {name: had.get(name) for name in names},
        }

    def _edit_before_read(self, call: Call) -> Reply:
        edit = _EDIT_BEFORE_READ.read(call, self._settings)
        self._edits.add(ForeignEdit(edit.contact_id, edit.skip, edit.times, edit.properties, source_of(edit.source)))
        return Reply(204)

    def _merge(self, call: Call) -> Reply:
        ids = _MERGE.read(call, self._settings)
        merged = merge(self._store, self._settings, ids.primary, ids.secondary)
        return Reply(200, self._records.truth(merged))

    def _archive(self, call: Call) -> Reply:
        contact = self._existing(call.path["id"])
        with self._store.transaction():
            self._store.contacts.archive(contact)
        return Reply(204)

    def _writes(self, call: Call) -> Reply:
        try:
            since = epoch_ms(call.query.get("since", "0"))
        except ValueError:
            raise invalid("since is a time like 2026-11-24T10:00:00.000Z") from None
        writes = self._store.contacts.api_writes(since)
        return Reply(
            200,
            {
                "count": len(writes),
                "contacts": len({one["id"] for one in writes}),
                "properties": dict(Counter(name for one in writes for name in one["properties"])),
                "writes": writes,
            },
        )

    def _existing(self, contact_id: str) -> Contact:
        contact = self._store.contacts.find(contact_id)
        if contact is None:
            raise not_found()
        return contact
