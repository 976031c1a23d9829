"""What every API call passes before it is served: address length, token, limits, scopes, content type."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from wallet_pipeline.sandbox.hubspot_contacts import Source
from wallet_pipeline.sandbox.hubspot_errors import ApiError, invalid
from wallet_pipeline.sandbox.hubspot_limits import Limits
from wallet_pipeline.sandbox.hubspot_settings import Settings

READ = "crm.objects.contacts.read"
WRITE = "crm.objects.contacts.write"
READ_SCHEMAS = "crm.schemas.contacts.read"
WRITE_SCHEMAS = "crm.schemas.contacts.write"

FULL_TOKEN = "pat-sandbox-full"  # noqa: S105 - opens nothing but the sandbox
SYNC_TOKEN = "pat-sandbox-sync"  # noqa: S105
READ_TOKEN = "pat-sandbox-read"  # noqa: S105
EXPIRED_TOKEN = "pat-sandbox-expired"  # noqa: S105

_MAX_QUERY = 8_000


@dataclass(frozen=True)
class App:
    """An app with access to the account; its id is the `sourceId` of what it writes."""

    id: str
    scopes: frozenset[str]


APPS = {
    FULL_TOKEN: App("8151242", frozenset({READ, WRITE, WRITE_SCHEMAS})),
    SYNC_TOKEN: App("8151243", frozenset({READ, WRITE})),
    READ_TOKEN: App("8151244", frozenset({READ})),
}


@dataclass(frozen=True)
class Call:
    """One request as the handlers see it."""

    path: Mapping[str, Any]
    query: Mapping[str, str]
    body: bytes
    source: Source

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object, or raise a 400."""
        try:
            body = json.loads(self.body)
        except ValueError as error:
            raise _unreadable(str(error)) from None
        if not isinstance(body, dict):
            raise _unreadable("an object was expected")
        return body

    @property
    def archived(self) -> bool:
        """Whether archived records are asked for."""
        return self.query.get("archived") == "true"


@dataclass(frozen=True)
class Reply:
    """The answer of a handler; no body means that none is sent."""

    status: int
    body: Any = None


Handler = Callable[[Call], Reply]
Model = TypeVar("Model", bound=BaseModel)


class Bodies(Generic[Model]):
    """Reads request bodies of one form, as strictly as the settings say."""

    def __init__(self, model: type[Model], arrays: tuple[str, ...] = ()) -> None:
        self._model = model
        self._arrays = arrays

    def read(self, call: Call, settings: Settings) -> Model:
        """Return the body, or raise a 400 that does not quote its values."""
        given = call.json()
        if settings.required_arrays == "required" and (missing := [one for one in self._arrays if one not in given]):
            raise _unreadable(f"required fields were not set: {missing}")
        extra: Any = {"extra": "forbid"} if settings.unknown_fields == "rejected" else {}
        try:
            return self._model.model_validate(given, **extra)
        except ValidationError as error:
            where = error.errors()[0]
            raise _unreadable(f"{where['msg']} at {'.'.join(map(str, where['loc']))}") from None


class Gate:
    """Turns handlers into endpoints."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limits = Limits(settings)

    def api(self, handler: Handler, *any_of: str) -> Callable[[Request], Any]:
        """Return an endpoint for callers that hold at least one of these scopes."""

        async def endpoint(request: Request) -> Response:
            try:
                app = _app(request)
            except ApiError as error:
                return respond(Reply(error.status, error.body()), {})
            call = Call(request.path_params, request.query_params, await request.body(), Source("INTEGRATION", app.id))
            reply = _reply(handler, call, lambda: self._admit(request, app, any_of))
            return respond(reply, self._limits.headers(app.id))

        return endpoint

    def _admit(self, request: Request, app: App, any_of: tuple[str, ...]) -> None:
        self._limits.count(app.id)
        _check_form(request)
        _check_scopes(app, any_of)


def control(handler: Handler) -> Callable[[Request], Any]:
    """Return an endpoint below /sandbox/: no token, no limits."""

    async def endpoint(request: Request) -> Response:
        call = Call(request.path_params, request.query_params, await request.body(), Source("CRM_UI"))
        return respond(_reply(handler, call), {})

    return endpoint


def respond(reply: Reply, headers: Mapping[str, str]) -> Response:
    """Return a reply as HTTP."""
    if reply.body is None:
        return Response(status_code=reply.status, headers=dict(headers))
    return JSONResponse(reply.body, reply.status, dict(headers))


def _reply(handler: Handler, call: Call, admit: Callable[[], None] = lambda: None) -> Reply:
    try:
        admit()
        return handler(call)
    except ApiError as error:
        return Reply(error.status, error.body())


def _app(request: Request) -> App:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if token == EXPIRED_TOKEN:
        raise ApiError(401, "EXPIRED_AUTHENTICATION", "The access token is expired.")
    if scheme.lower() != "bearer" or token not in APPS:
        raise ApiError(
            401,
            "INVALID_AUTHENTICATION",
            "Authentication credentials not found. This API supports OAuth 2.0 authentication.",
        )
    return APPS[token]


def _check_form(request: Request) -> None:
    if len(request.url.query) > _MAX_QUERY:
        raise ApiError(414, "VALIDATION_ERROR", "URI Too Long")
    content_type = request.headers.get("content-type", "").partition(";")[0].strip()
    if request.method in ("POST", "PATCH") and content_type != "application/json":
        raise ApiError(415, "VALIDATION_ERROR", "Unsupported Media Type: application/json was expected")


def _check_scopes(app: App, any_of: tuple[str, ...]) -> None:
    if not app.scopes.intersection(any_of):
        raise ApiError(
            403,
            "MISSING_SCOPES",
            "This app hasn't been granted all required scopes to make this call. Read more about required scopes here: "
            "https://developers.hubspot.com/scopes.",
            errors=[
                {
                    "message": "One or more of the following scopes are required.",
                    "context": {"requiredGranularScopes": list(any_of)},
                }
            ],
            links={"scopes": "https://developers.hubspot.com/scopes"},
        )


def _unreadable(reason: str) -> ApiError:
    return invalid(f"Invalid input JSON: {reason}")
