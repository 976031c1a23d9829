"""Pacing by HubSpot's rate-limit headers: spread over the window, with a share left to the account's other apps."""

import math
import random
import threading
import time
from collections import deque
from dataclasses import dataclass

from wallet_pipeline.clients.http import Answer, QuotaError, number_in, retry_after

# What the smallest account may send, assumed until an answer says otherwise.
_ASSUMED_MAX, _ASSUMED_WINDOW = 100, 10.0
_LOCKED, _TOO_MANY, _MOVING = 423, 429, 477
_FIRST_ERROR = 400
_LOCK_LASTS = 2.0
_LONGEST_WAIT = 600.0
# Share of a window that may be caught up at once after a pause.
_CATCH_UP = 0.5


@dataclass(frozen=True)
class RateLimits:
    """How many requests one app may send in `window` seconds and, where answers tell it, in the account's day.

    `per_window` and `left_today` are less the share for other apps; `limit` and `per_day` are as the answers tell them.
    """

    per_window: int
    limit: int | None
    window: float
    per_day: int | None
    left_today: int | None


class HubSpotPacer:
    """Lets no more than the limits less the reserve out, in any window and on any day. Thread-safe; one per token."""

    def __init__(
        self, reserve: float = 0.1, longest_wait: float = _LONGEST_WAIT, lock_lasts: float = _LOCK_LASTS
    ) -> None:
        self._lock_lasts = lock_lasts
        self._reserve = reserve
        self._longest_wait = longest_wait
        self._lock = threading.Lock()
        self._sent: deque[float] = deque()
        self._max, self._window = _ASSUMED_MAX, _ASSUMED_WINDOW
        self._foreign, self._foreign_until = 0, 0.0
        self._paced_until = 0.0
        self._closed_until = 0.0
        self._limit: int | None = None
        self._per_day: int | None = None
        self._left_today: int | None = None
        self._requests = 0
        self._errors = 0

    @property
    def requests(self) -> int:
        """Number of requests let out so far, retries included."""
        return self._requests

    @property
    def errors(self) -> int:
        """Number of answers so far with a status of 400 or above."""
        return self._errors

    @property
    def rate_limits(self) -> RateLimits:
        """What may be sent, as far as it is known by now."""
        with self._lock:
            may_send = self._budget(time.monotonic())
            return RateLimits(may_send, self._limit, self._window, self._per_day, self._left_today)

    def wait(self) -> None:
        """Return when the next request may be sent. Raises QuotaError when the rest of the day is for other apps."""
        while (pause := self._take_slot()) > 0:
            time.sleep(pause)

    def heed(self, answer: Answer) -> float | None:
        """Learn the limits from an answer; return the seconds to pause before a retry. Raises QuotaError."""
        with self._lock:
            self._learn(answer)
            self._errors += answer.status >= _FIRST_ERROR
        if answer.status == _LOCKED:
            return max(self._lock_lasts, self._asked(answer) or 0.0)
        if answer.status == _MOVING:
            raise QuotaError(
                "HubSpot is moving this account to another data centre (477) and asks to come back"
                f" {_in_seconds(answer)}. What is not yet sent stays planned: run again then."
            )
        if answer.status == _TOO_MANY:
            return self._close(answer)
        return retry_after(answer)

    def _take_slot(self) -> float:
        """Count a request when one may go out now and return 0, or return the seconds to wait before asking again."""
        with self._lock:
            if self._left_today is not None and self._left_today <= 0:
                raise QuotaError(
                    f"The rest of HubSpot's requests of this day, {self._reserve:.0%} of them, is left to the account's"
                    " other apps (HUBSPOT_RESERVE). What is not yet sent stays planned: run again after midnight in the"
                    " account's time zone."
                )
            now = time.monotonic()
            while self._sent and self._sent[0] <= now - self._window:
                self._sent.popleft()
            pause = self._due(now) - now
            if pause <= 0:
                self._sent.append(now)
                self._paced_until = self._next_in_pace(now)
                self._requests += 1
            return pause

    def _due(self, now: float) -> float:
        """Return when the next request may go out: in pace, and never more than the budget in any window."""
        budget = self._budget(now)
        due = max(self._closed_until, self._next_in_pace(now))
        if len(self._sent) >= budget:
            due = max(due, self._sent[-budget] + self._window)
        return due

    def _next_in_pace(self, now: float) -> float:
        """Return the next moment of an even pace. Who fell behind, or begins, may catch up a part of a window."""
        return max(self._paced_until, now - self._window * _CATCH_UP) + self._window / self._budget(now)

    def _budget(self, now: float) -> int:
        foreign = self._foreign if now < self._foreign_until else 0
        return max(1, self._max - max(math.ceil(self._max * self._reserve), foreign))

    def _learn(self, answer: Answer) -> None:
        limit, remaining, window, daily, left = (
            number_in(answer, f"X-HubSpot-RateLimit-{name}")
            for name in ("Max", "Remaining", "Interval-Milliseconds", "Daily", "Daily-Remaining")
        )
        # A window longer than any call may wait is none: nobody would wait for it to end.
        if window and window / 1000 <= self._longest_wait:
            self._window = window / 1000
        if limit:
            self._max = self._limit = limit
        if limit and remaining is not None:
            self._foreign = max(0, limit - remaining - len(self._sent))
            self._foreign_until = time.monotonic() + self._window
        if daily is not None and left is not None:
            for_others = math.ceil(daily * self._reserve)
            self._per_day, self._left_today = daily, left - for_others

    def _close(self, answer: Answer) -> float:
        """Hold all requests back until the window is over. Raises QuotaError when that is too long."""
        if (answer.json_object() or {}).get("policyName") == "DAILY":
            raise QuotaError(
                "HubSpot's requests of this day are used up (429, DAILY), by all apps of the account together. What is"
                " not yet sent stays planned: run again after midnight in the account's time zone."
            )
        asked = self._asked(answer)
        pause = self._window * (1 + random.random() / 10) if asked is None else asked  # noqa: S311  jitter
        with self._lock:
            self._closed_until = max(self._closed_until, time.monotonic() + pause)
        return pause

    def _asked(self, answer: Answer) -> float | None:
        """Return the seconds that the answer asks to wait, if it does. Raises QuotaError for too many."""
        asked = _finite(retry_after(answer))
        if asked is not None and asked > self._longest_wait:
            raise QuotaError(
                f"HubSpot asks to wait {asked:.0f} s ({answer.status}), longer than a request may take. What is not yet"
                " sent stays planned: run again then."
            )
        return asked


def _finite(seconds: float | None) -> float | None:
    return seconds if seconds is not None and math.isfinite(seconds) else None


def _in_seconds(answer: Answer) -> str:
    asked = _finite(retry_after(answer))
    return "later" if asked is None else f"in {asked:.0f} s"
