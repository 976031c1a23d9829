"""HTTP with the limits that uvicorn lacks: of the time and the size of a request's head, and of connections."""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_TIME_LIMIT_S = 10.0
_MOST_CONNECTIONS = 500
_BIGGEST_HEAD = 64 << 10
_MOST_HEADERS = 100

_LAST_WORDS = {
    "too_slow": b"408 Request Timeout",
    "too_long_head": b"431 Request Header Fields Too Large",
    "too_many": b"503 Service Unavailable\r\nretry-after: 5",
}


class LimitedProtocol(HttpToolsProtocol):
    """A connection, which is ended when its client breaks a limit; `count_closed` is told by which.

    A request must be there as a whole within 10 s, counted from its first byte, or for the first one from the
    connection; and a client that reads no answers is waited for as long.
    """

    def __init__(self, *arguments: Any, count_closed: Callable[[str], object], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._count_closed = count_closed
        self._in_head = False
        self._head_bytes = 0
        self._request_since: float | None = None
        self._unread_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to count, or end the connection when it is one too many."""
        super().connection_made(transport)
        self._request_since = self.loop.time()
        self._timer = self.loop.call_later(_TIME_LIMIT_S, self._check_time)
        if len(self.connections) > _MOST_CONNECTIONS:
            self._end("too_many")

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to count."""
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, unless the head of a request becomes too long."""
        if self._request_since is None:
            self._request_since = self.loop.time()
        was_in_head = self._in_head
        super().data_received(data)
        # The piece in which a head begins is not counted: another request's body may stand before it.
        if was_in_head and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > _BIGGEST_HEAD:
                self._end("too_long_head")

    def on_message_begin(self) -> None:
        """Begin with a request."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        if self._request_since is None:
            self._request_since = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; the parser answers an exception with 400."""
        if len(self.headers) >= _MOST_HEADERS:
            raise ValueError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin with the body; the parser answers an exception with 400."""
        self._in_head = False
        # The parser would take the body for the other protocol, and the delivery for an empty one.
        if self.parser.should_upgrade():
            raise ValueError("no other protocol is spoken here")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Be content: the request is there."""
        self._request_since = None
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, and end the connection."""
        self._count_closed("malformed")
        super().send_400_response(msg)

    def pause_writing(self) -> None:
        """Begin to count how long the client does not read."""
        self._unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Be content: the client reads."""
        self._unread_since = None
        super().resume_writing()

    def _check_time(self) -> None:
        now = self.loop.time()
        since = min((one for one in (self._request_since, self._unread_since) if one is not None), default=now)
        if now >= since + _TIME_LIMIT_S:
            self._end("too_slow")
        else:
            self._timer = self.loop.call_at(since + _TIME_LIMIT_S, self._check_time)

    def _end(self, reason: str) -> None:
        if self.transport.is_closing():
            return
        self._count_closed(reason)
        if self._unread_since is not None:
            self.transport.abort()
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            head = b"HTTP/1.1 %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(head % _LAST_WORDS[reason])
        self.transport.close()
