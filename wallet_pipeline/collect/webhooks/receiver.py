"""The receiver as an ASGI application: a delivery is answered with 2xx when it is on the disk, and not before."""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from enum import Enum

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from wallet_pipeline.collect.webhooks.inbox import InboxError, NewDelivery, Source, read_state
from wallet_pipeline.collect.webhooks.metrics import Metrics
from wallet_pipeline.collect.webhooks.redaction import without_secrets
from wallet_pipeline.collect.webhooks.refusals import Refusals
from wallet_pipeline.collect.webhooks.signature import BearerKey, Proof, Signature
from wallet_pipeline.collect.webhooks.writer import NotWrittenError, Writer
from wallet_pipeline.settings import MissingSettingError, Settings

log = logging.getLogger(__name__)

Clock = Callable[[], int]
"""Says how many microseconds have passed since 1970, UTC."""

WEBHOOK_PATH = "/webhooks/wallet-crew"
_CONNECTOR_PATH = "/connector"
_BIGGEST_BODY = 256 << 10
_UNAVAILABLE = 503
_RETRY_AFTER_S = 5


class Outcome(Enum):
    """What became of a delivery: its name in the metrics, and status and text of the answer."""

    ACCEPTED = ("accepted", 200, "accepted")
    UNPROVEN = ("unproven", 401, "no signature or key")
    WRONG = ("wrong", 401, "wrong signature or key")
    NOT_CONFIGURED = ("not_configured", 401, "not configured")
    EMPTY = ("empty", 400, "empty body")
    TOO_LARGE = ("too_large", 413, f"more than {_BIGGEST_BODY} bytes")
    ENCODED = ("encoded", 415, "send the body without Content-Encoding")
    NOT_WRITTEN = ("not_written", 503, "try again later")
    BROKEN_OFF = ("broken_off", 400, "incomplete body")

    def __init__(self, label: str, status: int, text: str) -> None:
        self.label = label
        retry = {"retry-after": str(_RETRY_AFTER_S)} if status == _UNAVAILABLE else None
        self.response = PlainTextResponse(f"{text}\n", status, retry)


class Receiver:
    """The four addresses of the receiver. Raises MissingSettingError when it could accept nothing."""

    def __init__(self, settings: Settings, writer: Writer, metrics: Metrics, clock: Clock) -> None:
        self._inbox_file = settings.inbox_file
        self._writer = writer
        self._metrics = metrics
        self._clock = clock
        signature, key = _proofs(settings)
        self._endpoints = [
            _Endpoint("webhook", signature, writer, metrics, clock),
            _Endpoint("connector", key, writer, metrics, clock),
        ]
        self._router = Router(
            [
                Route(WEBHOOK_PATH, self._endpoints[0], methods=["POST"]),
                Route(_CONNECTOR_PATH, self._endpoints[1], methods=["POST"]),
                Route("/healthz", self._show_health),
                Route("/metrics", self._show_metrics),
            ],
            redirect_slashes=False,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._router(scope, receive, send)

    def tell_refusals(self) -> None:
        """Log the refusals that were not yet told."""
        for endpoint in self._endpoints:
            endpoint.refusals.tell()

    async def _show_health(self, _: Request) -> Response:
        try:
            await self._writer.try_to_write()
        except NotWrittenError as error:
            return PlainTextResponse(f"nothing can be written to the inbox: {error}\n", _UNAVAILABLE)
        return PlainTextResponse("ok\n")

    async def _show_metrics(self, _: Request) -> Response:
        try:
            state = await asyncio.to_thread(read_state, self._inbox_file)
        except InboxError:
            state = None
        return Response(self._metrics.show(state, self._clock()), media_type=CONTENT_TYPE_LATEST)


class _Endpoint:
    """Takes the deliveries of one source. Plain ASGI, for this is what every delivery goes through."""

    def __init__(self, source: Source, proof: Proof | None, writer: Writer, metrics: Metrics, clock: Clock) -> None:
        self._source = source
        self._proof = proof
        self._writer = writer
        self._clock = clock
        self._received = {outcome: metrics.received.labels(source, outcome.label) for outcome in Outcome}
        self._duplicates = metrics.duplicates.labels(source)
        places = range(1, proof.secrets + 1) if proof else ()
        self._matches = {place: metrics.secret_matches.labels(source, place) for place in places}
        self.refusals = Refusals(source)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        outcome = await self._take(dict(scope["headers"]), receive)
        self._received[outcome].inc()
        await outcome.response(scope, receive, send)

    async def _take(self, headers: Mapping[bytes, bytes], receive: Receive) -> Outcome:
        if self._proof is None:
            return Outcome.NOT_CONFIGURED
        body = _reason_not_to_read(headers) or await _read(receive)
        received_at = self._clock()
        if isinstance(body, Outcome):
            return body
        if self._proof.header not in headers:
            self.refusals.note_unproven()
            return Outcome.UNPROVEN
        place = self._proof.match(headers[self._proof.header], body)
        if place is None:
            self.refusals.note_wrong()
            return Outcome.WRONG
        self.refusals.note_right()
        self._matches[place].inc()
        return await self._keep(body, received_at)

    async def _keep(self, body: bytes, received_at: int) -> Outcome:
        if not body:
            return Outcome.EMPTY
        delivery = NewDelivery(received_at, self._source, hashlib.sha256(body).digest(), without_secrets(body))
        try:
            known = await self._writer.keep(delivery)
        except NotWrittenError:
            return Outcome.NOT_WRITTEN
        if known:
            self._duplicates.inc()
        return Outcome.ACCEPTED


def _reason_not_to_read(headers: Mapping[bytes, bytes]) -> Outcome | None:
    """Return what is wrong with a body before it is there."""
    if int(headers.get(b"content-length", 0)) > _BIGGEST_BODY:
        return Outcome.TOO_LARGE
    # Nobody could tell whether a secret is in it.
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        return Outcome.ENCODED
    return None


async def _read(receive: Receive) -> bytes | Outcome:
    """Return the whole body, or why there is none."""
    body = b""
    while len(body) <= _BIGGEST_BODY:
        message = await receive()
        if message["type"] == "http.disconnect":
            return Outcome.BROKEN_OFF
        body += message["body"]
        if not message["more_body"]:
            break
    return body if len(body) <= _BIGGEST_BODY else Outcome.TOO_LARGE


def _proofs(settings: Settings) -> tuple[Signature | None, BearerKey | None]:
    """Return what deliveries of the two sources have to show; None for a source whose setting is empty."""
    secrets, key = settings.webhook_secrets, settings.connector_key
    if not secrets and not key.get_secret_value():
        raise MissingSettingError(
            "WEBHOOK_SECRETS or CONNECTOR_KEY",
            "The Wallet Crew shows the signature secret of a webhook when it is created; the key of the connector is of"
            " your choice.",
        )
    if not secrets:
        log.warning("WEBHOOK_SECRETS is not set: every delivery at %s is answered with 401", WEBHOOK_PATH)
    if not key.get_secret_value():
        log.warning("CONNECTOR_KEY is not set: every delivery at %s is answered with 401", _CONNECTOR_PATH)
    return Signature(secrets) if secrets else None, BearerKey(key) if key.get_secret_value() else None
