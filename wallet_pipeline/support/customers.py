"""Whom somebody means who names a customer as people do: by identifier, e-mail, pass id or CRM record id."""

from dataclasses import dataclass

import duckdb

from wallet_pipeline.derive.statuses import StatusRules, normalise_identifiers
from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.warehouse.queries import read_query

_NAMED_AT_ONCE = 10


class UnknownCustomerError(ExplainedError):
    """The warehouse knows nobody by that name; the message says by what else one may ask."""


class SeveralCustomersError(ExplainedError):
    """The name fits several customers or passes; the message lists them."""


@dataclass(frozen=True)
class Customer:
    """A customer and their passes now, none when they departed; without a key, a single pass that is in no customer."""

    customer_key: str | None
    pass_ids: tuple[str, ...]


def find_customer(con: duckdb.DuckDBPyConnection, asked: str, rules: StatusRules) -> Customer:
    """Return whom `asked` names: `name=value`, an e-mail, a pass id or a CRM record id. Nothing is written.

    Raises UnknownCustomerError, SeveralCustomersError.
    """
    asked = asked.strip()
    if not asked:
        raise UnknownCustomerError(f"Nobody is named. {_how_to_ask(rules)}")
    name, value = split_identifier(asked, rules)
    if name and value is not None:
        (value,) = normalise_identifiers(con, [(name, value)])
    named = read_query("wallet_pipeline.support", "named_customers")
    found = con.execute(named, {"asked": asked, "name": name, "value": value}).fetchall()
    keys = sorted({key for key, _ in found if key is not None})
    strays = sorted({pass_id for key, pass_id in found if key is None})
    if not found:
        raise UnknownCustomerError(_nobody(con, asked, rules))
    if len(keys) > 1 or (not keys and len(strays) > 1):
        raise SeveralCustomersError(_several(asked, keys or strays))
    if not keys:
        return Customer(None, (strays[0],))
    rows = con.execute("SELECT pass_id FROM wallet.pass_customers WHERE customer_key = ? ORDER BY 1", keys).fetchall()
    return Customer(keys[0], tuple(pass_id for (pass_id,) in rows))


def split_identifier(asked: str, rules: StatusRules) -> tuple[str | None, str | None]:
    """Return name and value of an identifier that keys customers; an e-mail may stand without its name."""
    name, equals, value = asked.partition("=")
    if equals and name in rules.identifier_order:
        return name, value
    return ("email", asked) if "@" in asked else (None, None)


def _nobody(con: duckdb.DuckDBPyConnection, asked: str, rules: StatusRules) -> str:
    likely = con.execute(
        "SELECT DISTINCT customer_key FROM wallet.pass_customers WHERE identifier_value = ? AND customer_key IS NOT"
        " NULL ORDER BY 1 LIMIT 3",
        [asked],
    ).fetchall()
    meant = f" Did you mean {' or '.join(key for (key,) in likely)}?" if likely else ""
    return f'The warehouse knows nobody by "{asked}".{meant} {_how_to_ask(rules)}'


def _how_to_ask(rules: StatusRules) -> str:
    names = ", ".join(f"{name}=…" for name in rules.identifier_order)
    return (
        f"Write an identifier as {names}, in just this spelling, or give an e-mail, the id of a CRM record that is"
        " linked, or the id of one of their passes."
    )


def _several(asked: str, names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED_AT_ONCE])
    more = f" and {len(names) - _NAMED_AT_ONCE} more" if len(names) > _NAMED_AT_ONCE else ""
    return f"Several are meant by {asked}: {shown}{more}. Name one of these."
