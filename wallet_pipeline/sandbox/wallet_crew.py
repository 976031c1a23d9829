"""The stand-in of The Wallet Crew: passes, Insights and webhooks of one tenant, and controls below `/sandbox/`."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wallet_pipeline.sandbox import changes, insights
from wallet_pipeline.sandbox.dated import Dated
from wallet_pipeline.sandbox.faults import FaultMiddleware, Faults
from wallet_pipeline.sandbox.listing import InvalidQueryError, Listing, joined, parse_query
from wallet_pipeline.sandbox.wallet_crew_gate import INSIGHTS_READ, PASS_READ, control, guarded, problem
from wallet_pipeline.sandbox.webhook_delivery import Deliveries
from wallet_pipeline.sandbox.webhook_settings import WebhookSettings
from wallet_pipeline.sandbox.webhooks import Webhooks
from wallet_pipeline.sandbox.world import Event, ListedPass, World, iso, micros

_DEFAULT_PAGE_SIZE = 20
_QUERY_KEYS = {"query", "parameters"}


class Settings(BaseModel):
    """Switches for what the vendor's documentation leaves open."""

    model_config = ConfigDict(extra="forbid", strict=True)

    max_page_size: int = Field(default=1000, ge=1, description="larger pages are cut to this, without a word")
    send_total: bool = Field(default=True, description="pages carry x-pagination-total")
    send_date: bool = Field(default=True, description="answers carry a Date header")
    date_offset_seconds: int = Field(default=0, description="by how much the server's clock is ahead")
    insights_per_minute: int = Field(default=60, ge=0, description="Insights calls in a sliding minute")
    insights_wait_told: bool = Field(default=True, description="an Insights call too many is told how long to wait")
    insights_max_rows: int = Field(default=500_000, ge=1, description="longer answers of Insights are cut to this")


