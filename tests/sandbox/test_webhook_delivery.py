"""Events are delivered to the webhooks at least once, signed, in every form and with every mischief asked for."""

import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Sandbox, running
from webhook_service import Hooks, Receiver, base64_of, hmac_of, hooked, receiving

from tests.waiting import wait_until

QUICKLY = {"retry_seconds": 0.01}


@pytest.fixture
def hooks(changing_sandbox: Sandbox) -> Iterator[Hooks]:
    """Give the webhooks of a sandbox whose world may change; retries come at once."""
    with hooked(changing_sandbox) as managed:
        managed.configure(**QUICKLY)
        yield managed


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Give a receiving server that answers 200."""
    with receiving() as server:
        yield server


def advance(hooks: Hooks, **counts: Any) -> list[dict[str, Any]]:
    """Change the world, wait until all is delivered, and return the changes."""
    changes = hooks.sandbox.advance(**counts)
    hooks.settle()
    return changes


def at_least_apart(earlier: str, later: str, seconds: float) -> bool:
    """Tell whether two times are so far apart."""
    return datetime.fromisoformat(later) - datetime.fromisoformat(earlier) >= timedelta(seconds=seconds)


# What arrives


def test_install_is_delivered(hooks: Hooks, receiver: Receiver) -> None:
    """An install arrives once, at the endpoint's path and query, with the pass, the wallet, the time and the count."""
    hooks.create(f"{receiver.url}?tenant=a")
    (change,) = advance(hooks, installs=1)
    listed = hooks.sandbox.find(change["pass_id"])
    assert listed is not None
    (body,) = receiver.bodies()
    assert len(body.pop("eventId")) == 32
    assert body == {
        "eventType": "Pass:Installed",
        "timestamp": change["at"],
        "passId": change["pass_id"],
        "passType": listed["passType"],
        "device": change["wallet"],
        "activeRegistrationCount": 1,
        "identifiers": listed["identifiers"],
        "metadata": listed["metadata"],
    }
    assert receiver.received[0].path == "/hook?tenant=a"


def test_event_id_is_that_of_insights(hooks: Hooks, receiver: Receiver) -> None:
    """The same event has the same id in a delivery and in Insights."""
    hooks.create(receiver.url)
    (change,) = advance(hooks, uninstalls=1)
    query = f"Events | where eventType == 'Pass:Uninstalled' and tostring(properties.passId) == '{change['pass_id']}'"
    ids = [row[0].replace("-", "") for row in hooks.sandbox.rows(f"{query} | project tostring(eventId)")]
    assert receiver.bodies()[0]["eventId"] in ids


@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize("form", ["hex", "hex_upper", "base64"])
def test_signature_is_that_of_the_body(hooks: Hooks, receiver: Receiver, form: str, *, prefix: bool) -> None:
    """The header is the HMAC-SHA256 of the raw body with the subscription's secret, written as the switches say."""
    hooks.configure(signature=form, signature_prefix=prefix)
    secret = hooks.create(receiver.url)["signatureSecret"]
    advance(hooks, installs=1)
    (one,) = receiver.received
    assert one.signature is not None
    assert one.signature.startswith("sha256=") is prefix
    written = one.signature.removeprefix("sha256=")
    lower = hmac_of(one.body, secret)
    assert written == {"hex": lower, "hex_upper": lower.upper(), "base64": base64_of(lower)}[form]


def test_two_subscriptions_are_signed_apart(hooks: Hooks, receiver: Receiver) -> None:
    """Each subscription gets the event, signed with its own secret."""
    secrets = [hooks.create(receiver.url)["signatureSecret"] for _ in range(2)]
    advance(hooks, installs=1)
    matches = [[one.is_signed_with(secret) for secret in secrets] for one in receiver.received]
    assert sorted(matches) == [[False, True], [True, False]]


def test_rest_may_lie_below_data(hooks: Hooks, receiver: Receiver) -> None:
    """A switch puts everything but the event type below `data`."""
    hooks.configure(envelope="data")
    hooks.create(receiver.url)
    (change,) = advance(hooks, installs=1)
    (body,) = receiver.bodies()
    assert ([*body], body["data"]["passId"]) == (["eventType", "data"], change["pass_id"])


