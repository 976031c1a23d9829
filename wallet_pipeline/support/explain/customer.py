"""A customer: who they are, their five values with the reason of each, and what was held true before."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import duckdb

from wallet_pipeline.support.explain.explanation import Customer, Field, Pass, Register, Version
from wallet_pipeline.support.explain.queries import query, rows
from wallet_pipeline.support.explain.words import WALLETS, listed
from wallet_pipeline.sync.destination import FIELDS


def explain_customer(con: duckdb.DuckDBPyConnection, customer_key: str) -> Customer:
    """Return who the customer is; without a row of wallet.customer_wallet_status one to whom no pass belongs."""
    name, _, value = customer_key.partition("=")
    row = _row(con, customer_key) or {"email": None, "passes": 0}
    return Customer(customer_key, name, value, row["email"], row["passes"], list(_notes(con, customer_key)))


def explain_row(con: duckdb.DuckDBPyConnection, customer_key: str, passes: list[Pass]) -> list[Field]:
    """Return the five values with the reason of each; none for a customer to whom no pass belongs."""
    row = _row(con, customer_key)
    if row is None:
        return []
    registers = [(one.pass_id, register) for one in passes for register in one.registers]
    reasons = (
        _why_status(registers),
        _why_installed_at("apple", row["apple_wallet_installed_at"], registers),
        _why_installed_at("google", row["google_wallet_installed_at"], registers),
        _why_changed(row, registers),
        "What happened then." if row["wallet_last_event"] else "No pass was ever installed in a wallet.",
    )
    return [Field(name, row[name], reason) for name, reason in zip(FIELDS, reasons, strict=True)]


def versions_of(con: duckdb.DuckDBPyConnection, customer_key: str) -> list[Version]:
    """Return what was held true of the customer, the oldest first."""
    columns = ", ".join(Version.__dataclass_fields__)
    found = rows(
        con,
        f"SELECT {columns} FROM wallet.customer_status_changes WHERE customer_key = $customer_key ORDER BY valid_from",
        {"customer_key": customer_key},
    )
    return [Version(**one) for one in found]


def former_passes(
    con: duckdb.DuckDBPyConnection, customer_key: str | None, name: str | None = None, value: str | None = None
) -> list[str]:
    """Return a sentence for each pass that bore the key, or the value, before."""
    found = rows(con, query("former_passes"), {"customer_key": customer_key, "name": name, "value": value})
    borne = customer_key or f"{name}={value}"
    return [
        f"Pass {one['pass_id']} bore {borne} before; it belongs to {one['customer_key'] or 'nobody'} now."
        for one in found
    ]


def _row(con: duckdb.DuckDBPyConnection, customer_key: str) -> dict[str, Any] | None:
    found = rows(
        con,
        "SELECT * FROM wallet.customer_wallet_status WHERE customer_key = $customer_key",
        {"customer_key": customer_key},
    )
    return found[0] if found else None


def _notes(con: duckdb.DuckDBPyConnection, customer_key: str) -> Iterable[str]:
    for one in rows(con, query("shared_values"), {"customer_key": customer_key}):
        borne = f"{one['identifier_name']}={one['identifier_value']}"
        if one["kind"] == "shared":
            yield f"{borne} is borne by {listed(one['others'])}, too: they are kept apart."
        else:
            yield f"Pass {one['pass_id']} bears {borne}, too, and belongs to nobody because of that."
    yield from former_passes(con, customer_key)


def _why_status(registers: Iterable[tuple[str, Register]]) -> str:
    holders: dict[str, list[str]] = {wallet: [] for wallet in WALLETS}
    for pass_id, register in registers:
        if register.installed:
            holders[register.wallet].append(pass_id)
    said = [f"{_passes(found) if found else 'no pass'} in {WALLETS[wallet]}" for wallet, found in holders.items()]
    return f"Installed now: {'; '.join(said)}."


def _why_installed_at(wallet: str, value: datetime | None, registers: Iterable[tuple[str, Register]]) -> str:
    if value is None:
        return f"No pass is in {WALLETS[wallet]} now."
    found = [
        pass_id
        for pass_id, one in registers
        if one.installed and one.wallet == wallet and one.installed_at and _cut(one.installed_at) == value
    ]
    return f"The earliest installation of the passes that are in {WALLETS[wallet]} now: {_passes(found)}."


def _why_changed(row: Mapping[str, Any], registers: Iterable[tuple[str, Register]]) -> str:
    value, event = row["wallet_last_changed_at"], row["wallet_last_event"]
    if value is None:
        return "No pass was ever installed in a wallet."
    found = [
        f"pass {pass_id} in {WALLETS[one.wallet]}"
        for pass_id, one in registers
        if one.changed_at and _cut(one.changed_at) == value and one.last_event == event
    ]
    inferred = ". Nobody told the exact time (inferred)" if row["changed_at_inferred"] else ""
    return f"The newest install or removal of any pass: {listed(found)}{inferred}."


def _passes(pass_ids: list[str]) -> str:
    return listed([f"pass {one}" for one in pass_ids])


def _cut(at: datetime) -> datetime:
    """Return the time as rows of customers have it, in milliseconds."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
