"""Rows that the CRM refuses: listed, and not sent again before that may help."""

from datetime import timedelta

import pytest

from tests.sync.conftest import APPLE, GOOGLE, NOW, Account, Pipeline

KEY = "customerId=BAD"


@pytest.fixture
def refused(account: Account, pipeline: Pipeline) -> Pipeline:
    """Let the CRM refuse a customer whose id breaks a rule of the account."""
    account.switch(validation_rules={"customer_id": "C-[0-9]+"})
    pipeline.customer(KEY, APPLE, email="bad@x.test")
    pipeline.run()
    return pipeline


def attempts(pipeline: Pipeline) -> list[tuple[str, int]]:
    """Return class and number of attempts of the customer's place in the list."""
    rows = pipeline.sql("SELECT error_class, attempts FROM crm.rejections WHERE customer_key = ?", [KEY])
    return [(error_class, count) for error_class, count in rows]


def test_a_refused_row_is_not_sent_again_on_the_same_day(account: Account, refused: Pipeline) -> None:
    """The next run holds it, sends nothing, and keeps its reason and its number of attempts."""
    account.forget_requests()
    refused.run()
    assert (refused.decisions(), attempts(refused), account.requests()) == (
        {KEY: ("hold", "refused before")},
        [("data", 1)],
        {"read": 2},
    )


def test_a_refused_row_is_tried_again_on_the_next_day(refused: Pipeline) -> None:
    """Once a day somebody may have changed the rule."""
    refused.now += timedelta(days=1)
    refused.run()
    assert (refused.decisions(), attempts(refused)) == ({KEY: ("create", "retry")}, [("data", 2)])


def test_a_refused_row_is_tried_again_when_it_has_changed(account: Account, refused: Pipeline) -> None:
    """Another state may be taken where the last one was not."""
    account.switch(validation_rules={})
    refused.customer(KEY, GOOGLE, email="bad@x.test")
    assert (refused.run().verified, attempts(refused)) == (1, [])


def test_a_refused_row_is_tried_again_when_a_definition_has_changed(account: Account, refused: Pipeline) -> None:
    """Who corrects a property in the CRM need not wait for the next day."""
    account.switch(validation_rules={})
    assert account.api("PATCH", "/crm/properties/2026-09/contacts/wallet_status", {"label": "Wallet"}).ok
    assert (refused.run().verified, attempts(refused)) == (1, [])


def test_a_refused_update_is_held_like_a_refused_create(account: Account, pipeline: Pipeline) -> None:
    """A linked contact whose write is refused is held with what the CRM said about it."""
    record_id = account.add(email="bad@x.test", customer_id="BAD")
    account.switch(refuse_ids=[record_id])
    pipeline.customer(KEY, APPLE)
    pipeline.run()
    pipeline.run()
    assert (pipeline.decisions(), attempts(pipeline)) == ({KEY: ("hold", "refused before")}, [("data", 1)])


def test_a_refused_departure_is_held_too(account: Account, pipeline: Pipeline) -> None:
    """That no pass belongs to a customer any more is not sent again and again either."""
    record_id = account.add(email="bad@x.test", customer_id="BAD")
    pipeline.customer(KEY, APPLE)
    pipeline.run()
    account.switch(refuse_ids=[record_id])
    pipeline.remove_customer(KEY)
    pipeline.run()
    pipeline.run()
    assert (pipeline.decisions(), attempts(pipeline)) == ({KEY: ("hold", "refused before")}, [("data", 1)])


def test_rows_that_were_refused_before_come_last(refused: Pipeline) -> None:
    """They share their batches with their like, so that the others' are not refused with them."""
    refused.now += timedelta(days=1)
    refused.customers({f"customerId=Z-{number}": f"z{number}@x.test" for number in range(3)}, APPLE)
    refused.plan()
    assert refused.sql("SELECT customer_key, refused_before FROM crm.plan ORDER BY position DESC LIMIT 2") == [
        (KEY, True),
        ("customerId=Z-2", False),
    ]


def test_rows_of_an_unfinished_plan_stay_known_as_refused(account: Account, refused: Pipeline) -> None:
    """A day's quota that ends the run before they are tried makes no new rows of them, to be found out once more."""
    refused.now += timedelta(days=1)
    refused.plan()
    daily = {"status": 429, "body": {"policyName": "DAILY"}}
    account.spoil("batch/read", "status", times=9, **daily)
    assert refused.deliver().left == 1
    account.control("DELETE", "faults")
    assert attempts(refused) == [("data", 1)]
    refused.now += timedelta(days=1)
    refused.plan()
    assert refused.sql("SELECT refused_before FROM crm.plan") == [(True,)]


def test_a_plan_sent_twice_sends_no_refused_row_again(account: Account, refused: Pipeline) -> None:
    """Who sends the plan once more gets no answer that is known already."""
    account.forget_requests()
    result = refused.deliver()
    assert (result.rejected, result.outdated, attempts(refused)) == (0, 1, [("data", 1)])
    assert "upsert" not in account.requests()


def test_a_row_that_is_good_by_now_is_told_from_refused_ones(account: Account, refused: Pipeline) -> None:
    """A CRM that takes a batch as a whole or not at all takes the good row alone, though the run sends nothing else."""
    other = "customerId=D-1"
    refused.customer(other, APPLE, email="d1@x.test")
    refused.run()
    account.switch(validation_rules={"customer_id": "[CD]-[0-9]+"}, trace_multistatus=[])
    refused.destination = account.destination()
    refused.now += timedelta(days=1)
    result = refused.run()
    assert (result.verified, result.rejected) == (1, 1)
    assert refused.sql("SELECT customer_key FROM crm.rejections") == [(KEY,)]


def test_errors_for_rows_that_were_refused_before_are_few(account: Account, refused: Pipeline) -> None:
    """Rows that were all refused before are tried one by one only so far, and the list says which were not."""
    account.switch(trace_multistatus=[])
    refused.customers({f"customerId=B{number}": f"b{number}@x.test" for number in range(40)}, APPLE)
    refused.run()
    refused.destination = account.destination()
    refused.now += timedelta(days=1)
    result = refused.run()
    assert (result.rejected, 20 < result.errors < 35) == (41, True)
    together = refused.sql("SELECT count(*) FROM crm.rejections WHERE message LIKE '%not one by one: customer_id:%'")
    assert 0 < together[0][0] < 41


def test_a_row_without_an_answer_is_a_retry_in_the_next_plan(account: Account, pipeline: Pipeline) -> None:
    """What failed without being refused is planned again at once, as a retry."""
    account.add(email="ann@x.test", customer_id="C-1")
    pipeline.customer("customerId=C-1", APPLE)
    pipeline.plan()
    account.spoil("batch/update", "drop", times=50)
    pipeline.deliver()
    account.control("DELETE", "faults")
    pipeline.plan()
    assert pipeline.decisions() == {"customerId=C-1": ("link", "retry")}


def test_a_truth_that_moved_after_a_failure_is_a_change(account: Account, pipeline: Pipeline) -> None:
    """A retry is the same state sent again; another state is a change."""
    account.add(email="ann@x.test", customer_id="C-1")
    pipeline.customer("customerId=C-1", APPLE)
    pipeline.run()
    pipeline.customer("customerId=C-1", GOOGLE)
    pipeline.plan()
    account.spoil("batch/update", "drop", times=50)
    pipeline.deliver()
    account.control("DELETE", "faults")
    pipeline.customer("customerId=C-1", APPLE | {"wallet_last_changed_at": NOW - timedelta(hours=1)})
    pipeline.plan()
    assert pipeline.decisions() == {"customerId=C-1": ("update", "changed")}
