"""An endpoint is subscribed once, whatever goes wrong and however often it is asked for."""

import time

import pytest

from tests.conftest import Tenant
from tests.sandbox.conftest import TIMEOUT_S
from wallet_pipeline.clients.http import NotFoundError, ScopeError, ServiceError, TimeLimits
from wallet_pipeline.clients.wallet_crew import Webhook
from wallet_pipeline.collect.webhooks.subscriptions import EndpointError, Subscription, remove, subscribe

ENDPOINT = "https://wallet.example.com/webhooks/wallet-crew"
EVENTS = ("Pass:Installed", "Pass:Uninstalled")
WEBHOOKS = "/webhooks"


def make(tenant: Tenant, endpoint: str, *events: str, enabled: bool = True) -> Webhook:
    """Create a subscription as somebody else would have."""
    with tenant.client() as client:
        webhook = client.create_webhook(endpoint, events or EVENTS, "theirs")
        return webhook if enabled else client.change_webhook(webhook.id, enabled=False)


def ask(tenant: Tenant, *events: str, endpoint: str = ENDPOINT, limits: TimeLimits | None = None) -> Subscription:
    """Subscribe the endpoint."""
    with tenant.client(**({} if limits is None else {"limits": limits})) as client:
        return subscribe(client, endpoint, events or EVENTS)


def listed(tenant: Tenant) -> list[tuple[str, list[str], bool]]:
    """Return endpoint, events and state of every subscription."""
    return [(one["endpoint"], one["events"], one["enabled"]) for one in tenant.webhooks()]


def writes(tenant: Tenant) -> list[str]:
    """Return the methods of the calls that were made, other than reads."""
    return [call.split()[0] for call in tenant.calls() if WEBHOOKS in call and not call.startswith("GET")]


def test_first_subscribing_creates(tenant: Tenant) -> None:
    """A new endpoint is subscribed to the events, enabled, and its secret is in the result."""
    result = ask(tenant)
    assert listed(tenant) == [(ENDPOINT, [*EVENTS], True)]
    assert (result.created, len(result.webhook.signature_secret)) == (True, 64)


def test_second_subscribing_changes_nothing(tenant: Tenant) -> None:
    """Subscribing again sends nothing but a read."""
    first = ask(tenant)
    tenant.control("DELETE", "/requests")
    assert ask(tenant) == Subscription(first.webhook)
    assert writes(tenant) == []


def test_event_named_twice_is_subscribed_once(tenant: Tenant) -> None:
    """Repeated names of events are sent once."""
    ask(tenant, "Pass:Installed", "Pass:Installed")
    assert listed(tenant) == [(ENDPOINT, ["Pass:Installed"], True)]


def test_another_endpoint_gets_a_subscription_of_its_own(tenant: Tenant) -> None:
    """Subscriptions of other endpoints are left alone."""
    make(tenant, "https://other.example.com/hook", "Pass:Created")
    assert ask(tenant).created
    assert listed(tenant)[0] == ("https://other.example.com/hook", ["Pass:Created"], True)
    assert len(listed(tenant)) == 2


def test_disabled_subscription_is_enabled_again(tenant: Tenant) -> None:
    """A subscription that was disabled is enabled, not doubled."""
    disabled = make(tenant, ENDPOINT, enabled=False)
    result = ask(tenant)
    assert (result.webhook.id, result.created, result.enabled, result.added) == (disabled.id, False, True, ())
    assert listed(tenant) == [(ENDPOINT, [*EVENTS], True)]


def test_missing_events_are_added(tenant: Tenant) -> None:
    """Events that a subscription lacks are added to those that it has."""
    make(tenant, ENDPOINT, "Pass:Created", "Pass:Installed")
    result = ask(tenant)
    assert (result.created, result.enabled, result.added) == (False, False, ("Pass:Uninstalled",))
    assert listed(tenant) == [(ENDPOINT, ["Pass:Created", *EVENTS], True)]


@pytest.mark.parametrize("pattern", ["Pass:*", "*"])
def test_wildcard_covers_events(tenant: Tenant, pattern: str) -> None:
    """A subscription whose wildcard covers the events needs no change."""
    make(tenant, ENDPOINT, pattern)
    assert ask(tenant).added == ()
    assert listed(tenant) == [(ENDPOINT, [pattern], True)]


def test_wildcard_is_not_covered_by_names(tenant: Tenant) -> None:
    """A wildcard that is asked for is added beside single events, and beside a narrower wildcard."""
    make(tenant, ENDPOINT, "Pass:Installed", "Pass:Un*")
    assert ask(tenant, "Pass:*").added == ("Pass:*",)


def test_enabled_one_of_two_is_taken(tenant: Tenant) -> None:
    """Where an endpoint has two subscriptions, the disabled one stays so: or else every event would come twice."""
    make(tenant, ENDPOINT, enabled=False)
    enabled = make(tenant, ENDPOINT)
    assert ask(tenant) == Subscription(enabled)
    assert [state for _, _, state in listed(tenant)] == [False, True]


@pytest.mark.parametrize(
    "written",
    ["HTTPS://Wallet.Example.com/webhooks/wallet-crew", "https://wallet.example.com:443/webhooks/wallet-crew"],
)
def test_endpoint_is_known_however_it_is_written(tenant: Tenant, written: str) -> None:
    """Upper case in the host and the default port make no other endpoint."""
    ask(tenant)
    assert not ask(tenant, endpoint=written).created


def test_endpoint_without_a_path_is_that_with_the_root(tenant: Tenant) -> None:
    """A service that writes an address back with a slash is understood."""
    make(tenant, "https://wallet.example.com/")
    assert not ask(tenant, endpoint="https://wallet.example.com").created


