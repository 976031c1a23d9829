"""The HTTP client keeps its time limits, repeats what may be repeated, and says what went wrong."""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LIMITS, Tenant
from wallet_pipeline.clients.http import HttpClient, TimeLimits, TooSlowError, UnexpectedAnswerError, UnreachableError

KEY = "key-that-nobody-may-see"


@pytest.fixture
def path(tenant: Tenant) -> str:
    """Give the path of the list of passes."""
    return f"/api/{tenant.facts['tenant_id']}/passes"


def open_client(tenant: Tenant, limits: TimeLimits = LIMITS, attempts: int = 6) -> HttpClient:
    """Return a client of the sandbox."""
    return HttpClient("The service", tenant.url, {"X-API-KEY": tenant.facts["api_key"]}, limits, attempts)


BROKEN: list[dict[str, Any]] = [
    *({"type": "status", "status": status} for status in (408, 429, 500, 502, 503, 504, 521, 524)),
    {"type": "status", "status": 503, "html": True},
    {"type": "drop"},
    {"type": "drop_after"},
    {"type": "truncate"},
]


@pytest.mark.parametrize("fault", BROKEN, ids=lambda fault: " ".join(map(str, fault.values())))
def test_passing_fault_is_outlasted(tenant: Tenant, path: str, fault: dict[str, Any]) -> None:
    """A request that fails once in a way that may pass is sent again, and its answer is whole."""
    tenant.spoil(fault, times=1)
    with open_client(tenant) as http:
        answer = http.call("GET", path)
    assert (answer.status, answer.body, tenant.page_reads()) == (200, b"[]", 2)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_lasting_fault_is_not_repeated(tenant: Tenant, path: str, status: int) -> None:
    """A status that another try cannot mend is returned at once."""
    tenant.spoil({"type": "status", "status": status})
    with open_client(tenant) as http:
        assert (http.call("GET", path).status, tenant.page_reads()) == (status, 1)


def test_fault_that_lasts_is_tried_a_bounded_number_of_times(tenant: Tenant, path: str) -> None:
    """After its last attempt the client returns the service's own answer."""
    tenant.spoil({"type": "status", "status": 503, "headers": {"Retry-After": "0"}})
    with open_client(tenant, attempts=3) as http:
        assert (http.call("GET", path).status, tenant.page_reads()) == (503, 3)


def test_call_is_given_up_when_its_time_is_over(tenant: Tenant, path: str) -> None:
    """A call with all its retries ends within its own time limit, however many attempts are left."""
    tenant.spoil({"type": "status", "status": 503, "headers": {"Retry-After": "0"}})
    begun = time.monotonic()
    with open_client(tenant, TimeLimits(call=0.5), attempts=10_000) as http:
        http.call("GET", path)
    assert (1 < tenant.page_reads() < 10_000, time.monotonic() - begun < 5) == (True, True)


def test_pause_beyond_the_calls_time_is_not_begun(tenant: Tenant, path: str) -> None:
    """A call that is asked to wait for longer than it may take is given up at once."""
    tenant.spoil({"type": "status", "status": 503, "headers": {"Retry-After": "30"}})
    begun = time.monotonic()
    with open_client(tenant, TimeLimits(call=2), attempts=2) as http:
        assert http.call("GET", path).status == 503
    assert time.monotonic() - begun < 2


def test_retry_after_in_seconds_is_obeyed(tenant: Tenant, path: str) -> None:
    """The client waits as long as Retry-After asks for."""
    tenant.spoil({"type": "status", "status": 429, "headers": {"Retry-After": "1"}}, times=1)
    begun = time.monotonic()
    with open_client(tenant) as http:
        http.call("GET", path)
    assert time.monotonic() - begun >= 1


