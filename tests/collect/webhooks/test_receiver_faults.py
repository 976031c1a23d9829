"""The receiver when its disk, its file or its process fails: what was answered 2xx is kept, and it goes on."""

import http.client
import os
import random
import resource
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.collect.webhooks.conftest import (
    TIMEOUT_S,
    WEBHOOK,
    Answer,
    RunningReceiver,
    head_of,
    locked,
    new_body,
    read_answer,
    running,
    sign,
)
from tests.waiting import wait_until

KILLS = int(os.environ.get("RECEIVER_KILLS", "3"))
SENDERS = 8
LOCK_WAIT_S = 3
DISK_LIMIT = 1 << 20


def test_locked_inbox_is_answered_503_until_it_is_free(receiver: RunningReceiver) -> None:
    """While another process holds the inbox's lock, deliveries and /healthz get 503; then they are accepted again."""
    refused, kept = new_body(), new_body()
    with locked(receiver.inbox_file), ThreadPoolExecutor(2) as threads:
        health = threads.submit(receiver.get, "/healthz")
        answer = receiver.deliver(refused)
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert (health.result().status, "locked" in health.result().text) == (503, True)
    assert receiver.deliver(kept).status == 200
    assert receiver.get("/healthz").status == 200
    assert receiver.bodies() == {kept}
    assert receiver.metric("received_total", source="webhook", outcome="not_written") == 1
    assert receiver.log().count("deliveries are refused with 503, since none can be written: database is locked") == 1
    assert receiver.log().count("the inbox can be written again") == 1


def test_full_queue_is_answered_503_at_once(receiver: RunningReceiver) -> None:
    """When too much waits for the disk, more is answered 503 without waiting, and nothing that was refused is kept."""
    body, kept = new_body(250_000), new_body()

    def deliver(_: int) -> tuple[Answer, float]:
        began = time.monotonic()
        return receiver.deliver(body), time.monotonic() - began

    with locked(receiver.inbox_file), ThreadPoolExecutor(160) as threads:
        answers = list(threads.map(deliver, range(160)))
    assert {answer.status for answer, _ in answers} == {503}
    assert {answer.headers["retry-after"] for answer, _ in answers} == {"5"}
    assert min(seconds for _, seconds in answers) < LOCK_WAIT_S
    assert receiver.deliver(kept).status == 200
    assert receiver.bodies() == {kept}


def test_full_disk_is_answered_503_until_there_is_room(tmp_path: Path) -> None:
    """When the file cannot grow, deliveries get 503; what was accepted before and after is kept."""
    limited = f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({DISK_LIMIT}, -1)); "
    wrapper = [sys.executable, "-c", limited + "os.execv(sys.argv[1], sys.argv[1:])"]
    with running(tmp_path, wrapper) as receiver:
        sent = [new_body(size) for size in (100_000,) * 15 + (1000,) * 50]
        statuses = [receiver.deliver(body).status for body in sent]
        assert {200, 503} == set(statuses)
        assert receiver.process.poll() is None
        resource.prlimit(receiver.process.pid, resource.RLIMIT_FSIZE, (-1, -1))
        later = new_body()
        assert receiver.deliver(later).status == 200
        assert receiver.get("/healthz").status == 200
        accepted = {body for body, status in zip(sent, statuses, strict=True) if status == 200}
        assert receiver.bodies() == accepted | {later}


def delete_file(receiver: RunningReceiver) -> None:
    """Delete the inbox."""
    receiver.inbox_file.unlink()


def delete_folder(receiver: RunningReceiver) -> None:
    """Delete the data folder."""
    shutil.rmtree(receiver.inbox_file.parent)


def delete_log(receiver: RunningReceiver) -> None:
    """Delete the write-ahead log of the inbox."""
    receiver.inbox_file.with_name("inbox.sqlite-wal").unlink()


