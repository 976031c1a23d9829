"""An account and a warehouse of linked customers, as a first sync leaves them, and what then happens to them.

Both are filled directly: a first sync of 100,000 customers takes minutes. A stand-in of the account runs in a process
of its own.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

import duckdb
import requests

from tests.sync.conftest import Account
from wallet_pipeline.sandbox import hubspot_store, world
from wallet_pipeline.sync.setup_crm import setup_crm
from wallet_pipeline.warehouse.connection import connect

LIMIT, WINDOW_S = 190, 10.0
_SQL = Path(__file__).parent
_SEED, _PASSES = 7, 0
_CHUNK = 1 << 20
_NO_LIMIT = 10**9
_FIRST_ERROR = 400
# Of all contacts: one in so many is refused by a rule of the account, edited by people, merged with another one.
_REFUSED, _EDITED, _MERGED = 100, 100, 1000
_CONTACTS = """
SELECT
    customer_key, identifier_value AS customer_id, email, wallet_status, wallet_last_event,
    epoch_ms(apple_wallet_installed_at)::VARCHAR AS apple_wallet_installed_at,
    epoch_ms(google_wallet_installed_at)::VARCHAR AS google_wallet_installed_at,
    epoch_ms(wallet_last_changed_at)::VARCHAR AS wallet_last_changed_at
FROM wallet.customer_wallet_status
JOIN crm.links USING (customer_key)
ORDER BY record_id::BIGINT
"""


@dataclass(frozen=True)
class Counted:
    """Requests that the stand-in has had, those of them that write, and its answers of a status from 400."""

    requests: int
    writes: int
    errors: int


@dataclass(frozen=True)
class CrmWorld:
    """A folder with a warehouse and the account's state, for so many customers."""

    folder: Path
    contacts: int

    @property
    def data_dir(self) -> Path:
        """The folder of the pipeline's files."""
        return self.folder / "data"

    @property
    def warehouse_file(self) -> Path:
        """The warehouse of the pipeline."""
        return self.data_dir / "warehouse.duckdb"

    def copy(self, folder: Path) -> "CrmWorld":
        """Return a world of its own that is as this one; nobody may use this one meanwhile."""
        shutil.copytree(self.folder, folder)
        return CrmWorld(folder, self.contacts)

    def record_id(self, number: int) -> str:
        """Return the record that customer C-<number> was linked to."""
        return str(hubspot_store.FIRST_ID + number)

    def names(self, number: int) -> tuple[str, str]:
        """Return what a write may call a customer's record by: its id, or the customer's."""
        return self.record_id(number), f"C-{number}"


def create(folder: Path, contacts: int, changed: float, now: datetime) -> CrmWorld:
    """Make a world in which the truth of a share of the customers has changed since the first sync."""
    made = CrmWorld(folder, contacts)
    with connect(made.warehouse_file, wait=0) as con:
        for name, value in {"contacts": contacts, "first_id": hubspot_store.FIRST_ID, "changed": changed}.items():
            con.execute(f"SET VARIABLE {name} = {value}")
        con.execute("SET VARIABLE now = ?::TIMESTAMP", [now.astimezone(UTC).replace(tzinfo=None)])
        con.execute((_SQL / "first_sync.sql").read_text())
        state = folder / "account"
        state.mkdir()
        world.create(state / "wallet_crew.duckdb", _SEED, _PASSES, now)
        hubspot_store.create_store(state / "hubspot.sqlite", [*_linked(con), *_others(contacts)])
        con.execute((_SQL / "changes.sql").read_text())
    with serve(made) as account:
        setup_crm(account.destination())
        _disturb(made, account)
    return made


def _linked(con: duckdb.DuckDBPyConnection) -> Iterator[dict[str, str]]:
    cursor = con.execute(_CONTACTS)
    names = [column[0] for column in cursor.description]
    for row in cursor.fetchall():
        yield {name: value for name, value in zip(names, row, strict=True) if value and name != "customer_key"}


