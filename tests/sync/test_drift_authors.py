"""Drift: who changed a field, since when, and who had written what was expected; and what is no drift."""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest

from tests.sync.conftest import APPLE, GOOGLE, NONE, NOW, RULES, SYNC_TOKEN, Account, Pipeline
from wallet_pipeline.clients.http import ServiceError
from wallet_pipeline.sync.destination import FIELDS, TIME_FIELDS, Version
from wallet_pipeline.sync.drift_authors import Authors, name_authors
from wallet_pipeline.sync.hubspot import HubSpotDestination
from wallet_pipeline.sync.setup_crm import setup_crm

KEY = "customerId=C-1"
PERSON = {"type": "CRM_UI", "userId": 77}
WORKFLOW = {"type": "AUTOMATION_PLATFORM", "id": "12"}
IMPORT = {"type": "IMPORT", "id": "3"}
APP = {"type": "INTEGRATION", "id": "815"}
LATER = "2026-11-23T15:00:00.000Z"


def edit(account: Account, record_id: str, source: dict[str, Any], **values: str) -> None:
    """Change a contact as somebody else would, in a millisecond of its own."""
    time.sleep(0.002)
    account.control("POST", f"contacts/{record_id}/edit", {"properties": values, "source": source})


def name(pipeline: Pipeline, destination: HubSpotDestination | None = None) -> Authors:
    """Find out who caused the drift."""
    return name_authors(
        pipeline.open_warehouse, destination or pipeline.destination, pipeline.rules.tolerance, pipeline.now
    )


def look(pipeline: Pipeline) -> None:
    """Plan, and find out who caused the drift."""
    pipeline.plan()
    name(pipeline)


def parties(pipeline: Pipeline) -> dict[str, tuple[str, str]]:
    """Return by field who changed it, and who had written what was expected."""
    rows = pipeline.sql("SELECT field, changed_by, written_by FROM crm.drift")
    return {field: (changed_by, written_by) for field, changed_by, written_by in rows}


def our_name(account: Account, record_id: str) -> str:
    """Return how the CRM names the pipeline."""
    versions = history(account, record_id, "wallet_status")
    return f"app {next(one['sourceId'] for one in versions if one['sourceType'] == 'INTEGRATION')}"


def history(account: Account, record_id: str, field: str) -> list[dict[str, Any]]:
    """Return the history of a field as the CRM shows it."""
    path = f"/crm/objects/2026-09/contacts/{record_id}?propertiesWithHistory={field}"
    versions: list[dict[str, Any]] = account.api("GET", path).json()["propertiesWithHistory"][field]
    return versions


def changed_at(pipeline: Pipeline) -> Any:
    """Return since when the one drift holds."""
    ((found,),) = pipeline.sql("SELECT changed_at FROM crm.drift")
    return found


def moment(version: dict[str, Any]) -> datetime:
    """Return the time of a version as the warehouse keeps it."""
    return datetime.fromisoformat(version["timestamp"]).replace(tzinfo=None)


# Who it was


