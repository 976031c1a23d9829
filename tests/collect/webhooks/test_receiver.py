"""What the receiver accepts and refuses, keeps and counts, over real HTTP."""

import gzip
import json
import re
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.collect.webhooks.conftest import (
    CONNECTOR,
    KEY,
    OLD_SECRET,
    SECRET,
    TIMEOUT_S,
    WEBHOOK,
    RunningReceiver,
    base64_of,
    command,
    environment,
    head_of,
    new_body,
    read_answer,
    running,
    sign,
)

BIGGEST = 256 << 10
BEARER = {"Authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize("write", [str, str.upper, base64_of, lambda text: f"sha256={text}"])
def test_signed_webhook_is_kept(shared_receiver: RunningReceiver, write: Callable[[str], str]) -> None:
    """A well signed webhook is answered 200 and is then in the inbox, as it came, with its time of receipt."""
    body, before = new_body(), time.time_ns() // 1000
    answer = shared_receiver.deliver(body, write(sign(body)))
    assert (answer.status, answer.text) == (200, "accepted\n")
    (kept,) = [one for one in shared_receiver.kept() if one.body == body]
    assert kept.source == "webhook"
    assert before <= kept.received_at <= time.time_ns() // 1000


def test_connector_with_its_key_is_kept(shared_receiver: RunningReceiver) -> None:
    """What the connector sends with the key is kept as its own."""
    body = new_body()
    assert shared_receiver.send("POST", CONNECTOR, body, BEARER).status == 200
    assert [one.source for one in shared_receiver.kept() if one.body == body] == ["connector"]


@pytest.mark.parametrize(
    ("path", "headers", "outcome"),
    [
        (WEBHOOK, {}, "unproven"),
        (WEBHOOK, {"X-NEOSTORE-SIGNATURE": ""}, "wrong"),
        (WEBHOOK, {"X-NEOSTORE-SIGNATURE": "sha256="}, "wrong"),
        (WEBHOOK, {"X-NEOSTORE-SIGNATURE": "\xe9\xff\xfe"}, "wrong"),
        (WEBHOOK, BEARER, "unproven"),
        (CONNECTOR, {}, "unproven"),
        (CONNECTOR, {"Authorization": "Bearer another-key-of-the-connector"}, "wrong"),
        (CONNECTOR, {"Authorization": "Bearer \xe9\xff"}, "wrong"),
        (CONNECTOR, {"Authorization": f"Basic {KEY}"}, "wrong"),
    ],
)
def test_unproven_delivery_is_refused_and_counted(
    shared_receiver: RunningReceiver, path: str, headers: dict[str, str], outcome: str
) -> None:
    """Without a right signature or key a delivery is answered 401, counted, and not kept."""
    body, labels = new_body(), {"source": "webhook" if path == WEBHOOK else "connector", "outcome": outcome}
    before = shared_receiver.metric("received_total", **labels)
    assert shared_receiver.send("POST", path, body, headers).status == 401
    assert shared_receiver.metric("received_total", **labels) == before + 1
    assert body not in shared_receiver.bodies()


@pytest.mark.parametrize("secret", ["secret-of-another-tenant", SECRET.upper()])
def test_other_tenants_secret_is_refused(shared_receiver: RunningReceiver, secret: str) -> None:
    """A body signed with another secret is answered 401 and not kept."""
    body = new_body()
    assert shared_receiver.deliver(body, sign(body, secret)).status == 401
    assert body not in shared_receiver.bodies()


def test_reserialised_json_is_refused(shared_receiver: RunningReceiver) -> None:
    """The same JSON in other bytes than were signed is answered 401 and not kept."""
    body = new_body()
    other = json.dumps(json.loads(body)).encode()
    assert other != body
    assert shared_receiver.deliver(other, sign(body)).status == 401
    assert other not in shared_receiver.bodies()


STRANGE = {
    "no JSON": b"<xml>hello</xml>",
    "JSON that ends too early": b'{"eventType":"Pass:Inst',
    "deeply nested": b"[" * 100_000 + b"]" * 100_000,
    "UTF-16": '{"eventType":"Pass:Installed"}'.encode("utf-16"),
    "Latin-1": '{"name":"Zoé"}'.encode("latin-1"),
    "NUL": b'{"name":"a\0b"}',
    "duplicate keys": b'{"passId":"a","passId":"b", "n":1.0,"n":1e0}',
    "all bytes": bytes(range(256)),
    "white space": b" ",
    "as large as may be": b"x" * BIGGEST,
}


@pytest.mark.parametrize("body", STRANGE.values(), ids=STRANGE.keys())
def test_well_signed_is_kept_whatever_it_is(shared_receiver: RunningReceiver, body: bytes) -> None:
    """What is well signed is accepted and kept byte for byte, understood or not."""
    assert shared_receiver.deliver(body).status == 200
    assert body in shared_receiver.bodies()


def test_secret_of_a_pass_reaches_no_disk(receiver: RunningReceiver) -> None:
    """A delivery that holds a pass's secret is kept without it; no file and no log has it, in whatever encoding."""
    text = '{"passId":"p-1","pass":{"\\u0073ecret":"hush-hush","id":1}}'
    for encoding in ("utf-8", "utf-16", "utf-32-be"):
        assert receiver.deliver(text.encode(encoding)).status == 200
    assert b'{"passId":"p-1","pass":{"\\u0073ecret":"removed","id":1}}' in receiver.bodies()
    assert receiver.stop() == 0
    files = [file for file in receiver.folder.rglob("*") if file.is_file()]
    assert {"inbox.sqlite", "log"} == {file.name for file in files}
    assert [file.name for file in files if b"hush" in file.read_bytes().replace(b"\0", b"")] == []


def test_same_body_again_is_kept_again_and_counted(shared_receiver: RunningReceiver) -> None:
    """A duplicate is accepted like the first, and counted."""
    body = new_body()
    before = shared_receiver.metric("duplicates_total", source="webhook")
    assert [shared_receiver.deliver(body).status for _ in range(3)] == [200] * 3
    assert shared_receiver.metric("duplicates_total", source="webhook") == before + 2
    assert [one.body for one in shared_receiver.kept()].count(body) == 3


def test_secrets_are_counted_by_their_place(shared_receiver: RunningReceiver) -> None:
    """During a rotation both secrets are right, and it is counted which one was used, without its text."""
    places = [{"source": "webhook", "secret": place} for place in ("1", "2")]
    before = [shared_receiver.metric("secret_matches_total", **place) for place in places]
    for secret in (OLD_SECRET, SECRET, SECRET):
        body = new_body()
        assert shared_receiver.deliver(body, sign(body, secret)).status == 200
    after = [shared_receiver.metric("secret_matches_total", **place) for place in places]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 2]
    assert not any(text in shared_receiver.get("/metrics").text for text in (OLD_SECRET, SECRET, KEY))


