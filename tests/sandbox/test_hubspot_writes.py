"""What batch and single writes of the CRM stand-in accept, refuse and leave behind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hubspot_service import CONTACTS, INSTALLED_AT, PEOPLE, STATUS, Crm, serve


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[Crm]:
    """Run a stand-in with three contacts and two properties of ours."""
    with serve(tmp_path, PEOPLE) as client:
        client.define(STATUS, INSTALLED_AT)
        yield client


def row(trace: str | None = None, **members: Any) -> dict[str, Any]:
    """One input, with a trace id if there is one."""
    return members if trace is None else {**members, "objectWriteTraceId": trace}


def test_update_leaves_other_properties_alone(crm: Crm) -> None:
    """A property that is not sent keeps its value."""
    crm.batch("update", [row(id=crm.id_of("ann@x.test"), properties={"wallet_status": "apple"})])
    assert crm.values_of("ann@x.test")["firstname"] == "Ann"


def test_empty_text_clears(crm: Crm) -> None:
    """A property that is set to "" has no value any more."""
    crm.batch("update", [row(id=crm.id_of("ann@x.test"), properties={"firstname": ""})])
    assert "firstname" not in crm.values_of("ann@x.test")


@pytest.mark.parametrize("value", [None, 1, True])
def test_values_are_texts(crm: Crm, value: object) -> None:
    """Numbers, booleans and null break the schema."""
    answer = crm.batch("update", [row(id=crm.id_of("ann@x.test"), properties={"firstname": value})])
    assert answer.status_code == 400


def test_one_bad_row_fails_alone_with_trace_ids(crm: Crm) -> None:
    """The good row is written, the bad one is named by its trace id."""
    bad = row("bad", id=crm.id_of("ann@x.test"), properties={"wallet_status": "purple"})
    good = row("good", id=crm.id_of("bob@x.test"), properties={"wallet_status": "both"})
    body = crm.batch("update", [bad, good]).json()
    assert [one["id"] for one in body["results"]] == [good["id"]]
    assert [one["context"]["objectWriteTraceId"] for one in body["errors"]] == [["bad"]]


def test_one_bad_row_fails_all_without_trace_ids(crm: Crm) -> None:
    """Nothing is written, not even the row before the bad one."""
    good = row(id=crm.id_of("bob@x.test"), properties={"wallet_status": "both"})
    bad = row(id=crm.id_of("ann@x.test"), properties={"wallet_status": "purple"})
    assert crm.batch("update", [good, bad]).status_code == 400
    assert "wallet_status" not in crm.values_of("bob@x.test")


def test_trace_ids_can_be_without_effect(crm: Crm) -> None:
    """The switch trace_multistatus takes partial success from an operation."""
    crm.switch(trace_multistatus=["create"])
    bad = row("bad", id=crm.id_of("ann@x.test"), properties={"wallet_status": "purple"})
    assert crm.batch("update", [bad]).status_code == 400


@pytest.mark.parametrize(
    ("place", "expected"),
    [("list", (["k"], None)), ("string", ("k", None)), ("top_level", (None, "k"))],
)
def test_an_entry_names_its_row_in_three_ways(crm: Crm, place: str, expected: tuple[object, object]) -> None:
    """The switch trace_in_errors moves the trace id."""
    crm.switch(trace_in_errors=place)
    bad = row("k", id=crm.id_of("ann@x.test"), properties={"wallet_status": "purple"})
    (entry,) = crm.batch("update", [bad]).json()["errors"]
    assert (entry["context"].get("objectWriteTraceId"), entry.get("objectWriteTraceId")) == expected


@pytest.mark.parametrize("traces", [(None, None), ("a", "b")])
def test_the_same_record_twice_is_refused(crm: Crm, traces: tuple[str | None, str | None]) -> None:
    """A double id fails the whole batch, with or without trace ids."""
    record_id = crm.id_of("ann@x.test")
    answer = crm.batch("update", [row(trace, id=record_id, properties={"firstname": "A"}) for trace in traces])
    assert (answer.status_code, answer.json()["context"]) == (400, {"ids": [record_id]})


def test_the_same_trace_id_twice_is_refused(crm: Crm) -> None:
    """Trace ids are unique in a request."""
    ids = [crm.id_of("ann@x.test"), crm.id_of("bob@x.test")]
    assert crm.batch("update", [row("k", id=one, properties={"firstname": "A"}) for one in ids]).status_code == 400


def test_missing_records_are_named_with_their_trace_ids(crm: Crm) -> None:
    """One entry lists all of them."""
    rows = [row(f"k{one}", id=one, properties={"firstname": "A"}) for one in ("8", "9")]
    (entry,) = crm.batch("update", rows).json()["errors"]
    assert entry["context"] == {"ids": ["8", "9"], "objectWriteTraceId": ["k8", "k9"]}


def test_a_missing_record_can_fail_an_untraced_batch(crm: Crm) -> None:
    """The switch missing_untraced makes it a failure in which nothing is written."""
    crm.switch(missing_untraced="fail")
    rows = [row(id=one, properties={"firstname": "A"}) for one in (crm.id_of("ann@x.test"), "9")]
    assert crm.batch("update", rows).status_code == 404
    assert crm.values_of("ann@x.test")["firstname"] == "Ann"


@pytest.mark.parametrize("key", ["email", "hs_object_id", "firstname"])
def test_update_refuses_other_keys(crm: Crm, key: str) -> None:
    """Update goes by record id or by a custom unique property."""
    answer = crm.batch("update", [row(id="ann@x.test", idProperty=key, properties={})])
    assert "non-unique 0-1 property" in answer.json()["message"]


def test_update_takes_a_unique_property_as_key(crm: Crm) -> None:
    """customer_id is one."""
    crm.batch("update", [row(id="C-1", idProperty="customer_id", properties={"wallet_status": "apple"})])
    assert crm.values_of("ann@x.test")["wallet_status"] == "apple"


def test_a_unique_value_belongs_to_one_contact(crm: Crm) -> None:
    """The second contact is refused with CONFLICTING_UNIQUE_VALUE."""
    answer = crm.batch("update", [row(id=crm.id_of("cleo@x.test"), properties={"customer_id": "C-1"})])
    assert (answer.status_code, "CONFLICTING_UNIQUE_VALUE" in answer.json()["message"]) == (400, True)


def test_a_cleared_unique_value_is_free_again(crm: Crm) -> None:
    """After one contact gave it up another may take it."""
    crm.batch("update", [row(id=crm.id_of("ann@x.test"), properties={"customer_id": ""})])
    crm.batch("update", [row(id=crm.id_of("cleo@x.test"), properties={"customer_id": "C-1"})])
    assert crm.values_of("cleo@x.test")["customer_id"] == "C-1"


def test_create_stores_the_email_in_lower_case(crm: Crm) -> None:
    """And answers 201."""
    answer = crm.batch("create", [row(properties={"email": "New@X.test"}, associations=[])])
    assert (answer.status_code, answer.json()["results"][0]["properties"]["email"]) == (201, "new@x.test")


@pytest.mark.parametrize("email", ["ANN@x.test", "robert@x.test"])
def test_create_refuses_an_address_that_is_taken(crm: Crm, email: str) -> None:
    """409 names the contact that has it, as primary or secondary address."""
    answer = crm.batch("create", [row(properties={"email": email})])
    assert (answer.status_code, answer.json()["category"]) == (409, "CONFLICT")


def test_a_traced_conflict_names_the_existing_record(crm: Crm) -> None:
    """The entry has existingId."""
    (entry,) = crm.batch("create", [row("k", properties={"email": "ann@x.test"})]).json()["errors"]
    assert entry["context"] == {"objectWriteTraceId": ["k"], "existingId": [crm.id_of("ann@x.test")]}


def test_two_new_contacts_cannot_share_an_address(crm: Crm) -> None:
    """Within one batch the second one is refused."""
    rows = [row(key, properties={"email": email}) for key, email in (("a", "N@x.test"), ("b", "n@x.test"))]
    body = crm.batch("create", rows).json()
    assert (len(body["results"]), len(body["errors"])) == (1, 1)


def test_create_needs_a_name_or_an_address(crm: Crm) -> None:
    """email, firstname or lastname is required."""
    assert crm.batch("create", [row(properties={"phone": "1"})]).status_code == 400


def test_create_can_demand_associations(crm: Crm) -> None:
    """The switch required_arrays takes the schema literally."""
    crm.switch(required_arrays="required")
    assert crm.batch("create", [row(properties={"email": "n@x.test"})]).status_code == 400


def test_upsert_by_customer_id_updates_and_creates(crm: Crm) -> None:
    """`new` tells which was which."""
    rows = [
        row("a", id="C-1", idProperty="customer_id", properties={"wallet_status": "apple"}),
        row("b", id="C-7", idProperty="customer_id", properties={"email": "new@x.test"}),
    ]
    body = crm.batch("upsert", rows).json()
    assert {one["objectWriteTraceId"]: one["new"] for one in body["results"]} == {"a": False, "b": True}


def test_upsert_gives_the_new_contact_its_key(crm: Crm) -> None:
    """The key property is set though `properties` does not name it."""
    crm.batch("upsert", [row(id="C-7", idProperty="customer_id", properties={"email": "new@x.test"})])
    assert crm.values_of("new@x.test")["customer_id"] == "C-7"


def test_upsert_by_email_is_all_or_nothing(crm: Crm) -> None:
    """Trace ids make no partial success here."""
    rows = [
        row("a", id="ann@x.test", idProperty="email", properties={"wallet_status": "apple"}),
        row("b", id="bob@x.test", idProperty="email", properties={"wallet_status": "purple"}),
    ]
    assert crm.batch("upsert", rows).status_code == 400
    assert "wallet_status" not in crm.values_of("ann@x.test")


def test_results_can_be_without_properties(crm: Crm) -> None:
    """The switch write_results empties them: a result is no proof."""
    crm.switch(write_results="empty")
    body = crm.batch("update", [row(id=crm.id_of("ann@x.test"), properties={"wallet_status": "apple"})]).json()
    assert body["results"][0]["properties"] == {}


def test_results_can_be_without_trace_ids(crm: Crm) -> None:
    """The switch trace_in_results takes them away."""
    crm.switch(trace_in_results=False)
    body = crm.batch("update", [row("k", id=crm.id_of("ann@x.test"), properties={"firstname": "A"})]).json()
    assert "objectWriteTraceId" not in body["results"][0]


def test_single_ids_can_be_refused(crm: Crm) -> None:
    """The switch refuse_ids fails those rows and no others."""
    ann, bob = crm.id_of("ann@x.test"), crm.id_of("bob@x.test")
    crm.switch(refuse_ids=[ann])
    body = crm.batch("update", [row(one, id=one, properties={"firstname": "A"}) for one in (ann, bob)]).json()
    assert [body["results"][0]["id"], body["errors"][0]["context"]["objectWriteTraceId"]] == [bob, [ann]]


def test_single_patch_changes_one_record(crm: Crm) -> None:
    """PATCH by a unique property."""
    answer = crm.call("PATCH", f"{CONTACTS}/C-1?idProperty=customer_id", {"properties": {"wallet_status": "both"}})
    assert (answer.status_code, crm.values_of("ann@x.test")["wallet_status"]) == (200, "both")


def test_single_create_refuses_an_address_that_is_taken(crm: Crm) -> None:
    """409, as in the batch."""
    answer = crm.call("POST", CONTACTS, {"properties": {"email": "ann@x.test"}, "associations": []})
    assert answer.status_code == 409


def test_archived_records_cannot_be_updated(crm: Crm) -> None:
    """They count as missing."""
    record_id = crm.id_of("ann@x.test")
    assert crm.batch("archive", [{"id": record_id}]).status_code == 204
    body = crm.batch("update", [row("k", id=record_id, properties={"firstname": "A"})]).json()
    assert body["errors"][0]["category"] == "OBJECT_NOT_FOUND"


def test_delete_archives(crm: Crm) -> None:
    """DELETE answers 204 and the record is not found any more."""
    path = f"{CONTACTS}/{crm.id_of('ann@x.test')}"
    assert [crm.call("DELETE", path).status_code, crm.call("GET", path).status_code] == [204, 404]


@pytest.mark.parametrize("body", ["[]", "{", "null", '{"inputs": 1}', '{"inputs": [1]}'])
def test_bodies_of_another_form_are_refused(crm: Crm, body: str) -> None:
    """Broken JSON and wrong shapes are 400."""
    headers = {"Authorization": "Bearer pat-sandbox-full", "Content-Type": "application/json"}
    answer = crm.http.post(f"{crm.url}{CONTACTS}/batch/update", data=body, headers=headers, timeout=10)
    assert answer.status_code == 400