@pytest.mark.parametrize(
    "other",
    [f"{ENDPOINT}/", f"{ENDPOINT}?a=1", "https://wallet.example.com:8443/webhooks/wallet-crew"],
)
def test_other_path_query_or_port_is_another_endpoint(tenant: Tenant, other: str) -> None:
    """Addresses that may lead elsewhere are told apart."""
    ask(tenant)
    assert ask(tenant, endpoint=other).created


# What goes wrong


def test_creation_whose_answer_is_lost_is_found(tenant: Tenant) -> None:
    """A creation that happened though the connection broke is taken for what it is, with its secret; there is one."""
    tenant.spoil({"type": "drop_after"}, path=WEBHOOKS, method="POST", times=1)
    result = ask(tenant)
    assert (result.created, len(result.webhook.signature_secret)) == (True, 64)
    assert (len(tenant.webhooks()), writes(tenant)) == (1, ["POST"])


@pytest.mark.parametrize("status", [400, 500, 504])
def test_creation_that_fails_is_an_error(tenant: Tenant, status: int) -> None:
    """A creation that fails and was not made is told and not sent again; the next call makes it."""
    tenant.spoil({"type": "status", "status": status}, path=WEBHOOKS, method="POST", times=1)
    with pytest.raises(ServiceError, match=str(status)):
        ask(tenant)
    assert (tenant.webhooks(), tenant.calls()["POST /api/sandbox-tenant/webhooks"]) == ([], 1)
    assert ask(tenant).created


def test_creation_that_comes_late_is_not_made_twice(tenant: Tenant) -> None:
    """A creation that the service makes only after we gave up waiting fails, and is found by the next call."""
    # A rule that looks into the body has read it before the delay, so that the request is served though we are gone.
    tenant.spoil({"type": "delay", "seconds": 1}, path=WEBHOOKS, method="POST", body="endpoint", times=1)
    with pytest.raises(ServiceError, match="took too long"):
        ask(tenant, limits=TimeLimits(silence=0.2))
    deadline = time.monotonic() + TIMEOUT_S
    while not tenant.webhooks():
        assert time.monotonic() < deadline, "the service never made it"
        time.sleep(0.05)
    assert not ask(tenant).created
    assert len(tenant.webhooks()) == 1


def test_lost_secret_is_told_as_lost(tenant: Tenant) -> None:
    """When the answer is lost and the service tells the secret only once, the result has none."""
    tenant.control("PATCH", "/webhook-settings", {"secret_in_reads": False})
    try:
        tenant.spoil({"type": "drop_after"}, path=WEBHOOKS, method="POST", times=1)
        result = ask(tenant)
    finally:
        tenant.control("PATCH", "/webhook-settings", {"secret_in_reads": True})
    assert (result.created, len(result.webhook.signature_secret)) == (True, 0)


def test_missing_scope_stops(tenant: Tenant) -> None:
    """A key without the scope is told which, and nothing is created."""
    with (
        tenant.client(key=tenant.facts["keys"]["passes_only"]) as client,
        pytest.raises(ScopeError, match=r"Webhook\.Read"),
    ):
        subscribe(client, ENDPOINT, EVENTS)
    assert tenant.webhooks() == []


@pytest.mark.parametrize(
    "endpoint",
    ["", "wallet.example.com/hook", "/hook", "ftp://example.com/", "https://", "https://a b/", "https://x:99999/"],
)
def test_endpoint_that_is_no_address_is_explained(tenant: Tenant, endpoint: str) -> None:
    """Whatever is no whole http address is refused before anything is asked."""
    with pytest.raises(EndpointError, match="no whole address"):
        ask(tenant, endpoint=endpoint)
    assert tenant.calls() == {}


@pytest.mark.parametrize("host", ["wallet.example.com", "192.168.1.5", "0.0.0.0", "localhost.example.com"])  # noqa: S104
def test_endpoint_elsewhere_must_be_encrypted(tenant: Tenant, host: str) -> None:
    """Over plain http nothing is delivered to another machine."""
    with pytest.raises(EndpointError, match="must begin with https://"):
        ask(tenant, endpoint=f"http://{host}/hook")
    assert tenant.webhooks() == []


@pytest.mark.parametrize("host", ["127.0.0.1:8473", "localhost:8473", "[::1]:8473", "127.1.2.3"])
def test_endpoint_on_this_machine_may_be_plain(tenant: Tenant, host: str) -> None:
    """On the loopback plain http is enough."""
    assert ask(tenant, endpoint=f"http://{host}/hook").created


# Removal


def test_removed_subscription_is_gone(tenant: Tenant) -> None:
    """Removing takes away that subscription alone."""
    gone, stays = make(tenant, ENDPOINT), make(tenant, ENDPOINT)
    with tenant.client() as client:
        remove(client, gone.id)
    assert [one["id"] for one in tenant.webhooks()] == [stays.id]


def test_removal_whose_answer_is_lost_has_succeeded(tenant: Tenant) -> None:
    """A repeated removal that finds nothing any more is no error."""
    webhook = make(tenant, ENDPOINT)
    tenant.spoil({"type": "drop_after"}, path=WEBHOOKS, method="DELETE", times=1)
    with tenant.client() as client:
        remove(client, webhook.id)
    assert (tenant.webhooks(), tenant.calls()[f"DELETE /api/sandbox-tenant/webhooks/{webhook.id}"]) == ([], 2)


def test_removal_of_what_never_was_is_an_error(tenant: Tenant) -> None:
    """A wrong id is told, and nothing is removed."""
    make(tenant, ENDPOINT)
    with tenant.client() as client, pytest.raises(NotFoundError, match="knows no webhook 'abcde'"):
        remove(client, "abcde")
    assert len(tenant.webhooks()) == 1
