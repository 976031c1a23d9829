"""Batch operations on contacts: up to 100 inputs a call, partial success where trace ids allow it."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from wallet_pipeline.sandbox.hubspot_contacts import Contact
from wallet_pipeline.sandbox.hubspot_errors import NOT_FOUND_IN_BATCH, ApiError, invalid
from wallet_pipeline.sandbox.hubspot_gate import Bodies, Call, Reply
from wallet_pipeline.sandbox.hubspot_people import EditsBeforeRead
from wallet_pipeline.sandbox.hubspot_records import Records
from wallet_pipeline.sandbox.hubspot_settings import Operation, Settings
from wallet_pipeline.sandbox.hubspot_store import Store
from wallet_pipeline.sandbox.hubspot_values import iso

MAX_INPUTS = 100
MAX_INPUTS_WITH_HISTORY = 50


class _Form(BaseModel):
    model_config = ConfigDict(strict=True)


class _Id(_Form):
    id: str


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
    id: str
    id_property: str | None = Field(default=None, alias="idProperty")


class _Create(_Form):
    inputs: list[_NewRow]


class _Change(_Form):
    inputs: list[_KeyedRow]


_READ = Bodies(_Read, ("inputs", "properties", "propertiesWithHistory"))
_CREATE = Bodies(_Create)
_CHANGE = Bodies(_Change)
_ARCHIVE = Bodies(_Archive)


@dataclass
class _Outcome:
    """What became of the inputs; a row that is in none of the lists is left out of the answer."""

    results: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    missing: list[_KeyedRow] = field(default_factory=list)


class _RecordMissingError(Exception):
    """An input names a record that does not exist."""


class Batches:
    """Handlers of the paths below /batch/."""

    def __init__(self, store: Store, settings: Settings, records: Records, edits: EditsBeforeRead) -> None:
        self._store = store
        self._settings = settings
        self._records = records
        self._edits = edits

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
        outcome = _Outcome([self._records.show(one, body.properties, body.properties_with_history) for one in contacts])
        if missing := [one for one in dict.fromkeys(ids) if one not in found]:
            outcome.errors.extend(self._missing_entry({"ids": missing}))
        return self._answer(outcome, 200, ids)

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

        return self._answer(self._each(rows, "create", apply), 201, [str(one.properties) for one in rows])

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

        return self._answer(self._each(rows, "update", apply), 200, [one.id for one in rows])

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
        return self._answer(outcome, 200, [one.id for one in rows])

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
    ) -> _Outcome:
        rows = list(rows)
        partial = self._is_traced(rows, operation) and partial
        outcome = _Outcome()
        with self._store.transaction():
            for row in rows:
                self._one(row, apply, outcome, partial=partial)
            if outcome.missing and not partial and self._settings.missing_untraced == "fail":
                raise ApiError(
                    404, "OBJECT_NOT_FOUND", NOT_FOUND_IN_BATCH, context={"ids": [one.id for one in outcome.missing]}
                )
        outcome.errors.extend(self._missing_rows(outcome.missing))
        return outcome

    def _one(
        self, row: Any, apply: Callable[[Any], dict[str, Any] | None], outcome: _Outcome, *, partial: bool
    ) -> None:
        try:
            result = apply(row)
        except _RecordMissingError:
            outcome.missing.append(row)
        except ApiError as error:
            if not partial:
                raise
            outcome.errors.append(self._traced(error.entry({}), [row.trace]))
        else:
            outcome.results.extend([result] if result else [])

    def _is_traced(self, rows: Iterable[_Row], operation: Operation) -> bool:
        traces = [row.trace for row in rows]
        given = [one for one in traces if one is not None]
        if len(given) != len(set(given)):
            raise invalid("Duplicate objectWriteTraceId values found in batch input")
        return len(given) == len(traces) and operation in self._settings.trace_multistatus

    def _missing_rows(self, rows: list[_KeyedRow]) -> list[dict[str, Any]]:
        entries = self._missing_entry({"ids": [row.id for row in rows]}) if rows else []
        traces = [row.trace for row in rows if row.trace is not None]
        return [self._traced(entry, traces) for entry in entries]

    def _missing_entry(self, context: Mapping[str, list[str]]) -> list[dict[str, Any]]:
        """Return one entry for all missing ids, as the service does, or none when the settings hide it."""
        if not self._settings.missing_in_errors:
            return []
        return [ApiError(404, "OBJECT_NOT_FOUND", NOT_FOUND_IN_BATCH).entry(context)]

    def _traced(self, entry: dict[str, Any], traces: list[str]) -> dict[str, Any]:
        if not traces:
            return entry
        if self._settings.trace_in_errors == "top_level":
            return {**entry, "objectWriteTraceId": traces[0]}
        named = traces if self._settings.trace_in_errors == "list" else traces[0]
        return {**entry, "context": {**entry["context"], "objectWriteTraceId": named}}

    def _result(self, contact: Contact, row: _Row, operation: Operation) -> dict[str, Any]:
        self._store.contacts.note_api_write(contact, operation, row.properties)
        result = self._records.show(contact, row.properties or ("hs_object_id",))
        if self._settings.write_results == "empty":
            result["properties"] = {}
        if row.trace is not None and self._settings.trace_in_results:
            result["objectWriteTraceId"] = row.trace
        return result

    def _answer(self, outcome: _Outcome, success: int, inputs: Iterable[str]) -> Reply:
        now = iso(time.time_ns() // 1_000_000)
        body: dict[str, Any] = {"status": "COMPLETE", "results": self._arranged(outcome.results, inputs)}
        if outcome.errors:
            body |= {**self._count(outcome.errors), "errors": outcome.errors}
        body |= {"startedAt": now, "completedAt": now}
        partial = outcome.errors and self._settings.partial_status != "success"
        return Reply(207 if partial else success, body)

    def _count(self, errors: list[dict[str, Any]]) -> dict[str, int]:
        if self._settings.num_errors == "absent":
            return {}
        return {"numErrors": len(errors) + (1 if self._settings.num_errors == "wrong" else 0)}

    def _arranged(self, results: list[dict[str, Any]], inputs: Iterable[str]) -> list[dict[str, Any]]:
        kept = [one for one in results if one["id"] not in self._settings.omit_result_ids]
        if self._settings.shuffle:
            # Seeded with the inputs: the same call is answered in the same order, whatever else goes on.
            random.Random("\n".join(inputs)).shuffle(kept)  # noqa: S311
        return kept


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
