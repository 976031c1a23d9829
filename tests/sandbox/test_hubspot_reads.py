"""What batch read, single read and the list of the CRM stand-in answer."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hubspot_service import CONTACTS, INSTALLED_AT, PEOPLE, STATUS, Crm, serve


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[Crm]:
    """Run a stand-in with three contacts and two properties of ours."""
    with serve(tmp_path, PEOPLE) as client:
        client.define(STATUS, INSTALLED_AT)
        yield client


def test_read_by_customer_id_finds_the_record(crm: Crm) -> None:
    """A unique property is a key of batch read."""
    (found,) = crm.read("C-1", idProperty="customer_id", properties=["email"])["results"]
    assert found["properties"]["email"] == "ann@x.test"


@pytest.mark.parametrize("asked", ["BOB@x.test", "Robert@X.test"])
def test_read_by_email_ignores_case_and_knows_secondary_addresses(crm: Crm, asked: str) -> None:
    """The contact is found by any of its addresses and shows its primary one."""
    (found,) = crm.read(asked, idProperty="email", properties=["email"])["results"]
    assert found["properties"]["email"] == "bob@x.test"


def test_missing_ids_share_one_entry(crm: Crm) -> None:
    """All ids that were not found stand in one entry, and numErrors counts that entry."""
    body = crm.read("C-1", "C-8", "C-9", idProperty="customer_id")
    assert (body["numErrors"], body["errors"][0]["context"]) == (1, {"ids": ["C-8", "C-9"]})


def test_missing_ids_make_the_answer_207(crm: Crm) -> None:
    """A partial answer has the status 207."""
    assert crm.batch("read", [{"id": "1"}], properties=[], propertiesWithHistory=[]).status_code == 207


def test_partial_answers_can_have_the_status_of_success(crm: Crm) -> None:
    """The switch partial_status leaves the body to decide."""
    crm.switch(partial_status="success")
    answer = crm.batch("read", [{"id": "1"}], properties=[], propertiesWithHistory=[])
    assert (answer.status_code, len(answer.json()["errors"])) == (200, 1)


def test_missing_ids_can_stay_unmentioned(crm: Crm) -> None:
    """The switch missing_in_errors hides them."""
    crm.switch(missing_in_errors=False)
    assert "errors" not in crm.read("1")


@pytest.mark.parametrize(("mode", "expected"), [("right", 1), ("wrong", 2), ("absent", None)])
def test_num_errors_can_lie(crm: Crm, mode: str, expected: int | None) -> None:
    """The switch num_errors makes the count right, wrong or absent."""
    crm.switch(num_errors=mode)
    assert crm.read("1").get("numErrors") == expected


def test_unknown_properties_are_ignored_on_read(crm: Crm) -> None:
    """A typo in a property name looks like nothing at all."""
    (found,) = crm.read("C-1", idProperty="customer_id", properties=["email", "wallet_statsu"])["results"]
    assert set(found["properties"]) == {"email", "createdate", "hs_object_id", "lastmodifieddate"}


def test_names_are_shown_when_nothing_is_asked_for(crm: Crm) -> None:
    """Without properties the three default ones come."""
    (found,) = crm.read("C-1", idProperty="customer_id")["results"]
    assert {"email", "firstname", "lastname"} <= set(found["properties"])


@pytest.mark.parametrize(("mode", "shown"), [("null", True), ("missing", False)])
def test_a_property_without_value_is_null_or_missing(crm: Crm, mode: str, *, shown: bool) -> None:
    """The switch null_values decides how "no value" looks."""
    crm.switch(null_values=mode)
    (found,) = crm.read("C-1", idProperty="customer_id", properties=["wallet_status"])["results"]
    assert ("wallet_status" in found["properties"]) is shown


@pytest.mark.parametrize("key", ["firstname", "no_such_property"])
def test_a_property_that_is_not_unique_is_no_key(crm: Crm, key: str) -> None:
    """Reading by it is refused."""
    assert crm.batch("read", [{"id": "Ann"}], idProperty=key).status_code == 400


@pytest.mark.parametrize(
    ("count", "history", "status"), [(0, [], 400), (101, [], 400), (51, ["email"], 400), (51, [], 207)]
)
def test_a_batch_has_a_size(crm: Crm, count: int, history: list[str], status: int) -> None:
    """1 to 100 inputs, 50 with history."""
    inputs = [{"id": str(number)} for number in range(count)]
    assert crm.batch("read", inputs, properties=[], propertiesWithHistory=history).status_code == status


def test_the_same_id_twice_is_answered_once(crm: Crm) -> None:
    """A double id in one read makes no double result."""
    assert len(crm.read("C-1", "C-1", idProperty="customer_id")["results"]) == 1


def test_the_same_id_twice_can_be_refused(crm: Crm) -> None:
    """The switch duplicate_reads turns a double id into a 400."""
    crm.switch(duplicate_reads="reject")
    assert crm.batch("read", [{"id": "1"}, {"id": "1"}]).status_code == 400


def test_results_come_in_another_order(tmp_path: Path) -> None:
    """Order of results is not order of inputs, and the same call gives the same order."""
    with serve(tmp_path, [{"email": f"p{number}@x.test"} for number in range(20)]) as crm:
        asked = [f"p{number}@x.test" for number in range(20)]
        first, again = (
            [one["properties"]["email"] for one in crm.read(*asked, idProperty="email")["results"]] for _ in range(2)
        )
    assert first == again != asked


def test_results_can_keep_the_order(tmp_path: Path) -> None:
    """The switch shuffle can be turned off."""
    with serve(tmp_path, [{"email": f"p{number}@x.test"} for number in range(20)]) as crm:
        crm.switch(shuffle=False)
        asked = [f"p{number}@x.test" for number in range(20)]
        body = crm.read(*asked, idProperty="email")
    assert [one["properties"]["email"] for one in body["results"]] == asked


def test_a_result_can_be_left_out(crm: Crm) -> None:
    """omit_result_ids: in results no more, in errors neither."""
    record_id = crm.id_of("ann@x.test")
    crm.switch(omit_result_ids=[record_id])
    body = crm.read(record_id)
    assert (body["results"], "errors" in body) == ([], False)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("iso", "2026-11-24T10:00:00.000Z"), ("no_ms", "2026-11-24T10:00:00Z"), ("epoch_ms", "1795514400000")],
)
def test_instants_have_three_forms(crm: Crm, mode: str, expected: str) -> None:
    """The switch datetime_out decides how an instant is written."""
    crm.batch("update", [{"id": crm.id_of("ann@x.test"), "properties": {"installed_at": "2026-11-24T10:00:00.000Z"}}])
    crm.switch(datetime_out=mode)
    (found,) = crm.read("C-1", idProperty="customer_id", properties=["installed_at"])["results"]
    assert found["properties"]["installed_at"] == expected


def test_milliseconds_that_are_not_zero_stay(crm: Crm) -> None:
    """no_ms drops only the zero milliseconds."""
    crm.switch(datetime_out="no_ms")
    crm.batch("update", [{"id": crm.id_of("ann@x.test"), "properties": {"installed_at": "2026-11-24T10:00:00.120Z"}}])
    (found,) = crm.read("C-1", idProperty="customer_id", properties=["installed_at"])["results"]
    assert found["properties"]["installed_at"] == "2026-11-24T10:00:00.120Z"


def test_archived_records_are_shown_on_demand_only(crm: Crm) -> None:
    """An archived record is missing without archived=true and there with it."""
    record_id = crm.id_of("cleo@x.test")
    crm.control("POST", f"archive/{record_id}")
    path = f"{CONTACTS}/batch/read"
    answers = [
        crm.call("POST", path + query, {"inputs": [{"id": record_id}]}).json() for query in ("", "?archived=true")
    ]
    assert [len(one["results"]) for one in answers] == [0, 1]


def test_a_single_record_is_read_by_email(crm: Crm) -> None:
    """idProperty=email works on the single path."""
    found = crm.call("GET", f"{CONTACTS}/ann@x.test?idProperty=email&properties=customer_id").json()
    assert found["properties"]["customer_id"] == "C-1"


def test_a_single_record_that_is_missing_is_404(crm: Crm) -> None:
    """The body has the category OBJECT_NOT_FOUND."""
    answer = crm.call("GET", f"{CONTACTS}/123")
    assert (answer.status_code, answer.json()["category"]) == (404, "OBJECT_NOT_FOUND")


def test_the_list_pages_through_all_contacts(tmp_path: Path) -> None:
    """`after` leads through all pages; the last has no paging."""
    with serve(tmp_path, [{"email": f"p{number}@x.test"} for number in range(25)]) as crm:
        seen, query = [], "limit=10"
        while query:
            page = crm.call("GET", f"{CONTACTS}?{query}").json()
            seen += [one["id"] for one in page["results"]]
            query = f"limit=10&after={page['paging']['next']['after']}" if "paging" in page else ""
    assert len(seen) == len(set(seen)) == 25


def test_the_last_page_is_known_as_the_last(crm: Crm) -> None:
    """A page that holds all contacts has no paging, full as it is."""
    assert "paging" not in crm.call("GET", f"{CONTACTS}?limit={len(PEOPLE)}").json()


@pytest.mark.parametrize("query", ["limit=101", "limit=0", "limit=x", "after=x"])
def test_the_list_refuses_other_pages(crm: Crm, query: str) -> None:
    """At most 100 a page, and a cursor of its own."""
    assert crm.call("GET", f"{CONTACTS}?{query}").status_code == 400


def test_the_list_takes_ten_without_a_limit(tmp_path: Path) -> None:
    """The default page holds 10."""
    with serve(tmp_path, [{"email": f"p{number}@x.test"} for number in range(25)]) as crm:
        assert len(crm.call("GET", CONTACTS).json()["results"]) == 10


def test_read_demands_its_arrays_when_told_to(crm: Crm) -> None:
    """The switch required_arrays takes the schema literally."""
    crm.switch(required_arrays="required")
    assert crm.batch("read", [{"id": "1"}], properties=[]).status_code == 400


def test_unknown_members_can_be_refused(crm: Crm) -> None:
    """The switch unknown_fields refuses what the schema does not name, in the inputs too."""
    crm.switch(unknown_fields="rejected")
    assert crm.batch("read", [{"id": "1", "colour": "red"}]).status_code == 400


def test_record_ids_do_not_fit_32_bits(crm: Crm) -> None:
    """Ids are texts of digits beyond what a narrow integer holds."""
    assert int(crm.id_of("ann@x.test")) > 2**32
