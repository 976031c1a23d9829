"""What a webhook delivery says, and how it is signed, in every form that the vendor's documentation allows."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from wallet_pipeline.sandbox.changes import Happening
from wallet_pipeline.sandbox.webhook_settings import WebhookSettings
from wallet_pipeline.sandbox.world import iso, micros

_OPPOSITES = {"Pass:Installed": "Pass:Uninstalled", "Pass:Uninstalled": "Pass:Installed"}

_SOURCES: list[dict[str, Any]] = [
    {"tags": [], "medium": "email", "origin": "https://shop.example.com/card?customer=1", "userAgent": "Mozilla/5.0"},
    {"tags": ["summer"], "medium": "qrcode", "origin": None, "userAgent": "Mozilla/5.0"},
    {"tags": [], "medium": None, "origin": None, "userAgent": "Mozilla/5.0"},
]


def payload(happening: Happening, settings: WebhookSettings) -> bytes:
    """Return the body of a delivery: UTF-8, as compact as .NET writes it."""
    dotted = settings.event_names == "dotted"
    event_type = happening.event.eventType
    told = {"eventType": event_type.lower().replace(":", ".") if dotted else event_type}
    rest = _rest(happening, settings)
    body = {**told, "data": rest} if settings.envelope == "data" else {**told, **rest}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _rest(happening: Happening, settings: WebhookSettings) -> dict[str, Any]:
    event, body = happening.event, happening.body
    rest: dict[str, Any] = {}
    if settings.with_event_id:
        rest["eventId"] = event.eventId
    if settings.with_timestamp:
        rest["timestamp"] = event.timestamp
    rest |= {name: event.properties[name] for name in ("passId", "passType", "device") if name in event.properties}
    if settings.with_active_count and "activeRegistrationCount" in event.properties:
        rest["activeRegistrationCount"] = event.properties["activeRegistrationCount"]
    if settings.with_source and event.eventType == "Pass:Installed":
        rest["registrationSource"] = _SOURCES[
            int(hashlib.sha256(event.properties["passId"].encode()).hexdigest(), 16) % 3
        ]
    if settings.with_identifiers:
        rest |= {"identifiers": body["identifiers"], "metadata": body["metadata"]}
    if settings.with_secret:
        rest["secret"] = body["secret"]
    return rest


def signature(body: bytes, secret: str, settings: WebhookSettings) -> str:
    """Return the value of the header X-NEOSTORE-SIGNATURE: HMAC-SHA256 over the body as it is sent."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256)
    written = {
        "hex": digest.hexdigest(),
        "hex_upper": digest.hexdigest().upper(),
        "base64": base64.b64encode(digest.digest()).decode(),
    }[settings.signature]
    return f"sha256={written}" if settings.signature_prefix else written


def forged(happening: Happening) -> Happening:
    """Return what a forger would say a second later: the opposite. Whoever believes it has other tables in the end."""
    event = happening.event
    event_type = _OPPOSITES.get(event.eventType, event.eventType)
    later = iso(micros(datetime.fromisoformat(event.timestamp) + timedelta(seconds=1)))
    count = {"activeRegistrationCount": int(event_type == "Pass:Installed")} if "device" in event.properties else {}
    told = replace(
        event,
        eventId=hashlib.sha256(f"forged/{event.eventId}".encode()).hexdigest()[:32],
        eventType=event_type,
        timestamp=later,
        properties={**event.properties, **count},
    )
    return Happening(told, happening.body)
