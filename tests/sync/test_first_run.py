"""The first run links or creates every customer; the second finds nothing to do."""

import pytest

from tests.sync.conftest import APPLE, GOOGLE, NONE, Account, Pipeline


@pytest.fixture
def linked_and_created(account: Account, pipeline: Pipeline) -> tuple[str, str]:
    """One customer known by id, one by e-mail, one not at all; the ids of the two records."""
    by_id = account.add(email="ann@x.test", customer_id="C-1")
    by_email = account.add(email="bob@x.test")
    pipeline.customer("customerId=C-1", APPLE, email="other@x.test")
    pipeline.customer("customerId=C-2", GOOGLE, email="bob@x.test")
    pipeline.customer("customerId=C-3", NONE, email="cleo@x.test")
    return by_id, by_email


def test_each_customer_ends_on_the_right_record(
    account: Account, pipeline: Pipeline, linked_and_created: tuple[str, str]
) -> None:
    """A record is found by customer id, then by e-mail, and created when there is none."""
    by_id, by_email = linked_and_created
    pipeline.run()
    contacts = account.contacts()
    held = {one["customer_id"]: (record_id, one["wallet_status"]) for record_id, one in contacts.items()}
    created = next(record_id for record_id, one in contacts.items() if one["email"] == "cleo@x.test")
    assert held == {"C-1": (by_id, "apple"), "C-2": (by_email, "google"), "C-3": (created, "none")}


@pytest.mark.usefixtures("linked_and_created")
def test_first_run_counts_what_it_did(pipeline: Pipeline) -> None:
    """The result says how many were linked, created, written and verified."""
    result = pipeline.run()
    assert (result.linked, result.created, result.written, result.verified) == (2, 1, 3, 3)


@pytest.mark.usefixtures("linked_and_created")
def test_second_run_plans_and_writes_nothing(account: Account, pipeline: Pipeline) -> None:
    """After nothing happened the plan is empty and no write reaches the CRM."""
    pipeline.run()
    before = len(account.writes())
    plan, result = pipeline.plan(), pipeline.deliver()
    assert (plan.rows, result.written, len(account.writes()) - before) == (0, 0, 0)


@pytest.mark.usefixtures("linked_and_created")
def test_second_run_reads_every_linked_record_once(account: Account, pipeline: Pipeline) -> None:
    """A run without changes costs one read for each hundred customers."""
    pipeline.run()
    account.forget_requests()
    pipeline.run()
    assert account.requests() == {"read": 1}


@pytest.mark.usefixtures("linked_and_created")
def test_the_ledger_shows_each_row_verified(pipeline: Pipeline) -> None:
    """Every delivery is booked with its record, its acceptance and its verification."""
    pipeline.run()
    rows = pipeline.sql(
        "SELECT action, outcome, record_id IS NOT NULL, accepted_at IS NOT NULL, verified_at IS NOT NULL"
        " FROM crm.deliveries ORDER BY customer_key"
    )
    assert rows == [(action, "verified", True, True, True) for action in ("link", "link", "create")]


@pytest.mark.usefixtures("linked_and_created")
def test_links_say_how_each_record_was_found(pipeline: Pipeline) -> None:
    """crm.links tells by what each record was found, or that it was created."""
    pipeline.run()
    assert pipeline.sql("SELECT via FROM crm.links ORDER BY customer_key") == [
        ("customer_id",),
        ("email",),
        ("created",),
    ]


def test_email_is_matched_in_any_letter_case_and_as_a_secondary_address(account: Account, pipeline: Pipeline) -> None:
    """A record is found by a secondary address that was typed in capitals."""
    record_id = account.add(email="main@x.test", hs_additional_emails="Second@X.test")
    pipeline.customer("customerId=C-1", APPLE, email="second@x.test")
    pipeline.run()
    assert account.wallet(record_id)["wallet_status"] == "apple"


def test_a_link_writes_no_email(account: Account, pipeline: Pipeline) -> None:
    """The e-mail of an existing record is never written, whatever ours is."""
    account.add(email="ann@x.test", customer_id="C-1")
    pipeline.customer("customerId=C-1", APPLE, email="other@x.test")
    pipeline.run()
    assert [one["email"] for one in account.contacts().values()] == ["ann@x.test"]


def test_a_record_that_is_right_already_is_linked_but_not_written(account: Account, pipeline: Pipeline) -> None:
    """A customer whose record holds the truth is linked without a row in the plan."""
    account.add(email="ann@x.test", customer_id="C-1", wallet_status="none")
    pipeline.customer("customerId=C-1", {"wallet_status": "none"})
    plan = pipeline.plan()
    assert (plan.rows, pipeline.sql("SELECT count(*) FROM crm.links")) == (0, [(1,)])


def test_customer_keyed_by_another_identifier_is_found_by_email(account: Account, pipeline: Pipeline) -> None:
    """A customer without a customer id is linked by e-mail and leaves the record's customer id alone."""
    record_id = account.add(email="ann@x.test")
    pipeline.customer("accountId=A-1", APPLE, email="ann@x.test")
    pipeline.run()
    values = account.contacts()[record_id]
    assert (values["wallet_status"], values.get("customer_id")) == ("apple", None)


def test_customer_keyed_by_another_identifier_is_created_by_email_once(account: Account, pipeline: Pipeline) -> None:
    """A customer without a customer id is created with the e-mail alone, and found again by the next run."""
    pipeline.customer("email=ann@x.test", APPLE, email="ann@x.test")
    pipeline.run()
    assert (pipeline.run().written, len(account.contacts())) == (0, 1)


def test_more_customers_than_one_batch_are_all_delivered(account: Account, pipeline: Pipeline) -> None:
    """Slices of a hundred cover the whole plan."""
    pipeline.customers({f"customerId=C-{number}": f"c{number}@x.test" for number in range(1, 251)}, APPLE)
    assert (pipeline.run().verified, len(account.contacts())) == (250, 250)


def test_the_work_file_is_removed(pipeline: Pipeline) -> None:
    """Nothing of what was read stays behind in the staging folder."""
    pipeline.plan()
    assert list((pipeline.folder / "staging").glob("*.duckdb*")) == []


def test_the_work_file_of_a_killed_plan_is_removed(pipeline: Pipeline) -> None:
    """What a run that was killed left behind goes with the next plan."""
    left = pipeline.folder / "staging" / "plan-0.duckdb"
    left.parent.mkdir()
    left.touch()
    pipeline.plan()
    assert not left.exists()
