"""Alerts by webhook: one JSON object `{"text": …}`, as Slack and those who do as Slack does take it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from wallet_pipeline.alerts.alert import AlertError, Redaction
from wallet_pipeline.alerts.outbox import Message
from wallet_pipeline.clients.http import Answer, HttpClient, TimeLimits, TooSlowError, UnreachableError

_LIMITS = TimeLimits(connect=5, silence=10, answer=10, call=15)
_GONE = frozenset({401, 403, 404, 410})
_SUCCESS = range(200, 300)
_LONGEST_ANSWER = 100


@dataclass(frozen=True)
class Webhook:
    """A channel to whatever answers at an address. The address is a secret: as a rule it holds a token."""

    url: str = field(repr=False)
    redact: Redaction
    name: str = "webhook"

    def send(self, message: Message) -> None:
        """Post a message, once; raises AlertError."""
        answer = self._call("POST", {"text": _escaped(f"*{message.title}*\n{message.text}")})
        if answer.status not in _SUCCESS:
            raise AlertError(self._refused(answer))

    def examine(self) -> str:
        """Return in a sentence that the address can be reached, by a request that sends nothing; raises AlertError."""
        answer = self._call("OPTIONS", None)
        return (
            f"The host of ALERT_WEBHOOK_URL answers ({answer.status}); whether it takes alerts shows when one is sent."
        )

    def _call(self, method: str, payload: dict[str, str] | None) -> Answer:
        """Send one request. What may have arrived is not sent again here, and no error tells the address."""
        try:
            with (
                _kept_out_of_logs(self.url),
                HttpClient("The alert webhook", self.url, {}, _LIMITS, attempts=2) as http,
            ):
                return http.call(method, "", payload=payload, repeatable=False)
        except TooSlowError:
            reason = "did not answer in time"
        except UnreachableError:
            reason = "could not be reached"
        raise AlertError(
            f"The address in ALERT_WEBHOOK_URL {reason}. Check it, the network and the proxy; it is tried again."
        )

    def _refused(self, answer: Answer) -> str:
        is_text = answer.kind == "text/plain"
        said = self.redact(answer.body.decode("utf-8", "replace"))[:_LONGEST_ANSWER] if is_text else ""
        told = f"answered {answer.status}{f' ({said})' if said else ''}"
        if answer.status in _GONE:
            return f"The webhook {told}: create a new one, and put its address into ALERT_WEBHOOK_URL."
        return f"The webhook {told}: it takes no {{'text': …}} as Slack does, or is out of order. It is tried again."


def _escaped(text: str) -> str:
    """Return a text in which nothing is a command or a link to Slack."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@contextmanager
def _kept_out_of_logs(url: str) -> Iterator[None]:
    """Drop what the HTTP library logs of requests to this address while it is debugged: it names the path."""
    path = urlsplit(url).path

    def is_without(record: logging.LogRecord) -> bool:
        return len(path) <= 1 or path not in record.getMessage()

    logger = logging.getLogger("urllib3.connectionpool")
    logger.addFilter(is_without)
    try:
        yield
    finally:
        logger.removeFilter(is_without)
