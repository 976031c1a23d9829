"""A run of the sync in a process of its own, for those who kill it."""

import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tests.sync.conftest import RULES, SYNC_TOKEN, Account
from wallet_pipeline.sync.lane import Lane
from wallet_pipeline.warehouse.connection import connect

_ROOT = Path(__file__).parent.parent.parent
_TIMEOUT_S = 60


class Sender:
    """A process that is ready to plan and send once."""

    def __init__(self, account: Account, folder: Path) -> None:
        command = [sys.executable, "-m", "tests.sync.sender", account.url, str(folder)]
        self._process = subprocess.Popen(
            command, cwd=_ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def begin(self) -> None:
        """Let it plan and send."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def kill(self) -> bool:
        """Kill it as a power cut would, and return whether it was done before."""
        self._process.kill()
        return self._process.communicate(timeout=_TIMEOUT_S)[0] == "done\n"


def main() -> None:
    """Plan and send when told to."""
    url, folder = sys.argv[1], Path(sys.argv[2])
    account = Account(url)
    destination = account.destination(SYNC_TOKEN)
    open_warehouse = partial(connect, folder / "warehouse.duckdb", 10)
    _say("ready")
    sys.stdin.readline()
    lane = Lane(open_warehouse, destination, folder / "staging", RULES, partial(datetime.now, UTC))
    lane.plan("all")
    lane.name_authors("all")
    lane.deliver("all")
    _say("done")


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
