"""What ends a run, and what it says."""

from dataclasses import replace

import pytest

from tests.sync.conftest import APPLE, GOOGLE, Account, Pipeline
from wallet_pipeline.clients.http import AuthenticationError, NotFoundError, QuotaError, ScopeError, UnreachableError
from wallet_pipeline.sync.destination import Definitions, DefinitionsError
from wallet_pipeline.sync.hubspot import HubSpotDestination

KEY = "customerId=C-1"


@pytest.fixture
def planned(pipeline: Pipeline) -> Pipeline:
    """Plan to create one customer."""
    pipeline.customer(KEY, APPLE, email="ann@x.test")
    pipeline.plan()
    return pipeline


def test_a_wrong_token_says_where_to_put_the_right_one(account: Account, pipeline: Pipeline) -> None:
    """401 names the setting."""
    pipeline.destination = account.destination("pat-wrong")
    with pytest.raises(AuthenticationError, match="HUBSPOT_ACCESS_TOKEN"):
        pipeline.plan()


def test_a_token_never_stands_in_a_message(account: Account, pipeline: Pipeline) -> None:
    """The message about a token does not show it."""
    pipeline.destination = account.destination("pat-wrong")
    with pytest.raises(AuthenticationError) as error:
        pipeline.plan()
    assert "pat-wrong" not in str(error.value)


def test_a_token_that_may_not_write_stops_and_names_the_scope(account: Account, planned: Pipeline) -> None:
    """403 at the first write names crm.objects.contacts.write."""
    planned.destination = account.destination("pat-sandbox-read")
    with pytest.raises(ScopeError, match=r"crm\.objects\.contacts\.write"):
        planned.deliver()


def test_a_stopped_delivery_is_booked_with_its_class(account: Account, planned: Pipeline) -> None:
    """What was on its way when the run stopped stands in the ledger as unknown, with the reason."""
    planned.destination = account.destination("pat-sandbox-read")
    with pytest.raises(ScopeError):
        planned.deliver()
    assert planned.sql("SELECT outcome, error_class FROM crm.deliveries") == [("unknown", "config")]


def test_a_wrong_version_is_told_from_a_missing_record(account: Account, pipeline: Pipeline) -> None:
    """404 for the address names the settings of address and version."""
    pipeline.destination = HubSpotDestination(account.client(version="2020-01"), "customer_id")
    with pytest.raises(NotFoundError, match="HUBSPOT_API_VERSION"):
        pipeline.plan()


def test_a_used_up_day_stops_the_delivery_and_leaves_the_rest_planned(account: Account, planned: Pipeline) -> None:
    """DAILY ends the run with what is left, without an error."""
    account.spoil("batch/upsert", "status", status=429, body={"policyName": "DAILY", "message": "x"})
    result = planned.deliver()
    assert (result.written, result.unknown, "midnight" in str(result.stopped)) == (0, 1, True)


def test_a_used_up_day_leaves_the_rows_to_the_next_run(account: Account, planned: Pipeline) -> None:
    """After the day's quota is back, the next run sends what was left."""
    account.spoil("batch/upsert", "status", status=429, body={"policyName": "DAILY", "message": "x"})
    planned.deliver()
    assert (planned.run().verified, len(account.contacts())) == (1, 1)


def test_a_used_up_day_stops_the_plan(account: Account, pipeline: Pipeline) -> None:
    """A plan that cannot read the CRM says why and when to come back."""
    account.spoil("properties", "status", status=429, body={"policyName": "DAILY", "message": "x"})
    with pytest.raises(QuotaError, match="midnight"):
        pipeline.plan()


def test_a_migrating_account_parks_the_run(account: Account, planned: Pipeline) -> None:
    """477 stops with the time to come back."""
    account.spoil("batch/upsert", "status", status=477, headers={"Retry-After": "3600"})
    assert "3600 s" in str(planned.deliver().stopped)


def test_a_failed_plan_leaves_the_last_one(account: Account, planned: Pipeline) -> None:
    """When the CRM cannot be read, crm.plan stands as it was."""
    account.spoil("batch/read", "drop", times=50)
    planned.customer("customerId=C-2", GOOGLE, email="b@x.test")
    with pytest.raises(UnreachableError):
        planned.plan()
    assert list(planned.decisions()) == [KEY]


