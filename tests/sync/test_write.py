"""Writing: only what differs, nothing believed, nothing doubled, nothing older over anything newer."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import duckdb
import pytest
from pydantic import SecretStr

from tests.sync.conftest import APPLE, GOOGLE, NONE, NOW, SYNC_TOKEN, Account, Pipeline
from wallet_pipeline.clients.http import TimeLimits
from wallet_pipeline.clients.hubspot import HubSpot
from wallet_pipeline.sync.destination import Key, Record
from wallet_pipeline.sync.hubspot import HubSpotDestination
from wallet_pipeline.sync.plan import make_plan
from wallet_pipeline.sync.write import deliver

KEY = "customerId=C-1"


def crowd(account: Account, pipeline: Pipeline, size: int) -> dict[int, str]:
    """Return the record ids of linked customers C-0, C-1, … whose state then changed to Google."""
    records = {number: account.add(email=f"c{number}@x.test", customer_id=f"C-{number}") for number in range(size)}
    emails: dict[str, str | None] = {f"customerId=C-{number}": f"c{number}@x.test" for number in records}
    pipeline.customers(emails, APPLE)
    pipeline.run()
    pipeline.customers(emails, GOOGLE)
    account.forget_requests()
    return records


def test_drift_is_repaired_with_the_changed_fields_alone(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """A field that a person changed is written back, and no other."""
    account.edit(record_id, wallet_status="both")
    pipeline.run()
    assert (account.wallet(record_id)["wallet_status"], account.writes()[-1]["properties"]) == (
        "apple",
        ["wallet_status"],
    )


def test_drift_is_booked_and_closed_when_the_repair_is_verified(
    account: Account, pipeline: Pipeline, record_id: str
) -> None:
    """crm.drift says what was expected and found, and that it was repaired."""
    account.edit(record_id, wallet_status="both")
    pipeline.run()
    assert pipeline.sql("SELECT field, expected, found, repaired_at IS NOT NULL FROM crm.drift") == [
        ("wallet_status", "apple", "both", True)
    ]


def test_drift_that_is_planned_twice_is_booked_once(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """A discovery that was not repaired yet is no second discovery."""
    account.edit(record_id, wallet_status="both")
    pipeline.plan()
    pipeline.plan()
    assert pipeline.sql("SELECT count(*) FROM crm.drift WHERE repaired_at IS NULL") == [(1,)]


def test_a_foreign_edit_of_a_field_that_we_changed_too_is_no_drift(
    account: Account, pipeline: Pipeline, record_id: str
) -> None:
    """Where our truth moved, the CRM had to change anyway."""
    account.edit(record_id, wallet_status="both")
    pipeline.customer(KEY, GOOGLE)
    pipeline.plan()
    assert ("wallet_status",) not in pipeline.sql("SELECT field FROM crm.drift")


def test_an_emptied_customer_property_is_filled_again(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """A linked record whose customer id was taken away gets it back."""
    account.edit(record_id, customer_id="")
    pipeline.run()
    assert account.contacts()[record_id]["customer_id"] == "C-1"


def test_one_bad_row_of_a_hundred_is_refused_alone(account: Account, pipeline: Pipeline) -> None:
    """99 rows land and are verified; the bad one stands in crm.rejections; no answer was an error."""
    crowd(account, pipeline, 99)
    account.switch(validation_rules={"customer_id": "C-[0-9]+"})
    pipeline.customer("customerId=BAD", GOOGLE, email="bad@x.test")
    result = pipeline.run()
    assert (result.verified, result.rejected, pipeline.sql("SELECT customer_key, error_class FROM crm.rejections")) == (
        99,
        1,
        [("customerId=BAD", "data")],
    )
    assert result.errors == 0


@pytest.mark.parametrize("kind", ["update", "upsert", "create"])
def test_one_bad_row_of_a_hundred_costs_at_most_fifteen_requests(
    account: Account, pipeline: Pipeline, kind: str
) -> None:
    """Where one bad row refuses the whole batch, and missing ids are not named: writing and reading, all in all."""
    account.switch(trace_multistatus=[], missing_in_errors=False)
    name = "accountId=A" if kind == "create" else "customerId=C"
    if kind == "update":
        crowd(account, pipeline, 100)
    else:
        pipeline.customers({f"{name}-{number}": f"c{number}@x.test" for number in range(100)}, APPLE)
    clean = pipeline.run()
    more = {
        f"{name}-{number}": f"c{number}@x.test" for number in range(*((0, 100) if kind == "update" else (100, 200)))
    }
    pipeline.customers(more, APPLE)
    bad_email = [*more.values()][37]
    bad_id = next((one for one, values in account.contacts().items() if values["email"] == bad_email), "C-137")
    account.switch(refuse_ids=[bad_id], validation_rules={"email": f"(?!{bad_email}).*"} if kind == "create" else {})
    pipeline.plan()
    result = pipeline.deliver()
    assert (clean.verified, result.verified, result.rejected) == (100, 99, 1)
    assert 0 < result.requests - clean.requests <= 15
    assert 0 < result.errors < result.requests


@pytest.mark.parametrize("where", ["list", "string", "top_level"])
def test_a_refused_row_is_found_wherever_its_trace_id_stands(account: Account, pipeline: Pipeline, where: str) -> None:
    """Errors name their row in one of three forms."""
    account.switch(trace_in_errors=where, validation_rules={"customer_id": "C-[0-9]+"})
    pipeline.customers({"customerId=C-1": "a@x.test", "customerId=BAD": "b@x.test"}, GOOGLE)
    result = pipeline.run()
    assert (result.verified, result.rejected) == (1, 1)


def test_nothing_is_taken_from_the_answer_to_a_write(account: Account, pipeline: Pipeline) -> None:
    """Empty results, no trace ids, a success status for partial failure: reading back settles it."""
    account.switch(
        write_results="empty",
        trace_in_results=False,
        partial_status="success",
        num_errors="absent",
        validation_rules={"customer_id": "C-[0-9]+"},
    )
    pipeline.customers({"customerId=C-1": "a@x.test", "customerId=BAD": "b@x.test"}, GOOGLE)
    result = pipeline.run()
    assert (result.verified, result.rejected, len(account.contacts())) == (1, 1, 1)


def test_a_row_that_the_answer_leaves_out_is_settled_by_reading(account: Account, pipeline: Pipeline) -> None:
    """An id neither in results nor in errors was written all the same, and is known to be."""
    records = crowd(account, pipeline, 3)
    account.switch(omit_result_ids=[records[1]])
    assert pipeline.run().verified == 3


def test_a_foreign_edit_between_write_and_read_back_is_not_verified(
    account: Account, pipeline: Pipeline, record_id: str
) -> None:
    """What the CRM acknowledged but does not hold is booked as unverified, and repaired by the next run."""
    pipeline.customer(KEY, GOOGLE)
    pipeline.plan()
    account.control(
        "POST", "edit-before-read", {"contact_id": record_id, "skip": 1, "properties": {"wallet_status": "both"}}
    )
    first = pipeline.deliver()
    assert (first.unverified, pipeline.run().verified, account.wallet(record_id)["wallet_status"]) == (1, 1, "google")


def test_a_contact_that_appears_between_plan_and_write_is_linked(account: Account, pipeline: Pipeline) -> None:
    """What was to be created is read again first."""
    pipeline.customer(KEY, APPLE, email="ann@x.test")
    pipeline.plan()
    account.add(email="ann@x.test")
    result = pipeline.deliver()
    assert (result.linked, result.created, len(account.contacts())) == (1, 0, 1)


def test_a_contact_that_belongs_to_another_customer_is_not_linked_in_passing(
    account: Account, pipeline: Pipeline
) -> None:
    """An address that appears on another customer's record between plan and write is a conflict."""
    others = account.add(email="other@x.test")
    pipeline.customer("accountId=A-1", GOOGLE, email="other@x.test")
    pipeline.run()
    pipeline.customer(KEY, APPLE, email="ann@x.test")
    pipeline.plan()
    account.edit(others, hs_additional_emails="ann@x.test")
    result = pipeline.deliver()
    assert (result.conflict, account.wallet(others)["wallet_status"]) == (1, "google")


