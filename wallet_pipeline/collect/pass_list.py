"""Reading the whole list of passes from the Pass API, page by page, until it stands still."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta

from wallet_pipeline.clients.wallet_crew import PassPage, WalletCrew
from wallet_pipeline.collect.page_loader import PageLoader, SnapshotError

log = logging.getLogger(__name__)

CLOCK_TOLERANCE = timedelta(minutes=5)
READINGS = 3
_SECONDS_BETWEEN_REPORTS = 5.0
# Pages that are loaded by one statement: a statement a page takes twice as long.
_PAGES_AT_ONCE = 8


@dataclass
class Reading:
    """One reading of the whole list."""

    started_at: datetime
    clock: str
    our_start: datetime
    pages: int = 0
    passes: int = 0
    highest_total: int = 0


def read_until_it_stands_still(
    client: WalletCrew, loader: PageLoader, page_size: int, concurrency: int, clock: Callable[[], datetime]
) -> tuple[Reading, int, int]:
    """Read the list again, a bounded number of times, while passes slip through because it moves."""
    for attempt in range(1, READINGS + 1):
        loader.clear()
        reading = _read_all(client, loader, page_size, concurrency, clock)
        distinct = loader.distinct_passes()
        if distinct >= reading.highest_total:
            break
        log.warning(
            "reading %d of %d: %d different passes of %d; the list moved while it was read",
            attempt, READINGS, distinct, reading.highest_total,
        )  # fmt: skip
    loader.check()
    return reading, attempt, distinct


def _read_all(
    client: WalletCrew, loader: PageLoader, page_size: int, concurrency: int, clock: Callable[[], datetime]
) -> Reading:
    our_start = clock()
    first = client.read_passes(0, page_size)
    if first.total is None:
        raise SnapshotError(
            "The Wallet Crew did not say how many passes there are (header x-pagination-total), so nobody can tell"
            " whether the list is complete. Nothing was taken over; if a proxy stands between, let the header through."
        )
    reading = Reading(*_start_of(first, our_start), our_start)
    progress = _Progress()
    size = _take(reading, loader, [first], progress)
    if size:
        _read_planned(client, loader, reading, size, concurrency, progress)
        _read_beyond(client, loader, reading, size, progress)
    return reading


def _start_of(first: PassPage, our_start: datetime) -> tuple[datetime, str]:
    server = first.server_time
    if server is not None and abs(server - our_start) <= CLOCK_TOLERANCE:
        return server, "server"
    log.warning("the server's clock is missing or more than 5 minutes from ours (%s): our own counts", server)
    return our_start, "own"


def _take(reading: Reading, loader: PageLoader, pages: list[PassPage], progress: "_Progress") -> int:
    count = loader.load({page.index: page.body for page in pages})
    reading.pages += len(pages)
    reading.passes += count
    reading.highest_total = max(reading.highest_total, *(page.total or 0 for page in pages))
    progress.report(reading)
    return count


def _read_planned(
    client: WalletCrew, loader: PageLoader, reading: Reading, size: int, concurrency: int, progress: "_Progress"
) -> None:
    """Read the pages that the total announces, `concurrency` at a time; a total that grows announces more."""
    index = 1
    read: list[PassPage] = []
    running: set[Future[PassPage]] = set()
    with ThreadPoolExecutor(concurrency) as pool:
        try:
            while True:
                # A few more than can run at once, so that the readers have work while pages are being loaded.
                while len(running) < concurrency + _PAGES_AT_ONCE and index * size < reading.highest_total:
                    running.add(pool.submit(client.read_passes, index, size))
                    index += 1
                if read and (not running or len(read) >= _PAGES_AT_ONCE):
                    _take(reading, loader, read, progress)
                    read = []
                elif not running:
                    return
                else:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    read += [future.result() for future in done]
        finally:
            pool.shutdown(cancel_futures=True)


def _read_beyond(client: WalletCrew, loader: PageLoader, reading: Reading, size: int, progress: "_Progress") -> None:
    """Read on past the announced total while pages are full and bring new passes: the total may be too low."""
    known = loader.distinct_passes()
    while reading.passes >= reading.pages * size:
        _take(reading, loader, [client.read_passes(reading.pages, size)], progress)
        before, known = known, loader.distinct_passes()
        if known == before:
            return


class _Progress:
    """Says every few seconds how far the reading is."""

    def __init__(self) -> None:
        self._began = self._reported = time.monotonic()

    def report(self, reading: Reading) -> None:
        now = time.monotonic()
        if now - self._reported < _SECONDS_BETWEEN_REPORTS:
            return
        self._reported = now
        rate = reading.passes / (now - self._began)
        left = max(0, reading.highest_total - reading.passes) / rate if rate else 0
        log.info(
            "%d pages, %d of %d passes, %.0f passes/s, about %.0f s left",
            reading.pages, reading.passes, reading.highest_total, rate, left,
        )  # fmt: skip