def test_retry_after_as_a_date_is_obeyed(tenant: Tenant, path: str) -> None:
    """The client waits until the date that Retry-After names."""
    until = (datetime.now(UTC) + timedelta(seconds=2)).replace(microsecond=0)
    headers = {"Retry-After": format_datetime(until, usegmt=True)}
    tenant.spoil({"type": "status", "status": 503, "headers": headers}, times=1)
    with open_client(tenant) as http:
        http.call("GET", path)
    assert datetime.now(UTC) >= until


@pytest.mark.parametrize("nonsense", ["soon", "-5", "nan", "", f"Mon, {'9' * 20} Jan 2026 00:00:00 GMT"])
def test_senseless_retry_after_is_survived(tenant: Tenant, path: str, nonsense: str) -> None:
    """A Retry-After that says no time leaves the client to its own pause."""
    tenant.spoil({"type": "status", "status": 503, "headers": {"Retry-After": nonsense}}, times=1)
    with open_client(tenant) as http:
        assert http.call("GET", path).status == 200


def test_retry_after_that_is_over_does_not_use_up_the_attempts_at_once(
    tenant: Tenant, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A date that has passed by our clock, which may be fast, is no reason to hurry more than without one."""
    monkeypatch.setattr("random.uniform", lambda _, longest: longest)
    over = format_datetime(datetime.now(UTC) - timedelta(seconds=30), usegmt=True)
    tenant.spoil({"type": "status", "status": 503, "headers": {"Retry-After": over}})
    began = time.monotonic()
    with open_client(tenant, replace(LIMITS, pause=0.1), attempts=3) as http:
        assert http.call("GET", path).status == 503
    assert time.monotonic() - began >= 0.1 + 0.2


@pytest.mark.parametrize("kind", ["drop", "drop_after"])
def test_unrepeatable_request_is_not_sent_twice(tenant: Tenant, path: str, kind: str) -> None:
    """A request that may not be repeated is sent once, though the connection breaks and nobody knows what was done."""
    tenant.spoil({"type": kind})
    with open_client(tenant) as http, pytest.raises(UnreachableError):
        http.call("GET", path, repeatable=False)
    assert tenant.page_reads() == 1


def test_unrepeatable_request_is_sent_again_after_429(tenant: Tenant, path: str) -> None:
    """A 429 promises that nothing was done, so even a request that may not be repeated is sent again."""
    tenant.spoil({"type": "status", "status": 429, "headers": {"Retry-After": "0"}}, times=1)
    with open_client(tenant) as http:
        assert http.call("GET", path, repeatable=False).status == 200


def test_silence_has_a_limit(tenant: Tenant, path: str) -> None:
    """A service that takes the request and says nothing is too slow, not awaited for ever."""
    tenant.spoil({"type": "delay", "seconds": 1})
    with (
        open_client(tenant, TimeLimits(silence=0.2), attempts=1) as http,
        pytest.raises(TooSlowError, match="the answer took too long"),
    ):
        http.call("GET", path)


def test_slow_answer_is_not_asked_for_again_when_told_so(tenant: Tenant, path: str) -> None:
    """Without retry_timeouts a request that takes too long is sent once."""
    tenant.spoil({"type": "delay", "seconds": 1})
    with open_client(tenant, TimeLimits(silence=0.2)) as http, pytest.raises(TooSlowError):
        http.call("GET", path, retry_timeouts=False)
    assert tenant.page_reads() == 1


@contextmanager
def trickling_service(chunked: bool) -> Iterator[str]:  # noqa: FBT001
    """Run a server that sends a byte every 20 ms for ten seconds, which the sandbox cannot; yield its address."""
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 1000000"
    over = threading.Event()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
            try:
                for _ in range(500):
                    if over.wait(0.02):
                        return
                    connection.sendall(b"1\r\nx\r\n" if chunked else b"x")
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=[listener], daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        thread.join()


@pytest.mark.parametrize("chunked", [False, True])
def test_trickle_has_a_limit(chunked: bool) -> None:  # noqa: FBT001
    """An answer that comes byte by byte, never silent for long, is given up when its time is over."""
    begun = time.monotonic()
    with (
        trickling_service(chunked) as address,
        HttpClient("The service", address, {}, TimeLimits(answer=0.3), attempts=1) as http,
        pytest.raises(TooSlowError),
    ):
        http.call("GET", "/")
    assert time.monotonic() - begun < 5


def test_unreachable_service_is_named(path: str) -> None:
    """Where nobody listens, the message names service, request, address and the next step, not library objects."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with HttpClient("The service", address, {}, attempts=1) as http, pytest.raises(UnreachableError) as raised:
        http.call("GET", path)
    assert str(raised.value) == (
        f"The service gave no usable answer to GET {address}{path}: the connection was refused or broken. Check the"
        " network and the base URL in the settings, and run again when the service is back."
    )


def test_html_instead_of_json_is_explained(tenant: Tenant, path: str) -> None:
    """A body that is no JSON is an error that names its type and a proxy as the likely cause."""
    tenant.spoil({"type": "replace", "html": True})
    with open_client(tenant) as http, pytest.raises(UnexpectedAnswerError, match=r"text/html instead of JSON.*proxy"):
        http.call("GET", path).json("The service")


def test_redirect_is_not_followed(tenant: Tenant, path: str) -> None:
    """A redirect is returned as it is: the key must not go to another host."""
    tenant.spoil({"type": "status", "status": 302, "headers": {"Location": "/elsewhere"}}, times=1)
    with open_client(tenant) as http:
        assert (http.call("GET", path).status, tenant.page_reads()) == (302, 1)


def test_retry_is_logged(tenant: Tenant, path: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each retry is a warning that names service, request and cause."""
    tenant.spoil({"type": "status", "status": 502, "headers": {"Retry-After": "0"}}, times=1)
    with caplog.at_level(logging.WARNING, "wallet_pipeline.clients.http"), open_client(tenant) as http:
        http.call("GET", path)
    assert caplog.messages[0].startswith(f"The service: GET {path}: answered 502; trying again in ")


def test_pauses_have_jitter(tenant: Tenant, path: str, caplog: pytest.LogCaptureFixture) -> None:
    """Without Retry-After the client pauses for a while that chance decides, up to twice as long each time."""
    tenant.spoil({"type": "status", "status": 503}, times=2)
    with caplog.at_level(logging.WARNING, "wallet_pipeline.clients.http"), open_client(tenant) as http:
        http.call("GET", path)
    first, second = (record.args[-1] for record in caplog.records if isinstance(record.args, tuple))
    assert isinstance(first, float)
    assert isinstance(second, float)
    assert 0 < first < 0.5
    assert 0 < second < 1


def test_header_that_cannot_be_sent_is_not_shown() -> None:
    """A key with a line break cannot be sent, and neither the error nor what it carries along quotes it."""
    with (
        HttpClient("The service", "http://127.0.0.1:9", {"X-API-KEY": f"{KEY}\n"}) as http,
        pytest.raises(UnreachableError) as raised,
    ):
        http.call("GET", "/")
    assert (KEY in str(raised.value), raised.value.__cause__, raised.value.__context__) == (False, None, None)


def test_threads_may_share_a_client(tenant: Tenant, path: str) -> None:
    """Calls from several threads at once are all answered."""
    statuses: list[int] = []
    with open_client(tenant) as http:
        threads = [threading.Thread(target=lambda: statuses.append(http.call("GET", path).status)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert statuses == [200] * 8


def test_netrc_does_not_replace_the_token(tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that the user keeps for other programs are not sent instead of the token."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    headers = {"Authorization": f"Bearer {tenant.facts['access_token']}"}
    with HttpClient("HubSpot", tenant.facts["hubspot_url"], headers, LIMITS) as http:
        assert http.call("GET", "/crm/properties/2026-09/contacts").status == 200
