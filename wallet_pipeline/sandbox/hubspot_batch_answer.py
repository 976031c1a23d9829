"""Batch answers of the CRM stand-in: results, entries for what failed, the status, in each documented variant."""

import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from wallet_pipeline.sandbox.hubspot_errors import NOT_FOUND_IN_BATCH, ApiError
from wallet_pipeline.sandbox.hubspot_gate import Reply
from wallet_pipeline.sandbox.hubspot_settings import Settings
from wallet_pipeline.sandbox.hubspot_values import iso


@dataclass
class Outcome:
    """What became of the inputs; a row that is in neither list is left out of the answer."""

    results: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)


class Answers:
    """Makes answers as the settings want them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def failed(self, error: ApiError, trace: str) -> dict[str, Any]:
        """Return the entry of one row that was refused."""
        return self._traced(error.entry({}), [trace])

    def missing(self, ids: list[str], traces: list[str]) -> list[dict[str, Any]]:
        """Return one entry for all missing ids, as the service does; none when the settings hide them."""
        if not ids or not self._settings.missing_in_errors:
            return []
        entry = ApiError(404, "OBJECT_NOT_FOUND", NOT_FOUND_IN_BATCH).entry({"ids": ids})
        return [self._traced(entry, traces)]

    def reply(self, outcome: Outcome, success: int, inputs: Iterable[str]) -> Reply:
        """Return the whole answer; `inputs` decide the order of the results."""
        now = iso(time.time_ns() // 1_000_000)
        body: dict[str, Any] = {"status": "COMPLETE", "results": self._arranged(outcome.results, inputs)}
        if outcome.errors:
            body |= {**self._count(outcome.errors), "errors": outcome.errors}
        body |= {"startedAt": now, "completedAt": now}
        partial = outcome.errors and self._settings.partial_status != "success"
        return Reply(207 if partial else success, body)

    def _traced(self, entry: dict[str, Any], traces: list[str]) -> dict[str, Any]:
        if not traces:
            return entry
        if self._settings.trace_in_errors == "top_level":
            return {**entry, "objectWriteTraceId": traces[0]}
        named = traces if self._settings.trace_in_errors == "list" else traces[0]
        return {**entry, "context": {**entry["context"], "objectWriteTraceId": named}}

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
