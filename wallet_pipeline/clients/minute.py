"""Pacing by a number of calls a minute, as Insights allows them."""

import logging
import threading
import time
from collections import deque

from wallet_pipeline.clients.http import Answer, retry_after

log = logging.getLogger(__name__)

_TOO_MANY = 429
# Longer than a minute: on the way calls may come closer together.
_WINDOW = 61.0
_WORTH_TELLING = 5.0


class MinutePacer:
    """Lets no more than so many calls out in any minute, and pauses after a 429. Thread-safe."""

    def __init__(self, calls: int = 60, window: float = _WINDOW) -> None:
        self._calls = calls
        self._window = window
        self._lock = threading.Lock()
        self._sent: deque[float] = deque(maxlen=calls)

    def wait(self) -> None:
        """Return when the next call may be sent."""
        while (pause := self._take_slot()) > 0:
            if pause > _WORTH_TELLING:
                log.info("%d calls in a minute are the limit: waiting %.0f s", self._calls, pause)
            time.sleep(pause)

    def heed(self, answer: Answer) -> float | None:
        """Return the seconds to pause before a retry: as asked, and after a 429 that does not say a quarter minute."""
        asked = retry_after(answer)
        return self._window / 4 if asked is None and answer.status == _TOO_MANY else asked

    def _take_slot(self) -> float:
        with self._lock:
            now = time.monotonic()
            pause = self._sent[0] + self._window - now if len(self._sent) == self._calls else 0.0
            if pause <= 0:
                self._sent.append(now)
            return pause
