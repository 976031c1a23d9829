"""The receiver as its users meet it: a process of its own, over real HTTP on a free port."""

import base64
import hashlib
import hmac
import http.client
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from wallet_pipeline.collect.webhooks.inbox import Delivery, read_deliveries
from wallet_pipeline.settings import Settings

OLD_SECRET = "old-" + "s" * 60
SECRET = "new-" + "s" * 60
KEY = "key-of-the-connector"
TIMEOUT_S = 30
WEBHOOK = "/webhooks/wallet-crew"
CONNECTOR = "/connector"

_numbers = count()


@dataclass(frozen=True)
class Answer:
    """Status, headers by name in lower case, and text of an answer."""

    status: int
    headers: Mapping[str, str]
    text: str


def sign(body: bytes, secret: str = SECRET) -> str:
    """Return the signature of a body, in hex."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def new_body(size: int = 0) -> bytes:
    """Return a body that no other call returned, of at least this size."""
    head = f'{{"eventId":"{os.getpid()}-{next(_numbers)}","eventType":"Pass:Installed","passId":"p-1","note":"'
    return f'{head}{"x" * (size - len(head) - 2)}"}}'.encode()


def head_of(body: bytes, path: str = WEBHOOK, **headers: str) -> bytes:
    """Return the head of a request that is well signed, as it goes over the wire."""
    lines = {"Host": "receiver", "Content-Length": str(len(body)), "X-NEOSTORE-SIGNATURE": sign(body), **headers}
    return f"POST {path} HTTP/1.1\r\n".encode() + b"".join(f"{k}: {v}\r\n".encode() for k, v in lines.items()) + b"\r\n"


def _answer(response: http.client.HTTPResponse) -> Answer:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read().decode())


def read_answer(connection: socket.socket) -> Answer:
    """Read the whole answer to the one request under way on a connection."""
    with closing(http.client.HTTPResponse(connection, method="POST")) as response:
        response.begin()
        return _answer(response)


@dataclass
class RunningReceiver:
    """A `wallet-pipeline receive` with two signature secrets and a key, in a folder of its own."""

    process: subprocess.Popen[str]
    port: int
    folder: Path
    sockets: list[socket.socket] = field(default_factory=list)

    @property
    def inbox_file(self) -> Path:
        """Where it keeps what it accepts."""
        return self.folder / "data" / "inbox.sqlite"

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request on a connection of its own."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)) as connection:
            connection.request(method, path, body, dict(headers or {}))
            return _answer(connection.getresponse())

    def deliver(self, body: bytes, signature: str | None = None, **headers: str) -> Answer:
        """Send a webhook, well signed unless told otherwise."""
        given = sign(body) if signature is None else signature
        return self.send("POST", WEBHOOK, body, {"X-NEOSTORE-SIGNATURE": given, **headers})

    def get(self, path: str) -> Answer:
        """Read a page."""
        return self.send("GET", path)

    def connect(self, receive_buffer: int = 0) -> socket.socket:
        """Open a connection for bytes as they are."""
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(TIMEOUT_S)
        connection.connect(("127.0.0.1", self.port))
        self.sockets.append(connection)
        return connection

    def kept(self) -> list[Delivery]:
        """Return all deliveries in the inbox."""
        return read_deliveries(self.inbox_file, 0, 10**9)

    def bodies(self) -> set[bytes]:
        """Return the bodies in the inbox."""
        return {delivery.body for delivery in self.kept()}

    def metric(self, name: str, **labels: str) -> float:
        """Return a figure of the page /metrics; 0 where there is none."""
        families = text_string_to_metric_families(self.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples]
        found = [one.value for one in samples if one.name == f"wallet_receiver_{name}" and one.labels == labels]
        return found[0] if found else 0.0

    def log(self) -> str:
        """Return what it logged."""
        return (self.folder / "log").read_text()

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        """Tell it to stop and return its exit status."""
        self.process.send_signal(with_signal)
        return self.process.wait(TIMEOUT_S)


def command(*options: str) -> list[str]:
    """Return the command line of a receiver on a free port; later options win."""
    return [sys.executable, "-m", "wallet_pipeline.cli", "receive", "--port", "0", *options]


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """Return an environment with these settings only."""
    ours = {name.upper() for name in Settings.model_fields}
    clean = {name: value for name, value in os.environ.items() if name not in ours}
    return clean | {"DATA_DIR": str(folder / "data"), **settings}


@contextmanager
def running(folder: Path, wrapper: list[str] | None = None, **settings: str) -> Iterator[RunningReceiver]:
    """Start a receiver, wait until it says that it answers, and kill it at the end if it still runs."""
    chosen = {"WEBHOOK_SECRETS": f"{OLD_SECRET},{SECRET}", "CONNECTOR_KEY": KEY} | settings
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            [*(wrapper or []), *command()],
            cwd=folder,
            env=environment(folder, **chosen),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("receiving at http://127.0.0.1:"), (folder / "log").read_text()
        receiver = RunningReceiver(process, int(line.rpartition(":")[2]), folder)
        try:
            yield receiver
        finally:
            for connection in receiver.sockets:
                connection.close()
            process.kill()


@pytest.fixture(scope="module")
def shared_receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningReceiver]:
    """Give the receiver of all tests of a module that leave it as it is."""
    with running(tmp_path_factory.mktemp("receiver")) as receiver:
        yield receiver


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[RunningReceiver]:
    """Give a receiver that the test may spoil."""
    with running(tmp_path) as receiver:
        yield receiver


@contextmanager
def locked(inbox_file: Path) -> Iterator[None]:
    """Hold the inbox's write lock, as another program may."""
    with closing(sqlite3.connect(inbox_file, isolation_level=None)) as con:
        con.execute("BEGIN IMMEDIATE")
        yield
        con.execute("ROLLBACK")


def base64_of(signature: str) -> str:
    """Return a hex signature in Base64."""
    return base64.b64encode(bytes.fromhex(signature)).decode()