def test_a_linked_contact_that_is_given_our_number_meanwhile_is_a_conflict(
    account: Account, pipeline: Pipeline
) -> None:
    """Who is linked to a contact keeps it until somebody decides, though it carries another number by now."""
    others = account.add(email="other@x.test")
    pipeline.customer("accountId=A-1", GOOGLE, email="other@x.test")
    pipeline.run()
    pipeline.customer(KEY, APPLE, email="ann@x.test")
    pipeline.plan()
    account.edit(others, customer_id="C-1")
    result = pipeline.deliver()
    assert (result.conflict, account.wallet(others)["wallet_status"]) == (1, "google")


def test_a_create_that_clashes_goes_back_to_linking(account: Account, pipeline: Pipeline) -> None:
    """409 because the address appeared in the last moment: the record is linked instead."""
    account.add(email="ann@x.test")
    pipeline.customer(KEY, APPLE, email="ann@x.test")
    # The plan and the reading before the write ask by customer id and by e-mail, and do not see the record yet.
    account.spoil("batch/read", "replace", times=4, body={"status": "COMPLETE", "results": []})
    result = pipeline.run()
    assert (result.verified, result.rejected, len(account.contacts())) == (1, 0, 1)


def test_a_create_that_clashes_again_is_rejected(account: Account, pipeline: Pipeline) -> None:
    """When linking does not find the record either, the customer is listed as an identity problem."""
    account.spoil(
        "batch/upsert",
        "replace",
        times=2,
        status=409,
        body={"status": "error", "category": "CONFLICT", "message": "Contact already exists. Existing ID: 501"},
    )
    pipeline.customer(KEY, APPLE, email="ann@x.test")
    result = pipeline.run()
    assert (result.rejected, pipeline.sql("SELECT error_class FROM crm.rejections")) == (1, [("identity",)])