def test_each_field_tells_who_changed_it(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """A person, a workflow, an import, another app and nobody known: each is named by field, and we beside them."""
    ours = our_name(account, record_id)
    edit(account, record_id, PERSON, wallet_status="none")
    edit(account, record_id, WORKFLOW, apple_wallet_installed_at="")
    edit(account, record_id, IMPORT, google_wallet_installed_at=LATER)
    edit(account, record_id, APP, wallet_last_changed_at=LATER)
    edit(account, record_id, {"type": "CALCULATED"}, wallet_last_event="uninstalled")
    look(pipeline)
    assert parties(pipeline) == {
        "wallet_status": ("user 77", ours),
        "apple_wallet_installed_at": ("workflow 12", ours),
        "google_wallet_installed_at": ("import 3", "nobody"),
        "wallet_last_changed_at": ("app 815", ours),
        "wallet_last_event": ("CALCULATED", ours),
    }


def test_drift_tells_values_time_and_kind(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """A row of crm.drift holds what was expected and found, since when by the CRM's clock, and its kind of source."""
    edit(account, record_id, PERSON, wallet_status="none")
    look(pipeline)
    since = moment(history(account, record_id, "wallet_status")[0])
    rows = pipeline.sql("SELECT field, expected, found, changed_at, source_type, repaired_at FROM crm.drift")
    assert rows == [("wallet_status", "apple", "none", since, "CRM_UI", None)]


def test_an_emptied_field_is_drift(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """Whoever empties fields that held a value is named; a field that was empty anyway is left alone."""
    edit(account, record_id, IMPORT, **dict.fromkeys(FIELDS, ""))
    look(pipeline)
    by_import = ("import 3", our_name(account, record_id))
    assert parties(pipeline) == {field: by_import for field in FIELDS if not field.startswith("google")}


def test_a_customer_id_that_was_taken_away_is_drift(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """The CRM's customer property stands in crm.drift as customer_id, with who emptied it, and is filled again."""
    edit(account, record_id, PERSON, customer_id="")
    look(pipeline)
    pipeline.deliver()
    rows = pipeline.sql("SELECT field, expected, found, changed_by, written_by, repaired_at FROM crm.drift")
    assert rows == [("customer_id", "C-1", None, "user 77", "user 77", pipeline.now.replace(tzinfo=None))]


def test_the_customer_property_goes_by_its_own_name(account: Account, pipeline: Pipeline) -> None:
    """Also where the setting names another property, its history is read, and the field is called customer_id."""
    setup_crm(HubSpotDestination(account.client(), "member_no"))
    pipeline.destination = HubSpotDestination(account.client(SYNC_TOKEN), "member_no")
    pipeline.customer(KEY, APPLE, email="ann@x.test")
    pipeline.run()
    edit(account, next(iter(account.contacts())), PERSON, member_no="")
    look(pipeline)
    assert parties(pipeline)["customer_id"][0] == "user 77"


@pytest.mark.parametrize("form", ["iso", "no_ms", "epoch_ms"])
def test_times_are_recognised_in_every_form(account: Account, pipeline: Pipeline, record_id: str, form: str) -> None:
    """However the CRM writes times, with or without milliseconds or as a number, the version found is the right one."""
    account.switch(datetime_out=form)
    times = ("2026-11-23T15:00:00.000Z", "2026-11-23T15:00:00.120Z", "2026-11-23T15:00:00.123Z")
    edit(account, record_id, WORKFLOW, **dict(zip(TIME_FIELDS, times, strict=True)))
    look(pipeline)
    assert {field: changed_by for field, (changed_by, _) in parties(pipeline).items()} == dict.fromkeys(
        TIME_FIELDS, "workflow 12"
    )


def test_who_gave_the_value_found_counts(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """Of two who changed a field, one after the other, the second one is named with the time of that."""
    edit(account, record_id, WORKFLOW, wallet_status="both")
    edit(account, record_id, PERSON, wallet_status="none")
    look(pipeline)
    since = moment(history(account, record_id, "wallet_status")[0])
    assert (parties(pipeline)["wallet_status"], changed_at(pipeline)) == (
        ("user 77", our_name(account, record_id)),
        since,
    )


def test_who_says_it_again_has_changed_nothing(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """Where equal values make entries, the first one of the value found counts."""
    account.switch(equal_write_history=True)
    edit(account, record_id, WORKFLOW, wallet_status="none")
    edit(account, record_id, PERSON, wallet_status="none")
    look(pipeline)
    since = moment(history(account, record_id, "wallet_status")[1])
    assert (parties(pipeline)["wallet_status"][0], changed_at(pipeline)) == ("workflow 12", since)


def test_our_side_is_known_though_we_wrote_the_same_twice(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """Entries of equal values of our own do not hide who changed the field after them."""
    account.switch(equal_write_history=True)
    client = account.client(SYNC_TOKEN)
    with client:
        inputs = {"id": record_id, "objectWriteTraceId": "1", "properties": {"wallet_status": "apple"}}
        client.write_contacts("update", [inputs])
    edit(account, record_id, WORKFLOW, wallet_status="none")
    look(pipeline)
    assert parties(pipeline) == {"wallet_status": ("workflow 12", our_name(account, record_id))}


def test_our_side_is_found_within_the_tolerance(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """A date that a person had moved by seconds, which is no difference, is still what was expected."""
    edit(account, record_id, PERSON, wallet_last_changed_at="2026-11-23T12:00:30.000Z")
    edit(account, record_id, WORKFLOW, wallet_last_changed_at=LATER)
    look(pipeline)
    assert parties(pipeline) == {"wallet_last_changed_at": ("workflow 12", "user 77")}


def test_history_may_begin_with_the_oldest(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """The order of the answer does not matter."""
    account.switch(history_order="oldest_first")
    edit(account, record_id, WORKFLOW, wallet_status="none")
    look(pipeline)
    assert parties(pipeline)["wallet_status"][0] == "workflow 12"


# Histories that do not tell


def test_a_history_of_required_members_tells_the_kind(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """Without ids the party is named by its kind."""
    account.switch(history="required")
    edit(account, record_id, PERSON, wallet_status="none")
    look(pipeline)
    assert parties(pipeline) == {"wallet_status": ("a user", "an app")}


def test_a_history_that_does_not_tell_is_said_and_asked_once(
    account: Account, pipeline: Pipeline, record_id: str
) -> None:
    """Without any history the parties are unknown in words, and no later run asks again."""
    account.switch(history="absent")
    edit(account, record_id, PERSON, wallet_status="none")
    pipeline.plan()
    assert (name(pipeline), name(pipeline), parties(pipeline)) == (
        Authors(asked=1, named=0, requests=1, stopped=None),
        Authors(asked=0, named=0, requests=0, stopped=None),
        {"wallet_status": ("unknown", "unknown")},
    )


def test_a_short_history_tells_who_changed_it(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """Where the CRM has forgotten what we wrote, just our side is unknown."""
    account.switch(history_depth=1)
    edit(account, record_id, PERSON, wallet_status="none")
    look(pipeline)
    assert parties(pipeline) == {"wallet_status": ("user 77", "unknown")}


def test_a_value_that_came_before_ours_is_not_blamed(account: Account, pipeline: Pipeline) -> None:
    """A record merged into one that was emptied long ago has no entry for that: nobody is named, not who emptied it."""
    account.switch(merge_fill=False)
    primary = account.add(email="old@x.test", wallet_status="none")
    edit(account, primary, PERSON, wallet_status="")
    secondary = account.add(email="ann@x.test", customer_id="C-1")
    pipeline.customer(KEY, APPLE, email="ann@x.test")
    pipeline.run()
    account.control("POST", "merge", {"primary": primary, "secondary": secondary})
    look(pipeline)
    assert parties(pipeline)["wallet_status"] == ("unknown", "unknown")


def test_a_record_that_is_gone_tells_nothing(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """A contact that was deleted before its history was read leaves the parties unknown."""
    edit(account, record_id, PERSON, wallet_status="none")
    pipeline.plan()
    account.control("POST", f"archive/{record_id}")
    assert (name(pipeline).stopped, parties(pipeline)) == (None, {"wallet_status": ("unknown", "unknown")})


# Merged records


def test_a_merge_is_named(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """A record that was merged into another one, and holds that one's values, drifted by the merge."""
    ours = our_name(account, record_id)
    primary = account.add(email="ann.new@x.test", wallet_status="none")
    account.control("POST", "merge", {"primary": primary, "secondary": record_id})
    look(pipeline)
    assert parties(pipeline)["wallet_status"] == ("merge", ours)


@pytest.mark.parametrize(("style", "omitted"), [("new_id", False), ("new_id", True), ("primary_id", False)])
def test_a_record_merged_after_the_plan_is_found(
    account: Account, pipeline: Pipeline, record_id: str, style: str, *, omitted: bool
) -> None:
    """The history of a record that was merged away is read by its old id, also where the answer leaves it out."""
    edit(account, record_id, PERSON, wallet_status="none")
    pipeline.plan()
    primary = account.add(email="ann.new@x.test", wallet_status="both")
    account.switch(merge_style=style)
    merged = account.control("POST", "merge", {"primary": primary, "secondary": record_id})["id"]
    account.switch(omit_result_ids=[merged] if omitted else [])
    name(pipeline)
    assert parties(pipeline) == {"wallet_status": ("user 77", our_name(account, merged))}


# What is no drift


def test_an_edit_that_was_put_right_before_we_look_is_no_drift(
    account: Account, pipeline: Pipeline, record_id: str
) -> None:
    """What holds the truth again is not in crm.drift, and costs no request."""
    edit(account, record_id, WORKFLOW, wallet_status="none")
    edit(account, record_id, PERSON, wallet_status="apple")
    pipeline.plan()
    assert (parties(pipeline), name(pipeline).requests) == ({}, 0)


def test_a_difference_within_the_tolerance_is_no_drift(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """A date that somebody moved by less than the tolerance is left alone beside one that was moved further."""
    edit(account, record_id, PERSON, wallet_last_changed_at="2026-11-23T12:00:59.999Z", apple_wallet_installed_at=LATER)
    look(pipeline)
    assert list(parties(pipeline)) == ["apple_wallet_installed_at"]


def test_of_two_edited_fields_the_one_that_we_changed_too_is_no_drift(
    account: Account, pipeline: Pipeline, record_id: str
) -> None:
    """Where our truth moved, the CRM had to change anyway; the other field was changed by somebody."""
    edit(account, record_id, PERSON, wallet_status="both", wallet_last_event="uninstalled")
    pipeline.customer(KEY, GOOGLE)
    look(pipeline)
    assert list(parties(pipeline)) == ["wallet_last_event"]


def test_a_contact_made_anew_has_not_drifted(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """Another contact in the place of one that was deleted was never told anything: it is linked, not put right."""
    account.control("POST", f"archive/{record_id}")
    account.add(email="ann@x.test")
    pipeline.plan()
    assert (pipeline.decisions(), parties(pipeline)) == ({KEY: ("link", "new")}, {})


def test_a_contact_back_from_the_recycle_bin_has_drifted(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """The contact that we told keeps its story, though its link was lost meanwhile."""
    edit(account, record_id, PERSON, wallet_status="none")
    pipeline.sql("DELETE FROM crm.links")
    look(pipeline)
    assert parties(pipeline)["wallet_status"][0] == "user 77"


@pytest.mark.parametrize("emptied", [False, True])
def test_our_own_unanswered_write_is_no_drift(
    account: Account, pipeline: Pipeline, record_id: str, *, emptied: bool
) -> None:
    """A write that landed though its answer was lost is ours; what somebody then changed beside it is not."""
    account.spoil("batch/update", "drop_after", times=9)
    pipeline.customer(KEY, NONE)
    with pytest.raises(ServiceError):
        _deliver_without_answers(account, pipeline)
    account.control("DELETE", "faults")
    if emptied:
        edit(account, record_id, PERSON, wallet_last_changed_at="")
    pipeline.customer(KEY, APPLE)
    look(pipeline)
    reason = "drift" if emptied else "changed"
    assert (pipeline.decisions(), list(parties(pipeline))) == (
        {KEY: ("update", reason)},
        ["wallet_last_changed_at"] if emptied else [],
    )


def _deliver_without_answers(account: Account, pipeline: Pipeline) -> None:
    """Send the plan of a customer to a CRM that takes the write, and then cannot be reached."""
    pipeline.plan()
    account.control(
        "POST",
        "faults",
        {"path": "batch/read", "times": 99, "skip": 1, "action": {"type": "status", "status": 503}},
    )
    destination = account.destination(SYNC_TOKEN, attempts=1)
    pipeline.destination = destination
    pipeline.deliver()


# Asking


def crowd(account: Account, pipeline: Pipeline, size: int) -> list[str]:
    """Return the record ids of that many customers whose status a workflow has edited, as the plan has found."""
    records = [account.add(email=f"c{number}@x.test", customer_id=f"K-{number}") for number in range(size)]
    pipeline.customers({f"customerId=K-{number}": f"c{number}@x.test" for number in range(size)}, APPLE)
    pipeline.run()
    account.control(
        "POST",
        "contacts/edit-some",
        {"count": size, "properties": {"wallet_status": "none"}, "source": WORKFLOW, "where_set": "wallet_status"},
    )
    pipeline.plan()
    account.forget_requests()
    return records


def test_fifty_records_are_asked_for_at_a_time(account: Account, pipeline: Pipeline) -> None:
    """The histories of 120 records take three requests, and all are named."""
    crowd(account, pipeline, 120)
    result = name(pipeline)
    assert (result, account.requests()) == (Authors(asked=120, named=120, requests=3, stopped=None), {"read": 3})


def test_a_crm_that_gives_no_answer_is_asked_by_a_later_run(
    account: Account, pipeline: Pipeline, record_id: str
) -> None:
    """The drift stays unasked, the reason is told; when it was repaired meanwhile, the later answer is still right."""
    edit(account, record_id, PERSON, wallet_status="none")
    pipeline.plan()
    account.spoil("batch/read", "status", times=9, status=503)
    stopped = name(pipeline, account.destination(SYNC_TOKEN, attempts=1)).stopped
    asked_in_vain = parties(pipeline)
    account.control("DELETE", "faults")
    pipeline.deliver()
    name(pipeline)
    assert ("503" in str(stopped), asked_in_vain, parties(pipeline)) == (
        True,
        {"wallet_status": (None, None)},
        {"wallet_status": ("user 77", our_name(account, record_id))},
    )


def test_what_was_answered_before_the_crm_went_away_is_kept(account: Account, pipeline: Pipeline) -> None:
    """Of three batches two are answered and booked; the third is asked for by the next run alone."""
    last = crowd(account, pipeline, 120)[-1]
    rule = {"path": "batch/read", "body": last, "times": 9, "action": {"type": "status", "status": 503}}
    account.control("POST", "faults", rule)
    first = name(pipeline, account.destination(SYNC_TOKEN, attempts=1))
    account.control("DELETE", "faults")
    assert (first.asked, name(pipeline).asked) == (100, 20)


class SmallPages(HubSpotDestination):
    """Asks for one record at a time, so that a page holds forty."""

    capabilities = replace(HubSpotDestination.capabilities, history_batch=1)


def test_changes_may_pass_between_two_pages(account: Account, pipeline: Pipeline) -> None:
    """Of 81 records there are three pages, with a turn for others after the first and the second."""
    crowd(account, pipeline, 81)
    turns: list[int] = []

    def between() -> None:
        turns.extend(pipeline.sql("SELECT count(*) FROM crm.drift WHERE changed_by IS NOT NULL")[0])

    with account.client(SYNC_TOKEN) as client:
        result = name_authors(pipeline.open_warehouse, SmallPages(client, "customer_id"), RULES.tolerance, NOW, between)
    assert (turns, result.named, result.requests) == ([40, 80], 81, 81)


def test_who_lets_nobody_pass_asks_for_one_page(account: Account, pipeline: Pipeline) -> None:
    """A run of changes is not held up by what another run has left unasked: the rest waits for a run of all."""
    crowd(account, pipeline, 41)
    with account.client(SYNC_TOKEN) as client:
        result = name(pipeline, SmallPages(client, "customer_id"))
    assert (result.asked, name(pipeline).asked) == (40, 1)


def test_a_crm_that_goes_away_between_two_pages_ends_it(account: Account, pipeline: Pipeline) -> None:
    """What was booked stays, and the reason is told, not raised."""
    crowd(account, pipeline, 41)

    def between() -> None:
        raise ServiceError("gone")

    with account.client(SYNC_TOKEN) as client:
        result = name_authors(pipeline.open_warehouse, SmallPages(client, "customer_id"), RULES.tolerance, NOW, between)
    assert result == Authors(asked=40, named=40, requests=40, stopped="gone")


def test_old_drift_is_let_rest(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """What no history could be had of for seven days costs no request any more."""
    edit(account, record_id, PERSON, wallet_status="none")
    pipeline.plan()
    pipeline.now += timedelta(days=7, seconds=1)
    assert name(pipeline).requests == 0


def make_older(pipeline: Pipeline, span: timedelta) -> None:
    """Let everything in the CRM's history have happened earlier by that span."""
    with closing(sqlite3.connect(pipeline.folder / "crm.sqlite")) as con, con:
        con.execute("UPDATE changes SET at_ms = at_ms - ?", [span // timedelta(milliseconds=1)])


def test_each_of_two_discoveries_of_one_value_has_its_own_author(account: Account, pipeline: Pipeline) -> None:
    """When two are asked for at once, the older one is not blamed on whoever did the same again an hour later."""
    now, hour = datetime.now(UTC), timedelta(hours=1)
    record_id = account.add(email="ann@x.test", customer_id="C-1")
    pipeline.customer(KEY, {"wallet_status": "none", "wallet_last_changed_at": now - 9 * hour}, email="ann@x.test")
    pipeline.now = now - 2 * hour
    pipeline.run()
    edit(account, record_id, PERSON, wallet_status="both")
    make_older(pipeline, hour)
    pipeline.now = now - hour + timedelta(seconds=30)
    pipeline.run()
    edit(account, record_id, WORKFLOW, wallet_status="both")
    pipeline.now = datetime.now(UTC)
    look(pipeline)
    assert pipeline.sql("SELECT changed_by FROM crm.drift ORDER BY found_at") == [("user 77",), ("workflow 12",)]


def test_the_answer_of_another_run_stays(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """A run that asked at the same time, and was told less, does not overwrite what another one has booked."""
    edit(account, record_id, PERSON, wallet_status="none")
    pipeline.plan()

    class Slow(HubSpotDestination):
        def read_history(self, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, dict[str, list[Version]]]:
            name(pipeline)
            account.switch(history="absent")
            return super().read_history(record_ids, fields)

    with account.client(SYNC_TOKEN) as client:
        name(pipeline, Slow(client, "customer_id"))
    assert parties(pipeline)["wallet_status"][0] == "user 77"


def test_nothing_holds_the_warehouse_while_the_crm_is_asked(
    account: Account, pipeline: Pipeline, record_id: str
) -> None:
    """Every opening of the warehouse has ended when a history is read."""
    held, seen = 0, []

    @contextmanager
    def open_warehouse() -> Iterator[duckdb.DuckDBPyConnection]:
        nonlocal held
        held += 1
        with pipeline.open_warehouse() as con:
            yield con
        held -= 1

    class Watched(HubSpotDestination):
        def read_history(self, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, dict[str, list[Version]]]:
            seen.append(held)
            return super().read_history(record_ids, fields)

    edit(account, record_id, PERSON, wallet_status="none")
    pipeline.plan()
    with account.client(SYNC_TOKEN) as client:
        name_authors(open_warehouse, Watched(client, "customer_id"), pipeline.rules.tolerance, pipeline.now)
    assert (seen, parties(pipeline)["wallet_status"][0]) == ([0], "user 77")