class Moves(BaseModel):
    """How long the list of passes is to move: after each `every`-th of the next `reads` pages."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reads: int = Field(ge=1)
    every: int = Field(default=1, ge=1)


class ToldEvent(BaseModel):
    """An event that Insights shall tell of, whatever is true."""

    model_config = ConfigDict(extra="forbid")

    timestamp: AwareDatetime
    type: str
    properties: dict[str, Any] = {}

    def event(self) -> Event:
        """Return the row of Insights."""
        return Event(str(uuid4()), iso(micros(self.timestamp)), self.type, uuid4().hex[:16], self.properties)


ToldEvents = TypeAdapter(list[ToldEvent])


def create_app(world: World, faults: Faults) -> Starlette:
    """Return the server of this world."""
    server = _WalletCrew(world)
    return Starlette(
        routes=[*server.routes(), *faults.routes()],
        middleware=[Middleware(Dated, clock=server.clock), Middleware(FaultMiddleware, faults=faults)],
        exception_handlers={HTTPException: _http_problem, InvalidQueryError: _invalid_query},
    )


class _WalletCrew:
    def __init__(self, world: World) -> None:
        self.world = world
        self.settings = Settings()
        self._listing = Listing(world)
        self._moving = changes.MovingList(world, self._listing)
        self._limit = insights.CallLimit()
        webhook_settings = WebhookSettings()
        self._webhooks = Webhooks(world, webhook_settings)
        self._deliveries = Deliveries(world.seed, self._webhooks, webhook_settings)

    def clock(self) -> datetime | None:
        if not self.settings.send_date:
            return None
        return datetime.now(UTC) + timedelta(seconds=self.settings.date_offset_seconds)

    def routes(self) -> list[Route]:
        return [
            Route("/api/{tenant}/passes", guarded(PASS_READ, self._passes), methods=["GET"]),
            Route("/api/{tenant}/insights/query", guarded(INSIGHTS_READ, self._insights), methods=["POST"]),
            Route("/sandbox/settings", self._read_settings, methods=["GET"]),
            Route("/sandbox/settings", control(self._change_settings), methods=["PATCH"]),
            Route("/sandbox/advance", control(self._advance), methods=["POST"]),
            Route("/sandbox/moving-list", control(self._move), methods=["POST"]),
            Route("/sandbox/events", control(self._add_events), methods=["POST"]),
            Route("/sandbox/truth", self._truth, methods=["GET"]),
            Route("/sandbox/passes/{id}", control(self._put_pass), methods=["PUT"]),
            Route("/sandbox/passes/{id}", self._delete_pass, methods=["DELETE"]),
            *self._webhooks.routes(),
            *self._deliveries.routes(),
        ]

    async def _passes(self, request: Request) -> Response:
        query = parse_query(request.query_params.multi_items())
        index = _whole(request.query_params, "pageIndex", 0, least=0)
        size = min(_whole(request.query_params, "pageSize", _DEFAULT_PAGE_SIZE, least=1), self.settings.max_page_size)
        page = self._listing.page(query, index, size)
        self._moving.page_was_read(query, size)
        headers = {"x-pagination-total": str(page.total)} if self.settings.send_total else {}
        return Response(joined(page.bodies), headers=headers, media_type="application/json")

    async def _insights(self, request: Request) -> Response:
        if wait := self._limit.take(self.settings.insights_per_minute):
            headers = {"Retry-After": str(wait)} if self.settings.insights_wait_told else {}
            return problem(429, "Too many queries in this minute.", headers=headers)
        query, parameters = _insights_query(await request.body())
        try:
            with self.world.connection.cursor() as cursor:
                rows = await run_in_threadpool(insights.run, cursor, query, parameters, self.settings.insights_max_rows)
        except insights.QueryError as error:
            return problem(400, str(error))
        return JSONResponse({"rows": rows})

    async def _read_settings(self, _: Request) -> Response:
        return JSONResponse(self.settings.model_dump())

    async def _change_settings(self, request: Request) -> Response:
        asked = Settings.model_validate(await request.json())
        self.settings = self.settings.model_copy(update=asked.model_dump(exclude_unset=True))
        return JSONResponse(self.settings.model_dump())

    async def _advance(self, request: Request) -> Response:
        counts = changes.Counts.model_validate(await request.json())
        try:
            outcome = changes.advance(self.world, counts)
        except changes.NotEnoughPassesError as error:
            return JSONResponse({"error": str(error)}, status_code=409)
        self._deliveries.announce(outcome.happenings)
        return JSONResponse({"changes": outcome.answers})

    async def _move(self, request: Request) -> Response:
        moves = Moves.model_validate(await request.json())
        self._moving.start(moves.reads, moves.every)
        return JSONResponse(moves.model_dump())

    async def _add_events(self, request: Request) -> Response:
        told = ToldEvents.validate_python(await request.json())
        self.world.add_events(one.event() for one in told)
        return JSONResponse({"events": len(told)}, 201)

    async def _truth(self, request: Request) -> Response:
        return JSONResponse(self.world.truth(request.query_params.get("pass_id")))

    async def _put_pass(self, request: Request) -> Response:
        body = (await request.body()).decode()
        json.loads(body)
        self.world.put_passes([ListedPass(request.path_params["id"], body)])
        return Response(status_code=204)

    async def _delete_pass(self, request: Request) -> Response:
        deleted = self.world.delete_passes([request.path_params["id"]])
        return Response(status_code=204 if deleted else 404)


def _whole(parameters: QueryParams, name: str, default: int, least: int) -> int:
    text = parameters.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise InvalidQueryError({name: [f"The value '{text}' is not valid."]})
    return int(text)


def _insights_query(body: bytes) -> tuple[str, dict[str, str]]:
    try:
        asked = json.loads(body)
    except ValueError:
        raise HTTPException(400, "The body is no JSON.") from None
    if not isinstance(asked, dict) or not isinstance(asked.get("query"), str):
        raise InvalidQueryError({"query": ["The query field is required."]})
    if unknown := set(asked) - _QUERY_KEYS:
        raise InvalidQueryError({name: ["The field is unknown."] for name in sorted(unknown)})
    parameters = asked.get("parameters") or {}
    if not isinstance(parameters, dict) or not all(isinstance(value, str) for value in parameters.values()):
        raise InvalidQueryError({"parameters": ["The values of parameters are strings."]})
    return asked["query"], parameters


async def _http_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for no other
    return problem(error.status_code, error.detail, headers=error.headers)


async def _invalid_query(_: Request, error: Exception) -> Response:
    assert isinstance(error, InvalidQueryError)  # noqa: S101 - it is registered for no other
    return problem(400, str(error), errors=error.errors)
