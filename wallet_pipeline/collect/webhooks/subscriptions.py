"""Our subscription at The Wallet Crew: made once, however often it is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from wallet_pipeline.clients.http import NotFoundError, ServiceError, is_loopback
from wallet_pipeline.clients.wallet_crew import WalletCrew, Webhook
from wallet_pipeline.collect.webhooks.receiver import WEBHOOK_PATH
from wallet_pipeline.errors import ExplainedError

EVENTS = ("Pass:Installed", "Pass:Uninstalled")
_DESCRIPTION = "wallet-pipeline"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class EndpointError(ExplainedError):
    """An address at which The Wallet Crew cannot, or must not, deliver; the message says why."""


@dataclass(frozen=True)
class Subscription:
    """A subscription and what was done: created it; or, with an existing one, enabled it again or added events."""

    webhook: Webhook
    created: bool = False
    enabled: bool = False
    added: tuple[str, ...] = ()


def subscribe(client: WalletCrew, endpoint: str, events: Sequence[str]) -> Subscription:
    """Make sure that the endpoint gets the events, by one subscription. Raises EndpointError, ServiceError."""
    _check(endpoint)
    existing = _find(client, endpoint)
    wanted = tuple(dict.fromkeys(events))
    return _complete(client, existing, wanted) if existing else _create(client, endpoint, wanted)


def remove(client: WalletCrew, webhook_id: str) -> None:
    """Remove a subscription; raises NotFoundError when there was none, and ServiceError."""
    known = {webhook.id for webhook in client.list_webhooks()}
    try:
        client.delete_webhook(webhook_id)
    except NotFoundError:
        # Of one that was there a moment ago it only means that the answer to an earlier try was lost.
        if webhook_id not in known:
            raise


def leads_to_receiver(webhook: Webhook) -> bool:
    """Tell whether a subscription's address ends where the receiver takes deliveries."""
    return urlsplit(webhook.endpoint).path.rstrip("/") == WEBHOOK_PATH


def missing_events(webhook: Webhook, events: Sequence[str] = EVENTS) -> tuple[str, ...]:
    """Return those of the events that a subscription does not deliver."""
    return tuple(event for event in events if not any(_covers(name, event) for name in webhook.events))


def _create(client: WalletCrew, endpoint: str, events: tuple[str, ...]) -> Subscription:
    try:
        return Subscription(client.create_webhook(endpoint, events, _DESCRIPTION), created=True)
    except ServiceError:
        # The service may have created it though its answer did not come; to ask again would make a second one.
        created = _find(client, endpoint)
        if created is None:
            raise
        return Subscription(created, created=True)


def _complete(client: WalletCrew, existing: Webhook, events: tuple[str, ...]) -> Subscription:
    missing = missing_events(existing, events)
    if existing.enabled and not missing:
        return Subscription(existing)
    changed = client.change_webhook(
        existing.id,
        events=(*existing.events, *missing) if missing else None,
        enabled=None if existing.enabled else True,
    )
    return Subscription(changed, enabled=not existing.enabled, added=missing)


def _find(client: WalletCrew, endpoint: str) -> Webhook | None:
    """Return the subscription of the endpoint, an enabled one if there are several."""
    same = [one for one in client.list_webhooks() if _normalised(one.endpoint) == _normalised(endpoint)]
    return max(same, key=lambda one: one.enabled, default=None)


def _covers(name: str, event: str) -> bool:
    return event.startswith(name[:-1]) if name.endswith("*") else event == name


def _normalised(endpoint: str) -> tuple[object, ...]:
    """Return what tells two addresses apart: a service may write them back in another way."""
    try:
        parts = urlsplit(endpoint)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return (endpoint,)
    return parts.scheme, parts.hostname, port, parts.path or "/", parts.query


def _check(endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
        whole = bool(parts.hostname) and parts.port != 0 and not any(char.isspace() for char in endpoint)
    except ValueError:
        whole = False
    if not whole or parts.scheme not in _DEFAULT_PORTS or parts.username:
        raise EndpointError(
            "The endpoint is no whole address without user and password. Give one such as"
            " https://wallet.example.com/webhooks/wallet-crew."
        )
    if parts.scheme == "http" and not is_loopback(str(parts.hostname)):
        raise EndpointError(
            "The endpoint must begin with https:// unless it is on this machine, for deliveries tell who has which"
            " pass. Put a proxy with a certificate before `wallet-pipeline receive` and give its address."
        )