def test_a_clash_is_no_link_to_the_record_that_it_names(account: Account, pipeline: Pipeline) -> None:
    """That another customer's record holds the same values does not make it ours."""
    never = {"wallet_status": "none"}
    pipeline.customer("accountId=B-1", never, email="bob@x.test")
    pipeline.run()
    ((others,),) = pipeline.sql("SELECT record_id FROM crm.links")
    said = {"category": "CONFLICT", "message": f"Contact already exists. Existing ID: {others}"}
    account.spoil("batch/create", "status", times=2, status=409, body=said)
    pipeline.customer("accountId=A-1", never, email="ann@x.test")
    result = pipeline.run()
    assert (result.verified, result.rejected, pipeline.sql("SELECT customer_key FROM crm.links")) == (
        0, 1, [("accountId=B-1",)],
    )  # fmt: skip


def test_messages_in_the_lists_hold_no_personal_data(account: Account, pipeline: Pipeline) -> None:
    """What the CRM said is kept without the customer's id and e-mail."""
    said = "Property values were bad for ann@x.test with customer C-1 in [C-1, ann@x.test]"
    account.spoil("batch/upsert", "status", status=400, body={"category": "VALIDATION_ERROR", "message": said})
    pipeline.customer(KEY, APPLE, email="ann@x.test")
    pipeline.run()
    ((message,),) = pipeline.sql("SELECT message FROM crm.rejections")
    assert not {"ann@x.test", "C-1"} & set(message.replace(",", " ").split())


@pytest.mark.parametrize("key", ["customerId=C-1", "accountId=A-1"])
def test_a_create_whose_answer_is_lost_is_not_doubled(account: Account, pipeline: Pipeline, key: str) -> None:
    """The connection breaks after the CRM committed: one contact, verified."""
    account.spoil("batch/(create|upsert)", "drop_after")
    pipeline.customer(key, APPLE, email="ann@x.test")
    result = pipeline.run()
    assert (result.verified, len(account.contacts())) == (1, 1)


