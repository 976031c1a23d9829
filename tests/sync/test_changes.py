"""The plan of those whom events have changed: what it looks at, sends, leaves alone, and crosses off."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from tests.sync.conftest import APPLE, GOOGLE, NONE, NOW, RULES, Account, Pipeline
from wallet_pipeline.sync.changes import Changes, count_changes, seconds_until_settled
from wallet_pipeline.sync.mass_change import StoppedPlanError

KEY, OTHER = "customerId=C-1", "customerId=C-2"


@pytest.fixture
def told(account: Account, pipeline: Pipeline) -> dict[str, str]:
    """Deliver two customers with Apple and return their records by key."""
    records = {key: account.add(email=f"{key[-1]}@x.test", customer_id=key[-3:]) for key in (KEY, OTHER)}
    pipeline.customers({key: f"{key[-1]}@x.test" for key in records}, APPLE)
    pipeline.run()
    account.forget_requests()
    return records


def changed(pipeline: Pipeline) -> list[str]:
    """Return the customers that are left to look at."""
    return [key for (key,) in pipeline.sql("SELECT DISTINCT customer_key FROM wallet.changed_customers ORDER BY 1")]


def test_only_the_changed_customer_is_read_and_written(
    account: Account, pipeline: Pipeline, told: dict[str, str]
) -> None:
    """Another customer's record is neither asked for nor repaired, whatever somebody did to it."""
    account.edit(told[OTHER], wallet_status="none")
    pipeline.event(KEY, GOOGLE)
    plan = pipeline.plan(scope="changes")
    result = pipeline.deliver("changes")
    assert (plan.customers, plan.records, result.verified) == (1, 1, 1)
    assert account.wallet(told[KEY])["wallet_status"] == "google"
    assert account.wallet(told[OTHER])["wallet_status"] == "none"


@pytest.mark.usefixtures("told")
def test_change_is_crossed_off_once_it_is_verified(pipeline: Pipeline) -> None:
    """Between the plan and the read back the change stands; after it there is nothing left to look at."""
    pipeline.event(KEY, GOOGLE)
    pipeline.plan(scope="changes")
    assert changed(pipeline) == [KEY]
    pipeline.deliver("changes")
    assert changed(pipeline) == []


@pytest.mark.usefixtures("told")
def test_change_that_the_crm_holds_already_is_crossed_off_by_the_plan(pipeline: Pipeline) -> None:
    """A row that is back at what the CRM holds is not sent, and not looked at again."""
    pipeline.event(KEY, APPLE)
    assert pipeline.plan(scope="changes").rows == 0
    assert changed(pipeline) == []


@pytest.mark.usefixtures("told")
def test_unsettled_change_waits_for_the_next_plan(pipeline: Pipeline) -> None:
    """Within the settle window nothing is sent; when it is over, the same change is."""
    pipeline.use(settle_window=timedelta(seconds=60))
    pipeline.event(KEY, GOOGLE | {"wallet_last_changed_at": pipeline.now - timedelta(seconds=59)})
    pipeline.plan(scope="changes")
    assert pipeline.decisions()[KEY] == ("hold", "settling")
    assert changes(pipeline) == Changes(due=0, waiting=1)
    pipeline.now += timedelta(seconds=1)
    assert changes(pipeline) == Changes(due=1, waiting=0)
    pipeline.plan(scope="changes")
    assert pipeline.decisions()[KEY] == ("update", "changed")


@pytest.mark.usefixtures("told")
def test_change_that_never_comes_to_rest_is_due_after_the_cap(pipeline: Pipeline) -> None:
    """Ten minutes after the first change the customer is due, however lately it changed again."""
    pipeline.use(settle_window=timedelta(seconds=60), settle_cap=timedelta(minutes=10))
    for _ in range(11):
        pipeline.event(KEY, GOOGLE | {"wallet_last_changed_at": pipeline.now})
        pipeline.now += timedelta(minutes=1) - timedelta(seconds=1)
    assert changes(pipeline) == Changes(due=1, waiting=0)


@pytest.mark.usefixtures("told")
def test_change_since_the_plan_stays_to_be_looked_at(pipeline: Pipeline) -> None:
    """What an event changed after the plan was made is not crossed off with what the plan sent."""
    pipeline.event(KEY, GOOGLE)
    pipeline.plan(scope="changes")
    pipeline.event(KEY, NONE)
    result = pipeline.deliver("changes")
    assert (result.outdated, changed(pipeline)) == (1, [KEY])


