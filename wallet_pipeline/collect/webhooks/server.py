"""The receiver's process: its port, its signals, its end."""

import asyncio
import gc
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import uvicorn

from wallet_pipeline.collect.webhooks.inbox import Inbox
from wallet_pipeline.collect.webhooks.metrics import Metrics
from wallet_pipeline.collect.webhooks.protocol import LimitedProtocol
from wallet_pipeline.collect.webhooks.receiver import Receiver
from wallet_pipeline.collect.webhooks.writer import Writer
from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.settings import Settings

log = logging.getLogger(__name__)

# Longer than the idle connections of a proxy such as nginx live, so that none is closed under a delivery.
_IDLE_S = 75
# Longer than a request may take to come and then to be written.
_DRAIN_S = 25
_BACKLOG = 2048


class ListenError(ExplainedError):
    """The receiver cannot listen at an address; the message says why and what to do."""


def run_receiver(settings: Settings, host: str, port: int, say: Callable[[str], object]) -> None:
    """Receive deliveries until the process is told to stop by SIGTERM or SIGINT; say where, once it answers.

    Raises MissingSettingError, InboxError, ListenError.
    """
    metrics = Metrics()
    writer = Writer(settings.inbox_file, metrics.batch_size.observe)
    receiver = Receiver(settings, writer, metrics, clock=lambda: time.time_ns() // 1000)
    # What is wrong with the file is told better now than at the first delivery.
    Inbox(settings.inbox_file).close()
    with _listen(host, port) as listener:
        _Server(receiver, writer, metrics, say).run([listener])


class _Server(uvicorn.Server):
    def __init__(self, receiver: Receiver, writer: Writer, metrics: Metrics, say: Callable[[str], object]) -> None:
        config = uvicorn.Config(
            receiver,
            http=partial(LimitedProtocol, count_closed=metrics.count_closed),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            log_config=None,
            # A warning is what uvicorn makes of every request that is no HTTP: anybody could fill the log.
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_IDLE_S,
            timeout_graceful_shutdown=_DRAIN_S,
        )
        super().__init__(config)
        self._receiver = receiver
        self._writer = writer
        self._say = say

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._writer.start()
        # Else the collector would look at everything that was imported, again and again, while deliveries wait.
        gc.collect()
        gc.freeze()
        await super().startup(sockets)
        for listener in sockets or []:
            self._say(f"receiving at {_url(listener)}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        log.info("stopping: requests under way are still answered")
        await super().shutdown(sockets)
        await self._writer.stop()
        self._receiver.tell_refusals()
        log.info("stopped")

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at a signal without passing it on: a receiver that was told to stop and did has succeeded."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.handle_exit, number, None)
        yield


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = (error.strerror or str(error)).split(" (while")[0].lower()
    raise ListenError(
        f"The receiver cannot listen at {host}, port {port}: {reason}. If another receiver or program has the port, "
        "stop that one or choose another with --port; --host names an address of this machine."
    )


def _url(listener: socket.socket) -> str:
    host, port, *_ = listener.getsockname()
    return f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"
