"""The doctor's words for figures: spans, times, sizes and counts as people say them."""

from datetime import UTC, datetime, timedelta

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_UNITS = ((_DAY, "days", 2 * _DAY), (_HOUR, "h", _HOUR), (_MINUTE, "min", _MINUTE))
_SIZES = ((2**30, "GB"), (2**20, "MB"), (2**10, "kB"))


def age(span: timedelta) -> str:
    """Return a span as people say it: 40 s, 12 min, 9.2 h, 3.1 days."""
    for unit, name, least in _UNITS:
        if span >= least:
            return f"{span / unit:.{0 if unit == _MINUTE else 1}f} {name}"
    return f"{span.total_seconds():.0f} s"


def when(moment: datetime) -> str:
    """Return an aware time to the minute, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def size(number: int) -> str:
    """Return a number of bytes as people say it."""
    return next((f"{number / unit:.1f} {name}" for unit, name in _SIZES if number >= unit), f"{number} bytes")


def many(number: int, one: str, more: str = "") -> str:
    """Return a number with its noun; the plural has an s unless it is given."""
    return f"{number} {one if number == 1 else more or f'{one}s'}"
