"""kill -9 of the CRM sync at random moments, while customers change and people edit contacts: what is wrong afterwards.

After each kill one undisturbed run follows, and every contact is compared with the truth.
"""

import argparse
import json
import random
import shutil
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.sync.conftest import APPLE, GOOGLE, NONE, SYNC_TOKEN, Account, Pipeline, open_account
from tests.sync.sender import Sender
from wallet_pipeline.sync.setup_crm import setup_crm
from wallet_pipeline.warehouse.connection import connect

_CUSTOMERS = 400
_STATES = (APPLE, GOOGLE, NONE)
_LONGEST_LIFE_S = 1.5


def main() -> None:
    """Kill, compare, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        with connect(folder / "warehouse.duckdb", wait=0):
            pass
        with open_account(folder) as account:
            setup_crm(account.destination())
            account.switch(rate_limit=1_000_000)
            chance = random.Random(options.seed)  # noqa: S311  moments to die at
            print(json.dumps(_kill(account, folder, options.kills, chance), indent=2))
    finally:
        shutil.rmtree(folder)


def _kill(account: Account, folder: Path, kills: int, chance: random.Random) -> dict[str, int]:
    pipeline = Pipeline(folder, account.destination(SYNC_TOKEN))
    pipeline.close()  # the process that is killed shall have the warehouse
    truth: dict[str, str] = {}
    found = {"kills": 0, "died under way": 0, "wrong contacts": 0, "doubled contacts": 0, "rows left open": 0}
    for _ in range(kills):
        _change_some(account, pipeline, truth, chance)
        sender = Sender(account, folder)
        sender.begin()
        time.sleep(chance.uniform(0, _LONGEST_LIFE_S))
        found["died under way"] += not sender.kill()
        found["kills"] += 1
        pipeline.now = datetime.now(UTC)
        pipeline.run()
        contacts = [one for one in account.contacts().values() if one.get("customer_id")]
        held = {one["customer_id"]: one["wallet_status"] for one in contacts}
        found["wrong contacts"] += sum(held.get(customer) != status for customer, status in truth.items())
        found["doubled contacts"] += len(account.contacts()) - len(truth)
        found["rows left open"] += pipeline.sql("SELECT count(*) FROM crm.deliveries WHERE outcome = 'intended'")[0][0]
    return found


def _change_some(account: Account, pipeline: Pipeline, truth: dict[str, str], chance: random.Random) -> None:
    """Give half of the customers another state, and let people edit some contacts."""
    moment = datetime.now(UTC) - timedelta(minutes=5)
    for state in _STATES:
        chosen = [str(number) for number in range(_CUSTOMERS) if chance.random() < 1 / 6]
        emails: dict[str, str | None] = {f"customerId={one}": f"c{one}@x.test" for one in chosen}
        pipeline.customers(emails, state | {"wallet_last_changed_at": moment}, moment)
        truth.update(dict.fromkeys(chosen, str(state["wallet_status"])))
    if account.contacts():
        edit = {"count": 20, "properties": {"wallet_status": "both"}, "where_set": "wallet_status"}
        account.control("POST", "contacts/edit-some", edit)


if __name__ == "__main__":
    main()