@pytest.mark.usefixtures("told")
def test_change_while_another_is_on_its_way_stays_to_be_looked_at(account: Account, pipeline: Pipeline) -> None:
    """An event that changes the customer while the CRM is being written outlives the booking of what was written."""
    pipeline.event(KEY, GOOGLE)
    pipeline.plan(scope="changes")
    account.spoil("batch/update", "delay", seconds=3)
    sending = threading.Thread(target=pipeline.deliver, args=["changes"])
    sending.start()
    while not account.requests().get("update"):
        assert sending.is_alive()
    pipeline.event(KEY, NONE)
    assert sending.is_alive()
    sending.join()
    assert pipeline.sql("SELECT outcome FROM crm.deliveries ORDER BY intended_at DESC LIMIT 1") == [("verified",)]
    assert changed(pipeline) == [KEY]


def test_customer_without_an_answer_is_tried_again_after_a_while(
    account: Account, pipeline: Pipeline, told: dict[str, str]
) -> None:
    """When the CRM broke off, the change stays, not due for a minute; then it is sent."""
    pipeline.event(KEY, GOOGLE)
    pipeline.plan(scope="changes")
    account.spoil("batch/update", "drop", times=20)
    assert pipeline.deliver("changes").unknown == 1
    account.control("DELETE", "faults")
    assert (changed(pipeline), changes(pipeline)) == ([KEY], Changes(due=0, waiting=1))
    assert pipeline.plan(scope="changes").customers == 0
    pipeline.now += timedelta(minutes=1)
    assert pipeline.run("changes").verified == 1
    assert account.wallet(told[KEY])["wallet_status"] == "google"


@pytest.mark.usefixtures("told")
def test_plan_of_all_crosses_off_what_it_has_seen(pipeline: Pipeline) -> None:
    """The daily run leaves nothing to the event runs that it has sent itself."""
    pipeline.event(KEY, GOOGLE)
    assert pipeline.run().verified == 1
    assert changed(pipeline) == []


@pytest.mark.parametrize("order", [("all", "changes"), ("changes", "all")])
def test_both_plans_stand_side_by_side(
    account: Account, pipeline: Pipeline, told: dict[str, str], order: tuple[str, str]
) -> None:
    """Made in either order and sent in either order, both end with the truth in the CRM."""
    account.edit(told[OTHER], wallet_status="none")
    pipeline.event(KEY, GOOGLE)
    for scope in order:
        pipeline.plan(scope=scope)
    for scope in reversed(order):
        pipeline.deliver(scope)
    statuses = [account.wallet(told[key])["wallet_status"] for key in (KEY, OTHER)]
    assert statuses == ["google", "apple"]


def test_departed_customer_is_told_once(account: Account, pipeline: Pipeline, told: dict[str, str]) -> None:
    """A customer whom events took the last pass from becomes `none`."""
    pipeline.event(KEY, None)
    assert pipeline.run("changes").verified == 1
    assert account.wallet(told[KEY])["wallet_status"] == "none"
    assert changed(pipeline) == []


def test_departed_customer_that_the_crm_never_knew_is_crossed_off(pipeline: Pipeline) -> None:
    """Where nothing was ever told, nothing is left to tell."""
    pipeline.event("customerId=C-9", None)
    assert pipeline.plan(scope="changes").rows == 0
    assert changed(pipeline) == []


def test_record_of_a_customer_who_did_not_change_is_not_taken(account: Account, pipeline: Pipeline) -> None:
    """A record found by e-mail stays with the customer whose id it carries, though the plan does not look at them."""
    record = account.add(email="ann@x.test", customer_id="C-1")
    pipeline.customer(KEY, APPLE)
    pipeline.event("email=ann@x.test", GOOGLE, email="ann@x.test")
    pipeline.plan(scope="changes")
    assert pipeline.decisions() == {"email=ann@x.test": ("hold", "conflict: several customers match the record")}
    assert account.wallet(record)["wallet_status"] is None


def test_record_linked_to_a_customer_who_did_not_change_is_not_taken(account: Account, pipeline: Pipeline) -> None:
    """A record that is linked to another customer is theirs, though it carries no customer id."""
    record = account.add(email="ann@x.test")
    pipeline.customer(KEY, APPLE)
    pipeline.sql("INSERT INTO crm.links (customer_key, record_id) VALUES (?, ?)", [KEY, record])
    pipeline.event("email=ann@x.test", GOOGLE, email="ann@x.test")
    pipeline.plan(scope="changes")
    assert pipeline.decisions() == {"email=ann@x.test": ("hold", "conflict: several customers match the record")}