@pytest.mark.parametrize("spoil", [delete_file, delete_folder, delete_log])
def test_deleted_inbox_is_noticed_and_begun_anew(
    receiver: RunningReceiver, spoil: Callable[[RunningReceiver], None]
) -> None:
    """When the inbox is deleted under the receiver nothing is answered 200 that is not in the new one."""
    before = new_body()
    assert receiver.deliver(before).status == 200
    spoil(receiver)
    sent = [new_body() for _ in range(3)]
    statuses = [receiver.deliver(body).status for body in sent]
    assert statuses == [503, 200, 200]
    assert receiver.bodies() - {before} == set(sent[1:])
    assert "was deleted or replaced while it was in use" in receiver.log()


def test_two_receivers_share_an_inbox(receiver: RunningReceiver) -> None:
    """A second receiver on the same file loses and breaks nothing, nor does its end."""
    sent = [new_body() for _ in range(200)]
    with running(receiver.folder) as second, ThreadPoolExecutor(8) as threads:
        both = [receiver, second] * 100
        statuses = list(threads.map(lambda one, body: one.deliver(body).status, both, sent))
        assert second.stop() == 0
    last = new_body()
    assert [*statuses, receiver.deliver(last).status] == [200] * 201
    assert receiver.bodies() == {*sent, last}
    ids = [one.delivery_id for one in receiver.kept()]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
def test_stop_answers_what_is_under_way(receiver: RunningReceiver, stop_signal: int) -> None:
    """After a stop signal new connections are refused, a request under way gets its 200, and the file is closed."""
    body = new_body()
    connection, idle = receiver.connect(), receiver.connect()
    connection.sendall(head_of(body) + body[:10])
    # Answered later than the bytes above were sent, so the receiver has them.
    assert receiver.get("/healthz").status == 200
    receiver.process.send_signal(stop_signal)
    wait_until(lambda: not _answers(receiver.port))
    assert idle.recv(1) == b""
    connection.sendall(body[10:])
    answer = read_answer(connection)
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert receiver.process.wait(TIMEOUT_S) == 0
    assert [file.name for file in receiver.inbox_file.parent.iterdir()] == ["inbox.sqlite"]
    assert receiver.bodies() == {body}


def _answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def deliver_until_it_ends(port: int) -> list[bytes]:
    """Deliver one body after the other on a kept-alive connection, until it breaks; return those answered 200."""
    accepted = []
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)) as connection:
        try:
            while True:
                body = new_body(random.choice([0, 5000]))  # noqa: S311  any mixture will do
                connection.request("POST", WEBHOOK, body, {"X-NEOSTORE-SIGNATURE": sign(body)})
                response = connection.getresponse()
                if response.status == 200:
                    accepted.append(body)
                response.read()
        except (OSError, http.client.HTTPException):
            return accepted


def _end_under_load(folder: Path, end: Callable[[RunningReceiver], None]) -> list[bytes]:
    """Let the receiver come to an end at a random moment under load; return what it answered 200."""
    with running(folder) as receiver, ThreadPoolExecutor(SENDERS) as threads:
        sending = [threads.submit(deliver_until_it_ends, receiver.port) for _ in range(SENDERS)]
        time.sleep(random.uniform(0.05, 0.8))  # noqa: S311  the moment is the test
        end(receiver)
        return [body for one in sending for body in one.result()]


def _kill(receiver: RunningReceiver) -> None:
    receiver.process.kill()
    receiver.process.wait(TIMEOUT_S)


def test_kill_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    """However often the receiver is killed under load, every delivery that it answered 200 is in the inbox."""
    accepted: set[bytes] = set()
    for _ in range(KILLS):
        new = _end_under_load(tmp_path, _kill)
        assert new
        accepted.update(new)
    with running(tmp_path) as receiver:
        assert accepted - receiver.bodies() == set()
        assert receiver.deliver(new_body()).status == 200


def test_stop_under_load_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    """A stop signal under load ends with status 0, and every delivery that was answered 200 is in the inbox."""

    def stop(receiver: RunningReceiver) -> None:
        assert receiver.stop() == 0

    accepted = _end_under_load(tmp_path, stop)
    assert accepted
    with running(tmp_path) as receiver:
        assert set(accepted) - receiver.bodies() == set()
