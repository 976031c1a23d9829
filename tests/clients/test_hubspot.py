"""The HubSpot client: limits kept, answers judged by their body."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sync.conftest import Account, open_account
from wallet_pipeline.clients.http import (
    Answer,
    ConfigurationError,
    NotFoundError,
    QuotaError,
    UnexpectedAnswerError,
    UnreachableError,
)
from wallet_pipeline.clients.hubspot import HubSpot, Operation, RefusedError
from wallet_pipeline.clients.pacing import HubSpotPacer


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    """Run an account with no contacts."""
    with open_account(tmp_path) as account:
        yield account


@pytest.fixture
def client(account: Account) -> Iterator[HubSpot]:
    """Return a client of the account."""
    with account.client() as client:
        yield client


def test_more_requests_than_the_limit_are_spread_and_none_is_refused(account: Account, client: HubSpot) -> None:
    """With a limit of 10 in 500 ms, 40 requests take the windows that they need and meet no 429."""
    account.switch(rate_limit=10, rate_window_ms=500)
    client.read_groups()
    began = time.monotonic()
    for _ in range(40):
        client.read_groups()
    statuses = {entry["status"] for entry in account.control("GET", "requests?last=100")}
    assert (statuses, time.monotonic() - began > 40 / 9 * 0.5 - 0.5) == ({200}, True)


def test_a_tenth_of_the_limit_is_left_to_other_apps(account: Account, client: HubSpot) -> None:
    """However fast we ask, the CRM never says that fewer than the reserve remain."""
    account.switch(rate_limit=20, rate_window_ms=400)
    client.read_groups()
    for _ in range(30):
        client.read_groups()
    remaining = account.api("GET", "/crm/properties/2026-09/contacts/groups").headers["X-HubSpot-RateLimit-Remaining"]
    assert int(remaining) >= 1  # the reserve of 2, less the question itself


def test_requests_of_other_apps_shrink_the_budget() -> None:
    """When the headers say that others use the limit, fewer of ours go out in the window."""
    pacer = HubSpotPacer()
    pacer.wait()
    used_up = {
        "X-HubSpot-RateLimit-Max": "100",
        "X-HubSpot-RateLimit-Remaining": "2",
        "X-HubSpot-RateLimit-Interval-Milliseconds": "300",
    }
    pacer.heed(Answer(200, used_up, b"{}"))
    began = time.monotonic()
    for _ in range(3):
        pacer.wait()
    assert time.monotonic() - began > 0.25


def test_the_pace_makes_up_for_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a pause of a fifth of the window, that fifth of the budget goes out at once, and no more than the pace."""
    pacer = HubSpotPacer()
    limits = {"X-HubSpot-RateLimit-Max": "100", "X-HubSpot-RateLimit-Interval-Milliseconds": "1000"}
    pacer.heed(Answer(200, limits, b""))
    began = time.monotonic()
    for _ in range(46):
        pacer.wait()
    time.sleep(0.2)
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", lambda seconds: pytest.fail(f"it waits for {seconds} s"))
        for _ in range(17):
            pacer.wait()
    for _ in range(9):
        pacer.wait()
    # 45 are half of the budget, which may go out at once in the beginning; 90 go out in a window.
    assert time.monotonic() - began >= (46 + 17 + 9 - 45) / 90


def test_a_tenth_of_the_day_is_left_to_other_apps() -> None:
    """When a tenth of the day's requests is left, no more of ours goes out, and the message says when to go on."""
    pacer = HubSpotPacer()
    pacer.heed(Answer(200, {"X-HubSpot-RateLimit-Daily": "100", "X-HubSpot-RateLimit-Daily-Remaining": "11"}, b""))
    pacer.wait()
    pacer.heed(Answer(200, {"X-HubSpot-RateLimit-Daily": "100", "X-HubSpot-RateLimit-Daily-Remaining": "10"}, b""))
    with pytest.raises(QuotaError, match="10% of them, is left to the account's other apps"):
        pacer.wait()


def test_without_headers_the_smallest_accounts_limit_is_kept() -> None:
    """The first half of 90 requests goes out at once, then one every ninth of a second."""
    pacer = HubSpotPacer()
    began = time.monotonic()
    for _ in range(47):
        pacer.wait()
    assert 0.08 < time.monotonic() - began < 1


def test_a_429_closes_the_window_and_is_sent_again(account: Account, client: HubSpot) -> None:
    """After a 429 without Retry-After the client waits for the window that the headers name."""
    account.switch(rate_window_ms=300)
    client.read_groups()
    account.spoil("groups", "status", status=429, body={"policyName": "TEN_SECONDLY_ROLLING"})
    began = time.monotonic()
    client.read_groups()
    assert 0.3 <= time.monotonic() - began < 3