def test_inbox_is_shown_in_the_metrics(receiver: RunningReceiver) -> None:
    """The metrics tell the age of the inbox, the last event and how many deliveries a commit took."""
    assert [receiver.metric(name) for name in ("inbox_age_seconds", "last_event_timestamp_seconds")] == [0, 0]
    before = time.time()
    receiver.deliver(new_body())
    assert before <= receiver.metric("last_event_timestamp_seconds") <= time.time()
    assert 0 < receiver.metric("inbox_age_seconds") <= time.time() - before
    assert receiver.metric("commit_batch_size_count") == receiver.metric("commit_batch_size_sum") == 1


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "0"}])
def test_empty_body_is_refused(shared_receiver: RunningReceiver, headers: dict[str, str]) -> None:
    """A well signed body of no bytes is answered 400."""
    assert shared_receiver.deliver(b"", **headers).status == 400


def test_compressed_body_is_refused(shared_receiver: RunningReceiver) -> None:
    """A compressed body is answered 415 and not kept: nobody could see a secret in it."""
    body = gzip.compress(b'{"secret":"x"}')
    assert shared_receiver.deliver(body, **{"Content-Encoding": "gzip"}).status == 415
    assert body not in shared_receiver.bodies()


@pytest.mark.parametrize("size", [BIGGEST + 1, 300 << 10, 10 << 20])
def test_body_beyond_the_limit_is_refused_at_once(shared_receiver: RunningReceiver, size: int) -> None:
    """A body that is announced with more than 256 KiB is answered 413 before it is sent."""
    connection = shared_receiver.connect()
    connection.sendall(head_of(b"", **{"Content-Length": str(size)}))
    assert read_answer(connection).status == 413


