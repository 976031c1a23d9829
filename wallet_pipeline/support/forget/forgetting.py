"""The order in which a person is removed from all places, such that nothing stays undone, whatever dies when.

As long as the warehouse has the person, everything can be done again. So it lets go of them last, in the transaction
that also notes their passes as forgotten. What is left to do then needs no name any more: any later call finishes it.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from wallet_pipeline.clients.http import ServiceError
from wallet_pipeline.collect.wallet_events import take_events, taken_up_to
from wallet_pipeline.collect.webhooks.inbox import erase_deliveries, find_deliveries, newest_delivery, survey
from wallet_pipeline.collect.webhooks.understanding import EventMapping
from wallet_pipeline.derive.statuses import StatusRules, derive_statuses
from wallet_pipeline.derive.touched import derive_touched
from wallet_pipeline.derive.trends import recount_sources
from wallet_pipeline.settings import Settings
from wallet_pipeline.support.customers import find_customer
from wallet_pipeline.support.forget.contact import NOTHING_REMOVED, Contact, ContactError, clear_contact
from wallet_pipeline.support.forget.logs import redact_logs
from wallet_pipeline.support.forget.person import Person, find_person
from wallet_pipeline.support.forget.sqlite import wipe, write_anew
from wallet_pipeline.support.forget.staging import held_snapshots_of
from wallet_pipeline.support.forget.tables import Removed, remove_person
from wallet_pipeline.support.forget.traces import Traces
from wallet_pipeline.sync.hubspot import connect as connect_crm
from wallet_pipeline.warehouse.connection import WarehouseError, connect, naive, transaction, undone
from wallet_pipeline.warehouse.files import remove, sync
from wallet_pipeline.warehouse.publish import parquet_sets, publish
from wallet_pipeline.warehouse.rewrite import rewrite_warehouse
from wallet_pipeline.warehouse.staging import one_at_a_time, remove_leftovers

log = logging.getLogger(__name__)

_COUNTED = 1_000_000


@dataclass(frozen=True)
class Erasure:
    """What was removed of a person, or would be, in counts.

    `removed` says from which tables. `shared` identifiers are others' too: what stands under them is kept. `contact`
    says what became of the contact in the CRM. `waiting` deliveries were not taken over yet, so not all was looked at.
    `in_use` work files of runs go when the runs end; `unclean` files may hold traces in their free space.
    """

    passes: int
    shared: int
    removed: Removed
    deliveries: int
    held_snapshots: int
    log_places: int
    contact: str
    is_published: bool
    waiting: int = 0
    in_use: int = 0
    unclean: tuple[Path, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing."""
        tables = self.removed.rows or self.removed.redacted
        return not (tables or self.deliveries or self.held_snapshots or self.log_places)


@dataclass(frozen=True)
class _Known:
    """The person as the warehouse knows them, with their contact and the deliveries of their passes' events."""

    person: Person
    contact: Contact | None
    delivery_ids: frozenset[int]