def test_a_429_with_retry_after_waits_that_long(account: Account, client: HubSpot) -> None:
    """Retry-After is kept though the window is longer."""
    client.read_groups()
    account.spoil("groups", "status", status=429, headers={"Retry-After": "1"})
    began = time.monotonic()
    client.read_groups()
    assert 1 <= time.monotonic() - began < 4


@pytest.mark.parametrize("status", [423, 429, 477])
def test_a_wait_beyond_the_calls_limit_is_told_and_not_kept(account: Account, client: HubSpot, status: int) -> None:
    """A Retry-After of a day ends the call at once and says how long HubSpot asks to wait."""
    account.spoil("groups", "status", status=status, headers={"Retry-After": "86400"})
    with pytest.raises(QuotaError, match=r"86400 s.*run again then"):
        client.read_groups()


@pytest.mark.parametrize("text", ["inf", "nan", "1e400"])
def test_a_wait_without_end_is_no_wait(text: str) -> None:
    """A Retry-After that is no finite number is passed over: the window is waited for, as without one."""
    pause = HubSpotPacer().heed(Answer(429, {"Retry-After": text}, b"{}"))
    assert pause is not None
    assert pause <= 11


@pytest.mark.parametrize("window", ["1000000000000", "9" * 5000])
def test_a_window_that_nobody_would_wait_for_is_none(window: str) -> None:
    """Windows of weeks, and numbers that are none, leave the pacer at what it knew."""
    pacer = HubSpotPacer()
    pacer.heed(Answer(200, {"X-HubSpot-RateLimit-Interval-Milliseconds": window}, b"{}"))
    assert pacer.rate_limits.window == 10
    began = time.monotonic()
    pacer.wait()
    assert time.monotonic() - began < 1


def test_a_move_without_a_number_of_seconds_says_so() -> None:
    """477 without a usable Retry-After asks to come back later."""
    with pytest.raises(QuotaError, match="come back later"):
        HubSpotPacer().heed(Answer(477, {"Retry-After": "inf"}, b""))


def test_a_locked_record_is_left_alone_for_two_seconds(account: Account, client: HubSpot) -> None:
    """423 is sent again after the two seconds that a lock lasts."""
    account.spoil("groups", "status", status=423)
    began = time.monotonic()
    client.read_groups()
    assert 2 <= time.monotonic() - began < 5


def test_a_used_up_day_is_not_asked_again(account: Account, client: HubSpot) -> None:
    """DAILY raises at once."""
    account.switch(rate_limit_daily=0)
    with pytest.raises(QuotaError, match="DAILY"):
        client.read_groups()


def test_a_create_whose_connection_breaks_is_sent_once(account: Account, client: HubSpot) -> None:
    """A create is never sent again blindly."""
    account.spoil("batch/create", "drop", times=5)
    with pytest.raises(UnreachableError):
        client.write_contacts("create", [{"objectWriteTraceId": "k", "properties": {"email": "a@x.test"}}])
    assert account.requests() == {"create": 1}


def test_a_truncated_answer_to_a_read_is_read_again(account: Account, client: HubSpot) -> None:
    """Half a body is no answer."""
    record_id = account.add(email="ann@x.test")
    account.spoil("batch/read", "truncate")
    assert [one.id for one in client.read_contacts([record_id], ["email"]).contacts] == [record_id]


def test_an_error_message_about_values_names_properties_and_codes_alone(account: Account, client: HubSpot) -> None:
    """The list that HubSpot puts into its message is read, and its values are left out."""
    record_id = account.add(email="ann@x.test")
    with pytest.raises(RefusedError) as refused:
        client.write_contacts("update", [{"id": record_id, "properties": {"no_such": "secret@x.test"}}])
    assert refused.value.error.message == "no_such: PROPERTY_DOESNT_EXIST"


def test_requests_are_counted_with_their_retries(account: Account, client: HubSpot) -> None:
    """The count is what the account's quota sees."""
    account.spoil("groups", "status", status=503)
    client.read_groups()
    assert client.requests == 2


def test_error_answers_are_counted(account: Account, client: HubSpot) -> None:
    """A status of 400 or above counts, a broken connection does not, whether or not the request was sent again."""
    for details in ({"action": "status", "status": 503}, {"action": "drop"}):
        account.spoil("groups", **details)
        client.read_groups()
    with pytest.raises(RefusedError):
        client.read_contacts([], [])
    assert (client.requests, client.errors) == (5, 2)


HALF: list[tuple[str, dict[str, Any]]] = [
    ("truncate", {"quietly": True}),
    ("replace", {"html": True}),
    ("replace", {"body": ""}),
    ("replace", {"body": []}),
    ("replace", {"body": {"message": "hello"}}),
    ("replace", {"body": {"results": [{"properties": {}}]}}),
    ("replace", {"body": {"results": [{"id": "1"}]}}),
    ("replace", {"body": {"results": [{"id": "1", "properties": {"email": 7}}]}}),
    ("json", {"set": {"status": "PENDING"}}),
    ("json", {"set": {"errors": "none"}}),
]