def test_event_types_may_be_written_with_dots(hooks: Hooks, receiver: Receiver) -> None:
    """A switch writes event types in lower case with a dot; subscriptions name them as ever."""
    hooks.configure(event_names="dotted")
    hooks.create(receiver.url, "Pass:Uninstalled")
    advance(hooks, uninstalls=1)
    assert [body["eventType"] for body in receiver.bodies()] == ["pass.uninstalled"]


@pytest.mark.parametrize(
    ("switch", "names"),
    [
        ("with_event_id", {"eventId"}),
        ("with_timestamp", {"timestamp"}),
        ("with_identifiers", {"identifiers", "metadata"}),
        ("with_active_count", {"activeRegistrationCount"}),
    ],
)
def test_parts_of_the_payload_can_be_left_out(hooks: Hooks, receiver: Receiver, switch: str, names: set[str]) -> None:
    """Each switch leaves out its members, and no others."""
    hooks.create(receiver.url)
    advance(hooks, installs=1)
    hooks.configure(**{switch: False})
    advance(hooks, installs=1)
    with_it, without_it = receiver.bodies()
    assert set(with_it) - set(without_it) == names


def test_source_of_a_registration_is_told_only_on_demand(hooks: Hooks, receiver: Receiver) -> None:
    """Where a switch asks for it, payloads of installs, and no others, say where the registration came from."""
    hooks.create(receiver.url)
    advance(hooks, installs=1)
    hooks.configure(with_source=True)
    advance(hooks, installs=1)
    advance(hooks, uninstalls=1)
    told = [body.get("registrationSource") for body in receiver.bodies()]
    assert (told[0], set(told[1] or {}), told[2]) == (None, {"tags", "medium", "origin", "userAgent"}, None)


def test_secret_of_the_pass_is_told_only_on_demand(hooks: Hooks, receiver: Receiver) -> None:
    """A payload carries the pass's secret only where the switch asks for it."""
    hooks.create(receiver.url)
    advance(hooks, installs=1)
    hooks.configure(with_secret=True)
    advance(hooks, installs=1)
    assert [body.get("secret", "none")[:7] for body in receiver.bodies()] == ["none", "s3cr3t-"]


# To whom


@pytest.mark.parametrize(
    ("events", "arrive"),
    [
        (["Pass:Installed"], {"Pass:Installed"}),
        (["Pass:Created", "Pass:Updated"], {"Pass:Created", "Pass:Updated"}),
        (["Pass:Un*"], {"Pass:Uninstalled"}),
        (["*"], {"Pass:Installed", "Pass:Uninstalled", "Pass:Created", "Pass:Updated"}),
        (["Customer:*"], set()),
    ],
)
def test_events_choose_what_is_delivered(hooks: Hooks, receiver: Receiver, events: list[str], arrive: set[str]) -> None:
    """Just the events that a name of the subscription covers are delivered; a trailing * covers what begins so."""
    hooks.create(receiver.url, *events)
    advance(hooks, installs=1, uninstalls=1, identifier_changes=1, new_passes=1)
    assert Counter(body["eventType"] for body in receiver.bodies()) == Counter(arrive)


def test_disabled_subscription_gets_nothing(hooks: Hooks, receiver: Receiver) -> None:
    """An event that happens while a subscription is disabled is not kept for it."""
    webhook = hooks.create(receiver.url, enabled=False)
    advance(hooks, installs=1)
    hooks.call("PATCH", f"/{webhook['id']}", {"enabled": True})
    (later,) = advance(hooks, uninstalls=1)
    assert [body["passId"] for body in receiver.bodies()] == [later["pass_id"]]
    assert hooks.counts() == {"events": 1, "sent": 1, "acknowledged": 1}


def test_refused_change_of_the_world_is_not_announced(hooks: Hooks, receiver: Receiver) -> None:
    """When an advance is refused as a whole, no event of it is delivered."""
    hooks.create(receiver.url)
    assert hooks.sandbox.control("POST", "/advance", {"installs": 1, "uninstalls": 10_000}).status_code == 409
    assert (hooks.settle(), receiver.received) == ({}, [])


