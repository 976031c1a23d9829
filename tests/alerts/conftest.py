"""Where alerts arrive: a webhook and a mail server on this machine, real ones, that tests can spoil."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, Session
from pydantic import SecretStr

from wallet_pipeline.alerts.outbox import Message
from wallet_pipeline.settings import Settings

TOKEN = "T0000-B0000-x0x0x0x0x0x0x0x0"
PASSWORD = "p@ss:word/of-the-mail"
NOW = datetime(2026, 11, 25, 3, 12, tzinfo=UTC)
MESSAGE = Message(7, "wallet_pipeline, acme: It broke", "Why: <this> & that\nNext: mend it\nRun 1.", NOW)


@dataclass
class Hook:
    """A webhook: what it was sent, and what it answers."""

    url: str
    texts: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    status: int = 200
    body: bytes = b"ok"
    released: threading.Event = field(default_factory=threading.Event)
    is_hanging: bool = False


@pytest.fixture
def hook() -> Iterator[Hook]:
    """Run a webhook on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.path == f"/services/{TOKEN}"
            assert list(body) == ["text"]
            found.texts.append(body["text"])
            self._answer()

        def do_OPTIONS(self) -> None:
            self._answer()

        def _answer(self) -> None:
            found.methods.append(self.command)
            if found.is_hanging:
                found.released.wait(60)
            self.send_response(found.status)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            self.wfile.write(found.body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    found = Hook(f"http://127.0.0.1:{server.server_address[1]}/services/{TOKEN}")
    thread.start()
    yield found
    found.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Mailbox:
    """What a mail server took, and what it refuses."""

    letters: list[EmailMessage] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    users: list[str] = field(default_factory=list)
    port: int = 0

    async def handle_RCPT(self, _: Any, __: Session, envelope: Envelope, address: str, ___: Any) -> str:  # noqa: N802
        """Take or refuse a recipient."""
        if address in self.refused:
            return f"550 5.1.1 <{address}>: no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: Any, __: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take a letter."""
        content = envelope.content
        assert isinstance(content, bytes)
        letter = message_from_bytes(content, policy=policy.default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        return "250 OK"

    def log_in(self, _: Any, __: Any, ___: Any, ____: Any, data: Any) -> AuthResult:
        """Accept the one password."""
        self.users.append(data.login.decode())
        return AuthResult(success=data.password.decode() == PASSWORD, handled=False)


def free_port() -> int:
    """Return a port at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """Run a mail server on a free port that neither encrypts nor asks who one is."""
    found = Mailbox()
    found.port = free_port()
    controller = Controller(found, hostname="127.0.0.1", port=found.port)
    controller.start()
    yield found
    controller.stop()


@pytest.fixture
def settings(tmp_path: Path, hook: Hook, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Give settings with both channels, in a folder without `.env`."""
    monkeypatch.chdir(tmp_path)
    return Settings(
        alert_webhook_url=SecretStr(hook.url),
        alert_email_to=("ops@x.test", "crm@x.test"),
        alert_smtp_url=SecretStr(f"smtp://127.0.0.1:{mailbox.port}"),
        data_dir=tmp_path / "data",
    )
