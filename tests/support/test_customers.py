"""Whom a name means."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.derive.evidence import RULES, add_snapshot, derive
from wallet_pipeline.support.customers import Customer, SeveralCustomersError, UnknownCustomerError, find_customer
from wallet_pipeline.warehouse.connection import look_into, migrate

ANNA = Customer("customerId=1042", ("a-1", "a-2"))


def listed(pass_id: str, **identifiers: str) -> dict[str, object]:
    """Return a pass as a snapshot lists it."""
    return {"id": pass_id, "type": "loyalty", "identifiers": identifiers, "providers": {}}


def fill(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Derive two customers who share an e-mail, one without any other key, and passes that are in no customer."""
    passes = [
        listed("a-1", customerId="1042", email="Anna@X.test", accountId="77"),
        listed("a-2", accountId="77"),
        listed("b-1", customerId="10421", email="both@x.test"),
        listed("c-1", customerId="3", email="both@x.test"),
        listed("d-1", email="both@x.test"),
        listed("e=", phone="5"),
        listed("f-1", email="zoë@MÜNCHEN.test"),
    ]
    add_snapshot(con, folder, {"id": "s", "start": "2026-03-01T00:00:00Z", "complete": True, "passes": passes})
    derive(con)
    con.execute(
        "INSERT INTO crm.links (customer_key, record_id) VALUES ('customerId=1042', '501'), ('email=gone@x', '6')"
    )


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield the warehouse, opened to be looked into."""
    folder = tmp_path_factory.mktemp("customers")
    with duckdb.connect(folder / "warehouse.duckdb") as con:
        con.execute("SET TimeZone = 'UTC'")
        migrate(con)
        fill(con, folder)
    with look_into(folder / "warehouse.duckdb", wait=5) as con:
        yield con


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("customerId=1042", ANNA),
        ("  customerId= 1042 ", ANNA),
        ("accountId=77", ANNA),
        ("email=ANNA@x.test", ANNA),
        ("anna@X.TEST", ANNA),
        ("a-2", ANNA),
        ("501", ANNA),
        ("zoë@xn--mnchen-3ya.test", Customer("email=zoë@xn--mnchen-3ya.test", ("f-1",))),
        ("d-1", Customer(None, ("d-1",))),
        ("e=", Customer(None, ("e=",))),
        ("6", Customer("email=gone@x", ())),
        ("gone@x", Customer("email=gone@x", ())),
    ],
)
def test_customer_is_found_by(warehouse: duckdb.DuckDBPyConnection, asked: str, found: Customer) -> None:
    """An identifier in any spelling that means the same, an e-mail, a pass, a contact, and a key of the past all do."""
    assert find_customer(warehouse, asked, RULES) == found


def test_name_that_fits_several_names_them(warehouse: duckdb.DuckDBPyConnection) -> None:
    """An e-mail that two customers bear is no answer, and both are named."""
    with pytest.raises(SeveralCustomersError, match=r"customerId=10421, customerId=3\."):
        find_customer(warehouse, "both@x.test", RULES)


@pytest.mark.parametrize("asked", ["customerId=104", "customerid=1042", "nobody@x.test", "1042", "", "="])
def test_unknown_name_says_how_to_ask(warehouse: duckdb.DuckDBPyConnection, asked: str) -> None:
    """Nothing like it is taken for it: neither a part of a value nor a value without its name."""
    with pytest.raises(UnknownCustomerError, match=r"customerId=…, accountId=…, email=…"):
        find_customer(warehouse, asked, RULES)
