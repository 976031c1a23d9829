"""The CRM's error answers: one exception that is either a whole answer or one entry of a batch answer."""

import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

NOT_FOUND_IN_BATCH = "Could not get some CONTACT objects, they may be deleted or not exist. Check that ids are valid."


class ApiError(Exception):
    """A refusal with the status, category and message that the CRM would give."""

    def __init__(self, status: int, category: str, message: str, **details: Any) -> None:
        """Keep what the answer says; `details` are further members of the body (context, errors, links)."""
        super().__init__(message)
        self.status = status
        self.category = category
        self.message = message
        self.details = details

    def body(self) -> dict[str, Any]:
        """Return the body of an answer that consists of this error."""
        return {
            "status": "error",
            "message": self.message,
            "correlationId": str(uuid.uuid4()),
            "category": self.category,
            **self.details,
        }

    def entry(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Return this error as one entry of `errors` in a batch answer."""
        own: dict[str, Any] = self.details.get("context", {})
        return {"status": "error", "category": self.category, "message": self.message, "context": {**own, **context}}


class RateLimitError(ApiError):
    """429: the body of this one has members of its own and no category."""

    def __init__(self, policy: str) -> None:
        """Name the policy, `TEN_SECONDLY_ROLLING` or `DAILY`."""
        super().__init__(429, "RATE_LIMITS", f"You have reached your {policy.lower()} limit.")
        self.policy = policy

    def body(self) -> dict[str, Any]:
        """Return the body with `errorType` and `policyName`."""
        return {
            "status": "error",
            "message": self.message,
            "errorType": "RATE_LIMIT",
            "correlationId": str(uuid.uuid4()),
            "policyName": self.policy,
        }


def invalid(message: str, **details: Any) -> ApiError:
    """Return a 400 of category VALIDATION_ERROR."""
    return ApiError(400, "VALIDATION_ERROR", message, **details)


def not_found() -> ApiError:
    """Return the 404 of a single record or definition."""
    return ApiError(404, "OBJECT_NOT_FOUND", "resource not found")


def conflict(existing_id: str) -> ApiError:
    """Return the 409 of an e-mail address that another contact has."""
    message = f"Contact already exists. Existing ID: {existing_id}"
    return ApiError(409, "CONFLICT", message, context={"existingId": [existing_id]})


def problem(name: str, code: str, message: str) -> dict[str, Any]:
    """Return one property's entry in the list that stands as JSON inside the message."""
    return {"isValid": False, "message": message, "error": code, "name": name, "localizedErrorMessage": message}


def invalid_values(problems: Iterable[dict[str, Any]]) -> ApiError:
    """Return the 400 for property values, its list of problems as JSON inside the message."""
    listed = json.dumps(list(problems), ensure_ascii=False, separators=(",", ":"))
    return invalid(f"Property values were not valid: {listed}")