# Until it is acknowledged


@pytest.mark.parametrize("answer", [500, 404, 302, None])
def test_what_is_not_acknowledged_is_sent_again(hooks: Hooks, receiver: Receiver, answer: int | None) -> None:
    """After any answer but a 2xx, and after a broken connection, the same bytes are sent until acknowledged."""
    receiver.answers.extend([answer, answer])
    hooks.create(receiver.url)
    advance(hooks, installs=1)
    assert [one.body for one in receiver.received] == [receiver.received[0].body] * 3
    assert hooks.counts() == {"events": 1, "sent": 3, "acknowledged": 1}


def test_receiver_that_is_away_gets_it_when_it_is_back(hooks: Hooks) -> None:
    """A refused connection is tried again, at the endpoint that the subscription has by then."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    webhook = hooks.create(nobody)
    hooks.sandbox.advance(installs=1)
    wait_until(lambda: hooks.counts().get("sent", 0) > 1)
    with receiving() as receiver:
        hooks.call("PATCH", f"/{webhook['id']}", {"endpoint": receiver.url})
        assert hooks.settle()["acknowledged"] == 1
    assert len(receiver.received) == 1


def test_pauses_between_attempts_grow(hooks: Hooks, receiver: Receiver) -> None:
    """Each pause is twice the one before."""
    hooks.configure(retry_seconds=0.1)
    receiver.answers.extend([500, 500])
    hooks.create(receiver.url)
    advance(hooks, installs=1)
    first, second, third = [one.at for one in receiver.received]
    assert (second - first >= 0.1, third - second >= 0.2) == (True, True)


def test_delivery_is_given_up_in_the_end(hooks: Hooks, receiver: Receiver) -> None:
    """After the last attempt an event counts as failed."""
    hooks.configure(attempts=3)
    receiver.answers.extend([500] * 3)
    hooks.create(receiver.url)
    advance(hooks, installs=1)
    assert hooks.counts() == {"events": 1, "sent": 3, "failed": 1}
    assert hooks.last()[0]["acknowledged_at"] is None


def test_late_answer_counts_as_none(hooks: Hooks, receiver: Receiver) -> None:
    """A receiver that answers after the time limit gets the event again."""
    hooks.configure(answer_seconds=0.1)
    receiver.may_answer.clear()
    hooks.create(receiver.url)
    hooks.sandbox.advance(installs=1)
    wait_until(lambda: len(receiver.received) == 2)
    receiver.may_answer.set()
    assert hooks.settle()["acknowledged"] == 1


def test_subscription_that_is_gone_gets_no_further_attempt(hooks: Hooks, receiver: Receiver) -> None:
    """A deleted subscription ends what is pending for it."""
    receiver.answers.extend([500] * 1000)
    hooks.configure(attempts=1000)
    webhook = hooks.create(receiver.url)
    hooks.sandbox.advance(installs=1)
    wait_until(lambda: len(receiver.received) > 1)
    hooks.call("DELETE", f"/{webhook['id']}")
    counts = hooks.settle()
    assert (counts["failed"], counts["sent"]) == (1, len(receiver.received))


def test_receiver_that_hangs_holds_up_nobody_else(hooks: Hooks, receiver: Receiver) -> None:
    """While one receiver keeps more deliveries waiting than are sent at once, the API and the others are served."""
    receiver.may_answer.clear()
    hooks.create(receiver.url)
    with receiving() as other:
        hooks.create(other.url)
        hooks.sandbox.advance(installs=40)
        wait_until(lambda: hooks.counts().get("acknowledged") == 40)
    assert (len(hooks.sandbox.passes(pageSize=1)), hooks.counts()["pending"]) == (1, 40)
    receiver.may_answer.set()
    assert hooks.settle()["acknowledged"] == 80


# Mischief


def test_duplicates_are_the_same_bytes(hooks: Hooks, receiver: Receiver) -> None:
    """With a share of 1 every event arrives twice, equal to the byte, and is acknowledged once."""
    hooks.configure(duplicate_share=1)
    hooks.create(receiver.url)
    advance(hooks, installs=5)
    assert [*Counter(one.body for one in receiver.received).values()] == [2] * 5
    assert hooks.counts() == {"events": 5, "sent": 10, "duplicates": 5, "acknowledged": 5}


def test_events_are_sent_again_later(hooks: Hooks, receiver: Receiver) -> None:
    """With a share of 1 every event arrives again after the given time."""
    hooks.configure(again_share=1, again_after_seconds=0.4)
    hooks.create(receiver.url)
    started = time.monotonic()
    advance(hooks, installs=1)
    first, again = receiver.received
    assert (again.body, again.at - started >= 0.4) == (first.body, True)
    assert hooks.counts() == {"events": 1, "sent": 2, "sent_again": 1, "acknowledged": 1}


def test_forged_deliveries_are_extra(hooks: Hooks, receiver: Receiver) -> None:
    """Beside each event, well signed, comes one that claims the opposite under another id and is not signed rightly."""
    hooks.configure(badly_signed_share=1)
    secret = hooks.create(receiver.url)["signatureSecret"]
    advance(hooks, installs=20)
    genuine = [one.json() for one in receiver.received if one.is_signed_with(secret)]
    forged = [one.json() for one in receiver.received if not one.is_signed_with(secret)]
    assert [{body["eventType"] for body in bodies} for bodies in (genuine, forged)] == [
        {"Pass:Installed"},
        {"Pass:Uninstalled"},
    ]
    assert {body["passId"] for body in genuine} == {body["passId"] for body in forged}
    assert len({body["eventId"] for body in genuine + forged}) == 40
    assert hooks.counts() == {"events": 20, "sent": 40, "badly_signed": 20, "acknowledged": 20}


def test_forgers_know_three_ways(hooks: Hooks, receiver: Receiver) -> None:
    """A forgery has no signature, one with another secret, or one over the same JSON in other bytes."""
    hooks.configure(badly_signed_share=1)
    secret = hooks.create(receiver.url)["signatureSecret"]
    advance(hooks, installs=20)
    forged = [one for one in receiver.received if not one.is_signed_with(secret)]
    over_other_bytes = {hmac_of(json.dumps(one.json()).encode(), secret) for one in forged}
    ways = Counter(
        "none" if one.signature is None else "other bytes" if one.signature in over_other_bytes else "other secret"
        for one in forged
    )
    assert set(ways) == {"none", "other bytes", "other secret"}


def test_forgery_is_not_sent_again(hooks: Hooks, receiver: Receiver) -> None:
    """A receiver that refuses a forgery is left alone with it."""
    hooks.configure(badly_signed_share=1)
    hooks.create(receiver.url)
    receiver.answers.extend([401, 401])
    advance(hooks, installs=1)
    assert hooks.counts() == {"events": 1, "sent": 3, "badly_signed": 1, "acknowledged": 1}


def test_lost_events_never_arrive(hooks: Hooks, receiver: Receiver) -> None:
    """With a share of 1 nothing is sent, and each event is told as lost."""
    hooks.configure(lost_share=1, duplicate_share=1, badly_signed_share=1)
    hooks.create(receiver.url)
    advance(hooks, installs=3)
    assert (hooks.counts(), receiver.received) == ({"events": 3, "lost": 3}, [])
    assert [(one["lost"], one["first_sent_at"]) for one in hooks.last(3)] == [(True, None)] * 3


def test_events_come_out_of_order(hooks: Hooks, receiver: Receiver) -> None:
    """Within the window events arrive in another order than they happened in, each of them once."""
    hooks.configure(shuffle_seconds=0.5)
    hooks.create(receiver.url)
    changes = advance(hooks, installs=20)
    happened, arrived = [change["pass_id"] for change in changes], [body["passId"] for body in receiver.bodies()]
    assert (sorted(arrived) == sorted(happened), arrived == happened) == (True, False)


def test_events_can_be_late(hooks: Hooks, receiver: Receiver) -> None:
    """A delay holds every event back."""
    hooks.configure(delay_seconds=0.3)
    hooks.create(receiver.url)
    advance(hooks, installs=1)
    (delivery,) = hooks.last()
    assert at_least_apart(delivery["occurred_at"], delivery["first_sent_at"], 0.3)


def test_equal_seeds_give_equal_mischief(tmp_path: Path) -> None:
    """Two worlds of one seed lose, double and forge the same events; one of another seed does not."""
    assert _mischief(tmp_path / "one", 11) == _mischief(tmp_path / "two", 11) != _mischief(tmp_path / "three", 12)


def _mischief(state: Path, seed: int) -> Counter[str]:
    """Return how often each event arrived in a new world."""
    with receiving() as receiver, running(state, "--passes", 300, "--seed", seed) as sandbox:
        hooks = Hooks(sandbox)
        hooks.configure(lost_share=0.3, duplicate_share=0.3, badly_signed_share=0.3)
        hooks.create(receiver.url)
        advance(hooks, installs=30)
        counts = hooks.counts()
    assert {"lost", "duplicates", "badly_signed"} <= set(counts)
    return Counter(body["eventId"] for body in receiver.bodies())


# What is told


def test_single_deliveries_are_told(hooks: Hooks, receiver: Receiver) -> None:
    """The last deliveries say what happened to which pass, and when it was sent and acknowledged."""
    webhook = hooks.create(receiver.url)
    changes = advance(hooks, installs=1, uninstalls=1)
    deliveries = hooks.last(2)
    for delivery, change, kind in zip(deliveries, changes, ("Pass:Installed", "Pass:Uninstalled"), strict=True):
        times = [delivery.pop(name) for name in ("occurred_at", "first_sent_at", "acknowledged_at")]
        assert times == sorted(times)
        assert (times[0], len(delivery.pop("event_id"))) == (change["at"], 32)
        assert delivery == {
            "webhook_id": webhook["id"],
            "pass_id": change["pass_id"],
            "wallet": change["wallet"],
            "kind": kind,
            "lost": False,
        }


@pytest.mark.parametrize("last", [0, 1, 3])
def test_as_many_deliveries_are_told_as_asked_for(hooks: Hooks, receiver: Receiver, last: int) -> None:
    """`last` is the number of deliveries that are told, the newest one last."""
    hooks.create(receiver.url)
    changes = advance(hooks, installs=3)
    assert [one["pass_id"] for one in hooks.last(last)] == [change["pass_id"] for change in changes[3 - last :]]


@pytest.mark.parametrize("last", ["-1", "x", ""])
def test_last_must_be_a_number(hooks: Hooks, last: str) -> None:
    """Anything else than a number of deliveries is refused."""
    assert hooks.sandbox.control("GET", f"/webhook-deliveries?last={last}").status_code == 400


@pytest.mark.parametrize(
    "wrong", [{"lost_share": 1.1}, {"delay_seconds": -1}, {"envelope": "body"}, {"attempts": 0}, {"signed": True}]
)
def test_wrong_switch_is_refused_as_a_whole(hooks: Hooks, wrong: dict[str, Any]) -> None:
    """A switch that does not exist, or a value out of range, is named and nothing is changed."""
    before = hooks.sandbox.control("GET", "/webhook-settings").json()
    answer = hooks.sandbox.control("PATCH", "/webhook-settings", {"duplicate_share": 0.5, **wrong})
    assert (answer.status_code, [fault["field"] for fault in answer.json()["errors"]]) == (400, [*wrong])
    assert hooks.sandbox.control("GET", "/webhook-settings").json() == before


# The process


def test_stops_cleanly_though_deliveries_are_pending(tmp_path: Path) -> None:
    """Receivers that hang, retries and later sendings do not hold up a stop."""
    with receiving() as receiver, running(tmp_path, "--passes", 100) as sandbox:
        receiver.may_answer.clear()
        hooks = Hooks(sandbox)
        hooks.configure(again_share=1, again_after_seconds=3600)
        hooks.create(receiver.url)
        hooks.create("http://127.0.0.1:1/")
        sandbox.advance(installs=30)
        wait_until(lambda: bool(receiver.received))
        started = time.monotonic()
        assert (sandbox.stop(), time.monotonic() - started < 10) == (0, True)