@pytest.mark.parametrize(("action", "details"), HALF, ids=str)
def test_a_reading_without_a_whole_answer_is_asked_again(
    account: Account, client: HubSpot, action: str, details: dict[str, Any]
) -> None:
    """An answer of success that does not show what was asked for is no answer."""
    record_id = account.add(email="ann@x.test")
    account.spoil("batch/read", action, **details)
    found = client.read_contacts([record_id], ["email"]).contacts
    assert ([one.properties["email"] for one in found], client.requests) == (["ann@x.test"], 2)


def test_a_reading_that_never_gets_a_whole_answer_says_so(account: Account, client: HubSpot) -> None:
    """The message names what came instead, and what to check."""
    account.spoil("batch/read", "replace", times=9, html=True)
    with pytest.raises(UnreachableError, match=r"no whole answer.*text/html instead of JSON.*proxy"):
        client.read_contacts(["1"], ["email"])


@pytest.mark.parametrize("operation", ["update", "create"])
def test_a_write_without_a_whole_answer_is_sent_once(account: Account, client: HubSpot, operation: Operation) -> None:
    """It may have happened: whoever asked has to look."""
    record_id = account.add(email="ann@x.test")
    row = {"id": record_id} if operation == "update" else {}
    account.spoil(f"batch/{operation}", "truncate", quietly=True)
    with pytest.raises(UnreachableError, match="no whole answer"):
        client.write_contacts(operation, [{**row, "objectWriteTraceId": "k", "properties": {"email": "bob@x.test"}}])
    assert account.requests() == {operation: 1}


def test_a_create_in_a_locked_account_is_sent_again(account: Account, client: HubSpot) -> None:
    """423 promises, as 429 does, that nothing was done."""
    account.spoil("batch/create", "status", status=423)
    answer = client.write_contacts("create", [{"objectWriteTraceId": "k", "properties": {"email": "a@x.test"}}])
    assert ([one.trace_id for one in answer.contacts], account.requests()) == (["k"], {"create": 2})


@pytest.mark.parametrize("status", [501, 505, 520, 599])
def test_every_server_error_may_pass(account: Account, client: HubSpot, status: int) -> None:
    """A status of 500 and above is tried again, listed by HubSpot or not."""
    account.spoil("groups", "status", status=status)
    assert "contactinformation" in client.read_groups()


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (404, {"category": "OBJECT_NOT_FOUND", "message": "Could not get some"}, RefusedError, "Could not get some"),
        (404, {"message": "resource not found"}, NotFoundError, "HUBSPOT_API_VERSION"),
        (414, {"message": "Cannot have more than 250 identities on a profile"}, RefusedError, "250 identities"),
        (414, {"message": "URI Too Long"}, ConfigurationError, "proxy"),
        (415, {}, ConfigurationError, "proxy"),
        (400, {}, RefusedError, "no message"),
        (409, {"errors": ["x"], "context": "y"}, RefusedError, "no message"),
        (400, [], UnexpectedAnswerError, "does not know"),
        (410, {"message": "gone"}, UnexpectedAnswerError, "does not know"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_error_is_told_by_status_and_body(
    account: Account, client: HubSpot, status: int, body: Any, error: type[Exception], says: str
) -> None:
    """What is refused of the inputs, what is wrong with the settings, and what is not known are three things."""
    account.spoil("batch/read", "status", times=9, status=status, body=body)
    with pytest.raises(error, match=says) as raised:
        client.read_contacts(["1"], ["email"])
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("entry", "message", "ids", "trace_ids"),
    [
        ("a text", "a text", set(), set()),
        (None, "no message", set(), set()),
        ({}, "no message", set(), set()),
        ({"message": 7, "context": []}, "7", set(), set()),
        ({"message": "x", "context": {"ids": "1"}}, "x", {"1"}, set()),
        ({"message": "x", "context": {"ids": [1, "2"], "objectWriteTraceId": "k"}}, "x", {"1", "2"}, {"k"}),
        ({"message": "x", "objectWriteTraceId": ["k"], "errors": "none"}, "x", set(), {"k"}),
    ],
)
def test_an_error_of_any_form_is_understood(
    account: Account, client: HubSpot, entry: Any, message: str, ids: set[str], trace_ids: set[str]
) -> None:
    """Every part of an error may be missing, or be a text instead of a list."""
    account.spoil("batch/read", "json", set={"errors": [entry]})
    (error,) = client.read_contacts([account.add(email="ann@x.test")], []).errors
    assert (error.message, error.ids, error.trace_ids) == (message, ids, trace_ids)