def test_a_create_that_is_answered_too_late_is_not_doubled(account: Account, pipeline: Pipeline) -> None:
    """The CRM makes the contact when we have given up waiting and asked again: the second one is refused."""
    limits = TimeLimits(connect=5, silence=0.4, answer=5, call=20)
    with HubSpot(account.url, "2026-09", SecretStr(SYNC_TOKEN), limits) as client:
        pipeline.destination = HubSpotDestination(client, "customer_id")
        account.spoil("batch/create", "delay", seconds=1)
        pipeline.customer("accountId=A-1", APPLE, email="ann@x.test")
        verified = pipeline.run().verified
        deadline = time.monotonic() + 20
        while None in [one["status"] for one in account.control("GET", "requests?last=20")]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert (verified, len(account.contacts()), account.requests()["create"]) == (1, 1, 2)


def test_a_lost_create_by_email_is_read_before_it_is_sent_again(account: Account, pipeline: Pipeline) -> None:
    """A create without a customer id reaches the CRM once, however often its answer is lost."""
    account.spoil("batch/create", "drop_after", times=5)
    pipeline.customer("accountId=A-1", APPLE, email="ann@x.test")
    pipeline.run()
    assert account.requests()["create"] == 1


def test_a_create_that_never_arrived_is_sent_again(account: Account, pipeline: Pipeline) -> None:
    """The connection breaks before the CRM saw the create: after a reading it is sent once more."""
    account.spoil("batch/create", "drop")
    pipeline.customer("accountId=A-1", APPLE, email="ann@x.test")
    result = pipeline.run()
    assert (result.verified, len(account.contacts())) == (1, 1)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 521, 523, 524])
def test_an_overloaded_crm_is_asked_again(account: Account, pipeline: Pipeline, record_id: str, status: int) -> None:
    """A status of overload delays an update and loses nothing."""
    account.spoil("batch/update", "status", status=status, html=True)
    pipeline.customer(KEY, GOOGLE)
    assert (pipeline.run().verified, account.wallet(record_id)["wallet_status"]) == (1, "google")


def test_a_merged_record_is_linked_anew_and_written_by_its_new_id(account: Account, pipeline: Pipeline) -> None:
    """After a merge made a new record, the customer's state lands there."""
    old, other = account.add(email="ann@x.test", customer_id="C-1"), account.add(email="old@x.test")
    pipeline.customer(KEY, APPLE)
    pipeline.run()
    account.control("POST", "merge", {"primary": old, "secondary": other})
    pipeline.customer(KEY, GOOGLE)
    pipeline.run()
    ((new,),) = pipeline.sql("SELECT record_id FROM crm.links")
    assert (new not in (old, other), account.wallet(new)["wallet_status"]) == (True, "google")


