"""The state file of the CRM stand-in."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hubspot_service import PEOPLE, STATUS, serve

from wallet_pipeline.sandbox.hubspot_contacts import Source
from wallet_pipeline.sandbox.hubspot_store import Store, create_store


def test_state_survives_a_restart(tmp_path: Path) -> None:
    """Definitions and values are in the file."""
    create_store(tmp_path / "crm.sqlite", PEOPLE)
    with closing(Store(tmp_path / "crm.sqlite")) as store, store.transaction():
        store.definitions.create(STATUS)
        store.contacts.create({"email": "new@x.test", "wallet_status": "apple"}, Source("CRM_UI"))
    with closing(Store(tmp_path / "crm.sqlite")) as store:
        found = store.contacts.find_by("email", "new@x.test")
        assert (found and found.values["wallet_status"], "wallet_status" in store.definitions.by_name) == (
            "apple",
            True,
        )


def test_a_store_that_fails_leaves_no_file(tmp_path: Path) -> None:
    """Two contacts with one address are refused before the file has its name."""
    with pytest.raises(sqlite3.IntegrityError):
        create_store(tmp_path / "crm.sqlite", [{"email": "a@x.test"}, {"email": "A@x.test"}])
    assert not (tmp_path / "crm.sqlite").exists()


def test_an_account_may_start_empty(tmp_path: Path) -> None:
    """The first contact gets an id like any other."""
    with serve(tmp_path, []) as crm:
        created = crm.batch("create", [{"properties": {"email": "a@x.test"}}]).json()["results"][0]
    assert int(created["id"]) > 2**32