def test_mass_change_by_events_stops_too(account: Account, pipeline: Pipeline) -> None:
    """Events that would take the wallet from too many at once are not sent; the daily run is named as the way on."""
    keys = [f"customerId=M-{number}" for number in range(10)]
    for key in keys:
        account.add(email=f"{key[-3:].lower()}@x.test", customer_id=key[-3:])
    pipeline.customers({key: f"{key[-3:].lower()}@x.test" for key in keys}, APPLE)
    pipeline.run()
    pipeline.use(max_none_customers=2, max_none_share=0.5)
    for key in keys[:6]:
        pipeline.event(key, NONE, email=f"{key[-3:].lower()}@x.test")
    verdict = pipeline.plan(scope="changes").mass_change
    assert (verdict.turning, verdict.of, verdict.admitted) == (6, 10, False)
    with pytest.raises(StoppedPlanError, match="start the daily run"):
        pipeline.deliver("changes")


def test_rejection_of_another_customer_stays(account: Account, pipeline: Pipeline, told: dict[str, str]) -> None:
    """A plan of changes forgets no trouble of customers whom it did not look at."""
    assert told
    assert account
    pipeline.sql("INSERT INTO crm.rejections (customer_key, message) VALUES (?, 'refused')", [OTHER])
    pipeline.event(KEY, GOOGLE)
    pipeline.run("changes")
    assert pipeline.sql("SELECT customer_key FROM crm.rejections") == [(OTHER,)]


@contextmanager
def while_all_are_planned(account: Account, pipeline: Pipeline) -> Iterator[None]:
    """Let a plan of all customers be made that waits for its first answer of the CRM while the block goes on."""
    account.spoil("batch/read", "delay", seconds=3)
    account.forget_requests()
    planning = threading.Thread(target=pipeline.plan)
    planning.start()
    while not account.requests().get("read"):
        assert planning.is_alive()
    pipeline.now += timedelta(seconds=1)
    yield
    assert planning.is_alive()
    planning.join()


@pytest.mark.usefixtures("told")
def test_change_sent_while_all_are_planned_is_no_drift(account: Account, pipeline: Pipeline) -> None:
    """What another run has told the CRM since a plan began to read it is neither drift nor planned again."""
    with while_all_are_planned(account, pipeline):
        pipeline.event(KEY, GOOGLE)
        assert pipeline.run("changes").verified == 1
    assert pipeline.sql("FROM crm.drift") == []
    assert KEY not in pipeline.decisions()


def test_contact_created_while_all_are_planned_keeps_its_link(account: Account, pipeline: Pipeline) -> None:
    """A plan that began before the contact was there neither forgets the link nor plans another contact."""
    key = "email=new@x.test"
    pipeline.event(key, APPLE, email="new@x.test")
    with while_all_are_planned(account, pipeline):
        assert pipeline.run("changes").created == 1
    assert pipeline.sql("SELECT customer_key FROM crm.links") == [(key,)]
    assert pipeline.decisions() == {}


@pytest.mark.usefixtures("told")
def test_event_while_an_older_state_is_being_written_is_not_lost(account: Account, pipeline: Pipeline) -> None:
    """A plan of changes that began before a daily run had booked its write leaves the customer to the next plan."""
    pipeline.customer(KEY, GOOGLE)
    pipeline.plan()
    account.spoil("batch/update", "delay", seconds=3)
    daily = threading.Thread(target=pipeline.deliver)
    daily.start()
    while not account.requests().get("update"):
        assert daily.is_alive()
    pipeline.event(KEY, NONE)
    account.spoil("batch/read", "delay", seconds=6)
    planning = threading.Thread(target=pipeline.plan, kwargs={"scope": "changes"})
    planning.start()
    daily.join()
    assert planning.is_alive()
    planning.join()
    assert changed(pipeline) == [KEY]
    assert pipeline.run("changes").verified == 1


@pytest.mark.usefixtures("told")
def test_customer_listed_while_all_are_planned_stays_listed(account: Account, pipeline: Pipeline) -> None:
    """A plan of all customers forgets nothing of those who came after it was begun."""
    with while_all_are_planned(account, pipeline):
        pipeline.event("accountId=9", APPLE)
        pipeline.run("changes")
    assert pipeline.sql("SELECT customer_key FROM crm.rejections") == [("accountId=9",)]
    assert pipeline.decisions()["accountId=9"] == ("hold", "no key that the CRM knows")


