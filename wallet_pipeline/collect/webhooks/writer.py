"""Deliveries go to the disk in groups: one thread takes all that wait, commits them together, and they are answered."""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from wallet_pipeline.collect.webhooks.inbox import Inbox, NewDelivery

log = logging.getLogger(__name__)

_MOST_WAITING_BYTES = 32 << 20


class NotWrittenError(Exception):
    """A delivery is not in the inbox, as far as we know; the text says why."""


class Waiting(NamedTuple):
    """A delivery that waits for its commit; without one, a question whether a commit would succeed."""

    delivery: NewDelivery | None
    answer: asyncio.Future[bool]


class Writer:
    """Writes deliveries into the inbox. Its methods belong to the event loop in which `start` was called."""

    def __init__(self, inbox_file: Path, count_batch: Callable[[int], object]) -> None:
        self._file = inbox_file
        self._count_batch = count_batch
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._inbox: Inbox | None = None
        self._trouble: str | None = None
        self._thread = threading.Thread(target=self._run, name="inbox-writer")

    def start(self) -> None:
        """Begin to write."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Write what waits, and close the inbox."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    async def keep(self, delivery: NewDelivery) -> bool:
        """Return when the delivery is on the disk, with whether its body was there before; raises NotWrittenError."""
        size = len(delivery.body)
        if self._waiting_bytes + size > _MOST_WAITING_BYTES:
            raise NotWrittenError("too many deliveries wait for the disk")
        self._waiting_bytes += size
        try:
            return await self._enqueue(delivery)
        finally:
            self._waiting_bytes -= size

    async def try_to_write(self) -> None:
        """Return when something was written to the inbox; raises NotWrittenError."""
        await self._enqueue(None)

    async def _enqueue(self, delivery: NewDelivery | None) -> bool:
        answer: asyncio.Future[bool] = self._loop.create_future()
        self._queue.put(Waiting(delivery, answer))
        return await answer

    def _run(self) -> None:
        stopping = False
        while not stopping:
            taken = self._take()
            stopping = None in taken
            batch = [waiting for waiting in taken if waiting]
            result = self._try([waiting.delivery for waiting in batch if waiting.delivery]) if batch else []
            # The loop is gone when the process was told twice to stop.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._answer, batch, result)
        self._close()

    def _take(self) -> list[Waiting | None]:
        """Wait until something waits, and return all that does; None in it says that it is time to stop."""
        taken = [self._queue.get()]
        while not self._queue.empty():
            taken.append(self._queue.get())
        return taken

    def _try(self, deliveries: Sequence[NewDelivery]) -> list[bool] | str:
        """Return which deliveries were known, or why they could not be written."""
        try:
            known = self._write(deliveries)
        except Exception as error:  # noqa: BLE001  a writer that ends would leave every request without an answer
            self._report(str(error))
            # Whatever it was: the file opened anew is the best chance of the next batch.
            self._close()
            return str(error)
        self._report(None)
        return known

    def _write(self, deliveries: Sequence[NewDelivery]) -> list[bool]:
        self._inbox = self._inbox or Inbox(self._file)
        if deliveries:
            return self._inbox.append(deliveries)
        self._inbox.try_to_write()
        return []

    def _report(self, trouble: str | None) -> None:
        """Log when the inbox can no longer be written, for which reason, and when it can again."""
        if trouble and trouble != self._trouble:
            log.error("deliveries are refused with 503, since none can be written: %s", trouble)
        elif self._trouble and not trouble:
            log.warning("the inbox can be written again")
        self._trouble = trouble

    def _close(self) -> None:
        if self._inbox:
            with suppress(sqlite3.Error):
                self._inbox.close()
        self._inbox = None

    def _answer(self, batch: Sequence[Waiting], result: list[bool] | str) -> None:
        if isinstance(result, str):
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(NotWrittenError(result))
            return
        if result:
            self._count_batch(len(result))
        known = iter(result)
        for waiting in batch:
            was_known = next(known) if waiting.delivery else False
            if not waiting.answer.done():
                waiting.answer.set_result(was_known)