def _others(contacts: int) -> Iterator[dict[str, str]]:
    """Yield contacts that are no customers of ours, to merge customers' contacts with."""
    for number in range(contacts // _MERGED):
        yield {"email": f"other{number}@x.test"}


def _disturb(made: CrmWorld, account: Account) -> None:
    """Let people edit contacts, half of them the status and half of them a date, and merge some."""
    edits = {"wallet_status": "both"}, {"wallet_last_changed_at": ""}
    for values in edits:
        edit = {"count": made.contacts // _EDITED // len(edits), "properties": values, "where_set": "wallet_last_event"}
        account.control("POST", "contacts/edit-some", edit)
    for number in range(made.contacts // _MERGED):
        linked, other = made.record_id(number * _MERGED + _MERGED // 2), made.record_id(made.contacts + number)
        account.control("POST", "merge", {"primary": linked, "secondary": other})


@contextmanager
def serve(made: CrmWorld) -> Iterator[Account]:
    """Run a stand-in of the account without limits."""
    command = [sys.executable, "-m", "wallet_pipeline.sandbox", "--state", str(made.folder / "account")]
    options = ["--seed", str(_SEED), "--passes", str(_PASSES), "--wallet-crew-port", "0", "--hubspot-port", "0"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            told = json.loads(cast("IO[str]", process.stdout).readline().removeprefix("sandbox ready "))
            account = Account(told["hubspot_url"])
            account.switch(rate_limit=_NO_LIMIT)
            yield account
            account.close()
        finally:
            process.terminate()


def restrict(made: CrmWorld, account: Account, latency: float, *, row_by_row: bool) -> None:
    """Switch on the limits, the latency (seconds), and the rule that refuses one contact of a hundred.

    A batch with such a contact is refused row by row, as HubSpot does for rows with trace ids, or as a whole.
    """
    refused = [name for number in range(_REFUSED // 3, made.contacts, _REFUSED) for name in made.names(number)]
    rows: dict[str, Any] = {} if row_by_row else {"trace_multistatus": []}
    account.switch(rate_limit=LIMIT, rate_window_ms=int(WINDOW_S * 1000), refuse_ids=refused, **rows)
    delay = {"type": "delay", "seconds": latency}
    account.control("POST", "faults", {"path": "^/crm/", "action": delay})


def count(account: Account) -> Counted:
    """Return what the stand-in has counted since its counters were set to nothing."""
    answers, calls = account.control("GET", "requests?by=status"), account.control("GET", "requests")
    errors = sum(times for status, times in answers.items() if int(status) >= _FIRST_ERROR)
    reads = sum(times for call, times in calls.items() if call.startswith("GET ") or call.endswith("/batch/read"))
    return Counted(sum(calls.values()), sum(calls.values()) - reads, errors)


def wrong_customers(made: CrmWorld, account: Account) -> set[str]:
    """Return the ids of the customers whom the CRM does not show as they are in truth."""
    file = made.folder / "contacts.json"
    with (
        requests.get(f"{account.url}/sandbox/contacts/all", stream=True, timeout=60) as answer,
        file.open("wb") as target,
    ):
        target.writelines(answer.iter_content(_CHUNK))
    with connect(made.warehouse_file, wait=60) as con:
        rows = con.execute((_SQL / "wrong_contacts.sql").read_text(), {"contacts": str(file)}).fetchall()
    file.unlink()
    return {customer_id for (customer_id,) in rows}


def listed_customers(made: CrmWorld) -> set[str]:
    """Return the ids of the customers whom the pipeline lists as not told, with the reason."""
    return _customer_ids(made, "SELECT customer_key FROM crm.rejections")


def changed_customers(made: CrmWorld) -> set[str]:
    """Return the ids of the customers whose truth has changed since the first sync."""
    return _customer_ids(made, "SELECT customer_key FROM wallet.customer_status_changes WHERE valid_to IS NOT NULL")


def all_customers(made: CrmWorld) -> set[str]:
    """Return the ids of all customers."""
    return _customer_ids(made, "SELECT customer_key FROM wallet.customer_wallet_status")


def _customer_ids(made: CrmWorld, keys: str) -> set[str]:
    with connect(made.warehouse_file, wait=60) as con:
        return {key.removeprefix("customerId=") for (key,) in con.execute(keys).fetchall()}
