"""Who may call The Wallet Crew's stand-in, and how it says no: keys, scopes, RFC 7807 problems."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from wallet_pipeline.sandbox.world import TENANT_ID

FULL_KEY = "sandbox-key-full"
KEYS = {"full": FULL_KEY, "passes_only": "sandbox-key-passes-only", "insights_only": "sandbox-key-insights-only"}
PASS_READ, INSIGHTS_READ = "Pass.Read", "Insights.Read"
WEBHOOK_READ, WEBHOOK_WRITE = "Webhook.Read", "Webhook.Write"
_SCOPES = {
    KEYS["full"]: {PASS_READ, INSIGHTS_READ, WEBHOOK_READ, WEBHOOK_WRITE},
    KEYS["passes_only"]: {PASS_READ},
    KEYS["insights_only"]: {INSIGHTS_READ},
}

Endpoint = Callable[[Request], Awaitable[Response]]


def guarded(scope: str, endpoint: Endpoint) -> Endpoint:
    """Serve only those who have a key, of this tenant, with the scope."""

    async def served(request: Request) -> Response:
        scopes = _SCOPES.get(request.headers.get("x-api-key", ""))
        if scopes is None:
            return problem(401, "The API key is missing, invalid or revoked.")
        if request.path_params["tenant"] != TENANT_ID:
            return problem(404, "The tenant was not found.")
        if scope not in scopes:
            return problem(403, f"The API key lacks the scope {scope}.")
        return await endpoint(request)

    return served


def problem(
    status: int, detail: str, *, errors: dict[str, list[str]] | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error as RFC 7807 has it."""
    body: dict[str, Any] = {
        "type": f"https://httpstatuses.io/{status}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors is not None:
        body["errors"] = errors
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def control(endpoint: Endpoint) -> Endpoint:
    """Answer a control's bad input with what is wrong about it."""

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ValidationError as error:
            found = [{"field": ".".join(map(str, fault["loc"])), "error": fault["msg"]} for fault in error.errors()]
            return JSONResponse({"error": "the body is not valid", "errors": found}, status_code=400)
        except ValueError as error:
            return JSONResponse({"error": f"the body is no JSON: {error}"}, status_code=400)

    return answered