class Forgetting:
    """Looks for a person in an installation, and removes them. `home` is the folder of Dagster's storage."""

    def __init__(self, settings: Settings, home: Path, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._inbox = settings.inbox_file
        self._logs = home / ".dagster"
        self._clock = clock
        self._rules = StatusRules(timedelta(seconds=settings.staleness), settings.identifier_order)

    def look(self, asked: str) -> Erasure:
        """Return what would be removed of whom `asked` names. Nothing is removed.

        Raises UnknownCustomerError when nothing at all is known of them, SeveralCustomersError, WarehouseError.
        """
        self._expect_data()
        with self._open() as con, undone(con):
            known = self._identify(con, asked)
        traces = self._traces(known.person)
        named, _ = self._find(traces)
        places, _ = redact_logs(self._logs, traces, write=False)
        with self._open() as con, undone(con):
            known = self._identify(con, asked)
            held = [*held_snapshots_of(known.person, traces, self._settings.staging_dir)]
            deliveries = known.delivery_ids.union(named)
            waiting = survey(self._inbox, taken_up_to(con), _COUNTED).waiting if self._has_inbox() else 0
            erasure = Erasure(
                passes=len(known.person.pass_ids),
                shared=known.person.shared,
                removed=remove_person(con, known.person, traces, deliveries, self._clock()),
                deliveries=len(deliveries),
                held_snapshots=len(held),
                log_places=places,
                contact="a contact is linked" if known.contact else "no contact is linked",
                is_published=self._is_published(),
                waiting=waiting,
            )
        if erasure.is_empty and not known.person.is_known:
            with self._open() as con:
                find_customer(con, asked, self._rules)  # raises what says how to ask
        return erasure

    def remove(self, asked: str, *, clear_crm: bool) -> Erasure:
        """Remove whom `asked` names, what comes in meanwhile included, and return what was removed.

        With `clear_crm` the CRM comes first, and its ContactError before anything was removed. Raises what `look`
        raises, InboxError, LogError.
        """
        with one_at_a_time(self._settings.staging_dir, "forget"), ExitStack() as stack:
            if clear_crm:
                stack.enter_context(one_at_a_time(self._settings.staging_dir, "crm"))
            self._catch_up()
            return self._remove(asked, clear_crm=clear_crm)

    def finish(self) -> bool:
        """Do what an erasure that was broken off has left to do; tell whether there was one."""
        self._expect_data()
        with one_at_a_time(self._settings.staging_dir, "forget"):
            with self._open() as con:
                if not con.execute("SELECT 1 FROM raw.erasures WHERE finished_at IS NULL").fetchone():
                    return False
            if self._has_inbox() and not write_anew(self._inbox):
                log.warning("%s could not be written anew: other processes are busy with it", self._inbox)
            self._finish()
            return True

    def _remove(self, asked: str, *, clear_crm: bool) -> Erasure:
        with self._open() as con, undone(con):
            known = self._identify(con, asked)
        if not known.person.is_known:
            self.look(asked)  # raises, unless there is anything
        contact = self._clear(known.contact, is_wanted=clear_crm)
        traces = self._traces(known.person)
        named, last = self._find(traces)
        places, _ = redact_logs(self._logs, traces, write=True)
        with self._open() as con, transaction(con):
            known, before = self._identify(con, asked), known
            if known.person != before.person:  # a run has brought more about them meanwhile
                traces, last = self._traces(known.person), 0
            newest, _ = self._find(traces, last)
            deliveries = known.delivery_ids.union(named, newest)
            removed = remove_person(con, known.person, traces, deliveries, self._clock())
            held = self._remove_held(known.person, traces)
            erased = erase_deliveries(self._inbox, sorted(deliveries)) if deliveries else 0
        in_use = self._finish()
        # What runs have written that had begun before.
        more, unclean = redact_logs(self._logs, traces, write=True)
        if self._has_inbox() and not wipe(self._inbox, traces.in_deliveries):
            unclean.append(self._inbox)
        return Erasure(
            passes=len(known.person.pass_ids),
            shared=known.person.shared,
            removed=removed,
            deliveries=erased,
            held_snapshots=held,
            log_places=places + more,
            contact=contact,
            is_published=self._is_published(),
            in_use=in_use,
            unclean=tuple(unclean),
        )

    def _finish(self) -> int:
        """Derive others' passes that were touched, count sources and publish, write the warehouse anew: no name needed.

        Also remove work files that nobody uses, and return how many are used.
        """
        with self._open() as con:
            derive_touched(con, self._rules, self._clock())
            recount_sources(con)
            if self._is_published():
                publish(con, self._settings.bi_file)
                parquet_sets(self._settings.bi_file).remove_earlier()
        rewrite_warehouse(self._settings.warehouse_file, self._settings.warehouse_wait)
        with self._open() as con:
            in_use = remove_leftovers(self._settings.staging_dir)
            con.execute("UPDATE raw.erasures SET finished_at = ? WHERE finished_at IS NULL", [naive(self._clock())])
        return in_use

    def _expect_data(self) -> None:
        """Raise WarehouseError where nothing was ever kept: whoever asks has another folder in mind."""
        if not self._settings.warehouse_file.exists() and not self._has_inbox():
            raise WarehouseError(
                f"There is no warehouse {self._settings.warehouse_file}: nothing was read yet, or DATA_DIR names"
                " another folder. Nothing was removed."
            )

    def _open(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return connect(self._settings.warehouse_file, self._settings.warehouse_wait)

    def _catch_up(self) -> None:
        """Let the warehouse know all evidence, so that every pass of the person is known to be theirs."""
        take_events(self._open, self._inbox, EventMapping.from_settings(self._settings))
        with self._open() as con:
            derive_statuses(con, self._rules, self._clock())

    def _identify(self, con: duckdb.DuckDBPyConnection, asked: str) -> _Known:
        person = find_person(con, asked, self._rules)
        rows = con.execute(
            "SELECT DISTINCT delivery_id FROM raw.wallet_events SEMI JOIN temp.person_passes USING (pass_id)"
            " WHERE delivery_id IS NOT NULL"
        ).fetchall()
        return _Known(person, self._contact(con, person), frozenset(delivery_id for (delivery_id,) in rows))

    def _contact(self, con: duckdb.DuckDBPyConnection, person: Person) -> Contact | None:
        row = con.execute(
            "SELECT record_id, (SELECT count(*) FROM crm.links o WHERE o.record_id = l.record_id"
            " AND o.departed_at IS NULL AND o.customer_key NOT IN (FROM temp.person_keys))"
            " FROM crm.links l WHERE customer_key = ?",
            [person.customer_key],
        ).fetchone()
        if row is None or person.customer_key is None:
            return None
        name, _, value = person.customer_key.partition("=")
        return Contact(row[0], value if name == self._rules.identifier_order[0] else None, row[1])

    def _clear(self, contact: Contact | None, *, is_wanted: bool) -> str:
        if contact is None:
            return "no contact is linked"
        if not is_wanted:
            return "left alone"
        try:
            with connect_crm(self._settings) as destination:
                return clear_contact(destination, contact)
        except ServiceError as error:
            raise ContactError(f"{error} {NOTHING_REMOVED}") from error

    def _traces(self, person: Person) -> Traces:
        return Traces(person, [path.rpartition(".")[2] for path in self._settings.event_pass_id_at])

    def _find(self, traces: Traces, after: int = 0) -> tuple[list[int], int]:
        return find_deliveries(self._inbox, traces.is_in, after) if self._has_inbox() else ([], after)

    def _remove_held(self, person: Person, traces: Traces) -> int:
        files = [*held_snapshots_of(person, traces, self._settings.staging_dir)]
        for file in files:
            remove(file)
        if files:
            sync(self._settings.staging_dir)
        return len(files)

    def _has_inbox(self) -> bool:
        return newest_delivery(self._inbox) > 0

    def _is_published(self) -> bool:
        bi_file = self._settings.bi_file
        places = (bi_file, bi_file.with_name(f"{bi_file.name}.tmp"), parquet_sets(bi_file).home)
        return any(place.exists() for place in places)
