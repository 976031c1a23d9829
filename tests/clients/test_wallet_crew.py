"""The client of The Wallet Crew reads pages, totals and queries, manages webhooks, and explains each refusal."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from tests.conftest import Tenant, make_pass, make_passes
from wallet_pipeline.clients.http import (
    AuthenticationError,
    NotFoundError,
    ScopeError,
    ServiceError,
    TimeLimits,
    UnexpectedAnswerError,
    UnreachableError,
)
from wallet_pipeline.clients.wallet_crew import QueryTimeoutError, Webhook

NOTHING = "Events | where false | project eventType"
ENDPOINT = "https://example.com/hook"
EVENTS = ("Pass:Installed", "Pass:Uninstalled")


def read(sandbox: Tenant, **client: Any) -> Exception:
    """Read a page that cannot be read and return the error."""
    with sandbox.client(**client) as service, pytest.raises(ServiceError) as raised:
        service.read_passes(0, 10)
    return raised.value


def test_page_has_its_passes_in_the_order_of_their_ids(tenant: Tenant) -> None:
    """A page is the service's own bytes, sorted by id."""
    tenant.put(make_pass("pass-b"), make_pass("pass-a"), make_pass("pass-c"))
    with tenant.client() as service:
        page = service.read_passes(0, 2)
    assert [part.split(b'"')[1] for part in page.body.split(b'"id": ')[1:]] == [b"pass-a", b"pass-b"]


def test_page_tells_the_total(tenant: Tenant) -> None:
    """A page carries the number of all passes."""
    tenant.put(*make_passes(3))
    with tenant.client() as service:
        assert service.read_passes(1, 2).total == 3


@pytest.mark.parametrize("text", ["many", "-1", "1.5", ""])
def test_total_that_is_no_number_is_none(tenant: Tenant, text: str) -> None:
    """A header that is no whole number is no total."""
    tenant.spoil({"type": "headers", "set": {"x-pagination-total": text}})
    with tenant.client() as service:
        assert service.read_passes(0, 2).total is None


def test_page_tells_the_time_of_the_server(tenant: Tenant) -> None:
    """A page carries the server's clock, aware, in UTC."""
    tenant.configure(date_offset_seconds=3600)
    with tenant.client() as service:
        ahead = service.read_passes(0, 2).server_time
    assert ahead is not None
    assert abs(ahead - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)


@pytest.mark.parametrize("action", [{"remove": ["date"]}, {"set": {"date": "yesterday"}}])
def test_server_without_a_clock_has_no_time(tenant: Tenant, action: dict[str, Any]) -> None:
    """A Date header that is missing or senseless is no time."""
    tenant.configure(send_date=False)
    tenant.spoil({"type": "headers", **action})
    with tenant.client() as service:
        assert service.read_passes(0, 2).server_time is None


@pytest.mark.parametrize(("wallet", "installed"), [("apple", 2), ("google", 1)])
def test_vendor_counts_installed_passes(tenant: Tenant, wallet: str, installed: int) -> None:
    """The service's own count of installed passes is asked for by wallet."""
    date = "2026-01-03T00:00:00Z"
    tenant.put(
        make_pass("pass-a", providers={"apple": date}),
        make_pass("pass-b", providers={"apple": date, "google": date}),
        make_pass("pass-c"),
    )
    with tenant.client() as service:
        assert service.count_passes(wallet) == installed


def test_count_without_a_total_is_an_error(tenant: Tenant) -> None:
    """A count is never guessed when the service does not give it."""
    tenant.configure(send_total=False)
    with tenant.client() as service, pytest.raises(UnexpectedAnswerError, match=r"no x-pagination-total.*apple"):
        service.count_passes("apple")


def test_wrong_key_is_explained(tenant: Tenant) -> None:
    """A key that is not accepted is named by its setting, with the service's own words, and is not shown."""
    error = read(tenant, key="key-of-nobody")
    assert isinstance(error, AuthenticationError)
    assert "(401)" in str(error)
    assert "WALLET_CREW_API_KEY" in str(error)
    assert "missing, invalid or revoked" in str(error)
    assert "key-of-nobody" not in str(error)


def test_missing_scope_is_named(tenant: Tenant) -> None:
    """A key without Pass.Read is told that it lacks Pass.Read."""
    error = read(tenant, key=tenant.facts["keys"]["insights_only"])
    assert isinstance(error, ScopeError)
    assert "lacks the scope Pass.Read (403" in str(error)


def test_missing_scope_of_insights_is_named(tenant: Tenant) -> None:
    """A key without Insights.Read is told that it lacks Insights.Read."""
    with (
        tenant.client(key=tenant.facts["keys"]["passes_only"]) as service,
        pytest.raises(ScopeError, match=r"lacks the scope Insights\.Read \(403"),
    ):
        service.query_insights(NOTHING)


