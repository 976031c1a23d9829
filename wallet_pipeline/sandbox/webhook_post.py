"""One POST to a webhook's endpoint: of the answer only its status counts."""

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})")
_GOODBYE_S = 1.0


async def post(url: str, headers: Mapping[str, str], body: bytes, answer_seconds: float) -> int | None:
    """Send the body and return the status of the answer; None when none came in time, or the connection broke."""
    try:
        async with asyncio.timeout(answer_seconds):
            return await _exchange(urlsplit(url), headers, body)
    except (OSError, ValueError):  # a late answer is an OSError, a host name or a line beyond all measure a ValueError
        return None


async def _exchange(url: SplitResult, headers: Mapping[str, str], body: bytes) -> int | None:
    tls = url.scheme == "https"
    reader, writer = await asyncio.open_connection(url.hostname, url.port or (443 if tls else 80), ssl=tls or None)
    try:
        writer.write(_head(url, {**headers, "Content-Length": str(len(body))}) + body)
        await writer.drain()
        found = _STATUS_LINE.match(await reader.readline())
        # To hang up while the other side still writes would spoil its last words.
        with suppress(OSError):
            async with asyncio.timeout(_GOODBYE_S):
                await reader.read()
        return int(found[1]) if found else None
    finally:
        writer.close()


def _head(url: SplitResult, headers: Mapping[str, str]) -> bytes:
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    fields = {"Host": url.netloc.rpartition("@")[2], "Connection": "close", **headers}
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii")