def test_html_from_a_proxy_is_told_as_such(account: Account, pipeline: Pipeline) -> None:
    """A page instead of JSON says what kind of answer came and what to check."""
    account.spoil("properties", "replace", times=50, status=200, html=True)
    with pytest.raises(Exception, match="text/html instead of JSON"):
        pipeline.plan()


def test_a_used_up_day_is_not_asked_by_every_slice(account: Account, pipeline: Pipeline) -> None:
    """Of fifty slices, those that had not begun when the day was used up are not sent at all."""
    pipeline.customers({f"customerId=C-{number}": f"c{number}@x.test" for number in range(50)}, APPLE)
    pipeline.plan()
    pipeline.destination.capabilities = replace(pipeline.destination.capabilities, read_batch=1)
    account.forget_requests()
    account.spoil("batch/read", "status", times=100, status=429, body={"policyName": "DAILY", "message": "x"})
    pipeline.deliver()
    assert account.requests()["read"] <= 16


def test_what_was_never_sent_is_left_and_listed(account: Account, pipeline: Pipeline) -> None:
    """Of three slices the day's quota lets none be read: all customers are listed as left, none is of unknown fate."""
    pipeline.customers({f"customerId=C-{number}": f"c{number}@x.test" for number in range(250)}, APPLE)
    pipeline.plan()
    account.spoil("batch/read", "status", times=100, status=429, body={"policyName": "DAILY", "message": "x"})
    result = pipeline.deliver()
    listed = pipeline.sql(
        "SELECT count(*), any_value(message) LIKE '%used up%', any_value(next_step) FROM crm.rejections"
        " WHERE error_class = 'quota' AND attempts = 1"
    )
    booked = pipeline.sql("FROM crm.deliveries")
    assert (result.left, result.unknown, booked, listed) == (
        250, 0, [], [(250, True, "Nothing: the next run sends it.")],
    )  # fmt: skip


def test_what_was_left_is_sent_by_the_next_run_and_leaves_the_list(account: Account, pipeline: Pipeline) -> None:
    """After the day's quota is back, the rest is sent, verified and no longer listed."""
    pipeline.customers({f"customerId=C-{number}": f"c{number}@x.test" for number in range(250)}, APPLE)
    pipeline.plan()
    account.spoil("batch/read", "status", times=100, status=429, body={"policyName": "DAILY", "message": "x"})
    pipeline.deliver()
    account.control("DELETE", "faults")
    assert (pipeline.run().verified, pipeline.sql("FROM crm.rejections")) == (250, [])


def test_a_tenth_of_the_day_is_left_to_other_apps(account: Account, pipeline: Pipeline) -> None:
    """With fewer requests left than the reserve, the run parks its rows though the CRM would still answer."""
    pipeline.customers({f"customerId=C-{number}": f"c{number}@x.test" for number in range(250)}, APPLE)
    pipeline.plan()
    account.switch(rate_limit_daily=14)
    result = pipeline.deliver()
    ((listed,),) = pipeline.sql("SELECT count(*) FROM crm.rejections WHERE error_class = 'quota'")
    assert (result.verified + listed, listed > 0, "other apps" in str(result.stopped)) == (250, True, True)


@pytest.mark.parametrize("change", ["remove", "narrow"])
def test_a_field_that_is_changed_under_way_stops_the_run(account: Account, planned: Pipeline, change: str) -> None:
    """A property that is deleted, or loses an option, between plan and write ends the run with its name."""
    path = "/crm/properties/2026-09/contacts/wallet_status"
    planned.destination.check_definitions = lambda: Definitions((), (), "")  # type: ignore[method-assign]
    if change == "remove":
        assert account.api("DELETE", path).ok
    else:
        options = [{"label": "None", "value": "none", "displayOrder": 0, "hidden": False}]
        assert account.api("PATCH", path, {"options": options}).ok
    with pytest.raises(DefinitionsError, match="wallet_status"):
        planned.deliver()
    assert planned.sql("SELECT error_class FROM crm.rejections") == [("config",)]


def test_a_crm_that_asks_for_a_long_wait_parks_the_run(account: Account, planned: Pipeline) -> None:
    """A day of Retry-After is not slept through: the run ends and says when to come back."""
    account.spoil("batch/upsert", "status", status=429, headers={"Retry-After": "86400"})
    assert "86400 s" in str(planned.deliver().stopped)
