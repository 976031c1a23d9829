"""The CRM stand-in as part of the sandbox: its contacts from the world, its faults, its restart."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from hubspot_service import CONTACTS, PROPERTIES, Crm


@contextmanager
def running(state: Path) -> Iterator[Crm]:
    """Run a small sandbox and give a client of its CRM."""
    options = ["--state", str(state), "--passes", "100", "--wallet-crew-port", "0", "--hubspot-port", "0"]
    command = [sys.executable, "-m", "wallet_pipeline.sandbox", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            facts = json.loads(process.stdout.readline().removeprefix("sandbox ready "))
            yield Crm(facts["hubspot_url"], facts["access_token"])
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def crm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crm]:
    """Run the sandbox of this file."""
    with running(tmp_path_factory.mktemp("state")) as client:
        yield client


def test_the_token_of_the_sandbox_may_do_everything(crm: Crm) -> None:
    """It may create properties; the schema scope is the rarest."""
    assert crm.call("POST", f"{PROPERTIES}/groups", {"name": "wallet", "label": "Wallet"}).status_code == 201


def test_the_worlds_contacts_are_in_the_crm(crm: Crm) -> None:
    """Some have a customer_id and some have not."""
    lines = crm.http.get(f"{crm.url}/sandbox/contacts/all", timeout=10).iter_lines()
    assert {"customer_id" in json.loads(line)["properties"] for line in lines} == {True, False}


def test_a_write_whose_answer_is_lost_has_happened(crm: Crm) -> None:
    """The fault drop_after cuts the connection after the commit."""
    record_id = crm.call("GET", f"{CONTACTS}?limit=1").json()["results"][0]["id"]
    crm.control("POST", "faults", {"path": "/batch/update", "times": 1, "action": {"type": "drop_after"}})
    with pytest.raises(requests.ConnectionError):
        crm.batch("update", [{"id": record_id, "properties": {"city": "Ulm"}}])
    assert crm.control("GET", "writes")["writes"][0]["id"] == record_id


def test_the_crm_survives_a_restart(tmp_path: Path) -> None:
    """A second sandbox on the same folder shows what was written to the first."""
    with running(tmp_path) as crm:
        crm.control("POST", "contacts", {"properties": {"email": "new@x.test"}})
    with running(tmp_path) as crm:
        assert crm.id_of("new@x.test")
