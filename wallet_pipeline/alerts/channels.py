"""The channels through which people are told, as the settings name them, and sending what is due through them."""

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Protocol

from wallet_pipeline.alerts.alert import Alert, AlertError, Redaction
from wallet_pipeline.alerts.mail import Mail
from wallet_pipeline.alerts.outbox import Message, Outbox
from wallet_pipeline.alerts.webhook import Webhook
from wallet_pipeline.settings import Settings

log = logging.getLogger(__name__)


class Channel(Protocol):
    """A way to tell people."""

    @property
    def name(self) -> str:
        """Its name in words."""

    def send(self, message: Message) -> None:
        """Send a message; raises AlertError."""

    def examine(self) -> str:
        """Say in a sentence that it works, as far as that can be seen without sending; raises AlertError."""


def channels_of(settings: Settings) -> Iterator[Channel]:
    """Yield the channels that are configured."""
    redact = Redaction.from_settings(settings)
    if url := settings.alert_webhook_url.get_secret_value():
        yield Webhook(url, redact)
    if recipients := settings.alert_email_to:
        sender = settings.alert_email_from or recipients[0]
        yield Mail(settings.alert_smtp_url.get_secret_value(), sender, recipients, redact)


def send_due(outbox: Outbox, channel: Channel, clock: Callable[[], datetime]) -> int:
    """Send what is due through a channel, and return how many messages that were.

    It ends with the first that fails: the channel is out of order then. That is logged, never raised.
    """
    sent = 0
    for message in outbox.due(channel.name, clock()):
        try:
            channel.send(message)
        except AlertError as error:
            outbox.failed(message, str(error), clock())
            log.warning("An alert could not be sent by %s: %s", channel.name, error)
            break
        outbox.sent(message, clock())
        sent += 1
    return sent


def send_unbooked(channels: Iterable[Channel], alert: Alert, headline: str, now: datetime) -> None:
    """Send an alert that the outbox cannot hold, once; a channel that is out of order is logged."""
    message = Message(0, f"{headline}: {alert.title}", alert.text, now)
    for channel in channels:
        try:
            channel.send(message)
        except AlertError as error:
            log.warning("An alert could not be sent by %s: %s", channel.name, error)


def headline(settings: Settings) -> str:
    """Return what every alert's title begins with: whose pipeline it is."""
    return f"wallet_pipeline, {settings.wallet_crew_tenant_id or 'no tenant'}"