def test_a_merged_record_costs_no_reading_of_its_own(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """The ids that a record was merged from tell whose it is, without a request for each."""
    account.control("POST", "merge", {"primary": record_id, "secondary": account.add(email="old@x.test")})
    account.forget_requests()
    pipeline.plan()
    assert not [path for path in account.control("GET", "requests") if path.startswith("GET /crm/objects")]


def test_a_record_that_is_merged_between_plan_and_write_is_left_to_the_next_plan(
    account: Account, pipeline: Pipeline, record_id: str
) -> None:
    """Whose record it is now is for the link procedure to find out."""
    pipeline.customer(KEY, GOOGLE)
    pipeline.plan()
    account.control("POST", "merge", {"primary": record_id, "secondary": account.add(email="old@x.test")})
    assert (pipeline.deliver().rejected, pipeline.run().verified) == (1, 1)


def test_an_archived_record_is_looked_for_anew(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """A record that was archived is found again by e-mail under another id, and linked."""
    account.control("POST", f"archive/{record_id}")
    other = account.add(email="ann@x.test")
    pipeline.run()
    assert (account.wallet(other)["wallet_status"], pipeline.sql("SELECT record_id FROM crm.links")) == (
        "apple",
        [(other,)],
    )


def test_an_archived_record_without_another_is_created_anew(
    account: Account, pipeline: Pipeline, record_id: str
) -> None:
    """When nothing is found, the policy decides: here a new record."""
    account.control("POST", f"archive/{record_id}")
    assert (pipeline.run().created, record_id not in account.contacts()) == (1, True)


def test_a_stale_plan_never_overwrites_a_newer_truth(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """A customer who moved since the plan is left to the next plan."""
    pipeline.customer(KEY, NONE)
    pipeline.plan()
    pipeline.customer(KEY, GOOGLE)
    assert (pipeline.deliver().outdated, account.wallet(record_id)["wallet_status"]) == (1, "apple")


@pytest.mark.usefixtures("record_id")
def test_a_departed_customer_who_is_back_since_the_plan_is_not_sent_as_none(
    account: Account, pipeline: Pipeline
) -> None:
    """A departure that is over is not told."""
    pipeline.remove_customer(KEY)
    pipeline.plan()
    pipeline.customer(KEY, APPLE)
    before = len(account.writes())
    pipeline.deliver()
    assert len(account.writes()) == before


def test_a_plan_that_is_sent_twice_writes_once(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """Rows that hold the truth already are dropped after the reading that precedes each write."""
    pipeline.customer(KEY, GOOGLE)
    pipeline.plan()
    pipeline.deliver()
    before = len(account.writes())
    result = pipeline.deliver()
    assert (result.dropped, result.written, len(account.writes()) - before) == (1, 0, 0)
    assert account.wallet(record_id)["wallet_status"] == "google"


def test_a_plan_that_created_is_sent_twice_without_a_conflict(account: Account, pipeline: Pipeline) -> None:
    """A record that the plan itself had created and linked is no other customer's when the plan is sent again."""
    pipeline.customer("accountId=A-1", APPLE, email="ann@x.test")
    pipeline.plan()
    pipeline.deliver()
    result = pipeline.deliver()
    assert (result.dropped, result.conflict, len(account.contacts()), pipeline.sql("FROM crm.rejections")) == (
        1, 0, 1, [],
    )  # fmt: skip


def test_a_run_that_died_after_booking_leaves_nothing_undone(
    account: Account, pipeline: Pipeline, record_id: str
) -> None:
    """Rows intended by a run that was killed are planned again."""
    pipeline.customer(KEY, GOOGLE)
    pipeline.plan()
    pipeline.sql(
        "INSERT INTO crm.deliveries BY NAME SELECT 'd' AS delivery_id, plan_id, customer_key, record_id, action,"
        " wallet_status, wallet_last_event, planned_at AS intended_at, 'intended' AS outcome FROM crm.plan"
    )
    pipeline.run()
    assert account.wallet(record_id)["wallet_status"] == "google"
    assert pipeline.sql("SELECT outcome FROM crm.deliveries WHERE delivery_id = 'd'") == [("unknown",)]


def test_updates_do_not_create(account: Account, pipeline: Pipeline) -> None:
    """A record that is archived between plan and write is not created from an update."""
    records = crowd(account, pipeline, 2)
    pipeline.plan()
    account.control("POST", f"archive/{records[0]}")
    result = pipeline.deliver()
    assert (result.verified, result.rejected, set(account.contacts())) == (1, 1, {records[1]})


def test_the_warehouse_is_closed_while_the_crm_is_asked(account: Account, pipeline: Pipeline) -> None:
    """Neither plan nor delivery holds the warehouse during a request."""
    opened, seen = [0], set()
    open_warehouse = pipeline.open_warehouse

    @contextmanager
    def counted() -> Iterator[duckdb.DuckDBPyConnection]:
        opened[0] += 1
        with open_warehouse() as con:
            yield con
        opened[0] -= 1

    class Watching(HubSpotDestination):
        def read(self, key: Key, values: Sequence[str]) -> dict[str, Record]:
            seen.add(opened[0])
            return super().read(key, values)

    destination = Watching(account.client(), "customer_id")
    pipeline.customer(KEY, APPLE, email="ann@x.test")
    make_plan(counted, destination, pipeline.staging, pipeline.rules, NOW)
    deliver(counted, destination, pipeline.rules, lambda: NOW)
    assert seen == {0}


def test_a_delivery_that_moves_time_within_the_tolerance_is_exact(account: Account, pipeline: Pipeline) -> None:
    """Times reach the CRM to the millisecond."""
    moment = NOW - timedelta(days=2, milliseconds=-7)
    pipeline.customer(KEY, APPLE | {"apple_wallet_installed_at": moment}, email="ann@x.test")
    pipeline.run()
    (values,) = account.contacts().values()
    assert values["apple_wallet_installed_at"] == "2026-11-22T12:00:00.007Z"
