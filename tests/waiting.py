"""Waiting for what another thread or process does."""

import time
from collections.abc import Callable

_LIMIT_S = 60.0


def wait_until(reached: Callable[[], bool], seconds: float = _LIMIT_S) -> None:
    """Return as soon as something has come to hold; fail when it has not within some seconds."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"it did not come to hold within {seconds:g} s"
        time.sleep(0.01)