def test_wrong_tenant_is_named(tenant: Tenant) -> None:
    """A tenant that does not exist is named with the settings to look at."""
    error = read(tenant, tenant="no/such tenant")
    assert isinstance(error, NotFoundError)
    assert "knows no tenant 'no/such tenant'" in str(error)
    assert "WALLET_CREW_TENANT_ID" in str(error)


def test_html_of_a_proxy_is_explained(tenant: Tenant) -> None:
    """A page of a proxy in place of the list is told by its type, with what to do."""
    tenant.spoil({"type": "replace", "html": True})
    assert "page 0 of the passes with text/html that is not a JSON list" in str(read(tenant))


@pytest.mark.parametrize("body", ["{}", '{"items": []}', "", "null", '"[]"', '[{"id": "pass-a"}, {"id": "pa'])
def test_body_that_is_no_list_is_explained(tenant: Tenant, body: str) -> None:
    """A body that is not a whole JSON list is an error of its own."""
    tenant.answer_with(body)
    assert "page 0 of the passes with application/json that is not a JSON list" in str(read(tenant))


def test_answer_that_nobody_expects_says_its_status(tenant: Tenant) -> None:
    """Any other status is told with the request and the service's own words."""
    tenant.spoil({"type": "status", "status": 418, "body": {"title": "teapot", "detail": "short and stout"}})
    text = str(read(tenant))
    assert "answered 418 to GET /api/" in text
    assert "The service says: teapot; short and stout" in text


def test_html_error_body_is_not_quoted(tenant: Tenant) -> None:
    """Of an error body that is no ProblemDetails nothing is quoted."""
    tenant.spoil({"type": "status", "status": 403, "html": True})
    assert "<html" not in str(read(tenant))


def test_rows_are_read_by_position(tenant: Tenant) -> None:
    """The rows of a query come as lists."""
    with tenant.client() as service:
        assert service.query_insights("Events | where eventType == 'None' | summarize n = count() | project n") == [[0]]


@pytest.mark.parametrize("body", [{"data": []}, [], {"rows": None}, {"rows": [{"day": 1}]}])
def test_insights_without_rows_is_an_error(tenant: Tenant, body: Any) -> None:
    """An Insights answer without a list of rows is not read as empty."""
    tenant.spoil({"type": "replace", "body": body}, path="insights")
    with tenant.client() as service, pytest.raises(UnexpectedAnswerError, match="without `rows`"):
        service.query_insights(NOTHING)


@pytest.mark.parametrize("status", [408, 504, 524])
def test_query_that_times_out_at_the_service_is_told_apart(tenant: Tenant, status: int) -> None:
    """A time-out of Insights is an error of its own, after a single call."""
    tenant.spoil({"type": "status", "status": status}, path="insights")
    with tenant.client() as service, pytest.raises(QueryTimeoutError):
        service.query_insights(NOTHING)
    assert tenant.queries() == 1


def test_query_that_is_never_answered_is_told_apart(tenant: Tenant) -> None:
    """A query that stays unanswered beyond the time limit is a time-out too, after a single call."""
    tenant.spoil({"type": "delay", "seconds": 1}, path="insights")
    with tenant.client(limits=TimeLimits(silence=0.2)) as service, pytest.raises(QueryTimeoutError):
        service.query_insights(NOTHING)
    assert tenant.queries() == 1


def test_query_that_breaks_off_is_sent_again(tenant: Tenant) -> None:
    """A query changes nothing, so a broken connection is no reason to give up."""
    tenant.spoil({"type": "drop"}, path="insights", times=1)
    with tenant.client() as service:
        assert service.query_insights(NOTHING) == []


def test_body_of_a_page_is_not_shown(tenant: Tenant) -> None:
    """A page shown by mistake does not show its passes."""
    tenant.put(make_pass("pass-a"))
    with tenant.client() as service:
        assert "s3cr3t" not in repr(service.read_passes(0, 1))


# Webhooks


def test_webhook_is_created_as_asked(tenant: Tenant) -> None:
    """A creation sends endpoint, events and description, enabled, and returns id and secret from the answer."""
    with tenant.client() as service:
        created = service.create_webhook(ENDPOINT, EVENTS, "ours")
    (shown,) = tenant.webhooks()
    assert created == Webhook(shown.pop("id"), ENDPOINT, EVENTS, True, SecretStr(shown.pop("signatureSecret")))  # noqa: FBT003
    assert shown == {"endpoint": ENDPOINT, "events": [*EVENTS], "description": "ours", "enabled": True}


def test_webhooks_are_listed(tenant: Tenant) -> None:
    """The list holds each subscription as its creation returned it."""
    with tenant.client() as service:
        assert service.list_webhooks() == []
        created = [service.create_webhook(ENDPOINT, EVENTS, "ours") for _ in range(2)]
        assert service.list_webhooks() == created


