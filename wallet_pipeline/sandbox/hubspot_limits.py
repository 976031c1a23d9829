"""The CRM's request limits: a rolling window for each app and a day for the whole account."""

import time
from collections import deque

from wallet_pipeline.sandbox.hubspot_errors import RateLimitError
from wallet_pipeline.sandbox.hubspot_settings import Settings

_DAY_S = 86_400


class Limits:
    """Counts requests against the limits that the settings hold at that moment."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._windows: dict[str, deque[float]] = {}
        self._day = 0
        self._used_today = 0

    def count(self, app_id: str) -> None:
        """Count a request, or raise RateLimitError."""
        window = self._window(app_id)
        policy = self._exceeded(window)
        if policy is None or self._settings.rate_count_rejected:
            window.append(time.monotonic())
            self._used_today += 1
        if policy:
            raise RateLimitError(policy)

    def headers(self, app_id: str) -> dict[str, str]:
        """Return what answers tell about the limits."""
        settings = self._settings
        if not settings.rate_headers:
            return {}
        return {
            "X-HubSpot-RateLimit-Daily": str(settings.rate_limit_daily),
            "X-HubSpot-RateLimit-Daily-Remaining": str(max(0, settings.rate_limit_daily - self._used_today)),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(settings.rate_window_ms),
            "X-HubSpot-RateLimit-Max": str(settings.rate_limit),
            "X-HubSpot-RateLimit-Remaining": str(max(0, settings.rate_limit - len(self._window(app_id)))),
        }

    def _exceeded(self, window: deque[float]) -> str | None:
        today = int(time.time() // _DAY_S)
        if today != self._day:
            self._day, self._used_today = today, 0
        if self._used_today >= self._settings.rate_limit_daily:
            return "DAILY"
        return "TEN_SECONDLY_ROLLING" if len(window) >= self._settings.rate_limit else None

    def _window(self, app_id: str) -> deque[float]:
        window = self._windows.setdefault(app_id, deque())
        oldest = time.monotonic() - self._settings.rate_window_ms / 1000
        while window and window[0] <= oldest:
            window.popleft()
        return window
