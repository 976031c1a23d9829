"""The CRM sync of 100,000 linked customers with limits and latency on, and drt-core at the same writes.

The stand-in allows 190 requests in ten seconds and holds each answer back as a service on the internet would. Since the
first sync the truth of a fifth of the customers has changed; 1 % of the contacts are refused by a rule of the account,
1 % were edited by people, 0.1 % merged. Each course starts from a copy of that world. Requests and errors are as the
stand-in counted them, and what is right or wrong is read from its contacts.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench.crm_world import (
    LIMIT,
    WINDOW_S,
    CrmWorld,
    changed_customers,
    create,
    listed_customers,
    restrict,
    serve,
    wrong_customers,
)
from bench.drt import PACKAGE, Drt, Way, export, failed_customers
from bench.measure import Spent, run
from tests.sync.conftest import SYNC_TOKEN, Account
from wallet_pipeline.settings import Settings
from wallet_pipeline.sync.hubspot import connect as connect_hubspot
from wallet_pipeline.sync.lane import Lane
from wallet_pipeline.sync.plan import PlanRules
from wallet_pipeline.warehouse.connection import connect

_ROOT = Path(__file__).parent.parent
_BATCH = 100
_FIRST_ERROR = 400
_RESERVE = 0.1


@dataclass(frozen=True)
class Course:
    """One run over so many customers: what it took, and who of them is wrong in the CRM before and after it.

    `listed` are those whom the tool itself names as failed, `needed` the requests that could not be spared.
    """

    name: str
    customers: int
    needed: int
    spent: Spent
    requests: int
    errors: int
    wrong_before: set[str]
    wrong_after: set[str]
    listed: set[str]
    verifies: bool
    note: str = ""


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=100_000)
    parser.add_argument("--changed", type=float, default=0.2, help="share of customers with another truth (0.2)")
    parser.add_argument("--latency", type=float, default=0.3, help="seconds that each answer is held back (0.3)")
    parser.add_argument("--rival-contacts", type=int, default=300, help="for the rival's request a contact (300)")
    parser.add_argument("--no-rival", action="store_true", help="measure the sync alone")
    parser.add_argument("--sync", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sync:
        _plan_and_send(options.sync[0], Path(options.sync[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        made = create(
            Path(folder) / "world", options.contacts, options.changed, datetime.now(UTC).replace(microsecond=0)
        )
        courses = _our_courses(made, options.latency)
        if not options.no_rival:
            courses += _rival_courses(made, options.latency, options.rival_contacts)
        changed = changed_customers(made)
    _print(options, courses, changed)


def _now() -> datetime:
    """Return the time as exactly as the CRM keeps it."""
    return datetime.now(UTC).replace(microsecond=0)


def _plan_and_send(url: str, data_dir: Path) -> None:
    """Run the sync of all customers once, with the settings as they are by default, in this process."""
    settings = Settings(hubspot_base_url=url, hubspot_access_token=SYNC_TOKEN, data_dir=data_dir)
    open_warehouse = partial(connect, settings.warehouse_file, settings.warehouse_wait)
    rules, clock = PlanRules.from_settings(settings), partial(datetime.now, UTC)
    with connect_hubspot(settings) as destination:
        lane = Lane(open_warehouse, destination, settings.staging_dir, rules, clock)
        began = time.monotonic()
        lane.plan("all")
        planned = time.monotonic()
        lane.deliver("all")
    print(f"plan {planned - began:.0f} s, deliver {time.monotonic() - planned:.0f} s")


def _our_courses(made: CrmWorld, latency: float) -> list[Course]:
    courses = []
    for row_by_row in (True, False):
        name = "refused row by row" if row_by_row else "refused as a whole"
        with _account(made, latency, row_by_row=row_by_row) as (own, account):
            courses.append(_our_course(f"batches {name}", own, account))
            time.sleep(WINDOW_S)  # the next run shall find the window empty
            if row_by_row:
                courses.append(_our_course("the next run: no change", own, account))
    return courses


def _our_course(name: str, own: CrmWorld, account: Account) -> Course:
    before = wrong_customers(own, account)
    due = before - listed_customers(own)
    needed = _batches(own.contacts) + 3 * _batches(len(due))  # compare; read before, write, read back
    account.forget_requests()
    spent = run([sys.executable, "-m", "bench.crm_sync", "--sync", account.url, str(own.data_dir)], _ROOT)
    counted = _count(account)
    after, listed = wrong_customers(own, account), listed_customers(own)
    return Course(name, own.contacts, needed, spent, *counted, before, after, listed, verifies=True)


def _rival_courses(made: CrmWorld, latency: float, few: int) -> list[Course]:
    drt = Drt(made.folder.parent / "drt")
    changed = changed_customers(made)
    courses = []
    ways: dict[Way, set[str]] = {
        "batches": changed,
        "batches with trace ids": changed,
        "a request a contact": set(sorted(changed)[:few]),
    }
    for way, customers in ways.items():
        with _account(made, latency, row_by_row=True) as (own, account):
            courses.append(_rival_course(drt, way, customers, own, account))
    return courses


def _rival_course(drt: Drt, way: Way, customers: set[str], own: CrmWorld, account: Account) -> Course:
    source = own.folder / "rows.parquet"
    export(own.warehouse_file, customers, source)
    is_all = way != "a request a contact"
    asked = wrong_customers(own, account) if is_all else customers
    needed = _batches(len(customers)) if is_all else len(customers)
    account.forget_requests()
    project = own.folder / "drt"
    spent = drt.write(project, way, source, account.url, LIMIT / WINDOW_S * (1 - _RESERVE))
    counted, failed = _count(account), failed_customers(project)
    after = wrong_customers(own, account) & asked
    drt.retry(project, account.url)
    note = f"after `drt retry`: {len(wrong_customers(own, account) & asked):,} wrong"
    size = own.contacts if is_all else len(customers)
    return Course(f"drt-core, {way}", size, needed, spent, *counted, asked, after, failed, verifies=False, note=note)


@contextmanager
def _account(made: CrmWorld, latency: float, *, row_by_row: bool) -> Iterator[tuple[CrmWorld, Account]]:
    with tempfile.TemporaryDirectory() as folder:
        own = made.copy(Path(folder) / "world")
        with serve(own) as account:
            restrict(own, account, latency, row_by_row=row_by_row)
            yield own, account


def _batches(customers: int) -> int:
    return math.ceil(customers / _BATCH)


def _count(account: Account) -> tuple[int, int]:
    """Return how many requests the stand-in has had, and how many of them it answered by an error."""
    answers = account.control("GET", "requests?by=status")
    return sum(answers.values()), sum(count for status, count in answers.items() if int(status) >= _FIRST_ERROR)


def _print(options: argparse.Namespace, courses: list[Course], changed: set[str]) -> None:
    print(
        f"{options.contacts:,} contacts, {len(changed):,} customers changed, 1 % of the contacts refused, 1 % edited,"
        f" 0.1 % merged;\n{LIMIT} requests in {WINDOW_S:.0f} s, answers held back {options.latency} s;"
        f" the rival is {PACKAGE}\n"
    )
    rows = [_figures(one, changed) for one in courses]
    width = max(len(name) for name in rows[0])
    for number, one in enumerate(courses, 1):
        print(f"{number}. {one.name}")
        for line in [*one.spent.output.strip().splitlines()[-1:], one.note]:
            print(f"   {line[:150]}" if line else "", end="\n" if line else "")
    print()
    print(" " * width, *(f"{number:>9}" for number in range(1, len(courses) + 1)))
    for name in rows[0]:
        print(f"{name:{width}}", *(f"{row[name]:>9}" for row in rows))


def _figures(one: Course, changed: set[str]) -> dict[str, str]:
    """Return the table's column of one course."""
    seconds, allowed = one.spent.seconds, LIMIT / WINDOW_S
    right = one.customers - len(one.wrong_after)
    put_right = len(one.wrong_before - one.wrong_after)
    return {
        "customers": f"{one.customers:,}",
        "wrong in the CRM before": f"{len(one.wrong_before):,}",
        "wrong afterwards": f"{len(one.wrong_after):,}",
        "  of these named as failed": f"{len(one.wrong_after & one.listed):,}",
        "  of these edited by people": f"{len(one.wrong_after - changed):,}",
        "named as failed, but right": f"{len(one.listed - one.wrong_after):,}",
        "seconds": f"{seconds:.1f}",
        "requests": f"{one.requests:,}",
        "requests a contact": f"{one.requests / one.customers:.3f}",
        "answers that are errors": f"{one.errors / one.requests:.1%}",
        "contacts verified a second": f"{right / seconds:,.0f}" if one.verifies else "-",
        "contacts put right a second": f"{put_right / seconds:,.0f}",
        "speed: of the limit": f"{one.needed / seconds / allowed:.0%}",
        "speed: less the reserve": f"{one.needed / seconds / allowed / (1 - _RESERVE):.0%}",
        "requests: less the reserve": f"{one.requests / seconds / allowed / (1 - _RESERVE):.0%}",
        "peak memory, MB": f"{one.spent.peak_mb:,.0f}",
        "processor seconds": f"{one.spent.processor_s:.0f}",
    }


if __name__ == "__main__":
    main()
