"""Setting up the CRM: fields are created or checked, and what is wrong stops everything."""

from contextlib import closing
from pathlib import Path

import pytest

from tests.sync.conftest import Account, Pipeline
from wallet_pipeline.clients.http import ScopeError
from wallet_pipeline.sync.destination import FIELDS, DefinitionsError
from wallet_pipeline.sync.hubspot import HubSpotDestination
from wallet_pipeline.sync.setup_crm import setup_crm

PROPERTIES = "/crm/properties/2026-09/contacts"


def define(account: Account, name: str, kind: str, field_type: str, **more: object) -> None:
    """Create a property as somebody else would have."""
    body = {"name": name, "label": name, "groupName": "contactinformation", "type": kind, "fieldType": field_type}
    assert account.api("POST", PROPERTIES, body | more).status_code == 201


def test_a_new_account_gets_the_group_and_the_missing_properties(fresh_account: Account) -> None:
    """The five fields are created and the customer property that exists is kept."""
    result = setup_crm(fresh_account.destination())
    assert (set(result.created), result.present) == (set(FIELDS), ("customer_id",))


def test_a_second_setup_creates_nothing(account: Account) -> None:
    """Setting up twice leaves everything as it is."""
    assert setup_crm(account.destination()).created == ()


def test_a_missing_customer_property_is_created_unique(fresh_account: Account) -> None:
    """A customer property of another name is created with unique values."""
    setup_crm(HubSpotDestination(fresh_account.client(), "loyalty_id"))
    assert fresh_account.api("GET", f"{PROPERTIES}/loyalty_id").json()["hasUniqueValue"] is True


def test_a_property_of_another_type_stops(fresh_account: Account) -> None:
    """A field of the wrong type is named with both types."""
    define(fresh_account, "wallet_last_changed_at", "string", "text")
    with pytest.raises(DefinitionsError, match="wallet_last_changed_at has type string instead of datetime"):
        setup_crm(fresh_account.destination())


def test_a_missing_option_stops(fresh_account: Account) -> None:
    """An enumeration that lacks an option is named with the option."""
    options = [
        {"label": "x", "value": value, "displayOrder": 0, "hidden": False} for value in ("none", "apple", "google")
    ]
    define(fresh_account, "wallet_status", "enumeration", "select", options=options)
    with pytest.raises(DefinitionsError, match="wallet_status lacks the option both"):
        setup_crm(fresh_account.destination())


def test_further_options_are_fine(fresh_account: Account) -> None:
    """An enumeration with more options than needed is accepted."""
    values = ("installed", "uninstalled", "unknown")
    options = [{"label": value, "value": value, "displayOrder": 0, "hidden": False} for value in values]
    define(fresh_account, "wallet_last_event", "enumeration", "select", options=options)
    assert "wallet_last_event" in setup_crm(fresh_account.destination()).present


def test_a_customer_property_that_is_not_unique_stops(fresh_account: Account) -> None:
    """A key that several records may carry is no key."""
    define(fresh_account, "loyalty_id", "string", "text")
    with pytest.raises(DefinitionsError, match="loyalty_id does not demand unique values"):
        setup_crm(HubSpotDestination(fresh_account.client(), "loyalty_id"))


def test_a_token_without_the_scope_is_told_which(fresh_account: Account) -> None:
    """A token that may not change definitions is told the scope that it lacks."""
    with pytest.raises(ScopeError, match=r"crm\.schemas\.contacts\.write"):
        setup_crm(fresh_account.destination("pat-sandbox-sync"))


def test_the_sync_stops_before_reading_when_fields_are_missing(fresh_account: Account, tmp_path: Path) -> None:
    """A plan for an account without the fields names them and the command that creates them."""
    with (
        closing(Pipeline(tmp_path, fresh_account.destination())) as pipeline,
        pytest.raises(DefinitionsError, match=r"lacks the fields wallet_status.*wallet-pipeline setup-crm"),
    ):
        pipeline.plan()
