"""What is planned, what is held, and what is left alone."""

from datetime import timedelta
from typing import Any

import pytest

from tests.sync.conftest import APPLE, GOOGLE, NONE, NOW, RULES, YESTERDAY, Account, Pipeline
from wallet_pipeline.sync.mass_change import StoppedPlanError
from wallet_pipeline.sync.plan import make_plan

KEY = "customerId=C-1"
BOTH = APPLE | {"wallet_status": "both", "google_wallet_installed_at": YESTERDAY}


def changed_at(moment: object) -> dict[str, object]:
    """Return the state of a customer with Google since a moment, by all dates."""
    return GOOGLE | {"google_wallet_installed_at": moment, "wallet_last_changed_at": moment}


@pytest.mark.usefixtures("record_id")
def test_a_changed_status_is_planned_as_changed(pipeline: Pipeline) -> None:
    """A customer whose truth moved is updated because of that."""
    pipeline.customer(KEY, GOOGLE, email="ann@x.test")
    pipeline.plan()
    assert pipeline.decisions() == {KEY: ("update", "changed")}


def test_times_within_the_tolerance_are_no_difference(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """59 seconds do not matter while status and event are equal."""
    account.edit(record_id, wallet_last_changed_at="2026-11-23T12:00:59.000Z")
    assert pipeline.plan().rows == 0


def test_times_beyond_the_tolerance_are_a_difference(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """60 seconds are repaired."""
    account.edit(record_id, wallet_last_changed_at="2026-11-23T12:01:00.000Z")
    pipeline.plan()
    assert pipeline.decisions() == {KEY: ("update", "drift")}


def test_a_row_due_for_another_reason_corrects_small_differences_too(
    account: Account, pipeline: Pipeline, record_id: str
) -> None:
    """A write leaves the exact times behind, also those that alone would not have been due."""
    account.edit(record_id, wallet_last_changed_at="2026-11-23T12:00:10.000Z", wallet_status="none")
    pipeline.run()
    assert account.wallet(record_id)["wallet_last_changed_at"] == "2026-11-23T12:00:00.000Z"


@pytest.mark.parametrize("form", ["iso", "no_ms", "epoch_ms"])
def test_times_are_compared_as_instants(account: Account, pipeline: Pipeline, form: str) -> None:
    """Whatever form the CRM gives times in, an equal instant is no difference."""
    account.switch(datetime_out=form)
    pipeline.use(tolerance=timedelta(0))
    moment = YESTERDAY + timedelta(milliseconds=120)
    pipeline.customer(KEY, GOOGLE | {"google_wallet_installed_at": moment}, email="ann@x.test")
    pipeline.run()
    assert pipeline.plan().rows == 0


def test_missing_values_and_nulls_are_equal(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """A CRM that leaves empty properties out holds the same as one that says null."""
    account.switch(null_values="missing")
    assert (pipeline.plan().rows, account.wallet(record_id)["google_wallet_installed_at"]) == (0, None)


@pytest.mark.usefixtures("record_id")
def test_a_change_that_is_not_quiet_yet_is_held(pipeline: Pipeline) -> None:
    """A customer who changed half a minute ago is left to settle."""
    moment = pipeline.now - timedelta(seconds=30)
    pipeline.customer(KEY, changed_at(moment), since=moment)
    pipeline.plan()
    assert pipeline.decisions() == {KEY: ("hold", "settling")}


@pytest.mark.usefixtures("record_id")
def test_a_change_that_is_quiet_is_sent(pipeline: Pipeline) -> None:
    """A customer whose change is as old as the settle window is due."""
    moment = pipeline.now - timedelta(seconds=60)
    pipeline.customer(KEY, changed_at(moment), since=moment)
    pipeline.plan()
    assert pipeline.decisions() == {KEY: ("update", "changed")}


@pytest.mark.usefixtures("record_id")
def test_a_customer_who_never_comes_to_rest_is_sent_at_the_cap(pipeline: Pipeline) -> None:
    """Ten minutes after the first change that the CRM was not told, a flapping customer is sent."""
    pipeline.now = NOW + timedelta(hours=1)
    for seconds in (600, 30):
        moment = pipeline.now - timedelta(seconds=seconds)
        pipeline.customer(KEY, changed_at(moment), since=moment)
    pipeline.plan()
    assert pipeline.decisions() == {KEY: ("update", "changed")}


@pytest.mark.usefixtures("record_id")
def test_an_old_change_that_was_told_does_not_count_for_the_cap(pipeline: Pipeline) -> None:
    """The cap counts from the first change after the CRM was last right, not from older ones."""
    pipeline.now = NOW + timedelta(hours=2)
    pipeline.customer(KEY, changed_at(NOW + timedelta(hours=1)), since=NOW + timedelta(hours=1))
    pipeline.customer(KEY, APPLE, since=NOW + timedelta(hours=1, minutes=1))
    moment = pipeline.now - timedelta(seconds=30)
    pipeline.customer(KEY, changed_at(moment), since=moment)
    pipeline.plan()
    assert pipeline.decisions() == {KEY: ("hold", "settling")}


@pytest.mark.usefixtures("record_id")
def test_a_row_that_is_back_at_what_the_crm_holds_is_not_sent(pipeline: Pipeline) -> None:
    """An install that was undone before it was sent leaves nothing to do."""
    pipeline.customer(KEY, GOOGLE)
    pipeline.customer(KEY, APPLE)
    assert pipeline.plan().rows == 0


def test_a_departed_customer_is_sent_once_as_none(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """No pass any more: none without dates, the last change as it was told."""
    pipeline.remove_customer(KEY)
    pipeline.run()
    assert list(account.wallet(record_id).values()) == ["none", None, None, "2026-11-23T12:00:00.000Z", "installed"]


def test_a_departed_customers_id_is_not_written_again(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """A record from which somebody took the customer id is told `none`, and keeps no customer id."""
    account.edit(record_id, customer_id="")
    pipeline.remove_customer(KEY)
    result = pipeline.run()
    held = account.contacts()[record_id]
    assert (result.verified, held["wallet_status"], held.get("customer_id") or None) == (1, "none", None)


def test_a_departed_customer_is_not_planned_again(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """After that the record is left to whoever edits it."""
    pipeline.remove_customer(KEY)
    pipeline.run()
    account.edit(record_id, wallet_status="both")
    assert pipeline.plan().rows == 0


def test_a_departed_customer_who_comes_back_is_sent_again(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """A pass that resolves to the customer again brings the state back."""
    pipeline.remove_customer(KEY)
    pipeline.run()
    pipeline.customer(KEY, APPLE)
    pipeline.run()
    assert account.wallet(record_id)["wallet_status"] == "apple"


def test_a_second_departure_is_sent_like_the_first(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """A customer who left, came back and left again is none again."""
    for _ in range(2):
        pipeline.customer(KEY, APPLE)
        pipeline.run()
        pipeline.remove_customer(KEY)
        pipeline.run()
    assert account.wallet(record_id)["wallet_status"] == "none"


@pytest.mark.parametrize(("name", "value"), [("accountId", "A-7"), ("email", "a@x.test")])
def test_a_customer_who_joined_another_is_reported_and_not_sent(pipeline: Pipeline, name: str, value: str) -> None:
    """When other customers' passes bear the identifier now, the record is left alone."""
    key = f"{name}={value}"
    pipeline.customer(key, APPLE, email="a@x.test")
    pipeline.run()
    pipeline.remove_customer(key)
    pipeline.sql(
        "INSERT INTO wallet.pass_customers (pass_id, resolution, customer_key)"
        " VALUES ('p', 'customer', 'customerId=C-2')"
    )
    pipeline.sql("INSERT INTO wallet.pass_identifiers (pass_id, name, value) VALUES ('p', ?, ?)", [name, value])
    pipeline.plan()
    assert pipeline.decisions() == {key: ("hold", "joined another customer")}


def test_a_departed_customer_whose_record_is_another_customers_now_is_held(
    account: Account, pipeline: Pipeline, record_id: str
) -> None:
    """A record that carries another customer id is not emptied."""
    account.edit(record_id, customer_id="C-99")
    pipeline.remove_customer(KEY)
    pipeline.plan()
    assert pipeline.decisions() == {KEY: ("hold", "conflict: the record carries another customer id")}


def test_a_departed_customer_whose_record_is_claimed_is_told_once(
    account: Account, pipeline: Pipeline, record_id: str
) -> None:
    """When another customer's state goes to the record, the old link is over."""
    pipeline.customer("accountId=A-1", APPLE, email="ann@x.test")
    account.edit(record_id, customer_id="")
    pipeline.remove_customer(KEY)
    pipeline.plan()
    first = pipeline.decisions().get(KEY)
    pipeline.plan()
    assert (first, pipeline.decisions().get(KEY)) == (("hold", "joined another customer"), None)


def dispute(pipeline: Pipeline) -> None:
    """Put a pass into conflict over an account that the customer bears."""
    pipeline.sql(
        "INSERT INTO wallet.identity_conflicts VALUES ('conflict', 'accountId', 'A-1', 'p', [?, 'customerId=C-9'])",
        [KEY],
    )


@pytest.mark.usefixtures("record_id")
def test_a_disputed_customer_is_not_sent_a_lower_status(pipeline: Pipeline) -> None:
    """While a pass is in conflict, a lost wallet may be a mistake."""
    dispute(pipeline)
    pipeline.customer(KEY, NONE)
    pipeline.plan()
    assert pipeline.decisions() == {KEY: ("hold", "disputed identifier")}


@pytest.mark.usefixtures("record_id")
def test_a_disputed_customer_is_sent_a_higher_status(pipeline: Pipeline) -> None:
    """A wallet that was gained is sent, dispute or not."""
    dispute(pipeline)
    pipeline.customer(KEY, BOTH)
    pipeline.plan()
    assert pipeline.decisions() == {KEY: ("update", "changed")}


@pytest.mark.usefixtures("record_id")
def test_a_dispute_that_arises_after_the_plan_stops_the_row(account: Account, pipeline: Pipeline) -> None:
    """A lower status that was planned before the dispute is not sent after it."""
    pipeline.customer(KEY, NONE)
    pipeline.plan()
    dispute(pipeline)
    before = len(account.writes())
    assert (pipeline.deliver().outdated, len(account.writes()) - before) == (1, 0)


@pytest.mark.usefixtures("account")
def test_a_shared_email_is_no_key(account: Account, pipeline: Pipeline) -> None:
    """An e-mail of two customers neither links nor creates; a customer id still does."""
    account.add(email="office@x.test")
    known = account.add(email="else@x.test", customer_id="C-2")
    for key in ("customerId=C-1", "customerId=C-2", "accountId=A-3"):
        pipeline.customer(key, APPLE, email="office@x.test")
    pipeline.run()
    assert (pipeline.decisions(), account.wallet(known)["wallet_status"]) == (
        {
            "customerId=C-1": ("hold", "shared e-mail"),
            "customerId=C-2": ("link", "new"),
            "accountId=A-3": ("hold", "shared e-mail"),
        },
        "apple",
    )


def test_a_customer_without_any_crm_key_is_held(pipeline: Pipeline) -> None:
    """Neither customer id nor e-mail: nothing to find it by."""
    pipeline.customer("accountId=A-1", APPLE)
    pipeline.plan()
    assert pipeline.decisions() == {"accountId=A-1": ("hold", "no key that the CRM knows")}


def test_a_customer_whom_the_crm_could_not_create_is_held(pipeline: Pipeline) -> None:
    """An unknown customer without e-mail would make a contact that HubSpot refuses."""
    pipeline.customer(KEY, APPLE)
    pipeline.plan()
    assert pipeline.decisions() == {KEY: ("hold", "no e-mail to create it with")}


def test_the_skip_policy_creates_nothing(account: Account, pipeline: Pipeline) -> None:
    """With CRM_MISSING_CONTACTS=skip unknown customers are listed and left."""
    pipeline.use(missing_contacts="skip")
    pipeline.customer(KEY, APPLE, email="ann@x.test")
    pipeline.run()
    assert (pipeline.decisions(), account.contacts()) == ({KEY: ("skip", "not in the CRM")}, {})


def test_a_customer_who_is_skipped_stands_in_no_list(account: Account, pipeline: Pipeline) -> None:
    """Who could not be created, and need not be any more, is no open case."""
    account.switch(validation_rules={"customer_id": "C-[2-9]"})
    pipeline.customer(KEY, APPLE, email="ann@x.test")
    pipeline.run()
    pipeline.use(missing_contacts="skip")
    pipeline.plan()
    assert (pipeline.decisions(), pipeline.sql("FROM crm.rejections")) == ({KEY: ("skip", "not in the CRM")}, [])


def test_an_email_on_a_record_of_another_customer_id_is_a_conflict(account: Account, pipeline: Pipeline) -> None:
    """A record that carries another customer id is not written."""
    account.add(email="ann@x.test", customer_id="C-99")
    pipeline.customer(KEY, APPLE, email="ann@x.test")
    pipeline.plan()
    assert pipeline.decisions() == {KEY: ("hold", "conflict: the record carries another customer id")}


def test_a_conflict_makes_no_link(account: Account, pipeline: Pipeline) -> None:
    """A record that was found but must not be written is not linked either."""
    account.add(email="ann@x.test", customer_id="C-99")
    pipeline.customer(KEY, APPLE, email="ann@x.test")
    pipeline.plan()
    assert pipeline.sql("SELECT * FROM crm.links") == []


def test_two_customers_on_one_merged_record_are_a_conflict(account: Account, pipeline: Pipeline) -> None:
    """After two linked records were merged, neither customer is written."""
    account.switch(merge_fill=False)
    one, two = account.add(email="a@x.test"), account.add(email="b@x.test")
    pipeline.customer("accountId=A-1", APPLE, email="a@x.test")
    pipeline.customer("accountId=A-2", GOOGLE, email="b@x.test")
    pipeline.run()
    account.control("POST", "merge", {"primary": one, "secondary": two})
    pipeline.plan()
    assert pipeline.decisions() == dict.fromkeys(
        ("accountId=A-1", "accountId=A-2"), ("hold", "conflict: several customers match the record")
    )


def test_a_newcomer_by_email_does_not_disturb_the_linked_customer(account: Account, pipeline: Pipeline) -> None:
    """The record stays with the customer whose id it carries; who only knows its e-mail is held."""
    account.add(email="ann@x.test", customer_id="C-1")
    pipeline.customer(KEY, APPLE)
    pipeline.customer("accountId=A-1", GOOGLE, email="ann@x.test")
    pipeline.plan()
    assert pipeline.decisions() == {
        KEY: ("link", "new"),
        "accountId=A-1": ("hold", "conflict: several customers match the record"),
    }


def test_a_held_customer_is_listed_with_reason_and_next_step(account: Account, pipeline: Pipeline) -> None:
    """What cannot be sent because of who it is stands in crm.rejections, with the number of runs that met it."""
    account.add(email="ann@x.test", customer_id="C-99")
    pipeline.customer(KEY, APPLE, email="ann@x.test")
    pipeline.run()
    pipeline.run()
    assert pipeline.sql("SELECT customer_key, error_class, attempts, next_step <> '' FROM crm.rejections") == [
        (KEY, "identity", 2, True)
    ]


def test_a_listed_customer_leaves_the_list_when_the_crm_is_right(account: Account, pipeline: Pipeline) -> None:
    """When the record was corrected and written, the rejection is gone."""
    record_id = account.add(email="ann@x.test", customer_id="C-99")
    pipeline.customer(KEY, APPLE, email="ann@x.test")
    pipeline.run()
    account.edit(record_id, customer_id="C-1")
    pipeline.run()
    assert pipeline.sql("SELECT * FROM crm.rejections") == []


def test_a_listed_customer_leaves_the_list_when_somebody_else_makes_it_right(
    account: Account, pipeline: Pipeline
) -> None:
    """A record that was corrected by hand needs no write to end the rejection."""
    record_id = account.add(email="ann@x.test", customer_id="C-99")
    pipeline.customer(KEY, {"wallet_status": "none"}, email="ann@x.test")
    pipeline.run()
    account.edit(record_id, customer_id="C-1", wallet_status="none")
    pipeline.plan()
    assert pipeline.sql("SELECT * FROM crm.rejections") == []


def test_drift_that_somebody_else_repairs_is_closed(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """A field that was put right by hand is no open drift."""
    account.edit(record_id, wallet_status="both")
    pipeline.plan()
    account.edit(record_id, wallet_status="apple")
    pipeline.plan()
    assert pipeline.sql("SELECT count(*) FROM crm.drift WHERE repaired_at IS NULL") == [(0,)]


@pytest.mark.usefixtures("record_id")
def test_equal_plans_have_equal_hashes(pipeline: Pipeline) -> None:
    """The hash names what the plan means, not when it was made."""
    pipeline.customer(KEY, GOOGLE)
    first = pipeline.plan().plan_hash
    pipeline.now += timedelta(minutes=5)
    assert pipeline.plan().plan_hash == first


@pytest.mark.usefixtures("record_id")
def test_different_plans_have_different_hashes(pipeline: Pipeline) -> None:
    """A plan that means something else has another hash."""
    pipeline.customer(KEY, GOOGLE)
    first = pipeline.plan().plan_hash
    pipeline.customer(KEY, BOTH)
    assert pipeline.plan().plan_hash != first


@pytest.fixture
def turning(pipeline: Pipeline) -> Pipeline:
    """Plan to turn two of four customers with a wallet to none."""
    emails: dict[str, str | None] = {f"customerId=C-{number}": f"c{number}@x.test" for number in range(4)}
    pipeline.customers(emails, APPLE)
    pipeline.run()
    pipeline.customers(dict(list(emails.items())[:2]), NONE)
    pipeline.plan()
    return pipeline


@pytest.mark.parametrize(("share", "customers", "stops"), [(0.49, 1, True), (0.5, 1, False), (0.49, 2, False)])
def test_a_mass_change_stops_beyond_both_limits(
    turning: Pipeline, share: float, customers: int, *, stops: bool
) -> None:
    """A run stops when more than the share and more than the number of customers turn to none."""
    turning.use(max_none_share=share, max_none_customers=customers)
    change = turning.plan().mass_change
    assert (change.turning, change.of, change.admitted) == (2, 4, not stops)


@pytest.fixture
def stopped(turning: Pipeline) -> Pipeline:
    """Plan a mass change beyond both limits."""
    turning.use(max_none_share=0, max_none_customers=0)
    turning.plan()
    return turning


def test_a_stopped_plan_is_not_sent(account: Account, stopped: Pipeline) -> None:
    """Whoever sends a plan that is not admitted is told why and how to approve it, and nothing is written."""
    before = len(account.writes())
    with pytest.raises(StoppedPlanError, match=r"2 of 4 customers.*--approve-plan"):
        stopped.deliver()
    assert len(account.writes()) == before


def test_a_stopped_plan_that_replaces_an_admitted_one_is_not_sent(turning: Pipeline) -> None:
    """The verdict goes with the plan, not with the run that made one."""
    turning.use(max_none_share=0, max_none_customers=0)
    turning.plan(approved=turning.plan().plan_hash)
    turning.plan()
    with pytest.raises(StoppedPlanError):
        turning.deliver()


def test_an_approved_plan_is_sent(stopped: Pipeline) -> None:
    """The hash of the plan admits it."""
    plan_hash = stopped.plan().plan_hash
    assert stopped.plan(approved=plan_hash).mass_change.admitted
    assert stopped.deliver().verified == 2


def test_an_approval_of_another_plan_says_so(stopped: Pipeline) -> None:
    """A hash that is not the plan's does not admit it."""
    change = stopped.plan(approved="another").mass_change
    assert not change.admitted
    assert "another plan" in change.sentence


def test_an_approval_outlives_rows_that_are_not_sent(stopped: Pipeline) -> None:
    """A customer who is held, such as one that settles, does not change what was approved."""
    plan_hash = stopped.plan().plan_hash
    stopped.customer("customerId=C-3", changed_at(stopped.now), since=stopped.now)
    stopped.customer("accountId=A-1", APPLE)
    plan = stopped.plan(approved=plan_hash)
    assert (plan.by_action["hold"], plan.mass_change.admitted) == (2, True)


@pytest.mark.usefixtures("record_id")
def test_each_plan_has_an_id_of_its_own(pipeline: Pipeline) -> None:
    """Plans that mean the same are two plans, and their deliveries are told apart."""
    pipeline.customer(KEY, GOOGLE)
    ids = [pipeline.plan().plan_id, pipeline.plan().plan_id]
    pipeline.deliver()
    told = pipeline.sql("SELECT max_by(plan_id, intended_at) FROM crm.deliveries")
    assert (ids[0] != ids[1], told) == (True, [(ids[1],)])


def test_a_preview_keeps_nothing(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """What a plan would hold is told, with plan, links, drift and lists as they were, and nothing in the CRM."""
    account.edit(record_id, wallet_status="both")
    pipeline.customer("customerId=C-2", APPLE, email="b@x.test")
    tables = ("crm.plan", "crm.plans", "crm.links", "crm.drift", "crm.rejections", "crm.deliveries")
    before = [pipeline.sql(f"FROM {table}") for table in tables], account.contacts()
    seen = make_plan(pipeline.open_warehouse, pipeline.destination, pipeline.staging, RULES, NOW, keep=False)
    assert seen.actions == {("create", "new"): 1, ("update", "drift"): 1}
    assert ([pipeline.sql(f"FROM {table}") for table in tables], account.contacts()) == before


def test_a_plan_shows_some_rows_field_by_field(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """The sample names customer, record, action, reason, and each field that differs, old and new."""
    pipeline.customer(KEY, GOOGLE | {"wallet_last_changed_at": YESTERDAY + timedelta(hours=1)})
    account.edit(record_id, wallet_last_event="uninstalled")
    (row,) = pipeline.plan().sample
    assert (row.customer_key, row.record_id, row.action, row.reason, row.changes) == (
        KEY,
        record_id,
        "update",
        "changed",
        [
            "wallet_status: apple → google",
            "apple_wallet_installed_at: 2026-11-23 12:00:00 → nothing",
            "google_wallet_installed_at: nothing → 2026-11-23 12:00:00",
            "wallet_last_changed_at: 2026-11-23 12:00:00 → 2026-11-23 13:00:00",
            "wallet_last_event: uninstalled → installed",
        ],
    )


def test_the_sample_of_a_large_plan_is_short(pipeline: Pipeline) -> None:
    """Three of each action and reason are enough to judge it."""
    pipeline.customers({f"customerId=C-{number}": f"c{number}@x.test" for number in range(9)}, APPLE)
    pipeline.customers({f"accountId=A-{number}": None for number in range(9)}, APPLE)
    shown = [(row.action, row.reason) for row in pipeline.plan().sample]
    assert shown == [("create", "new")] * 3 + [("hold", "no key that the CRM knows")] * 3


@pytest.mark.parametrize("state", [APPLE, GOOGLE])
def test_a_forecast_comes_true(pipeline: Pipeline, state: dict[str, Any]) -> None:
    """Creating 250 contacts, and changing them, take as many requests as was said before."""
    emails: dict[str, str | None] = {f"customerId=C-{number}": f"c{number}@x.test" for number in range(250)}
    if state is GOOGLE:
        pipeline.customers(emails, APPLE)
        pipeline.run()
    pipeline.customers(emails, state)
    forecast = pipeline.plan().forecast
    assert pipeline.deliver().requests == forecast.requests


def test_a_forecast_tells_time_and_share_of_the_day(account: Account, pipeline: Pipeline) -> None:
    """Minutes come from the limit of ten seconds less the reserve, the share from the day's limit."""
    account.switch(rate_limit=100, rate_limit_daily=1_000)
    pipeline.customers({f"customerId=C-{number}": f"c{number}@x.test" for number in range(250)}, APPLE)
    forecast = pipeline.plan().forecast
    assert (forecast.requests, round(forecast.minutes, 3), forecast.share_of_day) == (13, 0.024, 0.013)
    # Seven were sent; the last answer that came is perhaps not the last that was given.
    assert forecast.left_today in range(893, 897)


def holdings(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    """Return what the CRM was read to hold."""
    return pipeline.sql("SELECT customer_key, record_id, wallet_status FROM crm.holdings ORDER BY ALL")


def test_what_the_crm_was_read_to_hold_is_kept(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """A plan keeps what it found in each customer's record; a plan of changes puts just its own in place."""
    other = account.add(customer_id="C-2", firstname="Bob", wallet_status="google")
    pipeline.customer("customerId=C-2", APPLE)
    pipeline.customer("customerId=C-3", APPLE)
    pipeline.use(missing_contacts="skip")
    pipeline.plan()
    assert holdings(pipeline) == [(KEY, record_id, "apple"), ("customerId=C-2", other, "google")]
    account.edit(record_id, wallet_status="none")
    account.edit(other, wallet_status="none")
    pipeline.event(KEY, APPLE)
    pipeline.plan(scope="changes")
    assert holdings(pipeline) == [(KEY, record_id, "none"), ("customerId=C-2", other, "google")]


def test_record_of_another_customer_is_not_held_to_be_theirs(account: Account, pipeline: Pipeline) -> None:
    """A contact that carries another customer id says nothing about the one who was found in it by e-mail."""
    account.add(customer_id="C-9", email="ann@x.test", wallet_status="apple")
    pipeline.customer(KEY, APPLE, email="ann@x.test")
    pipeline.plan()
    assert (pipeline.decisions()[KEY][0], holdings(pipeline)) == ("hold", [])
