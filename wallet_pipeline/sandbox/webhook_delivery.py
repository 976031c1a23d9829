"""Delivery of events to the webhooks: at least once, in the background, with retries, and told to whoever asks.

Everything runs as tasks of the server's event loop, which cancels them when it ends: a stop waits for no receiver.
What is pending then is not sent after a restart.
"""

import asyncio
import json
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wallet_pipeline.sandbox.changes import Happening
from wallet_pipeline.sandbox.wallet_crew_gate import control
from wallet_pipeline.sandbox.webhook_mischief import Chance, Copy, copies
from wallet_pipeline.sandbox.webhook_payload import forged, payload, signature
from wallet_pipeline.sandbox.webhook_post import post
from wallet_pipeline.sandbox.webhook_settings import WebhookSettings
from wallet_pipeline.sandbox.webhooks import Webhook, Webhooks
from wallet_pipeline.sandbox.world import Event, iso, micros

_LOGGED = 10_000
_SENT_AT_ONCE = 16
_LONGEST_PAUSE_S = 60.0
_OK = range(200, 300)
_COUNTS = ("events", "sent", "duplicates", "sent_again", "badly_signed", "lost", "acknowledged", "failed")


@dataclass
class Delivery:
    """One event on its way to one webhook. `copies_left` counts the well-signed sendings that are not over yet."""

    webhook_id: str
    event_id: str
    pass_id: str
    wallet: str | None
    kind: str
    occurred_at: str
    lost: bool
    copies_left: int
    first_sent_at: str | None = None
    acknowledged_at: str | None = None


@dataclass(frozen=True)
class _Letter:
    """A body with the header that signs it; None leaves the header out."""

    body: bytes
    signature: str | None

    def headers(self) -> dict[str, str]:
        signed = {} if self.signature is None else {"X-NEOSTORE-SIGNATURE": self.signature}
        return {"Content-Type": "application/json; charset=utf-8", **signed}


class Deliveries:
    """Sends events, and keeps count. To be used on the event loop only."""

    def __init__(self, seed: int, webhooks: Webhooks, settings: WebhookSettings) -> None:
        self._seed = seed
        self._webhooks = webhooks
        self._settings = settings
        self._counts: Counter[str] = Counter()
        self._last: deque[Delivery] = deque(maxlen=_LOGGED)
        self._under_way: set[asyncio.Task[None]] = set()
        # A receiver that hangs holds up itself, not the others.
        self._lanes: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_SENT_AT_ONCE))

    def announce(self, happenings: Sequence[Happening]) -> None:
        """Begin to deliver events to all webhooks that want them, under the settings of this moment."""
        for happening in happenings:
            for webhook in self._webhooks.wanting(happening.event.eventType):
                self._begin(webhook, happening)

    def routes(self) -> list[Route]:
        """Return the control routes."""
        return [
            Route("/sandbox/webhook-settings", self._read_settings, methods=["GET"]),
            Route("/sandbox/webhook-settings", control(self._change_settings), methods=["PATCH"]),
            Route("/sandbox/webhook-deliveries", self._tell, methods=["GET"]),
        ]

    async def _read_settings(self, _: Request) -> Response:
        return JSONResponse(self._settings.model_dump())

    async def _change_settings(self, request: Request) -> Response:
        self._settings.change(await request.json())
        return JSONResponse(self._settings.model_dump())

    async def _tell(self, request: Request) -> Response:
        last = request.query_params.get("last")
        if last is None:
            return JSONResponse({**{name: self._counts[name] for name in _COUNTS}, "pending": len(self._under_way)})
        if not last.isdecimal():
            return JSONResponse({"error": "last is a number of deliveries"}, status_code=400)
        found = list(self._last)[-int(last) :] if int(last) else []
        return JSONResponse([_shown(delivery) for delivery in found])

    def _begin(self, webhook: Webhook, happening: Happening) -> None:
        chance = Chance(self._seed, webhook.id, happening.event.eventId)
        planned = copies(self._settings, chance)
        delivery = _delivery(webhook, happening.event, planned)
        self._last.append(delivery)
        self._counts["events"] += 1
        self._counts["lost"] += delivery.lost
        body = payload(happening, self._settings)
        letter = _Letter(body, signature(body, webhook.secret, self._settings))
        for copy in planned:
            if copy.kind == "badly_signed":
                sending = self._send_badly_signed(webhook, self._forgery(webhook, happening, chance), copy)
            else:
                sending = self._deliver(delivery, letter, copy)
            task = asyncio.create_task(sending)
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    def _forgery(self, webhook: Webhook, happening: Happening, chance: Chance) -> _Letter:
        """Return a false event: signed with another secret, or over the same JSON in other bytes, or not at all."""
        body = payload(forged(happening), self._settings)
        other_bytes = json.dumps(json.loads(body)).encode()
        signatures = [
            signature(body, "f" * len(webhook.secret), self._settings),
            signature(other_bytes, webhook.secret, self._settings),
            None,
        ]
        return _Letter(body, signatures[int(chance.draw("forgery") * len(signatures))])

    async def _send_badly_signed(self, webhook: Webhook, letter: _Letter, copy: Copy) -> None:
        await asyncio.sleep(copy.wait)
        async with self._lanes[webhook.id]:
            if current := self._webhooks.enabled(webhook.id):
                self._counts[copy.kind] += 1
                await self._post(current, letter)

    async def _deliver(self, delivery: Delivery, letter: _Letter, copy: Copy) -> None:
        """Send until it is acknowledged, given up, or no longer wanted."""
        for attempt, pause in enumerate([copy.wait, *self._pauses()]):
            await asyncio.sleep(pause)
            async with self._lanes[delivery.webhook_id]:
                webhook = self._webhooks.enabled(delivery.webhook_id)
                if webhook is None:
                    break
                self._counts[copy.kind] += not attempt
                delivery.first_sent_at = delivery.first_sent_at or _now()
                if await self._post(webhook, letter) in _OK:
                    self._acknowledge(delivery)
                    break
        delivery.copies_left -= 1
        self._counts["failed"] += not (delivery.copies_left or delivery.acknowledged_at)

    def _acknowledge(self, delivery: Delivery) -> None:
        if delivery.acknowledged_at is None:
            delivery.acknowledged_at = _now()
            self._counts["acknowledged"] += 1

    async def _post(self, webhook: Webhook, letter: _Letter) -> int | None:
        self._counts["sent"] += 1
        return await post(webhook.fields.endpoint, letter.headers(), letter.body, self._settings.answer_seconds)

    def _pauses(self) -> Iterator[float]:
        for retry in range(self._settings.attempts - 1):
            yield min(self._settings.retry_seconds * 2**retry, _LONGEST_PAUSE_S)


def _delivery(webhook: Webhook, event: Event, planned: Sequence[Copy]) -> Delivery:
    return Delivery(
        webhook_id=webhook.id,
        event_id=event.eventId,
        pass_id=event.properties["passId"],
        wallet=event.properties.get("device"),
        kind=event.eventType,
        occurred_at=event.timestamp,
        lost=not planned,
        copies_left=sum(copy.kind != "badly_signed" for copy in planned),
    )


def _shown(delivery: Delivery) -> dict[str, Any]:
    shown = asdict(delivery)
    del shown["copies_left"]
    return shown


def _now() -> str:
    return iso(micros(datetime.now(UTC)))
