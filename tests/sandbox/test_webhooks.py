"""The stand-in's webhook subscriptions are managed as the vendor's documentation says, and outlive a restart."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import TIMEOUT_S, Sandbox, running
from webhook_service import Hooks, hooked

ENDPOINT = "https://example.com/hook"
FIELDS = {"endpoint": ENDPOINT, "events": ["Pass:*"], "description": "ours", "enabled": False}


@pytest.fixture
def hooks(changing_sandbox: Sandbox) -> Iterator[Hooks]:
    """Give the webhooks of a sandbox, without any subscription."""
    with hooked(changing_sandbox) as managed:
        yield managed


def test_creation_adds_id_and_secret(hooks: Hooks) -> None:
    """The answer to a creation is what was asked for, an id of 5 characters and a secret of 64."""
    created = hooks.create(ENDPOINT, "Pass:*", description="ours", enabled=False)
    assert {name: created.pop(name) for name in FIELDS} == FIELDS
    assert re.fullmatch(r"\w{5}", created.pop("id"))
    assert re.fullmatch(r"\w{64}", created.pop("signatureSecret"))
    assert created == {}


def test_subscription_is_enabled_unless_told_otherwise(hooks: Hooks) -> None:
    """Only an endpoint and events need to be given."""
    assert hooks.create(ENDPOINT)["enabled"] is True


def test_subscriptions_are_listed_and_read(hooks: Hooks) -> None:
    """The list holds each subscription in the order of creation, as a read of the single one shows it."""
    created = [hooks.create(ENDPOINT), hooks.create(ENDPOINT)]
    assert hooks.call("GET").json() == created
    assert [hooks.call("GET", f"/{one['id']}").json() for one in created] == created


def test_two_subscriptions_have_two_secrets(hooks: Hooks) -> None:
    """No two subscriptions share an id or a secret."""
    created = [hooks.create(ENDPOINT) for _ in range(3)]
    assert [len({one[name] for one in created}) for name in ("id", "signatureSecret")] == [3, 3]


def test_change_leaves_the_rest_as_it_is(hooks: Hooks) -> None:
    """A PATCH changes what it names, keeps id and secret, and answers with the whole."""
    created = hooks.create(ENDPOINT, description="ours")
    changed = hooks.call("PATCH", f"/{created['id']}", {"enabled": False, "events": ["*"]}).json()
    assert changed == {**created, "enabled": False, "events": ["*"]}
    assert hooks.call("GET", f"/{created['id']}").json() == changed


def test_deleted_subscription_is_gone(hooks: Hooks) -> None:
    """A subscription is deleted once; afterwards it is a 404 problem for every method."""
    path = f"/{hooks.create(ENDPOINT)['id']}"
    assert hooks.call("DELETE", path).status_code == 204
    answers = [hooks.call(method, path, {}) for method in ("DELETE", "GET", "PATCH")]
    assert [(answer.status_code, answer.json()["detail"]) for answer in answers] == [
        (404, "The webhook was not found.")
    ] * 3


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"endpoint": "ftp://example.com/hook"}, "endpoint"),
        ({"endpoint": "example.com/hook"}, "endpoint"),
        ({"endpoint": "https:///hook"}, "endpoint"),
        ({"endpoint": "http://example.com:99999/hook"}, "endpoint"),
        ({"endpoint": "http://example.com/a b"}, "endpoint"),
        ({"endpoint": None}, "endpoint"),
        ({"events": []}, "events"),
        ({"events": ["Pass:*:Installed"]}, "events"),
        ({"events": [""]}, "events"),
        ({"events": "Pass:Installed"}, "events"),
        ({"enabled": "yes"}, "enabled"),
        ({"signatureSecret": "x" * 64}, "signatureSecret"),
    ],
)
def test_wrong_field_is_a_validation_problem(hooks: Hooks, fields: dict[str, Any], name: str) -> None:
    """A field that cannot be used is named, in a creation and in a change, and nothing is created or changed."""
    kept = hooks.create(ENDPOINT)
    answers = [
        hooks.call("POST", body={"endpoint": ENDPOINT, "events": ["*"], **fields}),
        hooks.call("PATCH", f"/{kept['id']}", fields),
    ]
    assert [(answer.status_code, [*answer.json()["errors"]]) for answer in answers] == [(400, [name])] * 2
    assert hooks.call("GET").json() == [kept]


@pytest.mark.parametrize("name", ["endpoint", "events"])
def test_missing_field_is_a_validation_problem(hooks: Hooks, name: str) -> None:
    """Endpoint and events must be given."""
    answer = hooks.call("POST", body={key: value for key, value in FIELDS.items() if key != name})
    assert (answer.status_code, [*answer.json()["errors"]]) == (400, [name])


@pytest.mark.parametrize("body", [b"", b"[]", b'{"endpoint"', b"\xff"])
def test_body_that_is_no_object_is_a_problem(hooks: Hooks, body: bytes) -> None:
    """A body that is no JSON object is refused as a ProblemDetails."""
    answer = hooks.sandbox.http.post(f"{hooks.sandbox.api}/webhooks", data=body, timeout=TIMEOUT_S)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "", "Webhook.Read"),
        ("GET", "/abcde", "Webhook.Read"),
        ("POST", "", "Webhook.Write"),
        ("PATCH", "/abcde", "Webhook.Write"),
        ("DELETE", "/abcde", "Webhook.Write"),
    ],
)
def test_key_needs_the_scope(hooks: Hooks, method: str, path: str, scope: str) -> None:
    """A key without the scope is refused by name, whatever it asks for."""
    answer = hooks.call(method, path, {}, key=hooks.sandbox.facts["keys"]["passes_only"])
    assert (answer.status_code, answer.json()["detail"]) == (403, f"The API key lacks the scope {scope}.")


def test_secret_may_be_shown_only_at_the_creation(hooks: Hooks) -> None:
    """A switch hides the secret from every answer but the first."""
    hooks.configure(secret_in_reads=False)
    created = hooks.create(ENDPOINT)
    path = f"/{created['id']}"
    later = [hooks.call("GET", path).json(), hooks.call("PATCH", path, {}).json(), *hooks.call("GET").json()]
    assert len(created["signatureSecret"]) == 64
    assert ["signatureSecret" in shown for shown in later] == [False] * 3


def test_subscriptions_survive_a_restart(tmp_path: Path) -> None:
    """A restarted sandbox has its subscriptions, and gives a new one another id and secret than any before."""
    with running(tmp_path, "--passes", 0) as sandbox:
        hooks = Hooks(sandbox)
        kept, gone = hooks.create(ENDPOINT, "Pass:*"), hooks.create(ENDPOINT)
        hooks.call("DELETE", f"/{gone['id']}")
        kept = hooks.call("PATCH", f"/{kept['id']}", {"enabled": False}).json()
        sandbox.stop()
    with running(tmp_path, "--passes", 0) as sandbox:
        hooks = Hooks(sandbox)
        assert hooks.call("GET").json() == [kept]
        new = hooks.create(ENDPOINT)
    assert {new["id"], new["signatureSecret"]}.isdisjoint(
        {one[name] for one in (kept, gone) for name in ("id", "signatureSecret")}
    )
