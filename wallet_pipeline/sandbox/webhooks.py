"""Webhook subscriptions of the tenant: the vendor's API, over a table in the world's file."""

import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wallet_pipeline.sandbox.wallet_crew_gate import WEBHOOK_READ, WEBHOOK_WRITE, guarded, problem
from wallet_pipeline.sandbox.webhook_settings import WebhookSettings
from wallet_pipeline.sandbox.world import World, read_sql

_ID_LENGTH = 5
_VISIBLE = re.compile(r"[!-~]+")
_EVENT = re.compile(r"[^*\s]*\*?")


class Fields(BaseModel):
    """What one may set of a subscription."""

    model_config = ConfigDict(extra="forbid", strict=True)

    description: str | None = None
    endpoint: str
    events: list[str] = Field(min_length=1)
    enabled: bool = True

    @field_validator("endpoint")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if not _VISIBLE.fullmatch(value) or parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("The endpoint is not a valid http or https URL.")
        if parts.port == 0:
            raise ValueError("The endpoint has no valid port.")
        return value

    @field_validator("events")
    @classmethod
    def _are_names(cls, value: list[str]) -> list[str]:
        if not all(name and _EVENT.fullmatch(name) for name in value):
            raise ValueError("An event is a name, or the beginning of one and a trailing *.")
        return value


@dataclass(frozen=True)
class Webhook:
    """A subscription. Its secret is 64 hexadecimal digits."""

    id: str
    secret: str = field(repr=False)
    fields: Fields

    def wants(self, event_type: str) -> bool:
        """Tell whether events of this type are delivered to it."""
        return self.fields.enabled and any(_covers(name, event_type) for name in self.fields.events)


class Webhooks:
    """The subscriptions, the same after a restart, and the routes that manage them."""

    def __init__(self, world: World, settings: WebhookSettings) -> None:
        self._seed = world.seed
        self._connection = world.connection
        self._settings = settings
        self._connection.execute(read_sql("webhooks"))
        rows = self._connection.execute("SELECT id, signature_secret, fields FROM backstage.webhooks ORDER BY number")
        self._by_id = {row[0]: Webhook(row[0], row[1], Fields.model_validate_json(row[2])) for row in rows.fetchall()}

    def wanting(self, event_type: str) -> list[Webhook]:
        """Return the subscriptions to which events of this type are delivered."""
        return [webhook for webhook in self._by_id.values() if webhook.wants(event_type)]

    def enabled(self, webhook_id: str) -> Webhook | None:
        """Return a subscription as it is now; None when it is disabled or gone."""
        webhook = self._by_id.get(webhook_id)
        return webhook if webhook and webhook.fields.enabled else None

    def routes(self) -> list[Route]:
        """Return the vendor's routes."""
        every, one = "/api/{tenant}/webhooks", "/api/{tenant}/webhooks/{id}"
        return [
            Route(every, guarded(WEBHOOK_READ, self._list), methods=["GET"]),
            Route(every, guarded(WEBHOOK_WRITE, self._create), methods=["POST"]),
            Route(one, guarded(WEBHOOK_READ, self._read), methods=["GET"]),
            Route(one, guarded(WEBHOOK_WRITE, self._change), methods=["PATCH"]),
            Route(one, guarded(WEBHOOK_WRITE, self._delete), methods=["DELETE"]),
        ]

    async def _list(self, _: Request) -> Response:
        return JSONResponse([self._shown(webhook) for webhook in self._by_id.values()])

    async def _read(self, request: Request) -> Response:
        return JSONResponse(self._shown(self._asked(request)))

    async def _create(self, request: Request) -> Response:
        try:
            fields = Fields.model_validate(await _object(request))
        except ValidationError as error:
            return _invalid(error)
        webhook = self._new(fields)
        self._connection.execute(
            "INSERT INTO backstage.webhooks VALUES (currval('backstage.webhook_numbers'), ?, ?, ?)",
            [webhook.id, webhook.secret, fields.model_dump_json()],
        )
        self._by_id[webhook.id] = webhook
        return JSONResponse(_shown(webhook), status_code=201)

    async def _change(self, request: Request) -> Response:
        webhook = self._asked(request)
        try:
            fields = Fields.model_validate({**webhook.fields.model_dump(), **await _object(request)})
        except ValidationError as error:
            return _invalid(error)
        self._connection.execute(
            "UPDATE backstage.webhooks SET fields = ? WHERE id = ?", [fields.model_dump_json(), webhook.id]
        )
        self._by_id[webhook.id] = replace(webhook, fields=fields)
        return JSONResponse(self._shown(self._by_id[webhook.id]))

    async def _delete(self, request: Request) -> Response:
        webhook = self._asked(request)
        self._connection.execute("DELETE FROM backstage.webhooks WHERE id = ?", [webhook.id])
        del self._by_id[webhook.id]
        return Response(status_code=204)

    def _asked(self, request: Request) -> Webhook:
        webhook = self._by_id.get(request.path_params["id"])
        if webhook is None:
            raise HTTPException(404, "The webhook was not found.")
        return webhook

    def _new(self, fields: Fields) -> Webhook:
        while True:
            ((number,),) = self._connection.execute("SELECT nextval('backstage.webhook_numbers')").fetchall()
            webhook_id = self._hex(number, "id")[:_ID_LENGTH]
            if webhook_id not in self._by_id:
                return Webhook(webhook_id, self._hex(number, "secret"), fields)

    def _hex(self, number: int, label: str) -> str:
        return hashlib.sha256(f"{self._seed}/webhook/{number}/{label}".encode()).hexdigest()

    def _shown(self, webhook: Webhook) -> dict[str, Any]:
        shown = _shown(webhook)
        if not self._settings.secret_in_reads:
            del shown["signatureSecret"]
        return shown


def _covers(name: str, event_type: str) -> bool:
    return event_type.startswith(name[:-1]) if name.endswith("*") else event_type == name


def _shown(webhook: Webhook) -> dict[str, Any]:
    return {"id": webhook.id, **webhook.fields.model_dump(), "signatureSecret": webhook.secret}


async def _object(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        raise HTTPException(400, "The body is no JSON.") from None
    if not isinstance(body, dict):
        raise HTTPException(400, "The body is no JSON object.")
    return body


def _invalid(error: ValidationError) -> Response:
    errors: dict[str, list[str]] = {}
    for fault in error.errors():
        errors.setdefault(str(fault["loc"][0]), []).append(fault["msg"].removeprefix("Value error, "))
    return problem(400, "One or more validation errors occurred.", errors=errors)
