"""Which values the property types of the CRM stand-in accept, and how they come back."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hubspot_service import INSTALLED_AT, PEOPLE, STATUS, Crm, serve

OTHERS = [
    {**INSTALLED_AT, "name": "born_on", "type": "date"},
    {**INSTALLED_AT, "name": "points", "type": "number", "fieldType": "number"},
    {**INSTALLED_AT, "name": "vip", "type": "bool", "fieldType": "booleancheckbox"},
    {**STATUS, "name": "wallets", "fieldType": "checkbox"},
]


@pytest.fixture(scope="module")
def crm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crm]:
    """Run a stand-in with a property of each type."""
    with serve(tmp_path_factory.mktemp("crm"), PEOPLE) as client:
        client.define(STATUS, INSTALLED_AT, *OTHERS)
        yield client


def write(crm: Crm, name: str, value: str) -> Any:
    """Set one property of one contact; return the code of the refusal, or the value read back."""
    record_id = crm.id_of("bob@x.test")
    answer = crm.batch("update", [{"id": record_id, "properties": {name: value}}])
    if answer.status_code == 400:
        _, _, problems = answer.json()["message"].partition(": ")
        return json.loads(problems)[0]["error"]
    return crm.read(record_id, properties=[name])["results"][0]["properties"][name]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-24T10:00:00.120Z", "2026-11-24T10:00:00.120Z"),
        ("2026-11-24T10:00:00Z", "2026-11-24T10:00:00.000Z"),
        ("1795514400120", "2026-11-24T10:00:00.120Z"),
        ("", None),
        ("2026-11-24T10:00:00.120+00:00", "INVALID_LONG"),
        ("2026-11-24T10:00:00.1234567Z", "INVALID_LONG"),
        ("2026-02-30T10:00:00.000Z", "INVALID_LONG"),
        ("2026-11-24T10:00:00.120Z ", "INVALID_LONG"),
        ("99999999999999999999", "INVALID_LONG"),
        ("yesterday", "INVALID_LONG"),
    ],
)
def test_datetime(crm: Crm, value: str, expected: str | None) -> None:
    """ISO in UTC with up to three decimals, or epoch milliseconds."""
    assert write(crm, "installed_at", value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("apple", "apple"), ("Apple", "INVALID_OPTION"), ("apple ", "INVALID_OPTION"), ("apple;google", "INVALID_OPTION")],
)
def test_enumeration(crm: Crm, value: str, expected: str) -> None:
    """The option's value, letter by letter."""
    assert write(crm, "wallet_status", value) == expected


@pytest.mark.parametrize(("value", "expected"), [("apple;google", "apple;google"), ("apple;x", "INVALID_OPTION")])
def test_several_options(crm: Crm, value: str, expected: str) -> None:
    """Checkboxes take a list with semicolons."""
    assert write(crm, "wallets", value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-24", "2026-11-24"),
        ("1795478400000", "2026-11-24"),
        ("1795478400001", "INVALID_DATE"),
        ("2026-02-30", "INVALID_DATE"),
        ("20261124", "INVALID_DATE"),
        (" 2026-11-24", "INVALID_DATE"),
    ],
)
def test_date(crm: Crm, value: str, expected: str) -> None:
    """A day, or epoch milliseconds at midnight UTC."""
    assert write(crm, "born_on", value) == expected


@pytest.mark.parametrize(("value", "expected"), [("1.5", "1.5"), ("1,5", "INVALID_LONG"), (" 1", "INVALID_LONG")])
def test_number(crm: Crm, value: str, expected: str) -> None:
    """Decimal point, no spaces."""
    assert write(crm, "points", value) == expected


@pytest.mark.parametrize(("value", "expected"), [("true", "true"), ("True", "INVALID_OPTION")])
def test_bool(crm: Crm, value: str, expected: str) -> None:
    """Lower case."""
    assert write(crm, "vip", value) == expected


@pytest.mark.parametrize("value", ["nobody", "a b@x.test", "a@x", "a@x.test;b@x.test"])
def test_email_has_a_form(crm: Crm, value: str) -> None:
    """Other texts are INVALID_EMAIL."""
    assert write(crm, "email", value) == "INVALID_EMAIL"


def test_text_keeps_its_spaces(crm: Crm) -> None:
    """Spaces around a text are part of it."""
    assert write(crm, "firstname", " Bob ") == " Bob "


@pytest.mark.parametrize("name", ["hs_object_id", "createdate", "lastmodifieddate", "hs_merged_object_ids"])
def test_read_only_values_cannot_be_set(crm: Crm, name: str) -> None:
    """They are refused by name."""
    assert write(crm, name, "1") == "READ_ONLY_VALUE"


def test_unknown_properties_cannot_be_set(crm: Crm) -> None:
    """PROPERTY_DOESNT_EXIST, other than on reads."""
    assert write(crm, "wallet_statsu", "apple") == "PROPERTY_DOESNT_EXIST"


def test_all_problems_of_a_row_are_listed(crm: Crm) -> None:
    """One message names each bad property."""
    values = {"wallet_status": "purple", "installed_at": "x"}
    answer = crm.batch("update", [{"id": crm.id_of("ann@x.test"), "properties": values}])
    listed = json.loads(answer.json()["message"].partition(": ")[2])
    assert {one["name"] for one in listed} == set(values)


def test_rules_of_the_account_apply(crm: Crm) -> None:
    """The switch validation_rules refuses values that the type would accept."""
    crm.switch(validation_rules={"lastname": "[A-Z].*"})
    assert write(crm, "lastname", "bob") == "PROPERTY_VALIDATION_RULE"