def test_record_of_a_departed_customer_is_free(account: Account, pipeline: Pipeline) -> None:
    """When a pass moved to another key the record is linked to that customer, before the daily plan knows of it."""
    account.add(email="1@x.test")
    pipeline.customer("email=1@x.test", APPLE, email="1@x.test")
    pipeline.run()
    pipeline.remove_customer("email=1@x.test")
    pipeline.event(KEY, GOOGLE, email="1@x.test")
    pipeline.plan(scope="changes")
    assert pipeline.decisions()[KEY] == ("link", "new")


def test_many_small_runs_are_one_mass_change(account: Account, pipeline: Pipeline) -> None:
    """What events have turned to none since the last daily plan counts together."""
    emails = {f"customerId=M-{number}": f"m{number}@x.test" for number in range(9)}
    for key, email in emails.items():
        account.add(email=email, customer_id=key[-3:])
    pipeline.customers(emails, APPLE)
    pipeline.run()
    pipeline.use(max_none_customers=3, max_none_share=0.1)
    for keys in (["0", "1"], ["2"]):
        for number in keys:
            pipeline.event(f"customerId=M-{number}", NONE)
        assert pipeline.run("changes").verified == len(keys)
    pipeline.event("customerId=M-3", NONE)
    verdict = pipeline.plan(scope="changes").mass_change
    assert (verdict.turning, verdict.of, verdict.admitted) == (4, 9, False)
    pipeline.use(max_none_customers=4)
    pipeline.run()
    pipeline.use(max_none_customers=3)
    pipeline.event("customerId=M-4", NONE)
    assert pipeline.plan(scope="changes").mass_change.turning == 1


def test_what_may_pass_is_tried_ten_times(account: Account, pipeline: Pipeline, told: dict[str, str]) -> None:
    """A contact that somebody changes in the very moment of each write is left to the daily run in the end."""
    pipeline.event(KEY, GOOGLE)
    edit = {"contact_id": told[KEY], "times": 100, "properties": {"wallet_status": "none"}}
    account.control("POST", "edit-before-read", edit)
    attempts = 0
    while changed(pipeline):
        pipeline.run("changes")
        attempts += 1
    assert attempts == 11
    assert pipeline.sql("SELECT attempts FROM crm.rejections") == [(11,)]


def test_run_without_anything_to_send_closes_what_a_killed_one_left(pipeline: Pipeline) -> None:
    """Rows of the ledger that a killed run left as intended are closed by the next run of either kind."""
    pipeline.sql("INSERT INTO crm.deliveries (delivery_id, outcome) VALUES ('x', 'intended')")
    pipeline.run("changes")
    assert pipeline.sql("SELECT outcome FROM crm.deliveries") == [("unknown",)]


@pytest.mark.usefixtures("told")
def test_second_event_does_not_cut_a_retry_short(account: Account, pipeline: Pipeline) -> None:
    """A customer of whom the CRM gave no answer waits, whatever else happens to them."""
    pipeline.event(KEY, GOOGLE)
    pipeline.plan(scope="changes")
    account.spoil("batch/update", "drop", times=20)
    pipeline.deliver("changes")
    pipeline.event(KEY, NONE)
    assert (changes(pipeline), pipeline.plan(scope="changes").customers) == (Changes(due=0, waiting=1), 0)


@pytest.mark.parametrize(("age", "left"), [(0, 60), (45, 15), (60, 0), (3600, 0), (-200, 60)])
def test_a_run_knows_how_long_the_newest_change_needs_to_settle(pipeline: Pipeline, age: int, left: int) -> None:
    """What is left of the settle window after the newest change, never more than the window."""
    pipeline.customer(KEY, APPLE | {"wallet_last_changed_at": NOW - timedelta(seconds=age)})
    with pipeline.open_warehouse() as con:
        assert seconds_until_settled(con, RULES, NOW) == left


def changes(pipeline: Pipeline) -> Changes:
    """Return how many changes are due, and how many wait."""
    with pipeline.open_warehouse() as con:
        return count_changes(con, pipeline.rules, pipeline.now)


def test_a_record_given_away_while_all_are_planned_is_not_taken(account: Account, pipeline: Pipeline) -> None:
    """Whoever is found by a second e-mail does not get a record to which a change in between has linked another one."""
    record_id = account.add(email="a@x.test", hs_additional_emails="b@x.test")
    other = "email=b@x.test"
    pipeline.customer(other, APPLE, email="b@x.test")
    pipeline.event("customerId=A-1", GOOGLE, email="a@x.test")
    with while_all_are_planned(account, pipeline):
        assert pipeline.run("changes").linked == 1
    assert pipeline.decisions() == {other: ("hold", "conflict: several customers match the record")}
    assert pipeline.deliver().written == 0
    assert account.wallet(record_id)["wallet_status"] == "google"
