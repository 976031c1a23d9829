"""Batch operations on contacts: up to 100 inputs a call, partial success where trace ids allow it."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from wallet_pipeline.sandbox.hubspot_batch_answer import Answers, Outcome
from wallet_pipeline.sandbox.hubspot_contacts import Contact
from wallet_pipeline.sandbox.hubspot_errors import NOT_FOUND_IN_BATCH, ApiError, invalid
from wallet_pipeline.sandbox.hubspot_gate import Bodies, Call, Reply
from wallet_pipeline.sandbox.hubspot_people import EditsBeforeRead
from wallet_pipeline.sandbox.hubspot_records import Records
from wallet_pipeline.sandbox.hubspot_settings import Operation, Settings
from wallet_pipeline.sandbox.hubspot_store import Store

MAX_INPUTS = 100
MAX_INPUTS_WITH_HISTORY = 50


class _Form(BaseModel):
    model_config = ConfigDict(strict=True)


class _Id(_Form):
    id: str = Field(min_length=1)


class _Read(_Form):
    inputs: list[_Id]
    properties: list[str] = []
    properties_with_history: list[str] = Field(default=[], alias="propertiesWithHistory")
    id_property: str | None = Field(default=None, alias="idProperty")


class _Archive(_Form):
    inputs: list[_Id]


class _Row(_Form):
    properties: dict[str, str]
    trace: str | None = Field(default=None, alias="objectWriteTraceId")


class _NewRow(_Row):
    associations: list[Any] = []


class _KeyedRow(_Row):
    id: str = Field(min_length=1)
    id_property: str | None = Field(default=None, alias="idProperty")


class _Create(_Form):
    inputs: list[_NewRow]


class _Change(_Form):
    inputs: list[_KeyedRow]


_READ = Bodies(_Read, ("inputs", "properties", "propertiesWithHistory"))
_CREATE = Bodies(_Create)
_CHANGE = Bodies(_Change)
_ARCHIVE = Bodies(_Archive)


class _RecordMissingError(Exception):
    """An input names a record that does not exist."""


class Batches:
    """Handlers of the paths below /batch/."""

    def __init__(self, store: Store, settings: Settings, records: Records, edits: EditsBeforeRead) -> None:
        self._store = store
        self._settings = settings
        self._records = records
        self._edits = edits
        self._answers = Answers(settings)

    def read(self, call: Call) -> Reply:
        """Answer POST /batch/read."""
        body = _READ.read(call, self._settings)
        ids = [one.id for one in body.inputs]
        _check_count(ids, MAX_INPUTS_WITH_HISTORY if body.properties_with_history else MAX_INPUTS)
        if self._settings.duplicate_reads == "reject":
            _check_distinct(ids)
        key = self._key(body.id_property, "read", ("email", "hs_object_id"))
        found = self._find(key, ids, archived=call.archived)
        if self._edits.precede(found.values()):
            found = self._find(key, ids, archived=call.archived)
        # Several ids can lead to one merged record, which is returned once.
        contacts = {contact.id: contact for contact in found.values()}.values()
        outcome = Outcome([self._records.show(one, body.properties, body.properties_with_history) for one in contacts])
        outcome.errors.extend(self._answers.missing([one for one in dict.fromkeys(ids) if one not in found], []))
        return self._answers.reply(outcome, 200, ids)

    def create(self, call: Call) -> Reply:
        """Answer POST /batch/create."""
        rows = _CREATE.read(call, self._settings).inputs
        if self._settings.required_arrays == "required" and any(
            "associations" not in one.model_fields_set for one in rows
        ):
            raise invalid("Invalid input JSON: required fields were not set: ['associations']")
        _check_count(rows, MAX_INPUTS)

        def apply(row: _NewRow) -> dict[str, Any]:
            return self._result(self._records.create(row.properties, call.source), row, "create")

        return self._answers.reply(self._each(rows, "create", apply), 201, [str(one.properties) for one in rows])

    def update(self, call: Call) -> Reply:
        """Answer POST /batch/update."""
        rows = _CHANGE.read(call, self._settings).inputs
        keys = self._check_keyed(rows, "update", ())

        def apply(row: _KeyedRow) -> dict[str, Any] | None:
            self._records.check_refusal(row.id, row.properties)
            key = keys[row.id_property]
            contact = self._store.contacts.find_by(key, row.id)
            if contact is None:
                raise _RecordMissingError
            merged_away = key == "hs_object_id" and contact.id != row.id
            if merged_away and self._settings.merged_update == "dropped":
                return None
            contact = self._records.update(contact, row.properties, call.source)
            result = self._result(contact, row, "update")
            return None if merged_away else result

        return self._answers.reply(self._each(rows, "update", apply), 200, [one.id for one in rows])

    def upsert(self, call: Call) -> Reply:
        """Answer POST /batch/upsert. By e-mail it is all or nothing."""
        rows = _CHANGE.read(call, self._settings).inputs
        if any(one.id_property is None for one in rows):
            raise invalid("Invalid input JSON: idProperty is required for upsert")
        keys = self._check_keyed(rows, "upsert", ("email",))

        def apply(row: _KeyedRow) -> dict[str, Any]:
            self._records.check_refusal(row.id, row.properties)
            key = keys[row.id_property]
            contact = self._store.contacts.find_by(key, row.id)
            if contact:
                contact = self._records.update(contact, row.properties, call.source)
                return {**self._result(contact, row, "upsert"), "new": False}
            contact = self._records.create({key: row.id, **row.properties}, call.source)
            return {**self._result(contact, row, "upsert"), "new": True}

        outcome = self._each(rows, "upsert", apply, partial="email" not in keys.values())
        return self._answers.reply(outcome, 200, [one.id for one in rows])

    def archive(self, call: Call) -> Reply:
        """Answer POST /batch/archive; ids that do not exist are passed over."""
        ids = [one.id for one in _ARCHIVE.read(call, self._settings).inputs]
        _check_count(ids, MAX_INPUTS)
        with self._store.transaction():
            for contact in self._find("hs_object_id", ids, archived=False).values():
                self._store.contacts.archive(contact)
                self._store.contacts.note_api_write(contact, "archive", [])
        return Reply(204)

    def _find(self, key: str, ids: Iterable[str], *, archived: bool) -> dict[str, Contact]:
        found = {one: self._store.contacts.find_by(key, one, archived=archived) for one in ids}
        return {one: contact for one, contact in found.items() if contact}

    def _check_keyed(self, rows: list[_KeyedRow], operation: str, also: tuple[str, ...]) -> dict[str | None, str]:
        """Return the name of the key for each `idProperty` that occurs."""
        _check_count(rows, MAX_INPUTS)
        keys = {one: self._key(one, operation, also) for one in {row.id_property for row in rows}}
        _check_distinct([row.id.lower() if row.id_property == "email" else row.id for row in rows])
        return keys

    def _key(self, id_property: str | None, operation: str, also: tuple[str, ...]) -> str:
        if id_property is None:
            return "hs_object_id"
        if id_property not in (*also, *self._store.definitions.unique_names):
            what = "read" if operation == "read" else "update/upsert"
            raise invalid(f"Unable to perform {what} by non-unique 0-1 property {id_property}")
        return id_property

    def _each(
        self,
        rows: Iterable[Any],
        operation: Operation,
        apply: Callable[[Any], dict[str, Any] | None],
        *,
        partial: bool = True,
    ) -> Outcome:
        rows = list(rows)
        partial = self._is_traced(rows, operation) and partial
        outcome, missing = Outcome(), list[_KeyedRow]()
        with self._store.transaction():
            for row in rows:
                try:
                    outcome.results.extend(result for result in [apply(row)] if result)
                except _RecordMissingError:
                    missing.append(row)
                except ApiError as error:
                    if not partial:
                        raise
                    outcome.errors.append(self._answers.failed(error, row.trace))
            self._check_missing(missing, partial=partial)
        traces = [row.trace for row in missing if row.trace is not None]
        outcome.errors.extend(self._answers.missing([row.id for row in missing], traces))
        return outcome

    def _check_missing(self, rows: list[_KeyedRow], *, partial: bool) -> None:
        if rows and not partial and self._settings.missing_untraced == "fail":
            ids = [row.id for row in rows]
            raise ApiError(404, "OBJECT_NOT_FOUND", NOT_FOUND_IN_BATCH, context={"ids": ids})

    def _is_traced(self, rows: Iterable[_Row], operation: Operation) -> bool:
        traces = [row.trace for row in rows]
        given = [one for one in traces if one is not None]
        if len(given) != len(set(given)):
            raise invalid("Duplicate objectWriteTraceId values found in batch input")
        return len(given) == len(traces) and operation in self._settings.trace_multistatus

    def _result(self, contact: Contact, row: _Row, operation: Operation) -> dict[str, Any]:
        self._store.contacts.note_api_write(contact, operation, row.properties)
        result = self._records.show(contact, row.properties or ("hs_object_id",))
        if self._settings.write_results == "empty":
            result["properties"] = {}
        if row.trace is not None and self._settings.trace_in_results:
            result["objectWriteTraceId"] = row.trace
        return result


def _check_count(inputs: list[Any], most: int) -> None:
    if not inputs:
        raise invalid("Invalid input JSON: inputs must not be empty")
    if len(inputs) > most:
        raise invalid(f"Limit of {most} inputs exceeded, the request holds {len(inputs)}")


def _check_distinct(ids: list[str]) -> None:
    if twice := [one for one, count in Counter(ids).items() if count > 1]:
        raise invalid(
            f"Duplicate IDs found in batch input: [{', '.join(twice)}]. IDs must be unique", context={"ids": twice}
        )
