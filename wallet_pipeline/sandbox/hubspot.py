"""Stand-in of the HubSpot API 2026-09, contacts and their properties: the application and its routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from wallet_pipeline.sandbox.faults import FaultMiddleware, Faults
from wallet_pipeline.sandbox.hubspot_batch import Batches
from wallet_pipeline.sandbox.hubspot_controls import Controls
from wallet_pipeline.sandbox.hubspot_gate import READ, READ_SCHEMAS, WRITE, WRITE_SCHEMAS, Gate
from wallet_pipeline.sandbox.hubspot_people import EditsBeforeRead
from wallet_pipeline.sandbox.hubspot_records import Records
from wallet_pipeline.sandbox.hubspot_schemas import Schemas
from wallet_pipeline.sandbox.hubspot_settings import Settings
from wallet_pipeline.sandbox.hubspot_single import Singles
from wallet_pipeline.sandbox.hubspot_store import Store

CONTACTS = "/crm/objects/2026-09/contacts"
PROPERTIES = "/crm/properties/2026-09/contacts"


def create_app(state_file: Path, faults: Faults) -> Starlette:
    """Return the application over a state file that create_store made."""
    store, settings = Store(state_file), Settings()
    records = Records(store, settings)
    edits = EditsBeforeRead(store, records)
    gate = Gate(settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        with closing(store):
            yield

    return Starlette(
        lifespan=lifespan,
        routes=[
            *faults.routes(),
            *Controls(store, settings, records, edits).routes(),
            *_batch_routes(gate, Batches(store, settings, records, edits)),
            *_single_routes(gate, Singles(store, settings, records)),
            *_schema_routes(gate, Schemas(store)),
        ],
        middleware=[Middleware(FaultMiddleware, faults=faults)],
        exception_handlers={HTTPException: _wrong_path},
    )


def _batch_routes(gate: Gate, batches: Batches) -> list[Route]:
    return [
        Route(f"{CONTACTS}/batch/read", gate.api(batches.read, READ), methods=["POST"]),
        Route(f"{CONTACTS}/batch/create", gate.api(batches.create, WRITE), methods=["POST"]),
        Route(f"{CONTACTS}/batch/update", gate.api(batches.update, WRITE), methods=["POST"]),
        Route(f"{CONTACTS}/batch/upsert", gate.api(batches.upsert, WRITE), methods=["POST"]),
        Route(f"{CONTACTS}/batch/archive", gate.api(batches.archive, WRITE), methods=["POST"]),
    ]


def _single_routes(gate: Gate, singles: Singles) -> list[Route]:
    return [
        Route(CONTACTS, gate.api(singles.list, READ), methods=["GET"]),
        Route(CONTACTS, gate.api(singles.create, WRITE), methods=["POST"]),
        Route(f"{CONTACTS}/merge", gate.api(singles.merge, WRITE), methods=["POST"]),
        Route(f"{CONTACTS}/{{id}}", gate.api(singles.get, READ), methods=["GET"]),
        Route(f"{CONTACTS}/{{id}}", gate.api(singles.change, WRITE), methods=["PATCH"]),
        Route(f"{CONTACTS}/{{id}}", gate.api(singles.archive, WRITE), methods=["DELETE"]),
    ]


def _schema_routes(gate: Gate, schemas: Schemas) -> list[Route]:
    may_read = (READ, WRITE, READ_SCHEMAS)
    return [
        Route(PROPERTIES, gate.api(schemas.list, *may_read), methods=["GET"]),
        Route(PROPERTIES, gate.api(schemas.create, WRITE_SCHEMAS), methods=["POST"]),
        Route(f"{PROPERTIES}/batch/create", gate.api(schemas.batch_create, WRITE_SCHEMAS), methods=["POST"]),
        Route(f"{PROPERTIES}/batch/read", gate.api(schemas.batch_read, *may_read), methods=["POST"]),
        Route(f"{PROPERTIES}/groups", gate.api(schemas.list_groups, *may_read), methods=["GET"]),
        Route(f"{PROPERTIES}/groups", gate.api(schemas.create_group, WRITE_SCHEMAS), methods=["POST"]),
        Route(f"{PROPERTIES}/groups/{{name}}", gate.api(schemas.get_group, *may_read), methods=["GET"]),
        Route(f"{PROPERTIES}/groups/{{name}}", gate.api(schemas.change_group, WRITE_SCHEMAS), methods=["PATCH"]),
        Route(f"{PROPERTIES}/groups/{{name}}", gate.api(schemas.delete_group, WRITE_SCHEMAS), methods=["DELETE"]),
        Route(f"{PROPERTIES}/{{name}}", gate.api(schemas.get, *may_read), methods=["GET"]),
        Route(f"{PROPERTIES}/{{name}}", gate.api(schemas.change, WRITE_SCHEMAS), methods=["PATCH"]),
        Route(f"{PROPERTIES}/{{name}}", gate.api(schemas.archive, WRITE_SCHEMAS), methods=["DELETE"]),
    ]


async def _wrong_path(_: Request, error: Exception) -> Response:
    """Answer what no route is for, a wrong version above all, in HTML as a gateway would."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    return HTMLResponse(
        f"<html><head><title>Error {status}</title></head><body>HTTP ERROR {status}</body></html>", status
    )
