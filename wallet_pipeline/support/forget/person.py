"""Who is to be forgotten, by everything that names them in the warehouse."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

import duckdb

from wallet_pipeline.derive.statuses import StatusRules, normalise_identifiers
from wallet_pipeline.support.customers import UnknownCustomerError, find_customer, split_identifier
from wallet_pipeline.support.forget.queries import query


@dataclass(frozen=True)
class Identifier:
    """An identifier as it was written, and normalised. `keys_customers` says that IDENTIFIER_ORDER has its name."""

    name: str
    written: str
    value: str
    keys_customers: bool

    @property
    def key(self) -> str:
        """The key of the customer whom it names."""
        return f"{self.name}={self.value}"


@dataclass(frozen=True)
class Person:
    """A customer, or whoever has a pass that is in no customer, and all by which they are known.

    `identifiers` are theirs alone; how many of theirs others bear, too, is `shared`. `customer_keys` are the keys under
    which something may be booked, of times before their passes were joined as well. `record_ids` are contacts in the
    CRM that no other customer is linked to. `is_known` says whether the warehouse knows them at all.
    """

    customer_key: str | None
    pass_ids: tuple[str, ...]
    customer_keys: tuple[str, ...]
    identifiers: tuple[Identifier, ...]
    record_ids: tuple[str, ...] = ()
    shared: int = 0
    is_known: bool = True


def find_person(con: duckdb.DuckDBPyConnection, asked: str, rules: StatusRules) -> Person:
    """Return whom `asked` names, as `find_customer` does; somebody whom the warehouse does not know by that name alone.

    Leaves the temporary tables that `remove_person` reads. Raises SeveralCustomersError.
    """
    try:
        customer = find_customer(con, asked, rules)
    except UnknownCustomerError:
        if not asked.strip():
            raise
        return _stranger(con, asked.strip(), rules)
    _list_passes(con, customer.pass_ids)
    written = con.execute(query("written_identifiers")).fetchall()
    identifiers = _normalised(con, [*written, *_of_key(customer.customer_key)], rules)
    shared = _list_identifiers(con, identifiers)
    own = [one for one in identifiers if (one.name, one.value) not in shared]
    keys = {one.key for one in own if one.keys_customers} | {key for key in [customer.customer_key] if key}
    _list_keys(con, keys)
    records = con.execute(query("records_of_person")).fetchall()
    return Person(
        customer.customer_key,
        customer.pass_ids,
        tuple(sorted(keys)),
        tuple(own),
        tuple(record_id for (record_id,) in records),
        len(shared),
    )


def _stranger(con: duckdb.DuckDBPyConnection, asked: str, rules: StatusRules) -> Person:
    """Return somebody of whom no more is known than a name, which may stand in a delivery that nobody understood."""
    name, value = split_identifier(asked, rules)
    identifiers = _normalised(con, [(name, value)], rules) if name and value else []
    pass_ids = () if identifiers else (asked,)
    keys = tuple(one.key for one in identifiers)
    _list_passes(con, pass_ids)
    _list_identifiers(con, identifiers)
    _list_keys(con, keys)
    return Person(None, pass_ids, keys, tuple(identifiers), is_known=False)


def _of_key(customer_key: str | None) -> list[tuple[str, str]]:
    if customer_key is None:
        return []
    name, _, value = customer_key.partition("=")
    return [(name, value)]


def _normalised(con: duckdb.DuckDBPyConnection, written: list[tuple[str, str]], rules: StatusRules) -> list[Identifier]:
    pairs = sorted(set(written))
    values = normalise_identifiers(con, pairs) if pairs else []
    return [
        Identifier(name, text, value, name in rules.identifier_order)
        for (name, text), value in zip(pairs, values, strict=True)
        if value is not None
    ]


def _list_passes(con: duckdb.DuckDBPyConnection, pass_ids: Iterable[str]) -> None:
    con.execute(
        "CREATE OR REPLACE TEMP TABLE person_passes AS SELECT unnest(?::VARCHAR[]) AS pass_id", [list(pass_ids)]
    )


def _list_keys(con: duckdb.DuckDBPyConnection, keys: Iterable[str]) -> None:
    con.execute(
        "CREATE OR REPLACE TEMP TABLE person_keys AS SELECT unnest(?::VARCHAR[]) AS customer_key",
        [sorted(keys)],
    )


def _list_identifiers(con: duckdb.DuckDBPyConnection, identifiers: Iterable[Identifier]) -> set[tuple[str, str]]:
    """Leave the identifiers that are the person's alone in person_identifiers, and return the others."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE person_identifiers AS SELECT unnest(from_json(?, ?), recursive := TRUE)",
        [
            json.dumps([vars(one) for one in identifiers]),
            '[{"name": "VARCHAR", "written": "VARCHAR", "value": "VARCHAR", "keys_customers": "BOOLEAN"}]',
        ],
    )
    shared = set(con.execute(query("shared_identifiers")).fetchall())
    con.execute(f"DELETE FROM person_identifiers WHERE (name, value) IN ({query('shared_identifiers')})")
    return shared
