"""Clients that are slow, large or many: they are cut off, and the others are served."""

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests.collect.webhooks.conftest import RunningReceiver, head_of, new_body, read_answer
from tests.waiting import wait_until

TIME_LIMIT_S = 10
LATE_S = 10
MOST_CONNECTIONS = 500


def say_nothing(_: socket.socket) -> None:
    """Connect and stay silent."""


def drip_head(connection: socket.socket) -> None:
    """Send a head that never ends, byte by byte."""
    connection.sendall(b"POST /webhooks/wallet-crew HTTP/1.1\r\nX-Slow: ")
    _drip(connection, b"x")


def drip_body(connection: socket.socket) -> None:
    """Send a body that never ends, byte by byte."""
    connection.sendall(head_of(b"x" * 1000))
    _drip(connection, b"x")


def drip_chunks(connection: socket.socket) -> None:
    """Send a body in chunks of one byte, without an end."""
    head = head_of(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    connection.sendall(head)
    _drip(connection, b"1\r\nx\r\n")


def drip_line_breaks(connection: socket.socket) -> None:
    """Send a whole delivery, and then the line breaks that may stand before a request, but no request."""
    assert _deliver_on(connection) == 200
    _drip(connection, b"\r\n")


def drip_second_head(connection: socket.socket) -> None:
    """Send a whole delivery, and then a head that never ends."""
    assert _deliver_on(connection) == 200
    drip_head(connection)


def drip_after_refusal(connection: socket.socket) -> None:
    """Send a body that was refused for its size, byte by byte."""
    connection.sendall(head_of(b"", **{"Content-Length": "1000000"}))
    assert read_answer(connection).status == 413
    _drip(connection, b"x")


def read_no_answers(connection: socket.socket) -> None:
    """Ask for page after page without reading one."""
    _drip(connection, b"GET /metrics HTTP/1.1\r\nHost: receiver\r\n\r\n" * 1000)


def _drip(connection: socket.socket, piece: bytes) -> None:
    give_up = time.monotonic() + TIME_LIMIT_S + LATE_S
    with suppress(OSError):
        while time.monotonic() < give_up:
            connection.sendall(piece)
            time.sleep(0.25)


SLOW = [
    say_nothing,
    drip_head,
    drip_body,
    drip_chunks,
    drip_line_breaks,
    drip_second_head,
    drip_after_refusal,
    read_no_answers,
]


@dataclass(frozen=True)
class Patience:
    """How many seconds the receiver bore with each slow client, and how it answered others meanwhile."""

    seconds: dict[str, float]
    others: set[int]
    idle: int
    counted: float


@pytest.fixture(scope="module")
def patience(shared_receiver: RunningReceiver) -> Patience:
    """Let all slow clients connect at once, and serve others until the last one was cut off."""

    def last(send: Callable[[socket.socket], None]) -> float:
        connection = shared_receiver.connect()
        connection.settimeout(TIME_LIMIT_S + LATE_S)
        began = time.monotonic()
        with suppress(OSError):
            send(connection)
            while connection.recv(1000):
                pass
        return time.monotonic() - began

    idle = shared_receiver.connect()
    assert _deliver_on(idle) == 200
    others = set()
    with ThreadPoolExecutor(len(SLOW)) as threads:
        slow = {send.__name__: threads.submit(last, send) for send in SLOW}
        while not all(one.done() for one in slow.values()):
            others.add(shared_receiver.deliver(new_body()).status)
            time.sleep(0.1)
    # Of many requests at once, unread for long on a busy machine, a part may look like a head that is too long.
    reasons = ("too_slow", "too_long_head")
    counted = sum(shared_receiver.metric("closed_connections_total", reason=one) for one in reasons)
    return Patience({name: one.result() for name, one in slow.items()}, others, _deliver_on(idle), counted)


def _deliver_on(connection: socket.socket) -> int:
    body = new_body()
    connection.sendall(head_of(body) + body)
    return read_answer(connection).status


@pytest.mark.parametrize("send", SLOW, ids=lambda send: send.__name__)
def test_slow_client_is_cut_off(patience: Patience, send: Callable[[socket.socket], None]) -> None:
    """A client that does not come to an end within 10 s is cut off, however it goes about it."""
    assert TIME_LIMIT_S - 0.5 < patience.seconds[send.__name__] < TIME_LIMIT_S + LATE_S


def test_slow_clients_are_counted(patience: Patience) -> None:
    """Each client that was cut off for its slowness is counted."""
    assert patience.counted == len(SLOW)


def test_others_are_served_meanwhile(patience: Patience) -> None:
    """Slow clients keep nobody else from being served."""
    assert patience.others == {200}


def test_idle_connection_stays_open(patience: Patience) -> None:
    """A kept-alive connection between two deliveries is no slow client."""
    assert patience.idle == 200


def test_head_that_is_too_long_is_refused(shared_receiver: RunningReceiver) -> None:
    """A head that goes on and on is answered 431 before it has cost much memory, though it came fast."""
    before = shared_receiver.metric("closed_connections_total", reason="too_long_head")
    connection = shared_receiver.connect()
    connection.sendall(b"POST /webhooks/wallet-crew HTTP/1.1\r\nX-Long: ")
    sent = 0
    with suppress(ConnectionError):
        while sent < 10 << 20:
            sent += connection.send(b"x" * 10_000)
    assert sent < 10 << 20
    assert shared_receiver.metric("closed_connections_total", reason="too_long_head") == before + 1


def test_too_many_headers_are_refused(shared_receiver: RunningReceiver) -> None:
    """A request with thousands of headers is answered 400."""
    body = new_body()
    connection = shared_receiver.connect()
    connection.sendall(head_of(body, **{f"X-{number}": "" for number in range(5000)}) + body)
    assert read_answer(connection).status == 400
    assert body not in shared_receiver.bodies()


def test_connections_are_limited(receiver: RunningReceiver) -> None:
    """One connection too many is answered 503 at once; when others end there is room again, and nothing broke."""
    connections = [receiver.connect() for _ in range(MOST_CONNECTIONS + 5)]
    answers = [read_answer(connection) for connection in connections[MOST_CONNECTIONS:]]
    assert {(one.status, one.headers["retry-after"]) for one in answers} == {(503, "5")}
    assert _deliver_on(connections[0]) == 200
    for connection in connections:
        connection.close()
    body = new_body()
    wait_until(lambda: receiver.deliver(body).status == 200)
    assert body in receiver.bodies()
    assert receiver.metric("closed_connections_total", reason="too_many") >= 5