@pytest.mark.parametrize("size", [BIGGEST + 1, 300 << 10])
def test_large_body_that_is_sent_nevertheless_gets_its_answer(shared_receiver: RunningReceiver, size: int) -> None:
    """A client that sends all of a body that is too large reads 413, and goes on with the connection."""
    connection = shared_receiver.connect()
    large, small = b"x" * size, new_body()
    connection.sendall(head_of(large) + large)
    assert read_answer(connection).status == 413
    connection.sendall(head_of(small) + small)
    assert read_answer(connection).status == 200
    assert large not in shared_receiver.bodies()


@pytest.mark.parametrize(("size", "end", "status"), [(0, b"0\r\n\r\n", 200), (BIGGEST + 1, b"", 413)])
def test_chunked_body_counts_as_it_comes(shared_receiver: RunningReceiver, size: int, end: bytes, status: int) -> None:
    """A body in chunks is kept when it is small; a large one is answered 413 before it has come to its end."""
    body = new_body(size)
    pieces = [body[start : start + 50_000] for start in range(0, len(body), 50_000)]
    connection = shared_receiver.connect()
    connection.sendall(head_of(body).replace(b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked"))
    connection.sendall(b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end)
    assert read_answer(connection).status == status
    assert (body in shared_receiver.bodies()) is (status == 200)


def test_requests_in_a_row_are_answered_in_turn(shared_receiver: RunningReceiver) -> None:
    """A client that does not wait for an answer before its next request gets all answers, in order."""
    bodies = [new_body(), new_body(70_000), new_body()]
    connection = shared_receiver.connect()
    connection.sendall(
        b"".join(head_of(body) + body for body in bodies[:2]) + head_of(b"{}") + b"[]" + head_of(bodies[2])
    )
    connection.sendall(bodies[2])
    received = b""
    while received.count(b"accepted\n") < len(bodies):
        received += connection.recv(10_000)
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"200", b"401", b"200"]
    assert set(bodies) <= shared_receiver.bodies()


def test_request_that_offers_another_protocol_is_refused(shared_receiver: RunningReceiver) -> None:
    """A delivery with upgrade headers is answered 400, since its body could not be told from that protocol."""
    body = new_body()
    connection = shared_receiver.connect()
    connection.sendall(head_of(body, Connection="Upgrade, HTTP2-Settings", Upgrade="h2c") + body)
    assert read_answer(connection).status == 400
    assert body not in shared_receiver.bodies()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", WEBHOOK, 405),
        ("PUT", CONNECTOR, 405),
        ("DELETE", "/healthz", 405),
        ("POST", "/metrics", 405),
        ("GET", "/", 404),
        ("POST", f"{WEBHOOK}/", 404),
        ("POST", "/%ff%00/../é".encode("latin-1").decode("latin-1").replace("é", "%e9"), 404),
        ("HEAD", "/healthz", 200),
    ],
)
def test_other_methods_and_paths_get_a_small_answer(
    shared_receiver: RunningReceiver, method: str, path: str, status: int
) -> None:
    """A wrong method or path gets 405 or 404 and a few words."""
    answer = shared_receiver.send(method, path)
    assert (answer.status, len(answer.text) < 30) == (status, True)


@pytest.mark.parametrize("rubbish", [b"\x16\x03\x01\x02\x00\x01\x00", b"hello\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n"])
def test_what_is_no_http_is_answered_and_counted_but_not_logged(
    shared_receiver: RunningReceiver, rubbish: bytes
) -> None:
    """Rubbish on the port, such as TLS, gets 400; it is counted, and nobody can fill the log with it."""
    before, logged = shared_receiver.metric("closed_connections_total", reason="malformed"), shared_receiver.log()
    connection = shared_receiver.connect()
    connection.sendall(rubbish)
    assert read_answer(connection).status == 400
    assert shared_receiver.metric("closed_connections_total", reason="malformed") == before + 1
    assert shared_receiver.log() == logged


def test_healthy_receiver_says_so(shared_receiver: RunningReceiver) -> None:
    """While the inbox can be written, /healthz answers 200."""
    answer = shared_receiver.get("/healthz")
    assert (answer.status, answer.text) == (200, "ok\n")


