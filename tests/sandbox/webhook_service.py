"""A small receiving server, and a keeper of the sandbox's webhooks, for the tests of both."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests
from conftest import TIMEOUT_S, Sandbox

from tests.waiting import wait_until


@dataclass(frozen=True)
class Received:
    """One POST as it came; `at` is in monotonic seconds."""

    at: float
    path: str
    body: bytes
    signature: str | None

    def json(self) -> dict[str, Any]:
        """Return the body."""
        body: dict[str, Any] = json.loads(self.body)
        return body

    def is_signed_with(self, secret: str) -> bool:
        """Tell whether the signature is right, in lower-case hexadecimal digits."""
        return self.signature == hmac_of(self.body, secret)


@dataclass
class Receiver:
    """What a receiving server got, and how it is to answer: `answers` are used up first (None hangs up), then 200."""

    url: str
    received: list[Received] = field(default_factory=list)
    answers: deque[int | None] = field(default_factory=deque)
    may_answer: threading.Event = field(default_factory=threading.Event)

    def bodies(self) -> list[dict[str, Any]]:
        """Return all bodies in the order of their coming."""
        return [one.json() for one in self.received]


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiving server on a free port."""
    receiver = Receiver("")
    receiver.may_answer.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            signature = self.headers["X-NEOSTORE-SIGNATURE"]
            receiver.received.append(Received(time.monotonic(), self.path, body, signature))
            receiver.may_answer.wait(TIMEOUT_S)
            status = receiver.answers.popleft() if receiver.answers else 200
            if status is not None:
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with _Server(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield receiver
        finally:
            receiver.may_answer.set()
            server.shutdown()
            thread.join()


class Hooks:
    """The webhooks of a running sandbox; its counts begin at 0."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._counts_before = self._counts()

    def call(self, method: str, path: str = "", body: Any = None, key: str | None = None) -> requests.Response:
        """Call the vendor's API."""
        headers = {} if key is None else {"X-API-KEY": key}
        url = f"{self.sandbox.api}/webhooks{path}"
        return self.sandbox.http.request(method, url, json=body, headers=headers, timeout=TIMEOUT_S)

    def create(self, endpoint: str, *events: str, **fields: Any) -> dict[str, Any]:
        """Subscribe an endpoint, to installs and uninstalls unless told otherwise."""
        names = list(events or ("Pass:Installed", "Pass:Uninstalled"))
        answer = self.call("POST", body={"endpoint": endpoint, "events": names, **fields})
        assert answer.status_code == 201, answer.text
        webhook: dict[str, Any] = answer.json()
        return webhook

    def configure(self, **settings: Any) -> None:
        """Change switches of the webhooks."""
        answer = self.sandbox.control("PATCH", "/webhook-settings", settings)
        assert answer.status_code == 200, answer.text

    def counts(self) -> dict[str, int]:
        """Return what was counted since the start of the test, without zeros."""
        now = self._counts()
        grown = {name: count - self._counts_before[name] for name, count in now.items()}
        return {name: count for name, count in grown.items() if count}

    def last(self, count: int = 1) -> list[dict[str, Any]]:
        """Return the last deliveries."""
        answer = self.sandbox.control("GET", f"/webhook-deliveries?last={count}")
        deliveries: list[dict[str, Any]] = answer.json()
        return deliveries

    def settle(self) -> dict[str, int]:
        """Wait until nothing is pending and return the counts."""
        wait_until(lambda: not self._counts()["pending"])
        return self.counts()

    def _counts(self) -> dict[str, int]:
        counts: dict[str, int] = self.sandbox.control("GET", "/webhook-deliveries").json()
        return counts


@contextmanager
def hooked(sandbox: Sandbox) -> Iterator[Hooks]:
    """Give a sandbox's webhooks as new: no subscription, default switches; and leave them so."""
    settings = sandbox.control("GET", "/webhook-settings").json()
    hooks = Hooks(sandbox)
    yield hooks
    for webhook in hooks.call("GET").json():
        hooks.call("DELETE", f"/{webhook['id']}")
    hooks.configure(**settings)
    # What a subscription that is gone still had to come ends with its next attempt.
    hooks.settle()


def hmac_of(body: bytes, secret: str) -> str:
    """Return the HMAC-SHA256 in lower-case hexadecimal digits."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def base64_of(hexadecimal: str) -> str:
    """Return in base64 what is given in hexadecimal digits."""
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()
