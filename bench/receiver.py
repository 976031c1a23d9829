"""The receiver against a rival that commits each delivery on its own: deliveries per second and time to the answer.

Both are the same application over real HTTP, on the same disk, in turns, so that a slow moment hits both. The load
comes from a process of its own over 64 kept-alive connections; each sends its next signed delivery when the last one
was answered.
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

import uvloop
from pydantic import SecretStr

from wallet_pipeline.collect.webhooks import server
from wallet_pipeline.collect.webhooks.writer import Waiting, Writer
from wallet_pipeline.settings import Settings

_SECRET = "a-secret-for-the-bench-only"  # noqa: S105  it signs nothing else
_CONNECTIONS = 64
_WARM_UP_S = 1.0
_MOST_A_SECOND = 12_000


class OneByOne(Writer):
    """The rival: a commit for each delivery."""

    def _take(self) -> list[Waiting | None]:
        return [self._queue.get()]


_WRITERS = {"group commit": Writer, "commit per request": OneByOne}


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", choices=_WRITERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--load", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        _serve(_WRITERS[options.serve], options.folder)
    elif options.load:
        print(json.dumps(_send_load(options.load, options.seconds)))
    else:
        print(json.dumps(_compare(options.seconds, options.rounds), indent=1))


def _serve(writer: type[Writer], folder: Path) -> None:
    server.Writer = writer  # type: ignore[attr-defined]
    # Given here, these settings win over .env and the environment: the bench must not fill a real inbox.
    settings = Settings(webhook_secrets=(SecretStr(_SECRET),), data_dir=folder)
    server.run_receiver(settings, "127.0.0.1", 0, lambda line: print(line, flush=True))


def _compare(seconds: float, rounds: int) -> dict[str, Any]:
    measured: dict[str, list[dict[str, float]]] = {kind: [] for kind in _WRITERS}
    for _ in range(rounds):
        for kind, results in measured.items():
            results.append(_measure(kind, seconds))
    figures = {kind: _medians(results) for kind, results in measured.items()}
    grouped, single = (figures[kind]["deliveries_per_second"] for kind in _WRITERS)
    return {"connections": _CONNECTIONS, **figures, "ratio": round(grouped / single, 2)}


def _medians(results: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(one[name] for one in results), 1) for name in results[0]}


def _measure(kind: str, seconds: float) -> dict[str, float]:
    # Not in the system's folder for temporary files: where that is no disk, a commit costs nothing.
    Path("data").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir="data") as folder:
        command = [sys.executable, "-m", "bench.receiver"]
        serve = [*command, "--serve", kind, "--folder", folder]
        with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as process:
            url = (process.stdout.readline() if process.stdout else "").split()[-1]
            load = [*command, "--load", url, "--seconds", str(seconds)]
            figures: dict[str, float] = json.loads(subprocess.run(load, capture_output=True, check=True).stdout)
            process.terminate()
        kept = _count(Path(folder) / "inbox.sqlite")
    answered = figures.pop("answered")
    if kept < answered:
        raise SystemExit(f"{answered:.0f} deliveries were answered with 200, but {kept} are in the inbox.")
    return figures


def _count(inbox_file: Path) -> int:
    with closing(sqlite3.connect(inbox_file)) as con:
        (count,) = con.execute("SELECT count(*) FROM deliveries").fetchone()
    return int(count)


def _send_load(url: str, seconds: float) -> dict[str, float]:
    """Send signed deliveries and return how many were answered, and the figures of those after the warm-up."""
    requests = iter([_request(number) for number in range(int((_WARM_UP_S + seconds) * _MOST_A_SECOND))])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answers = runner.run(_send(urlsplit(url), requests, _WARM_UP_S + seconds))
    times = sorted(took for since_start, took in answers if since_start >= _WARM_UP_S)
    return {
        "answered": len(answers),
        "deliveries_per_second": len(times) / seconds,
        "p50_milliseconds": times[len(times) // 2] * 1000,
        "p99_milliseconds": times[len(times) * 99 // 100] * 1000,
    }


def _request(number: int) -> bytes:
    event = {
        "eventId": f"{number:032x}",
        "eventType": "Pass:Installed",
        "timestamp": "2026-01-11T08:30:00.1234567Z",
        "passId": f"pass-{number:08}",
        "passType": "loyalty",
        "device": "apple",
        "identifiers": {"customerId": f"C-{number:08}", "email": f"customer-{number:08}@example.com"},
    }
    body = json.dumps(event, separators=(",", ":")).encode()
    signature = hmac.new(_SECRET.encode(), body, hashlib.sha256).hexdigest()
    head = (
        "POST /webhooks/wallet-crew HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"X-NEOSTORE-SIGNATURE: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _send(address: SplitResult, requests: Iterator[bytes], seconds: float) -> list[tuple[float, float]]:
    """Return for each delivery when it was answered, in seconds since the start, and how long that took."""
    answers: list[tuple[float, float]] = []
    start = time.perf_counter()
    loop = asyncio.get_running_loop()
    ends: list[asyncio.Future[None]] = []

    def client() -> _Client:
        ends.append(loop.create_future())
        return _Client(requests, answers, ends[-1], start, start + seconds)

    for _ in range(_CONNECTIONS):
        await loop.create_connection(client, address.hostname or "", address.port or 0)
    await asyncio.gather(*ends)
    return answers


class _Client(asyncio.Protocol):
    """A connection that sends one delivery after the other until it is time to stop."""

    def __init__(
        self,
        requests: Iterator[bytes],
        answers: list[tuple[float, float]],
        end: asyncio.Future[None],
        start: float,
        stop: float,
    ) -> None:
        self._requests = requests
        self._answers = answers
        self._end = end
        self._start = start
        self._stop = stop
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first delivery."""
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Note the answer, when it is whole, and send the next delivery."""
        self._answer += data
        if not self._answer.endswith(b"\r\n\r\naccepted\n"):
            return
        now = time.perf_counter()
        self._answers.append((now - self._start, now - self._sent))
        if now < self._stop:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail when the receiver ended the connection before it was time."""
        if time.perf_counter() >= self._stop:
            self._end.set_result(None)
        else:
            self._end.set_exception(exc or ConnectionError(f"the receiver answered {self._answer[:80]!r}"))

    def _send(self) -> None:
        self._answer = b""
        self._sent = time.perf_counter()
        self._transport.write(next(self._requests))


if __name__ == "__main__":
    main()
