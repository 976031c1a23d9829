"""Property definitions and groups of the CRM stand-in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hubspot_service import INSTALLED_AT, PEOPLE, PROPERTIES, STATUS, Crm, serve


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[Crm]:
    """Run a stand-in of a new account."""
    with serve(tmp_path, PEOPLE) as client:
        yield client


def names(crm: Crm) -> set[str]:
    """Names of all properties."""
    return {one["name"] for one in crm.call("GET", PROPERTIES).json()["results"]}


def test_a_new_account_has_the_key_and_no_wallet_properties(crm: Crm) -> None:
    """customer_id is there; wallet_* is for setup to create."""
    assert ("customer_id" in names(crm), any(name.startswith("wallet") for name in names(crm))) == (True, False)


def test_the_key_is_unique(crm: Crm) -> None:
    """The definition of customer_id says so."""
    assert crm.call("GET", f"{PROPERTIES}/customer_id").json()["hasUniqueValue"] is True


def test_a_created_property_is_complete(crm: Crm) -> None:
    """The answer adds what the service knows."""
    created = crm.call("POST", PROPERTIES, STATUS).json()
    expected = {**STATUS, "hubspotDefined": False, "hasUniqueValue": False, "calculated": False}
    assert {name: created[name] for name in expected} == expected


def test_a_name_is_taken_once(crm: Crm) -> None:
    """The second creation is a 409."""
    crm.define(STATUS)
    assert crm.call("POST", PROPERTIES, STATUS).status_code == 409


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Wallet Status"},
        {"name": None},
        {"label": None},
        {"groupName": "wallet"},
        {"fieldType": "date"},
        {"type": "colour"},
        {"options": [{"label": "None"}]},
    ],
)
def test_bad_definitions_are_refused(crm: Crm, change: dict[str, Any]) -> None:
    """Names, groups, types and options are checked."""
    assert crm.call("POST", PROPERTIES, {**STATUS, **change}).status_code == 400


def test_there_are_ten_unique_properties_at_most(crm: Crm) -> None:
    """The eleventh is refused; customer_id is the first."""
    text = {**STATUS, "type": "string", "fieldType": "text", "options": [], "hasUniqueValue": True}
    crm.define(*({**text, "name": f"key_{number}"} for number in range(9)))
    assert crm.call("POST", PROPERTIES, {**text, "name": "key_9"}).status_code == 400


def test_options_can_be_added(crm: Crm) -> None:
    """PATCH replaces the list, and the new option is accepted as a value."""
    crm.define(STATUS)
    options = [*STATUS["options"], {"label": "Other", "value": "other", "displayOrder": 9, "hidden": False}]
    crm.call("PATCH", f"{PROPERTIES}/wallet_status", {"options": options})
    answer = crm.batch("update", [{"id": crm.id_of("ann@x.test"), "properties": {"wallet_status": "other"}}])
    assert answer.status_code == 200


@pytest.mark.parametrize("change", [{"hasUniqueValue": True}, {"type": "string"}])
def test_uniqueness_and_type_are_for_good(crm: Crm, change: dict[str, Any]) -> None:
    """Both are decided at creation."""
    crm.define(STATUS)
    assert crm.call("PATCH", f"{PROPERTIES}/wallet_status", change).status_code == 400


def test_built_in_properties_stay(crm: Crm) -> None:
    """They cannot be deleted."""
    assert crm.call("DELETE", f"{PROPERTIES}/email").status_code == 400


def test_a_deleted_property_is_gone(crm: Crm) -> None:
    """It is not among the definitions any more."""
    crm.define(STATUS)
    crm.call("DELETE", f"{PROPERTIES}/wallet_status")
    assert "wallet_status" not in names(crm)


def test_a_deleted_property_takes_its_values_along(crm: Crm) -> None:
    """Created anew it is empty."""
    crm.define(STATUS)
    crm.batch("update", [{"id": crm.id_of("ann@x.test"), "properties": {"wallet_status": "apple"}}])
    crm.call("DELETE", f"{PROPERTIES}/wallet_status")
    crm.define(STATUS)
    assert "wallet_status" not in crm.values_of("ann@x.test")


def test_deleted_properties_are_listed_on_demand(crm: Crm) -> None:
    """archived=true shows them."""
    crm.define(STATUS)
    crm.call("DELETE", f"{PROPERTIES}/wallet_status")
    listed = crm.call("GET", f"{PROPERTIES}?archived=true").json()["results"]
    assert [one["name"] for one in listed] == ["wallet_status"]


def test_a_missing_property_is_404(crm: Crm) -> None:
    """GET by a name that does not exist."""
    assert crm.call("GET", f"{PROPERTIES}/wallet_status").status_code == 404


def test_batch_create_makes_all(crm: Crm) -> None:
    """Two definitions in one call."""
    answer = crm.call("POST", f"{PROPERTIES}/batch/create", {"inputs": [STATUS, INSTALLED_AT]})
    assert (answer.status_code, {"wallet_status", "installed_at"} <= names(crm)) == (200, True)


def test_batch_create_makes_all_or_none(crm: Crm) -> None:
    """A bad definition leaves the good one uncreated."""
    crm.call("POST", f"{PROPERTIES}/batch/create", {"inputs": [STATUS, {**INSTALLED_AT, "type": "x"}]})
    assert "wallet_status" not in names(crm)


def test_batch_read_names_what_is_missing(crm: Crm) -> None:
    """Found ones in results, the others in one entry."""
    inputs = [{"name": "email"}, {"name": "nope"}]
    body = crm.call("POST", f"{PROPERTIES}/batch/read", {"archived": False, "inputs": inputs}).json()
    assert ([one["name"] for one in body["results"]], body["errors"][0]["context"]) == (["email"], {"names": ["nope"]})


def test_groups_are_created_changed_and_deleted(crm: Crm) -> None:
    """A group's whole life."""
    path = f"{PROPERTIES}/groups"
    steps = [
        crm.call("POST", path, {"name": "wallet", "label": "Wallet"}).status_code,
        crm.call("PATCH", f"{path}/wallet", {"label": "Wallets"}).json()["label"],
        crm.call("DELETE", f"{path}/wallet").status_code,
        crm.call("GET", f"{path}/wallet").status_code,
    ]
    assert steps == [201, "Wallets", 204, 404]


def test_a_group_is_created_once(crm: Crm) -> None:
    """The second creation is a 409."""
    answer = crm.call("POST", f"{PROPERTIES}/groups", {"name": "contactinformation", "label": "x"})
    assert answer.status_code == 409


def test_a_group_in_use_stays(crm: Crm) -> None:
    """It cannot be deleted."""
    assert crm.call("DELETE", f"{PROPERTIES}/groups/contactinformation").status_code == 400
