"""Operations on property definitions and groups of the contact object."""

import time
from typing import Any

from wallet_pipeline.sandbox.hubspot_errors import ApiError, invalid
from wallet_pipeline.sandbox.hubspot_gate import Call, Reply
from wallet_pipeline.sandbox.hubspot_store import Store
from wallet_pipeline.sandbox.hubspot_values import iso

MAX_INPUTS = 100


class Schemas:
    """Handlers of the paths below /crm/properties/."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._definitions = store.definitions

    def list(self, call: Call) -> Reply:
        """Answer GET /."""
        listed = self._definitions.archived() if call.archived else list(self._definitions.by_name.values())
        return Reply(200, {"results": listed})

    def get(self, call: Call) -> Reply:
        """Answer GET /{name}."""
        return Reply(200, self._definitions.get(call.path["name"]))

    def create(self, call: Call) -> Reply:
        """Answer POST /."""
        with self._store.transaction():
            return Reply(201, self._definitions.create(call.json()))

    def change(self, call: Call) -> Reply:
        """Answer PATCH /{name}."""
        with self._store.transaction():
            return Reply(200, self._definitions.change(call.path["name"], call.json()))

    def archive(self, call: Call) -> Reply:
        """Answer DELETE /{name}; the contacts lose their values."""
        with self._store.transaction():
            if self._definitions.archive(call.path["name"]):
                self._store.contacts.clear_property(call.path["name"])
        return Reply(204)

    def batch_create(self, call: Call) -> Reply:
        """Answer POST /batch/create: all or none."""
        with self._store.transaction():
            return _answer([self._definitions.create(given) for given in _inputs(call)])

    def batch_read(self, call: Call) -> Reply:
        """Answer POST /batch/read."""
        names = [given.get("name") for given in _inputs(call)]
        found = [self._definitions.by_name[name] for name in names if name in self._definitions.by_name]
        return _answer(found, [name for name in names if name not in self._definitions.by_name])

    def list_groups(self, _: Call) -> Reply:
        """Answer GET /groups."""
        return Reply(200, {"results": list(self._definitions.groups.values())})

    def get_group(self, call: Call) -> Reply:
        """Answer GET /groups/{name}."""
        return Reply(200, self._definitions.get_group(call.path["name"]))

    def create_group(self, call: Call) -> Reply:
        """Answer POST /groups."""
        with self._store.transaction():
            return Reply(201, self._definitions.create_group(call.json()))

    def change_group(self, call: Call) -> Reply:
        """Answer PATCH /groups/{name}."""
        with self._store.transaction():
            return Reply(200, self._definitions.change_group(call.path["name"], call.json()))

    def delete_group(self, call: Call) -> Reply:
        """Answer DELETE /groups/{name}."""
        with self._store.transaction():
            self._definitions.delete_group(call.path["name"])
        return Reply(204)


def _inputs(call: Call) -> list[dict[str, Any]]:
    inputs = call.json().get("inputs")
    if not isinstance(inputs, list) or not 1 <= len(inputs) <= MAX_INPUTS:
        raise invalid(f"inputs must hold 1 to {MAX_INPUTS} objects")
    if not all(isinstance(one, dict) for one in inputs):
        raise invalid("inputs must hold objects")
    return inputs


def _answer(results: list[dict[str, Any]], missing: list[Any] | None = None) -> Reply:
    now = iso(time.time_ns() // 1_000_000)
    body: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
    if missing:
        error = ApiError(404, "OBJECT_NOT_FOUND", "Could not get some properties, they may not exist.")
        body |= {"numErrors": 1, "errors": [error.entry({"names": missing})]}
    return Reply(207 if missing else 200, body)
