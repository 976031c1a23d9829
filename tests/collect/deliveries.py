"""Deliveries in an inbox, put there as the receiver does."""

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

from wallet_pipeline.collect.webhooks.inbox import Inbox, NewDelivery, Source, newest_delivery

# 2026-01-11 08:30:00 UTC.
START = 1_768_120_200_000_000
MINUTE = 60_000_000


def told(number: int, **changes: Any) -> dict[str, Any]:
    """Return the body of a delivery: a pass of its own was installed; `changes` take the place of members."""
    return {
        "eventId": f"event-{number:05}",
        "eventType": "Pass:Installed",
        "timestamp": "2026-01-11T08:00:00Z",
        "passId": f"pass-{number:05}",
        "passType": "loyalty",
        "device": "apple",
        "identifiers": {"customerId": f"C-{number}"},
    } | changes


def receive(
    inbox_file: Path, bodies: Iterable[dict[str, Any] | bytes], at: int = START, source: Source = "webhook"
) -> list[int]:
    """Put deliveries into the inbox, a microsecond apart from `at` on, and return their ids."""
    texts = [body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies]
    first = max(newest_delivery(inbox_file) + 1, at)
    inbox = Inbox(inbox_file)
    inbox.append([NewDelivery(at + n, source, sha256(text).digest(), text) for n, text in enumerate(texts)])
    inbox.close()
    return [*range(first, first + len(texts))]
