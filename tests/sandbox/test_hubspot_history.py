"""Who changed what: the property history of the CRM stand-in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hubspot_service import CONTACTS, FULL, PEOPLE, STATUS, Crm, serve


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[Crm]:
    """Run a stand-in with three contacts and a property of ours."""
    with serve(tmp_path, PEOPLE) as client:
        client.define(STATUS)
        yield client


def versions(crm: Crm, name: str) -> list[dict[str, Any]]:
    """All versions of one property of Ann's, newest first."""
    (found,) = crm.read("ann@x.test", idProperty="email", propertiesWithHistory=[name])["results"]
    listed: list[dict[str, Any]] = found["propertiesWithHistory"][name]
    return listed


def set_status(crm: Crm, status: str, token: str = FULL) -> None:
    """Write Ann's status through the API."""
    change = {"properties": {"wallet_status": status}}
    crm.call("PATCH", f"{CONTACTS}/ann@x.test?idProperty=email", change, token=token)


def edit(crm: Crm, values: dict[str, str], **source: Any) -> None:
    """Edit Ann as somebody else would."""
    crm.control("POST", f"contacts/{crm.id_of('ann@x.test')}/edit", {"properties": values, "source": source})


def test_history_is_newest_first(crm: Crm) -> None:
    """Values with the kind of who wrote them."""
    set_status(crm, "apple")
    edit(crm, {"wallet_status": "none"}, type="CRM_UI")
    listed = [(one["value"], one["sourceType"]) for one in versions(crm, "wallet_status")]
    assert listed == [("none", "CRM_UI"), ("apple", "INTEGRATION")]


def test_history_tells_one_app_from_another(crm: Crm) -> None:
    """SourceId is the app's id."""
    set_status(crm, "apple", FULL)
    set_status(crm, "both", "pat-sandbox-sync")
    assert len({one["sourceId"] for one in versions(crm, "wallet_status")}) == 2


def test_a_person_is_named(crm: Crm) -> None:
    """UpdatedByUserId and sourceId hold the user."""
    edit(crm, {"firstname": "Anna"}, type="CRM_UI", userId=12)
    newest = versions(crm, "firstname")[0]
    assert (newest["updatedByUserId"], newest["sourceId"]) == (12, "userId:12")


def test_a_workflow_is_named(crm: Crm) -> None:
    """Its kind, id and label, and no user."""
    edit(crm, {"firstname": "Anna"}, type="AUTOMATION_PLATFORM", id="44", label="Welcome")
    newest = versions(crm, "firstname")[0]
    named = (newest["sourceType"], newest["sourceId"], newest["sourceLabel"], "updatedByUserId" in newest)
    assert named == ("AUTOMATION_PLATFORM", "44", "Welcome", False)


def test_a_workflow_may_name_the_enrolment_alone(crm: Crm) -> None:
    """Without another id, the source is the contact's enrolment and no number."""
    edit(crm, {"firstname": "Anna"}, type="AUTOMATION_PLATFORM")
    assert versions(crm, "firstname")[0]["sourceId"] == "enrollmentId:583071390870;actionExecutionIndex:3"


def test_history_may_hold_what_is_required_alone(crm: Crm) -> None:
    """A switch leaves out who exactly it was."""
    edit(crm, {"firstname": "Anna"}, type="CRM_UI", userId=12)
    crm.switch(history="required")
    assert versions(crm, "firstname")[0].keys() == {"value", "timestamp", "sourceType"}


def test_history_may_be_absent(crm: Crm) -> None:
    """A switch leaves it out though it was asked for."""
    crm.switch(history="absent")
    (found,) = crm.read("ann@x.test", idProperty="email", propertiesWithHistory=["firstname"])["results"]
    assert "propertiesWithHistory" not in found


def test_only_the_newest_versions_are_kept(crm: Crm) -> None:
    """A switch says how many; the older ones are gone."""
    for status in ("none", "apple", "both"):
        set_status(crm, status)
    crm.switch(history_depth=2)
    assert [one["value"] for one in versions(crm, "wallet_status")] == ["both", "apple"]


def test_history_may_begin_with_the_oldest(crm: Crm) -> None:
    """The order of versions is a switch."""
    set_status(crm, "apple")
    set_status(crm, "none")
    crm.switch(history_order="oldest_first")
    assert [one["value"] for one in versions(crm, "wallet_status")] == ["apple", "none"]


def test_loaded_contacts_come_from_an_import(crm: Crm) -> None:
    """Their first values have the source IMPORT."""
    assert [(one["value"], one["sourceType"]) for one in versions(crm, "firstname")] == [("Ann", "IMPORT")]


@pytest.mark.parametrize(("noted", "entries"), [(False, 1), (True, 2)])
def test_an_equal_value_may_make_an_entry(crm: Crm, entries: int, *, noted: bool) -> None:
    """The switch equal_write_history decides."""
    crm.switch(equal_write_history=noted)
    for _ in range(2):
        set_status(crm, "apple")
    assert len(versions(crm, "wallet_status")) == entries


def test_clearing_is_an_entry(crm: Crm) -> None:
    """An empty value stands in history."""
    set_status(crm, "apple")
    set_status(crm, "")
    assert [one["value"] for one in versions(crm, "wallet_status")] == ["", "apple"]
