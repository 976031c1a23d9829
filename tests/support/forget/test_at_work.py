"""Forgetting while the receiver receives and runs take over."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from tests.collect.webhooks.conftest import RunningReceiver, running
from tests.conftest import Script
from tests.waiting import wait_until

from .conftest import ANNA, Installation, told

# Shorter would be one statement after the other.
RUNS = """
    import sys, threading
    from pathlib import Path
    from wallet_pipeline.collect.wallet_events import take_events
    from wallet_pipeline.collect.webhooks.understanding import EventMapping
    from wallet_pipeline.settings import Settings
    from wallet_pipeline.warehouse.connection import connect

    settings = Settings()
    mapping = EventMapping.from_settings(settings)
    stopped = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stopped.set())).start()
    print("ready", flush=True)
    while not stopped.wait(0.01):
        take_events(lambda: connect(settings.warehouse_file, 60), settings.inbox_file, mapping)
"""


@contextmanager
def delivering(receiver: RunningReceiver) -> Iterator[list[str]]:
    """Let events about Anna and Dora come in, in turns, and yield the ids of Dora's as they are accepted."""
    accepted: list[str] = []
    stopped = threading.Event()

    def deliver() -> None:
        for number in count(1000):
            if stopped.is_set():
                return
            for pass_id in ("anna-pass-1", "dora-pass-1"):
                body = told(number, pass_id)
                if receiver.deliver(json.dumps(body).encode()).status == 200 and pass_id == "dora-pass-1":
                    accepted.append(body["eventId"])

    thread = threading.Thread(target=deliver)
    thread.start()
    try:
        yield accepted
    finally:
        stopped.set()
        thread.join()


def test_receiver_and_runs_go_on_meanwhile(home: Installation, start_script: Callable[[str], Script]) -> None:
    """No accepted delivery of others is lost, none of hers is kept, and nobody loses the files."""
    with running(home.folder) as receiver:
        runs = start_script(RUNS)
        runs.wait_for("ready")
        with delivering(receiver) as accepted:
            wait_until(lambda: len(accepted) >= 5)
            home.forgetting().remove(ANNA, clear_crm=False)
            at_the_end = len(accepted)
        printed, errors = runs.process.communicate("stop\n", timeout=60)
        assert (runs.process.returncode, printed, errors) == (0, "", "")
        assert receiver.get("/healthz").status == 200
    home.derive()
    taken = {
        event_id for (event_id,) in home.rows("SELECT event_id FROM raw.wallet_events WHERE pass_id = 'dora-pass-1'")
    }
    assert at_the_end > 5
    assert set(accepted) - taken == set()
    assert (home.found_in(), home.files_with()) == (set(), set())
