"""A command in a process of its own, and what it took."""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_LOOK_EVERY_S = 0.05
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


@dataclass(frozen=True)
class Spent:
    """What a process took: seconds by the clock and of a processor, its peak memory; and what it printed."""

    seconds: float
    processor_s: float
    peak_mb: float
    output: str


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> Spent:
    """Run a command to its end, whatever that is, and return what it took. Works on Linux."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output)
        peak_kb, ended, status, usage = 0, 0, 0, None
        while not ended:
            # Not ru_maxrss: that begins with what the process that started it had at its peak.
            peak_kb = max(peak_kb, _peak_kb(process.pid))
            time.sleep(_LOOK_EVERY_S)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read().decode()
    return Spent(seconds, usage.ru_utime + usage.ru_stime, peak_kb / 1024, printed)


def _peak_kb(pid: int) -> int:
    with suppress(OSError):
        if found := _PEAK.search(Path(f"/proc/{pid}/status").read_text()):
            return int(found[1])
    return 0
