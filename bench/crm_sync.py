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
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from bench.crm_world import (
    LIMIT,
    WINDOW_S,
    Counted,
    CrmWorld,
    all_customers,
    changed_customers,
    count,
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
_BATCH, _HISTORY_BATCH = 100, 50
# Requests a second: all that the account allows, and what our default setting leaves of it.
_LIMIT = LIMIT / WINDOW_S
_PACE = _LIMIT * (1 - Settings.model_fields["hubspot_reserve"].default)
_WIDTH = 110


@dataclass(frozen=True)
class Course:
    """One run over so many customers: what it took, and who of them is wrong in the CRM before and after it.

    `named` are those whom the tool itself keeps as failed. `needed` are the requests that the work cannot do without.
    """

    name: str
    customers: int
    needed: int
    spent: Spent
    counted: Counted
    wrong_before: set[str]
    wrong_after: set[str]
    named: set[str]
    verifies: bool
    note: str = ""


@dataclass(frozen=True)
class RivalCourse:
    """How drt-core is to write, which customers, and whether it answers for the whole account then."""

    name: str
    way: Way
    customers: set[str]
    is_for_all: bool = True


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=100_000)
    parser.add_argument("--changed", type=float, default=0.2, help="share of customers with another truth (0.2)")
    parser.add_argument("--latency", type=float, default=0.3, help="seconds that each answer is held back (0.3)")
    parser.add_argument("--rival-contacts", type=int, default=300, help="for the rival's request a contact (300)")
    parser.add_argument("--no-rival", action="store_true", help="measure the sync alone")
    parser.add_argument("--sync", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sync:
        url, data_dir, days = options.sync
        _plan_and_send(url, Path(data_dir), timedelta(days=int(days)))
        return
    with tempfile.TemporaryDirectory() as folder:
        made = create(Path(folder) / "world", options.contacts, options.changed, _now().replace(microsecond=0))
        courses = [*_our_courses(made, options.latency)]
        if not options.no_rival:
            courses += _rival_courses(made, options.latency, options.rival_contacts)
        changed = changed_customers(made)
    _print(options, courses, changed)


def _now(later: timedelta = timedelta(0)) -> datetime:
    return datetime.now(UTC) + later


def _plan_and_send(url: str, data_dir: Path, later: timedelta) -> None:
    """Run the sync of all customers once in this process, as the daily job does, with the settings as by default."""
    settings = Settings(hubspot_base_url=url, hubspot_access_token=SYNC_TOKEN, data_dir=data_dir)
    open_warehouse = partial(connect, settings.warehouse_file, settings.warehouse_wait)
    with connect_hubspot(settings) as destination:
        rules = PlanRules.from_settings(settings)
        lane = Lane(open_warehouse, destination, settings.staging_dir, rules, partial(_now, later))
        began = time.monotonic()
        lane.plan("all")
        planned = time.monotonic()
        lane.name_authors("all")
        named = time.monotonic()
        lane.deliver("all")
    seconds = planned - began, named - planned, time.monotonic() - named
    print("plan {:.0f} s, who changed it {:.0f} s, deliver {:.0f} s".format(*seconds))


def _our_courses(made: CrmWorld, latency: float) -> Iterator[Course]:
    """Yield a run and the next one, with bad rows that are refused one by one, and with their whole batch."""
    with _account(made, latency, row_by_row=True) as (own, account):
        yield _our_course("bad rows are refused one by one", own, account)
        time.sleep(WINDOW_S)  # the next run shall find the window empty
        yield _our_course("the same day once more", own, account)
    with _account(made, latency, row_by_row=False) as (own, account):
        yield _our_course("a bad row's batch is refused as a whole", own, account)
        time.sleep(WINDOW_S)
        yield _our_course("the next day, when they are tried again", own, account, days=1)


def _our_course(name: str, own: CrmWorld, account: Account, days: int = 0) -> Course:
    before = wrong_customers(own, account)
    due = before if days else before - listed_customers(own)
    # One request to compare; three to look, write and read back; one to ask who has edited.
    edited = 0 if listed_customers(own) else len(due - changed_customers(own))
    needed = _batches(own.contacts) + 3 * _batches(len(due)) + _batches(edited, _HISTORY_BATCH)
    account.forget_requests()
    command = [sys.executable, "-m", "bench.crm_sync", "--sync", account.url, str(own.data_dir), str(days)]
    spent = run(command, _ROOT)
    counted = count(account)
    after, named = wrong_customers(own, account), listed_customers(own)
    return Course(name, own.contacts, needed, spent, counted, before, after, named, verifies=True)


def _rival_courses(made: CrmWorld, latency: float, few: int) -> Iterator[Course]:
    drt = Drt(made.folder.parent / "drt")
    changed = changed_customers(made)
    for one in (
        RivalCourse("what has changed, in batches", "batches", changed),
        RivalCourse("what has changed, in batches with trace ids", "batches with trace ids", changed),
        RivalCourse("all contacts, in batches with trace ids", "batches with trace ids", all_customers(made)),
        RivalCourse(f"{few} contacts, a request each", "a request a contact", set(sorted(changed)[:few]), False),  # noqa: FBT003
    ):
        with _account(made, latency, row_by_row=True) as (own, account):
            yield _rival_course(drt, one, own, account)


def _rival_course(drt: Drt, course: RivalCourse, own: CrmWorld, account: Account) -> Course:
    source, project = own.folder / "rows.parquet", own.folder / "drt"
    export(own.warehouse_file, course.customers, source)
    asked = wrong_customers(own, account)
    asked = asked if course.is_for_all else asked & course.customers
    account.forget_requests()
    spent = drt.write(project, course.way, source, account.url, _PACE)
    counted, named = count(account), failed_customers(project)
    after = wrong_customers(own, account) & asked
    note = ""
    if named:
        drt.retry(project, account.url)
        note = f"after `drt retry`: {len(wrong_customers(own, account) & asked):,} wrong"
    customers = own.contacts if course.is_for_all else len(course.customers)
    needed = counted.requests  # each of them writes
    return Course(
        f"drt-core: {course.name}", customers, needed, spent, counted, asked, after, named, verifies=False, note=note
    )


@contextmanager
def _account(made: CrmWorld, latency: float, *, row_by_row: bool) -> Iterator[tuple[CrmWorld, Account]]:
    with tempfile.TemporaryDirectory() as folder:
        own = made.copy(Path(folder) / "world")
        with serve(own) as account:
            restrict(own, account, latency, row_by_row=row_by_row)
            yield own, account


def _batches(customers: int, size: int = _BATCH) -> int:
    return math.ceil(customers / size)


def _print(options: argparse.Namespace, courses: list[Course], changed: set[str]) -> None:
    print(
        f"{options.contacts:,} contacts, {len(changed):,} customers changed, 1 % of the contacts refused, 1 % edited,"
        f" 0.1 % merged; {LIMIT} requests in {WINDOW_S:.0f} s;\nanswers held back {options.latency} s;"
        f" the rival is {PACKAGE}\n"
    )
    for number, one in enumerate(courses, 1):
        notes = [*one.spent.output.strip().splitlines()[-1:], one.note]
        print(f"{number}. {one.name}", *(f"   {note[:_WIDTH]}" for note in notes if note), sep="\n")
    columns = [_figures(one, changed) for one in courses]
    width = max(len(name) for name in columns[0])
    print("\n" + " " * width, *(f"{number:>9}" for number in range(1, len(courses) + 1)))
    for name in columns[0]:
        print(f"{name:{width}}", *(f"{column[name]:>9}" for column in columns))


def _figures(one: Course, changed: set[str]) -> dict[str, str]:
    """Return the table's column of one course."""
    seconds, spent, counted = one.spent.seconds, one.spent, one.counted
    speed, right = one.needed / seconds, one.customers - len(one.wrong_after)
    return {
        "contacts": f"{one.customers:,}",
        "wrong before": f"{len(one.wrong_before):,}",
        "wrong afterwards": f"{len(one.wrong_after):,}",
        "  named as failed": f"{len(one.wrong_after & one.named):,}",
        "  only edited by people": f"{len(one.wrong_after - changed):,}",
        "named as failed, but right": f"{len(one.named - one.wrong_after):,}",
        "seconds": f"{seconds:.1f}",
        "contacts verified a second": f"{right / seconds:,.0f}" if one.verifies else "-",
        "contacts put right a second": f"{len(one.wrong_before - one.wrong_after) / seconds:,.0f}",
        "requests": f"{counted.requests:,}",
        "  that write": f"{counted.writes:,}",
        "  for each contact": f"{counted.requests / one.customers:.3f}",
        "  answered by an error": f"{counted.errors / counted.requests:.1%}",
        "  that cannot be spared": f"{one.needed:,}",
        "  these, of the limit": f"{speed / _LIMIT:.0%}",
        "  these, less the reserve": f"{speed / _PACE:.0%}",
        "  all, less the reserve": f"{counted.requests / seconds / _PACE:.0%}",
        "peak memory, MB": f"{spent.peak_mb:,.0f}",
        "processor seconds": f"{spent.processor_s:.0f}",
    }


if __name__ == "__main__":
    main()
