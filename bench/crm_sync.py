"""The CRM sync with limits and latency on, against drt-core at the same writes, on the same stand-in.

100,000 linked contacts, a fifth of which have changed; 1 % of these are refused by a rule of the account, 1 % of all
were edited by people, 0.1 % merged. drt-core runs in an environment of its own, at its quickest setting (update_only:
one request a contact), with its base URL led to the stand-in; it gets fewer contacts, since it sends them one by one.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from tests.sync.conftest import RULES, SYNC_TOKEN, Account, Pipeline, open_account
from wallet_pipeline.sync.lane import Lane
from wallet_pipeline.sync.setup_crm import setup_crm
from wallet_pipeline.warehouse.connection import connect

_ROOT = Path(__file__).parent.parent
_DRT = "drt-core[duckdb]==1.2.1"
_LIMIT_PER_S, _RESERVE = 19.0, 0.1
_NO_LIMIT = 1_000_000
# The rival has its address as a constant.
_DRT_LAUNCHER = """
import os
import drt.destinations.hubspot as hubspot
hubspot._HUBSPOT_API = os.environ["HUBSPOT_API"]
from drt.cli.main import app
app()
"""
_DRT_SOURCE = """
import sys
import duckdb
file, first, size = sys.argv[1:]
with duckdb.connect(file) as con:
    con.execute(
        "CREATE TABLE changed AS SELECT 'C-' || i AS customer_id, 'google' AS wallet_status,"
        " '' AS apple_wallet_installed_at, '2026-11-21T00:00:00.000Z' AS google_wallet_installed_at,"
        " '2026-11-21T00:00:00.000Z' AS wallet_last_changed_at, 'installed' AS wallet_last_event"
        f" FROM range({first}, {first} + {size}) t(i)"
    )
"""
_DRT_SYNC = """
name: wallet
model: ref('changed')
destination:
  type: hubspot
  object_type: contacts
  id_property: customer_id
  auth: {type: bearer, token_env: HUBSPOT_TOKEN}
sync:
  mode: full
  batch_size: 100
  match_policy: update_only
  rate_limit: {requests_per_second: 19}
  on_error: skip
