"""Faults spoil exactly the requests that they are meant for, in the way that they say."""

import time
from typing import Any

import pytest
import requests
from conftest import Sandbox


def statuses(sandbox: Sandbox, calls: int) -> list[int]:
    """Return the statuses of some page reads."""
    return [sandbox.get(pageIndex=index).status_code for index in range(calls)]


def test_skip_and_times_choose_the_requests(sandbox: Sandbox) -> None:
    """A rule lets the first matches pass, spoils the given number, and is done."""
    sandbox.spoil({"type": "status", "status": 503}, skip=1, times=2)
    assert statuses(sandbox, 5) == [200, 503, 503, 200, 200]


def test_rule_without_times_holds_for_ever(sandbox: Sandbox) -> None:
    """A rule without a number of times spoils every match."""
    sandbox.spoil({"type": "status", "status": 503})
    assert statuses(sandbox, 3) == [503, 503, 503]


def test_path_is_searched_in_path_and_query(sandbox: Sandbox) -> None:
    """The path expression also sees the query."""
    sandbox.spoil({"type": "status", "status": 503}, path=r"/passes\?.*pageIndex=1$")
    assert statuses(sandbox, 3) == [200, 503, 200]


def test_method_must_match(sandbox: Sandbox) -> None:
    """A rule for another method leaves a request alone."""
    sandbox.spoil({"type": "status", "status": 503}, method="POST")
    assert statuses(sandbox, 1) == [200]


def test_body_must_match(sandbox: Sandbox) -> None:
    """A rule with a body expression spoils only requests whose body it finds; the others are served in full."""
    sandbox.spoil({"type": "status", "status": 503}, path="insights", body="Logs")
    answers = [sandbox.ask(query).status_code for query in ("Events | count", "Logs | count")]
    assert answers == [200, 503]


def test_probability_is_repeatable_chance(sandbox: Sandbox) -> None:
    """A rule with a probability spoils some of the matches."""
    sandbox.spoil({"type": "status", "status": 503}, probability=0.5)
    assert set(statuses(sandbox, 40)) == {200, 503}


def test_first_rule_that_fires_decides(sandbox: Sandbox) -> None:
    """Of two rules the older one answers."""
    sandbox.spoil({"type": "status", "status": 503}, times=1)
    sandbox.spoil({"type": "status", "status": 500})
    assert statuses(sandbox, 2) == [503, 500]


def test_status_carries_headers_and_body(sandbox: Sandbox) -> None:
    """A status fault answers with its own headers and body."""
    sandbox.spoil({"type": "status", "status": 429, "headers": {"Retry-After": "7"}, "body": {"title": "slow down"}})
    answer = sandbox.get()
    assert (answer.headers["retry-after"], answer.json()) == ("7", {"title": "slow down"})


def test_html_is_what_a_proxy_says(sandbox: Sandbox) -> None:
    """An HTML fault is no JSON."""
    sandbox.spoil({"type": "status", "status": 502, "html": True})
    answer = sandbox.get()
    assert (answer.headers["content-type"].partition(";")[0], "<html>" in answer.text) == ("text/html", True)


def test_replaced_answer_is_sent_as_written(sandbox: Sandbox) -> None:
    """A body that is a text is sent as it is, with the given type."""
    sandbox.spoil({"type": "replace", "body": "[{", "headers": {"content-type": "application/json"}})
    answer = sandbox.get()
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, "[{", "application/json")


def test_headers_can_lie(sandbox: Sandbox) -> None:
    """A header fault changes headers of an answer that is otherwise served."""
    sandbox.spoil({"type": "headers", "set": {"x-pagination-total": "999"}, "remove": ["content-type"]})
    answer = sandbox.get()
    assert (answer.headers["x-pagination-total"], "content-type" in answer.headers, len(answer.json())) == (
        "999",
        False,
        20,
    )


def test_delay_carries_on(sandbox: Sandbox) -> None:
    """A delayed request is answered as usual, later, and a further rule still applies."""
    sandbox.spoil({"type": "delay", "seconds": 0.2})
    sandbox.spoil({"type": "status", "status": 503})
    begun = time.monotonic()
    assert (statuses(sandbox, 1), time.monotonic() - begun >= 0.2) == ([503], True)


