"""The controls of the CRM stand-in: what people do in the CRM, and what tests compare with."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from hubspot_service import PEOPLE, STATUS, Crm, serve


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[Crm]:
    """Run a stand-in with three contacts and a property of ours."""
    with serve(tmp_path, PEOPLE) as client:
        client.define(STATUS)
        yield client


def set_status(crm: Crm, email: str, status: str) -> None:
    """Write one status through the API."""
    crm.batch("update", [{"id": crm.id_of(email), "properties": {"wallet_status": status}}])


def city(crm: Crm, email: str) -> str | None:
    """Read a contact's city through the API, as a batch of one."""
    value: str | None = crm.read(crm.id_of(email), properties=["city"])["results"][0]["properties"]["city"]
    return value


def test_edits_by_people_are_validated(crm: Crm) -> None:
    """A person cannot store what the type refuses."""
    with pytest.raises(requests.HTTPError, match="400"):
        crm.control("POST", f"contacts/{crm.id_of('ann@x.test')}/edit", {"properties": {"wallet_status": "purple"}})


def test_a_person_creates_a_contact(crm: Crm) -> None:
    """The API finds it at once."""
    created = crm.control("POST", "contacts", {"properties": {"email": "New@x.test"}})
    assert crm.read("new@x.test", idProperty="email")["results"][0]["id"] == created["id"]


def test_edit_some_tells_what_was_there(crm: Crm) -> None:
    """Only contacts with the property set and another value are edited; the old values come back."""
    set_status(crm, "ann@x.test", "apple")
    set_status(crm, "bob@x.test", "none")
    some = {"count": 5, "properties": {"wallet_status": "none"}, "where_set": "wallet_status"}
    edited = crm.control("POST", "contacts/edit-some", some)["edited"]
    assert [(one["customer_id"], one["old"]) for one in edited] == [("C-1", {"wallet_status": "apple"})]


def test_edit_some_edits_as_many_as_asked(crm: Crm) -> None:
    """`count` bounds it."""
    edited = crm.control("POST", "contacts/edit-some", {"count": 2, "properties": {"city": "Ulm"}})["edited"]
    assert len(edited) == 2


def test_writes_through_the_api_are_listed(crm: Crm) -> None:
    """Record and property names."""
    set_status(crm, "ann@x.test", "apple")
    (write,) = crm.control("GET", "writes")["writes"]
    assert (write["id"], write["properties"]) == (crm.id_of("ann@x.test"), ["wallet_status"])


def test_equal_writes_count_too(crm: Crm) -> None:
    """A write that changes nothing is still a write: calls, contacts and properties are counted."""
    for _ in range(2):
        set_status(crm, "ann@x.test", "apple")
    writes = crm.control("GET", "writes")
    assert (writes["count"], writes["contacts"], writes["properties"]) == (2, 1, {"wallet_status": 2})


def test_refused_rows_are_no_writes(crm: Crm) -> None:
    """What the API refused is not listed."""
    set_status(crm, "ann@x.test", "purple")
    assert crm.control("GET", "writes")["count"] == 0


def test_edits_by_people_are_no_writes(crm: Crm) -> None:
    """The controls do not count."""
    crm.control("POST", f"contacts/{crm.id_of('ann@x.test')}/edit", {"properties": {"firstname": "A"}})
    assert crm.control("GET", "writes")["count"] == 0


def test_writes_are_listed_from_a_time_on(crm: Crm) -> None:
    """`since` leaves the older ones out."""
    set_status(crm, "ann@x.test", "apple")
    assert crm.control("GET", "writes?since=2100-01-01T00:00:00.000Z")["count"] == 0


def test_a_foreign_edit_comes_before_the_next_read(crm: Crm) -> None:
    """The read shows it already."""
    crm.control("POST", "edit-before-read", {"times": 1, "properties": {"city": "Ulm"}})
    assert city(crm, "ann@x.test") == "Ulm"


def test_a_foreign_edit_happens_as_often_as_told(crm: Crm) -> None:
    """Once is once: the second contact that is read stays as it is."""
    crm.control("POST", "edit-before-read", {"times": 1, "properties": {"city": "Ulm"}})
    assert [city(crm, "ann@x.test"), city(crm, "bob@x.test")] == ["Ulm", None]


def test_a_foreign_edit_can_let_reads_go_by(crm: Crm) -> None:
    """`skip` aims at the read back instead of the read before."""
    crm.control("POST", "edit-before-read", {"skip": 1, "times": 1, "properties": {"city": "Ulm"}})
    assert [city(crm, "ann@x.test"), city(crm, "ann@x.test")] == [None, "Ulm"]


def test_a_foreign_edit_waits_for_its_contact(crm: Crm) -> None:
    """Reads of others do not set it off."""
    edit = {"contact_id": crm.id_of("ann@x.test"), "times": 1, "properties": {"city": "Ulm"}}
    crm.control("POST", "edit-before-read", edit)
    assert [city(crm, "bob@x.test"), city(crm, "ann@x.test")] == [None, "Ulm"]


def test_all_contacts_are_streamed(crm: Crm) -> None:
    """A line a contact with what it holds now; archived ones are left out."""
    crm.control("POST", f"archive/{crm.id_of('cleo@x.test')}")
    answer = crm.http.get(f"{crm.url}/sandbox/contacts/all", timeout=10)
    shown = [json.loads(line)["properties"]["email"] for line in answer.iter_lines()]
    assert shown == ["ann@x.test", "bob@x.test"]


def test_the_truth_is_the_same_under_all_switches(crm: Crm) -> None:
    """Controls show instants as ISO with milliseconds whatever the API shows."""
    crm.switch(datetime_out="epoch_ms")
    assert crm.control("GET", "contacts?customer_id=C-1")["results"][0]["createdAt"].endswith("Z")


@pytest.mark.parametrize("settings", [{"nope": 1}, {"datetime_out": "roman"}, {"rate_limit": "many"}])
def test_wrong_switches_are_refused(crm: Crm, settings: dict[str, Any]) -> None:
    """Names and values are checked."""
    with pytest.raises(requests.HTTPError, match="400"):
        crm.switch(**settings)


def test_controls_are_not_limited(crm: Crm) -> None:
    """They work when the API's limit is used up."""
    crm.switch(rate_limit=0)
    assert crm.id_of("ann@x.test")
