"""Runs both stand-ins: `python -m wallet_pipeline.sandbox --state DIR`."""

import argparse
import asyncio
import json
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import uvicorn
from starlette.types import ASGIApp

from wallet_pipeline.sandbox import hubspot, hubspot_gate, hubspot_store, wallet_crew, wallet_crew_gate, world
from wallet_pipeline.sandbox.dated import Dated
from wallet_pipeline.sandbox.droppable import DroppableProtocol
from wallet_pipeline.sandbox.faults import Faults

HOST = "127.0.0.1"
_BIGGEST_SEED = 2**63 - 1
_BAD_START = 2
_INTERRUPTED = 130


class StartError(Exception):
    """The sandbox cannot start; the text says why and what to do."""


class _Server(uvicorn.Server):
    """One of two servers in a process; `ready` is set when it answers."""

    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(app, http=DroppableProtocol, ws="none", log_level="warning", access_log=False)
        # Else a fault that sets another date would send two.
        config.date_header = False
        config.timeout_graceful_shutdown = 1
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: they are to stop both servers."""
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        with ExitStack() as cleanup:
            sockets = [_listen(port, cleanup) for port in (options.wallet_crew_port, options.hubspot_port)]
            shown = _open_world(options.state, options.seed, options.passes)
            cleanup.enter_context(closing(shown))
            asyncio.run(_serve(options.state, shown, sockets))
    except StartError as error:
        print(f"sandbox: {error}", file=sys.stderr)  # noqa: T201
        return _BAD_START
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="wallet-pipeline sandbox", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="folder that keeps the world")
    parser.add_argument("--seed", type=_number(_BIGGEST_SEED), default=7, help="equal seeds give equal worlds (7)")
    parser.add_argument("--passes", type=_number(10**8), default=2000, help="listed passes of a new world (2000)")
    parser.add_argument("--wallet-crew-port", type=_number(65535), default=8471, help="0 for any free port (8471)")
    parser.add_argument("--hubspot-port", type=_number(65535), default=8472, help="0 for any free port (8472)")
    return parser


def _number(most: int) -> Any:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) > most:
            raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 0 to {most}")
        return int(text)

    return number


def _listen(port: int, cleanup: ExitStack) -> socket.socket:
    # Named TCP, so that asyncio turns off the delay of small writes: it costs 40 ms an answer.
    listener = cleanup.enter_context(socket.socket(proto=socket.IPPROTO_TCP))
    # A sandbox that was just stopped leaves connections behind that would hold the port for a minute.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        raise StartError(f"port {port} cannot be used ({error.strerror}); choose another one, or 0 for any") from error
    return listener


def _open_world(folder: Path, seed: int, passes: int) -> world.World:
    file = folder / "wallet_crew.duckdb"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            _create_world(folder, file, seed, passes)
        if not _crm_file(folder).exists():
            raise StartError(f"{folder} has lost its {_crm_file(folder).name}; delete the folder, or use another one")
        shown = world.World(file)
    except (OSError, duckdb.Error) as error:
        raise StartError(f"the folder {folder} cannot be used: {error}") from error
    if (shown.seed, shown.passes) != (seed, passes):
        shown.close()
        raise StartError(
            f"{folder} holds a world of seed {shown.seed} and {shown.passes} passes,"
            f" not of seed {seed} and {passes} passes; use another folder, or delete it"
        )
    return shown


def _create_world(folder: Path, file: Path, seed: int, passes: int) -> None:
    """Create both states. The world gets its name last: before that there is none, whatever an interruption left."""
    unfinished = folder / "wallet_crew.duckdb.tmp"
    for leftover in (unfinished, unfinished.with_name(f"{unfinished.name}.wal")):
        leftover.unlink(missing_ok=True)
    world.create(unfinished, seed, passes, datetime.now(UTC))
    hubspot_store.create_store(_crm_file(folder), world.contacts(unfinished))
    unfinished.replace(file)


def _crm_file(folder: Path) -> Path:
    return folder / "hubspot.sqlite"


async def _serve(folder: Path, shown: world.World, sockets: list[socket.socket]) -> None:
    apps: list[ASGIApp] = [
        wallet_crew.create_app(shown, Faults(shown.seed)),
        Dated(hubspot.create_app(_crm_file(folder), Faults(shown.seed)), partial(datetime.now, UTC)),
    ]
    servers = [_Server(app) for app in apps]
    _stop_on_signals(servers)
    running = [asyncio.create_task(server.serve([listener])) for server, listener in zip(servers, sockets, strict=True)]
    await asyncio.gather(*(server.ready.wait() for server in servers))
    _announce(folder, shown, [f"http://{HOST}:{listener.getsockname()[1]}" for listener in sockets])
    await asyncio.gather(*running)


def _stop_on_signals(servers: list[_Server]) -> None:
    def stop() -> None:
        for server in servers:
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)


def _announce(folder: Path, shown: world.World, urls: list[str]) -> None:
    facts = {
        "wallet_crew_url": urls[0],
        "hubspot_url": urls[1],
        "tenant_id": world.TENANT_ID,
        "api_key": wallet_crew_gate.FULL_KEY,
        "keys": wallet_crew_gate.KEYS,
        "access_token": hubspot_gate.FULL_TOKEN,
        "passes": shown.passes,
        "seed": shown.seed,
    }
    (folder / "sandbox.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(f"sandbox ready {json.dumps(facts)}", flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
