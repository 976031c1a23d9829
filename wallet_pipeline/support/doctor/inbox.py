"""The inbox: does it open, how large is it, and is its log of writes cleared away."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

from wallet_pipeline.collect.webhooks.inbox import survey
from wallet_pipeline.support.doctor.finding import Finding, each, ok, warning
from wallet_pipeline.support.doctor.installation import Installation
from wallet_pipeline.support.doctor.words import size, when

# SQLite clears its log away every 4 MB or so.
_LARGEST_WAL = 64 * 2**20
_MICROSECONDS = 1_000_000


def examine_inbox(installation: Installation) -> Iterator[Finding]:
    """Yield what is to be said of the file that the receiver writes."""
    return each({"file": partial(_file, installation)})


def as_time(microseconds: int) -> datetime:
    """Return a time as the inbox keeps it, in microseconds since 1970, as an aware one, in UTC."""
    return datetime.fromtimestamp(microseconds / _MICROSECONDS, UTC)


def _file(installation: Installation) -> Iterator[Finding]:
    file = installation.settings.inbox_file
    if not file.exists():
        if not installation.is_real_time:
            yield ok(f"There is no inbox {file}: nothing was ever received, and nothing is expected.")
            return
        yield warning(
            f"There is no inbox {file}: nothing was ever received.",
            "Start `wallet-pipeline receive` in this folder, or put DATA_DIR right.",
        )
        return
    found = survey(file, after=0, limit=0)
    newest = when(as_time(found.newest)) if found.newest else "none"
    text = f"{file} opens: {size(found.size)}, and {size(found.wal_size)} in its log; newest delivery: {newest}."
    if found.wal_size <= _LARGEST_WAL:
        yield ok(text)
        return
    yield warning(
        f"{text} The log of SQLite is not cleared away.",
        "A program keeps the inbox open: close it. Else restart `wallet-pipeline receive`.",
    )