"""


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=100_000)
    parser.add_argument("--changed", type=float, default=0.2, help="share of the contacts whose truth has changed")
    parser.add_argument("--latency", type=float, default=0.3, help="seconds that each answer is held back")
    parser.add_argument("--rival-contacts", type=int, default=300)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        _serve(options.serve)
    elif options.run:
        print(json.dumps(_run(options.run[0], Path(options.run[1]))))
    else:
        print(json.dumps(_measure(options), indent=2))


def _serve(folder: Path) -> None:
    with open_account(folder) as account:
        setup_crm(account.destination())
        print(account.url, flush=True)
        sys.stdin.read()


def _run(url: str, folder: Path) -> dict[str, float]:
    """Plan and send once, in this process, and return what it took."""
    destination = Account(url).destination(SYNC_TOKEN, attempts=6)
    open_warehouse = partial(connect, folder / "warehouse.duckdb", 60)
    lane = Lane(open_warehouse, destination, folder / "staging", RULES, partial(datetime.now, UTC))
    began = time.monotonic()
    lane.plan("all")
    planned = time.monotonic()
    result = lane.deliver("all")
    if result is None:
        raise RuntimeError("a run of all customers always has a result")
    return {
        "plan_s": planned - began,
        "deliver_s": time.monotonic() - planned,
        "verified": result.verified,
        "written": result.written,
        "refused": result.rejected,
        "error_answers": destination.errors,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp())
    try:
        with _stand_in(folder) as account:
            with connect(folder / "warehouse.duckdb", wait=0):
                pass
            account.switch(rate_limit=_NO_LIMIT, rate_limit_daily=1_000 * _NO_LIMIT)
            pipeline = Pipeline(folder, account.destination(SYNC_TOKEN))
            pipeline.close()
            return _course(account, pipeline, options)
    finally:
        shutil.rmtree(folder)


@contextmanager
def _stand_in(folder: Path) -> Iterator[Account]:
    command = [sys.executable, "-m", "bench.crm_sync", "--serve", str(folder)]
    with subprocess.Popen(command, cwd=_ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        stdin, stdout = cast("IO[str]", process.stdin), cast("IO[str]", process.stdout)
        try:
            yield Account(stdout.readline().strip())
        finally:
            stdin.close()


def _course(account: Account, pipeline: Pipeline, options: argparse.Namespace) -> dict[str, Any]:
    size = options.contacts
    pipeline.sql(
        "INSERT INTO wallet.customer_wallet_status BY NAME SELECT 'customerId=C-' || i AS customer_key, 'customerId' AS"
        " identifier_name, 'C-' || i AS identifier_value, 'c' || i || '@x.test' AS email, 'none' AS wallet_status"
        f" FROM range({size}) t(i)"
    )
    _sync(account, pipeline)
    changed = _disturb(account, pipeline, int(size * options.changed))
    account.switch(rate_limit=190)
    account.control("POST", "faults", {"path": "^/crm/", "times": 10**9, "action": _delay(options.latency)})
    time.sleep(11)  # the window shall be empty
    found: dict[str, Any] = {"a fifth has changed": _sync(account, pipeline, size)}
    found["wrong contacts that are not listed"] = _wrong(account, pipeline)
    time.sleep(11)
    found["nothing has changed"] = _sync(account, pipeline, size)
    found["drt-core"] = _rival(account, pipeline, changed, options.rival_contacts)
    return found


def _delay(seconds: float) -> dict[str, Any]:
    return {"type": "delay", "seconds": seconds}


def _disturb(account: Account, pipeline: Pipeline, changed: int) -> int:
    """Change the truth of some customers, of whom 1 % are refused; let people edit 1 % of all, and merge 0.1 %."""
    pipeline.sql(
        "UPDATE wallet.customer_wallet_status SET wallet_status = 'apple', wallet_last_event = 'installed',"
        " apple_wallet_installed_at = '2026-11-20', wallet_last_changed_at = '2026-11-20'"
        " WHERE substr(identifier_value, 3)::INTEGER < ?",
        [changed],
    )
    links = pipeline.sql("SELECT record_id FROM crm.links ORDER BY substr(customer_key, 14)::INTEGER")
    records = [record_id for (record_id,) in links]
    # By whatever they are called: our sync writes by record id, the rival by customer id.
    refused = range(changed // 100)
    account.switch(refuse_ids=[*(records[number] for number in refused), *(f"C-{number}" for number in refused)])
    edit = {"count": len(records) // 100, "properties": {"wallet_status": "both"}, "where_set": "wallet_status"}
    account.control("POST", "contacts/edit-some", edit)
    for number, record_id in enumerate(records[-len(records) // 1000 :]):
        other = account.add(email=f"merged{number}@x.test")
        account.control("POST", "merge", {"primary": record_id, "secondary": other})
    return changed


def _sync(account: Account, pipeline: Pipeline, size: int = 0) -> dict[str, float]:
    """Run once in a process of its own; return what the stand-in counted, and what the limit would have allowed."""
    account.forget_requests()
    command = [sys.executable, "-m", "bench.crm_sync", "--run", account.url, str(pipeline.folder)]
    done = subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, text=True)
    told: dict[str, float] = json.loads(done.stdout)
    requests = sum(count for path, count in account.control("GET", "requests").items() if "/crm/" in path)
    seconds = told["plan_s"] + told["deliver_s"]
    allowed = _LIMIT_PER_S * (1 - _RESERVE)
    return {name: round(value, 1) for name, value in told.items()} | {
        "requests": requests,
        "requests_per_100_contacts": round(100 * requests / size, 2) if size else 0,
        "share_of_error_answers": round(told["error_answers"] / requests, 4),
        "share_of_the_limit_less_the_reserve": round(requests / seconds / allowed, 3),
        "share_of_the_whole_limit": round(requests / seconds / _LIMIT_PER_S, 3),
        "contacts_verified_per_s": round((size or told["verified"]) / seconds, 1),
        "contacts_written_per_s": round(told["written"] / told["deliver_s"], 1),
    }


def _wrong(account: Account, pipeline: Pipeline) -> int:
    """Count linked contacts that differ from the truth and stand in no list."""
    contacts = account.contacts()
    rows = pipeline.sql(
        "SELECT record_id, wallet_status FROM wallet.customer_wallet_status JOIN crm.links USING (customer_key)"
        " ANTI JOIN crm.rejections USING (customer_key)"
    )
    return sum(contacts[record_id].get("wallet_status") != status for record_id, status in rows)


def _rival(account: Account, pipeline: Pipeline, changed: int, size: int) -> dict[str, Any]:
    """Change some customers once more, 1 % of whom are refused, and let drt-core write them."""
    first = changed // 100 - size // 100
    keys = [f"customerId=C-{number}" for number in range(first, first + size)]
    folder = pipeline.folder / "drt"
    (folder / "syncs").mkdir(parents=True)
    (folder / ".drt").mkdir()
    (folder / "drt_project.yml").write_text("name: bench\nprofile: default\n")
    (folder / "syncs" / "wallet.yml").write_text(_DRT_SYNC)
    source = folder / "source.duckdb"
    (folder / ".drt" / "profiles.yml").write_text(f"default: {{type: duckdb, database: {source}}}\n")
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", _DRT], check=True, stderr=subprocess.DEVNULL)
    # By its own DuckDB, which may be another one than ours.
    subprocess.run([python, "-c", _DRT_SOURCE, str(source), str(first), str(size)], check=True)
    environment = os.environ | {
        "HOME": str(folder), "HUBSPOT_TOKEN": SYNC_TOKEN, "HUBSPOT_API": f"{account.url}/crm/objects/2026-09",
    }  # fmt: skip
    environment.pop("PYTHONPATH", None)
    time.sleep(11)
    account.forget_requests()
    began = time.monotonic()
    done = subprocess.run(
        [python, "-c", _DRT_LAUNCHER, "run"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - began
    requests = sum(count for path, count in account.control("GET", "requests").items() if "/crm/" in path)
    links = dict(pipeline.sql("SELECT customer_key, record_id FROM crm.links"))
    contacts = account.contacts()
    right = sum(contacts[links[key]].get("wallet_status") == "google" for key in keys)
    return {
        "contacts": size,
        "right_afterwards": right,
        "exit_status": done.returncode,
        "seconds": round(seconds, 1),
        "requests_per_100_contacts": round(100 * requests / size, 1),
        "contacts_written_per_s": round(right / seconds, 1),
        "contacts_read_back": 0,
        "said_in_the_end": (done.stdout + done.stderr).strip().splitlines()[-3:],
    }


if __name__ == "__main__":
    main()
