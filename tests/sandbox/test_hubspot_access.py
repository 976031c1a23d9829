"""Who may do what and how often: tokens, scopes, limits, content type and paths of the CRM stand-in."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hubspot_service import CONTACTS, PEOPLE, PROPERTIES, STATUS, Crm, serve

COUNTED_DOWN = ("X-HubSpot-RateLimit-Remaining", "X-HubSpot-RateLimit-Daily-Remaining")


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[Crm]:
    """Run a stand-in of a new account."""
    with serve(tmp_path, PEOPLE) as client:
        yield client


@pytest.mark.parametrize(
    ("token", "category"),
    [("wrong", "INVALID_AUTHENTICATION"), ("pat-sandbox-expired", "EXPIRED_AUTHENTICATION")],
)
def test_a_bad_token_is_401(crm: Crm, token: str, category: str) -> None:
    """The category tells wrong from expired."""
    answer = crm.call("GET", CONTACTS, token=token)
    assert (answer.status_code, answer.json()["category"]) == (401, category)


def test_errors_have_a_correlation_id(crm: Crm) -> None:
    """Each one its own."""
    first, second = (crm.call("GET", CONTACTS, token="wrong").json()["correlationId"] for _ in range(2))
    assert first != second


def test_the_sync_token_may_not_create_properties(crm: Crm) -> None:
    """403 names the scope that is missing."""
    answer = crm.call("POST", PROPERTIES, STATUS, token="pat-sandbox-sync")
    scopes = answer.json()["errors"][0]["context"]["requiredGranularScopes"]
    assert (answer.status_code, scopes) == (403, ["crm.schemas.contacts.write"])


def test_the_sync_token_may_read_properties(crm: Crm) -> None:
    """Any contact scope opens the definitions."""
    assert crm.call("GET", PROPERTIES, token="pat-sandbox-sync").status_code == 200


def test_the_read_token_may_not_write(crm: Crm) -> None:
    """403 on a write."""
    answer = crm.call("POST", CONTACTS, {"properties": {"email": "n@x.test"}}, token="pat-sandbox-read")
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "path", ["/crm/objects/2026-03/contacts", "/crm/objects/2026-09/contact", "/crm/v3/objects/contacts"]
)
def test_a_wrong_path_is_404_in_html(crm: Crm, path: str) -> None:
    """A wrong version is no missing record."""
    answer = crm.call("GET", path)
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (404, "text/html")


def test_bodies_are_json(crm: Crm) -> None:
    """Another content type is 415."""
    headers = {"Authorization": "Bearer pat-sandbox-full", "Content-Type": "text/plain"}
    assert crm.http.post(crm.url + CONTACTS, data="{}", headers=headers, timeout=10).status_code == 415


def test_addresses_have_a_length(crm: Crm) -> None:
    """Too many properties in a query are 414."""
    assert crm.call("GET", f"{CONTACTS}?properties={'long_name,' * 1000}").status_code == 414


def test_headers_count_down(crm: Crm) -> None:
    """Both remainders fall by one with each request."""
    first, second = (crm.call("GET", CONTACTS).headers for _ in range(2))
    assert [int(first[name]) - int(second[name]) for name in COUNTED_DOWN] == [1, 1]


def test_headers_name_the_limits(crm: Crm) -> None:
    """The limits of a Professional account by default."""
    headers = crm.call("GET", CONTACTS).headers
    named = [headers[f"X-HubSpot-RateLimit-{name}"] for name in ("Max", "Interval-Milliseconds", "Daily")]
    assert named == ["190", "10000", "650000"]


def test_headers_can_be_absent(crm: Crm) -> None:
    """The switch rate_headers takes them away."""
    crm.switch(rate_headers=False)
    assert not [name for name in crm.call("GET", CONTACTS).headers if "ratelimit" in name.lower()]


def test_the_burst_limit_is_429(crm: Crm) -> None:
    """The request beyond the window's limit is refused."""
    crm.switch(rate_limit=2)
    assert [crm.call("GET", CONTACTS).status_code for _ in range(3)] == [200, 200, 429]


def test_a_refusal_names_its_policy(crm: Crm) -> None:
    """The 429 has errorType and policyName, and tells that nothing is left."""
    crm.switch(rate_limit=0)
    answer = crm.call("GET", CONTACTS)
    body = answer.json()
    assert (body["errorType"], body["policyName"]) == ("RATE_LIMIT", "TEN_SECONDLY_ROLLING")
    assert answer.headers["X-HubSpot-RateLimit-Remaining"] == "0"


def test_the_burst_limit_is_each_apps_own(crm: Crm) -> None:
    """One app's burst leaves another's untouched."""
    crm.switch(rate_limit=1)
    tokens = ("pat-sandbox-full", "pat-sandbox-read")
    assert [crm.call("GET", CONTACTS, token=token).status_code for token in tokens] == [200, 200]


def test_the_day_is_shared_by_all_apps(crm: Crm) -> None:
    """What one app used is gone for the other."""
    crm.switch(rate_limit_daily=1)
    crm.call("GET", CONTACTS)
    answer = crm.call("GET", CONTACTS, token="pat-sandbox-read")
    assert (answer.status_code, answer.json()["policyName"]) == (429, "DAILY")


def test_the_window_rolls(crm: Crm) -> None:
    """Requests that left the window count no more: sooner or later the app is served again."""
    crm.switch(rate_limit=1, rate_window_ms=20, rate_count_rejected=False)
    crm.call("GET", CONTACTS)
    assert any(crm.call("GET", CONTACTS).status_code == 200 for _ in range(1000))


@pytest.mark.parametrize(("counted", "left"), [(True, "7"), (False, "8")])
def test_refusals_may_count(crm: Crm, left: str, *, counted: bool) -> None:
    """The switch rate_count_rejected decides whether a 429 uses up the day."""
    crm.switch(rate_limit=1, rate_limit_daily=10, rate_count_rejected=counted)
    for _ in range(2):
        crm.call("GET", CONTACTS)
    crm.switch(rate_limit=5)
    assert crm.call("GET", CONTACTS).headers["X-HubSpot-RateLimit-Daily-Remaining"] == left


def test_a_refused_write_changes_nothing(crm: Crm) -> None:
    """429 means not executed."""
    crm.switch(rate_limit=0)
    crm.batch("update", [{"id": crm.id_of("ann@x.test"), "properties": {"firstname": "Other"}}])
    assert crm.values_of("ann@x.test")["firstname"] == "Ann"