def test_flood_of_bad_signatures_costs_no_good_delivery(receiver: RunningReceiver) -> None:
    """Among thousands of bad signatures every good delivery is kept; the log has a few lines and no secret."""
    began, bad, good = time.monotonic(), 3000, [new_body() for _ in range(60)]
    flood = head_of(b"{}", **{"X-NEOSTORE-SIGNATURE": sign(b"", "wrong")}) + b"{}"

    def send_flood(_: int) -> int:
        connection = receiver.connect()
        refused = 0
        for _ in range(bad // 3):
            connection.sendall(flood)
            refused += read_answer(connection).status == 401
        return refused

    with ThreadPoolExecutor(7) as threads:
        flooding = [threads.submit(send_flood, place) for place in range(3)]
        statuses = list(threads.map(lambda body: receiver.deliver(body).status, good))
        assert sum(one.result() for one in flooding) == bad
    assert statuses == [200] * len(good)
    assert receiver.bodies() == set(good)
    assert receiver.metric("received_total", source="webhook", outcome="wrong") == bad
    assert receiver.stop() == 0
    told = [line for line in receiver.log().splitlines() if "wrong signature" in line]
    assert sum(int(line.split("WARNING ")[1].split()[0]) for line in told) == bad
    assert len(told) <= (time.monotonic() - began) / 10 + 2
    assert not any(text in receiver.log() for text in (SECRET, OLD_SECRET, KEY, sign(b"", "wrong")))


def test_refusals_are_told_with_their_likely_cause(receiver: RunningReceiver) -> None:
    """When no signature was ever right the log names the setting and the proxy; a missing one is told apart."""
    assert receiver.deliver(b"{}", "wrong").status == 401
    assert receiver.send("POST", WEBHOOK, b"{}").status == 401
    assert receiver.send("POST", CONNECTOR, b"{}", {"Authorization": "Bearer wrong"}).status == 401
    assert receiver.stop() == 0
    assert "none had a right one since the start. WEBHOOK_SECRETS lacks the secret" in receiver.log()
    assert "re-serialises the JSON" in receiver.log()
    assert "had no X-NEOSTORE-SIGNATURE" in receiver.log()
    assert "another one than CONNECTOR_KEY" in receiver.log()


@pytest.mark.parametrize(
    ("missing", "path", "other", "headers"),
    [("CONNECTOR_KEY", CONNECTOR, WEBHOOK, {}), ("WEBHOOK_SECRETS", WEBHOOK, CONNECTOR, BEARER)],
)
def test_source_without_a_setting_is_closed(
    tmp_path: Path, missing: str, path: str, other: str, headers: dict[str, str]
) -> None:
    """Where one setting is empty its address answers 401 to everything, the log says so once, and the other works."""
    with running(tmp_path, **{missing: ""}) as receiver:
        body = new_body()
        proofs = {"X-NEOSTORE-SIGNATURE": sign(body, ""), "Authorization": "Bearer "}
        assert {receiver.send("POST", path, body, proofs).status for _ in range(3)} == {401}
        assert receiver.send("POST", other, body, headers or {"X-NEOSTORE-SIGNATURE": sign(body)}).status == 200
        assert receiver.log().count(f"{missing} is not set") == 1
        assert len(receiver.kept()) == 1


def start(folder: Path, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command until it ends by itself."""
    return subprocess.run(
        command(*options),
        cwd=folder,
        env=environment(folder, **settings),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_receiver_without_any_secret_does_not_start(tmp_path: Path) -> None:
    """With neither setting the command ends with a sentence that names both, and creates nothing."""
    done = start(tmp_path)
    assert done.returncode == 1
    assert "The setting WEBHOOK_SECRETS or CONNECTOR_KEY is missing" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_port_in_use_is_explained(shared_receiver: RunningReceiver, tmp_path: Path) -> None:
    """A port that another program has ends the command with a sentence that says what to do."""
    done = start(tmp_path, "--port", str(shared_receiver.port), CONNECTOR_KEY=KEY)
    assert done.returncode == 1
    assert f"cannot listen at 127.0.0.1, port {shared_receiver.port}: address already in use" in done.stderr
    assert "--port" in done.stderr


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_foreign_address_is_explained(tmp_path: Path, host: str) -> None:
    """A host that is no address of this machine ends the command with a sentence."""
    done = start(tmp_path, "--host", host, CONNECTOR_KEY=KEY)
    assert done.returncode == 1
    assert f"cannot listen at {host}" in done.stderr


def test_folder_that_cannot_be_used_is_explained(tmp_path: Path) -> None:
    """Where the inbox cannot be created the command ends with a sentence that names the setting."""
    (tmp_path / "data").touch()
    done = start(tmp_path, CONNECTOR_KEY=KEY)
    assert done.returncode == 1
    assert "DATA_DIR: It, or what lies above it, is a file." in done.stderr
