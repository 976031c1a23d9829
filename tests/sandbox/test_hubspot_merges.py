"""Merges in the CRM stand-in: new ids for old ones, and what becomes of values, keys and writes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hubspot_service import CONTACTS, PEOPLE, STATUS, Crm, serve


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[Crm]:
    """Run a stand-in with three contacts and a property of ours."""
    with serve(tmp_path, PEOPLE) as client:
        client.define(STATUS)
        yield client


def merge(crm: Crm, primary: str, secondary: str) -> str:
    """Merge two contacts by their addresses and return the id of the merged record."""
    ids = {"primary": crm.id_of(primary), "secondary": crm.id_of(secondary)}
    merged_id: str = crm.control("POST", "merge", ids)["id"]
    return merged_id


def test_both_old_ids_show_the_merged_record_once(crm: Crm) -> None:
    """A merge makes a new id; reading both old ones gives one result under the new one."""
    old = [crm.id_of("ann@x.test"), crm.id_of("bob@x.test")]
    new = merge(crm, "ann@x.test", "bob@x.test")
    assert [one["id"] for one in crm.read(*old)["results"]] == [new]


def test_a_merged_record_has_an_id_of_its_own(crm: Crm) -> None:
    """Neither of the old ones is it."""
    old = [crm.id_of("ann@x.test"), crm.id_of("bob@x.test")]
    assert merge(crm, "ann@x.test", "bob@x.test") not in old


def test_a_merged_record_names_its_old_ids(crm: Crm) -> None:
    """hs_merged_object_ids joins them with semicolons."""
    old = [crm.id_of("ann@x.test"), crm.id_of("bob@x.test")]
    merge(crm, "ann@x.test", "bob@x.test")
    assert crm.values_of("ann@x.test")["hs_merged_object_ids"] == ";".join(old)


def test_the_primary_can_keep_its_id(crm: Crm) -> None:
    """The switch merge_style plays merges of the older kind."""
    crm.switch(merge_style="primary_id")
    primary = crm.id_of("ann@x.test")
    assert merge(crm, "ann@x.test", "bob@x.test") == primary


def test_ids_survive_a_second_merge(crm: Crm) -> None:
    """The oldest id leads to the newest record."""
    oldest = crm.id_of("bob@x.test")
    merge(crm, "ann@x.test", "bob@x.test")
    newest = merge(crm, "cleo@x.test", "ann@x.test")
    assert crm.call("GET", f"{CONTACTS}/{oldest}").json()["id"] == newest


def test_the_primarys_key_wins(crm: Crm) -> None:
    """The loser's key is found no more."""
    merge(crm, "ann@x.test", "bob@x.test")
    assert crm.read("C-2", idProperty="customer_id")["results"] == []


@pytest.mark.parametrize(("fill", "expected"), [(True, "C-1"), (False, None)])
def test_a_merge_may_fill_what_the_primary_lacks(crm: Crm, expected: str | None, *, fill: bool) -> None:
    """The switch merge_fill decides about the loser's values."""
    crm.switch(merge_fill=fill)
    merge(crm, "cleo@x.test", "ann@x.test")
    assert crm.values_of("cleo@x.test").get("customer_id") == expected


def test_the_losers_key_survives_in_history(crm: Crm) -> None:
    """The merged record's history holds both."""
    merged = merge(crm, "ann@x.test", "bob@x.test")
    body = crm.read(merged, propertiesWithHistory=["customer_id"])
    assert {one["value"] for one in body["results"][0]["propertiesWithHistory"]["customer_id"]} == {"C-1", "C-2"}


def test_an_address_of_a_merged_contact_is_taken(crm: Crm) -> None:
    """It is a secondary one now and makes no new contact."""
    merge(crm, "ann@x.test", "bob@x.test")
    assert crm.batch("create", [{"properties": {"email": "bob@x.test"}}]).status_code == 409


@pytest.mark.parametrize("mode", ["dropped", "written"])
def test_an_update_by_an_old_id_is_in_neither_list(crm: Crm, mode: str) -> None:
    """It is absent from results and from errors, with the status of success."""
    crm.switch(merged_update=mode)
    old = crm.id_of("ann@x.test")
    merge(crm, "ann@x.test", "bob@x.test")
    answer = crm.batch("update", [{"id": old, "properties": {"wallet_status": "both"}}])
    assert (answer.status_code, answer.json()["results"], "errors" in answer.json()) == (200, [], False)


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize(("mode", "expected"), [("dropped", None), ("written", "both")])
def test_a_write_by_an_old_id_is_dropped_or_written(crm: Crm, mode: str, expected: str | None, *, single: bool) -> None:
    """The switch merged_update decides, for PATCH as for batch update."""
    crm.switch(merged_update=mode)
    old, change = crm.id_of("ann@x.test"), {"properties": {"wallet_status": "both"}}
    merge(crm, "ann@x.test", "bob@x.test")
    if single:
        crm.call("PATCH", f"{CONTACTS}/{old}", change)
    else:
        crm.batch("update", [{"id": old, **change}])
    assert crm.values_of("ann@x.test").get("wallet_status") == expected


def test_the_api_merges_too(crm: Crm) -> None:
    """POST /merge answers with the merged record."""
    ids = {"primaryObjectId": crm.id_of("ann@x.test"), "objectIdToMerge": crm.id_of("bob@x.test")}
    assert crm.call("POST", f"{CONTACTS}/merge", ids).json()["properties"]["email"] == "ann@x.test"