def test_webhook_is_changed_in_what_is_given(tenant: Tenant) -> None:
    """A change sends just what is given, and returns the whole."""
    with tenant.client() as service:
        created = service.create_webhook(ENDPOINT, EVENTS, "ours")
        disabled = service.change_webhook(created.id, enabled=False)
        widened = service.change_webhook(created.id, events=["Pass:*"])
    assert disabled == replace(created, enabled=False)
    assert widened == replace(disabled, events=("Pass:*",))


def test_webhook_is_deleted(tenant: Tenant) -> None:
    """A deleted subscription is gone."""
    with tenant.client() as service:
        service.delete_webhook(service.create_webhook(ENDPOINT, EVENTS, "ours").id)
    assert tenant.webhooks() == []


def test_creation_is_never_repeated(tenant: Tenant) -> None:
    """A creation whose answer is lost is not sent again: there is one subscription, and an error."""
    tenant.spoil({"type": "drop_after"}, path="webhooks", method="POST")
    with tenant.client() as service, pytest.raises(UnreachableError, match=r"POST .*/webhooks"):
        service.create_webhook(ENDPOINT, EVENTS, "ours")
    assert len(tenant.webhooks()) == 1


@pytest.mark.parametrize(
    ("method", "arguments", "scope"),
    [
        ("list_webhooks", (), "Read"),
        ("create_webhook", (ENDPOINT, EVENTS, "ours"), "Write"),
        ("change_webhook", ("abcde",), "Write"),
        ("delete_webhook", ("abcde",), "Write"),
    ],
)
def test_missing_scope_of_webhooks_is_named(
    tenant: Tenant, method: str, arguments: tuple[object, ...], scope: str
) -> None:
    """A key that may not manage webhooks is told which scope it lacks."""
    with (
        tenant.client(key=tenant.facts["keys"]["passes_only"]) as service,
        pytest.raises(ScopeError, match=rf"lacks the scope Webhook\.{scope} \(403"),
    ):
        getattr(service, method)(*arguments)


def test_unknown_webhook_is_named(tenant: Tenant) -> None:
    """A subscription that does not exist is told apart from a tenant that does not exist; odd ids stay one segment."""
    with tenant.client() as service:
        for call in (service.delete_webhook, service.change_webhook):
            with pytest.raises(NotFoundError, match=r"knows no webhook '\.\./passes' in the tenant"):
                call("../passes")


def test_refusal_says_which_field_is_wrong(tenant: Tenant) -> None:
    """Of a validation problem the fields and their texts are quoted."""
    with tenant.client() as service, pytest.raises(UnexpectedAnswerError, match=r"answered 400.*valid http or https"):
        service.create_webhook("ftp://example.com", EVENTS, "ours")


def test_webhook_without_a_told_secret_has_an_empty_one(tenant: Tenant) -> None:
    """A service that tells the secret at the creation alone can be read."""
    tenant.control("PATCH", "/webhook-settings", {"secret_in_reads": False}).raise_for_status()
    try:
        with tenant.client() as service:
            created = service.create_webhook(ENDPOINT, EVENTS, "ours")
            (listed,) = service.list_webhooks()
    finally:
        tenant.control("PATCH", "/webhook-settings", {"secret_in_reads": True}).raise_for_status()
    assert [len(one.signature_secret) for one in (created, listed)] == [64, 0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": None},
        {"endpoint": 1},
        {"events": "Pass:*"},
        {"events": [1]},
        {"enabled": "yes"},
        {"signatureSecret": 5},
    ],
)
def test_webhook_of_another_form_is_not_guessed(tenant: Tenant, wrong: dict[str, Any]) -> None:
    """A subscription that cannot be understood is an error, which does not quote it."""
    body = {"id": "abcde", "endpoint": ENDPOINT, "events": ["*"], "enabled": True, "signatureSecret": "s3cr3t", **wrong}
    tenant.spoil({"type": "replace", "body": [body]}, path="webhooks")
    with tenant.client() as service, pytest.raises(UnexpectedAnswerError, match="another form") as raised:
        service.list_webhooks()
    assert "s3cr3t" not in str(raised.value)


@pytest.mark.parametrize("body", [{"items": []}, ["abcde"], None])
def test_list_of_webhooks_of_another_form_is_not_guessed(tenant: Tenant, body: Any) -> None:
    """A body that is no list of subscriptions is an error, not an empty list."""
    tenant.spoil({"type": "replace", "body": json.dumps(body)}, path="webhooks")
    with tenant.client() as service, pytest.raises(UnexpectedAnswerError, match="webhooks of another form"):
        service.list_webhooks()


def test_signature_secret_is_not_shown(tenant: Tenant, everything_logged: pytest.LogCaptureFixture) -> None:
    """Neither a subscription shown by mistake nor any log holds its secret."""
    with tenant.client() as service:
        created = service.create_webhook(ENDPOINT, EVENTS, "ours")
    secret = created.signature_secret.get_secret_value()
    assert secret not in repr(created)
    assert secret not in everything_logged.text