@pytest.mark.parametrize("kind", ["drop", "drop_after", "truncate"])
def test_broken_connection_is_seen_as_such(sandbox: Sandbox, kind: str) -> None:
    """A connection that is closed early is an error of the transport, and the next request is served."""
    sandbox.spoil({"type": kind}, times=1)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        sandbox.get()
    assert statuses(sandbox, 1) == [200]


@pytest.mark.parametrize(("kind", "executed"), [("drop", 0), ("drop_after", 1), ("truncate", 1)])
def test_dropped_request_is_executed_or_not(changing_sandbox: Sandbox, kind: str, executed: int) -> None:
    """A drop leaves the request undone; a drop afterwards and half an answer leave it done."""
    before = changing_sandbox.total()
    changing_sandbox.control("POST", "/moving-list", {"reads": 1, "every": 1})
    changing_sandbox.spoil({"type": kind}, times=1)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        changing_sandbox.get()
    # The one page read that moves the list was either the broken one, or this one.
    assert changing_sandbox.total() == before + executed


def test_rules_tell_how_often_they_fired(sandbox: Sandbox) -> None:
    """The list of rules counts matches and faults."""
    sandbox.spoil({"type": "status", "status": 503}, skip=1, times=1)
    statuses(sandbox, 4)
    (rule,) = sandbox.control("GET", "/faults").json()
    assert (rule["matched"], rule["fired"], rule["action"]["status"]) == (4, 1, 503)


def test_one_rule_can_be_removed(sandbox: Sandbox) -> None:
    """A rule is removed by its id, the others stay."""
    ids = [sandbox.control("POST", "/faults", {"path": "x", "action": {"type": "drop"}}).json()["id"] for _ in range(2)]
    sandbox.control("DELETE", f"/faults/{ids[0]}")
    assert [rule["id"] for rule in sandbox.control("GET", "/faults").json()] == ids[1:]


def test_controls_are_never_spoilt(sandbox: Sandbox) -> None:
    """A rule for every path does not reach the controls."""
    sandbox.spoil({"type": "drop"}, path="")
    assert sandbox.control("GET", "/faults").status_code == 200


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ([], "not a JSON object"),
        ({"action": {"type": "explode"}}, "action.type"),
        ({"action": {"type": "status"}}, "action.status"),
        ({"action": {"type": "delay", "seconds": -1}}, "action.seconds"),
        ({"action": {"type": "drop", "status": 500}}, "unknown keys ['status']"),
        ({"action": {"type": "drop"}, "path": "("}, "no regular expression"),
        ({"action": {"type": "drop"}, "times": 1.5}, "times"),
        ({"action": {"type": "drop"}, "probability": 2}, "probability"),
        ({"action": {"type": "drop"}, "often": True}, "unknown keys ['often']"),
    ],
)
def test_wrong_rule_is_refused(sandbox: Sandbox, rule: Any, says: str) -> None:
    """A rule that cannot be obeyed is answered by 400 with the reason."""
    answer = sandbox.control("POST", "/faults", rule)
    assert (answer.status_code, says in answer.json()["error"]) == (400, True)


def test_requests_are_counted_by_method_and_path(sandbox: Sandbox) -> None:
    """The log counts requests by path without the query, spoilt ones included, controls left out."""
    sandbox.spoil({"type": "status", "status": 503}, times=1)
    statuses(sandbox, 3)
    assert sandbox.calls() == {f"GET /api/{sandbox.facts['tenant_id']}/passes": 3}


def test_answers_are_counted_by_status(sandbox: Sandbox) -> None:
    """The log counts answers by status, spoilt ones included, for as many requests as there are."""
    sandbox.spoil({"type": "status", "status": 503}, times=1)
    statuses(sandbox, 3)
    assert sandbox.control("GET", "/requests?by=status").json() == {"200": 2, "503": 1}


def test_last_requests_tell_path_query_and_status(sandbox: Sandbox) -> None:
    """The log shows the last requests without headers and bodies."""
    statuses(sandbox, 2)
    assert sandbox.control("GET", "/requests?last=1").json() == [
        {"method": "GET", "path": f"/api/{sandbox.facts['tenant_id']}/passes", "query": "pageIndex=1", "status": 200}
    ]


def test_dropped_request_has_no_status(sandbox: Sandbox) -> None:
    """A request that got no answer is in the log without a status."""
    sandbox.spoil({"type": "drop"})
    with pytest.raises(requests.ConnectionError):
        sandbox.get()
    assert sandbox.control("GET", "/requests?last=1").json()[0]["status"] is None
