"""Random small worlds whose times lie on the edges of the rules, and their way into a warehouse."""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
from hypothesis import strategies as st

from wallet_pipeline.collect import pass_snapshot
from wallet_pipeline.derive.statuses import StatusRules, derive_statuses

from .evidence import RULES, canonical
from .oracle import WALLETS, Delivery, Listing, Snapshot, World, moment

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HALF_MINUTE = timedelta(seconds=30)
MICROSECOND = timedelta(microseconds=1)
RULE_TABLES = (
    "registers", "ignored_events", "pass_identifiers", "pass_customers", "customer_wallet_status", "unmatched_passes",
    "identity_conflicts",
)  # fmt: skip
EVIDENCE_TABLES = ("snapshots", "passes", "wallet_observations", "wallet_events")

# Staleness (60 s) and clock tolerance (5 min) are whole steps of this grid, so its microseconds lie around every edge.
moments = st.builds(
    lambda step, ticks: NOON + step * HALF_MINUTE + ticks * MICROSECOND,
    st.integers(0, 24),
    st.sampled_from([0, 0, 0, -1, 1]),
)
starts = st.one_of(st.builds(lambda step: NOON + step * HALF_MINUTE, st.integers(0, 24)), moments)
odd_dates = st.sampled_from(
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2000, 1, 1, tzinfo=UTC),
        *[datetime(2027, 1, 1, tzinfo=UTC)] * 3,
    ]
)
pass_ids = st.sampled_from(["pass1", "pass2", "pass3"])
wallets = st.sampled_from(["apple", "apple", "google", "samsung"])

customer_ids = st.sampled_from(["1", "2", "3", 1, " 1\u200b", "\u00a0", "", None, True, {"id": "1"}, ["1"], "aB", "ab"])
account_ids = st.sampled_from(["A", "B", "B", "C", "\ufeffA\u2003", 7, "7", False])
emails = st.sampled_from(
    [
        "x@a.de",
        "X@A.DE\t",
        "y@a.de",
        "\u0130rem@B\u00dcCHER.de",
        "irem@xn--bcher-kva.de",
        "e\u0301lodie@stra\u00dfe.de",
        "\u00c9LODIE@STRA\u00dfE.de",
        "\u03a7\u03a1\u0397\u03a3@a\u3002de",
        "\u03c7\u03c1\u03b7\u03c3@a.de",
        "two@ats@\u00dc_.de",
        "no at sign \u00dc",
        "@",
        " ",
    ]
)
identifier_maps = st.fixed_dictionaries(
    {}, optional={"customerId": customer_ids, "accountId": account_ids, "email": emails, "name": emails}
)
# So few values that passes meet: chains of joins, and conflicts that are handed on.
tight_maps = st.fixed_dictionaries(
    {},
    optional={
        "customerId": st.sampled_from(["1", "2"]),
        "accountId": st.sampled_from(["A", "A", "B"]),
        "email": st.sampled_from(["x@a.de", "X@a.de", "y@a.de"]),
    },
)
# A rank of its own for each, with dots, and the e-mail in the middle: the order is a setting.
dotted_maps = st.fixed_dictionaries(
    {}, optional={"y2.customerId": customer_ids, "contact.email": emails, "accountId": account_ids, "y2": emails}
)
plain_maps = st.sampled_from([{"customerId": "1"}, {"customerId": "1"}, {"customerId": "2"}, {}])


def date_text(at: datetime, style: int) -> str:
    """Return the date as .NET may write it."""
    if style == 0 and at.year > 1:
        return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "9Z"
    return at.isoformat()


dates = st.builds(date_text, st.one_of(moments, moments, moments, odd_dates), st.sampled_from([0, 1]))
far_dates = st.builds(date_text, odd_dates, st.just(1))
provider_maps = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {}, optional={wallet: st.one_of(dates, dates, st.sampled_from([None, ""])) for wallet in ("apple", "google")}
    ),
    st.builds(lambda date: {"samsung": date, "apple": date}, dates),
)


def listings(maps: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Listing]:
    """Return listings of passes that bear such identifiers."""
    return st.builds(
        lambda pass_id, providers, identifiers, pass_type: Listing(
            pass_id,
            None if providers is None else tuple(providers.items()),
            None if identifiers is None else json.dumps(identifiers),
            pass_type,
        ),
        pass_ids,
        provider_maps,
        st.one_of(maps, maps, maps, st.none()),
        st.sampled_from(["loyalty", "loyalty", "offer", None]),
    )


@st.composite
def deliveries(draw: st.DrawFn, maps: st.SearchStrategy[dict[str, Any]]) -> Delivery:
    """Return a delivery, of few event ids, received around the time at which it says to have happened."""
    at = draw(moments)
    late = draw(st.sampled_from([0, 0, 0, 600, 3600, -299, -300, -300.000001, -301]))
    kind = draw(st.sampled_from(["installed", "uninstalled"]))
    identifiers = draw(st.one_of(st.none(), st.none(), maps))
    return Delivery(
        draw(pass_ids),
        draw(wallets),
        kind,
        draw(st.sampled_from(["a", "b", "c", "d", "é"])),
        at,
        at + timedelta(seconds=late),
        draw(st.sampled_from([None, None, None, 0, 0, 1, 2])),
        draw(st.sampled_from([None, "loyalty", "offer"])),
        None if identifiers is None else canonical(identifiers),
    )


@st.composite
def snapshots(draw: st.DrawFn, maps: st.SearchStrategy[dict[str, Any]], most: int) -> tuple[Snapshot, ...]:
    """Return snapshots, some of the same second, some incomplete, many of them alike."""
    found: list[Snapshot] = []
    for number in range(draw(st.integers(0, most))):
        listed = draw(st.lists(listings(maps), max_size=4))
        if found and draw(st.booleans()):
            # A list that stays as it is, or loses passes: runs and gaps of several snapshots are rare otherwise.
            gone = draw(st.sets(pass_ids, max_size=1))
            listed = [listing for listing in draw(st.sampled_from(found)).listings if listing.pass_id not in gone]
        found.append(
            Snapshot(f"s{number}", draw(starts), draw(st.sampled_from([True, True, True, False])), tuple(listed))
        )
    return tuple(found)


@st.composite
def worlds(
    draw: st.DrawFn, maps: st.SearchStrategy[dict[str, Any]] = plain_maps, events: int = 6, most: int = 6
) -> World:
    """Return any set of evidence."""
    return World(
        tuple(draw(st.lists(deliveries(maps), max_size=events))),
        draw(snapshots(maps, most)),
    )


@st.composite
def histories(draw: st.DrawFn) -> World:
    """Return the snapshots and events of a single pass in a single wallet: long runs and gaps, broken now and then."""
    shapes = [None, *draw(st.lists(st.one_of(st.just(""), dates, far_dates), min_size=1, max_size=2))]
    usual = draw(st.sampled_from(shapes))
    found = []
    for number in range(draw(st.integers(1, 9))):
        if draw(st.integers(0, 3)) == 0:
            usual = draw(st.sampled_from(shapes))
        odd = draw(st.integers(0, 3)) == 0
        now = draw(st.sampled_from(shapes)) if odd else usual
        # Mostly one after the other, as the choice of `usual` supposes; what is odd is often incomplete.
        start = draw(st.one_of(st.just(NOON + number * 3 * HALF_MINUTE), starts))
        complete = draw(st.integers(0, 1 if odd else 5)) > 0
        listed = () if now is None else (Listing("pass1", (("apple", now),), "{}"),)
        found.append(Snapshot(f"s{number}", start, complete, listed))
    events = draw(st.lists(deliveries(st.just({})), max_size=4))
    return World(tuple(replace(event, pass_id="pass1", wallet="apple") for event in events), tuple(found))


@st.composite
def crowds(draw: st.DrawFn, maps: st.SearchStrategy[dict[str, Any]]) -> World:
    """Return passes of a single snapshot that bear many kinds of identifiers, and a few events."""
    size = draw(st.integers(1, 7))
    listed = []
    for number in range(size):
        installed = draw(st.none() | dates)
        listed.append(
            Listing(
                f"pass{number}",
                None if installed is None else (("apple", installed),),
                json.dumps(draw(maps), ensure_ascii=draw(st.booleans())),
                "loyalty",
            )
        )
    return World(
        tuple(draw(st.lists(deliveries(maps), max_size=3))),
        (Snapshot("s0", draw(starts), complete=True, listings=tuple(listed)),),
    )


@dataclass(frozen=True)
class Truth:
    """What happened to one pass in one wallet, told in full: the device counts after each change, in order of time."""

    pass_id: str
    wallet: str
    changes: tuple[tuple[datetime, int], ...]

    def date(self, at: datetime) -> datetime | None:
        """Return the date that the Pass API gives at that time: of the change from no device to the first one."""
        date = None
        for (changed_at, devices), before in zip(
            self.changes, (0, *(count for _, count in self.changes)), strict=False
        ):
            if changed_at <= at:
                date = (changed_at if before == 0 else date) if devices else None
        return date

    def deliveries(self, *, counted: bool) -> Iterator[Delivery]:
        """Yield an event a change, with the number of devices that are left if `counted`."""
        before = 0
        for number, (at, devices) in enumerate(self.changes):
            kind = "installed" if devices > before else "uninstalled"
            yield Delivery(
                self.pass_id, self.wallet, kind, f"{self.wallet}{number}", at, at, devices if counted else None
            )
            before = devices


@st.composite
def truths(draw: st.DrawFn) -> tuple[Truth, ...]:
    """Return the truth of two passes in both wallets: devices come and go, one at a time."""
    found = []
    for pass_id in ("pass1", "pass2"):
        for wallet in WALLETS:
            devices, counts = 0, []
            for another in draw(st.lists(st.booleans(), max_size=5)):
                devices += 1 if another or not devices else -1
                counts.append(devices)
            times = sorted(draw(st.sets(moments, min_size=len(counts), max_size=len(counts))))
            found.append(Truth(pass_id, wallet, tuple(zip(times, counts, strict=True))))
    return tuple(found)


def shown(truth: tuple[Truth, ...], name: str, start: datetime, lag: timedelta = timedelta()) -> Snapshot:
    """Return the complete snapshot that shows the truth as it was `lag` before its start."""
    passes = sorted({of.pass_id for of in truth})
    return Snapshot(
        name,
        start,
        complete=True,
        listings=tuple(
            Listing(
                pass_id,
                tuple(
                    (of.wallet, date.isoformat())
                    for of in truth
                    if of.pass_id == pass_id and (date := of.date(start - lag))
                ),
                f'{{"customerId":"{pass_id}"}}',
            )
            for pass_id in passes
        ),
    )


class Warehouse:
    """A migrated warehouse in memory, used by many examples; it takes snapshots over without their pages."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
        self._attach()

    def _attach(self) -> None:
        self.con.execute("ATTACH ':memory:' AS staging")
        self.con.execute(
            "CREATE TABLE staging.listing (pass_id VARCHAR, pass_type VARCHAR, created_at TIMESTAMP,"
            " identifiers VARCHAR, apple_at TIMESTAMP, google_at TIMESTAMP)"
        )

    @contextmanager
    def without_staging(self) -> Iterator[None]:
        """Leave the name `staging` to a file for the length of a block."""
        self.con.execute("DETACH staging")
        try:
            yield
        finally:
            self._attach()

    def clear(self) -> None:
        """Forget everything."""
        for table in EVIDENCE_TABLES:
            self.con.execute(f"DELETE FROM raw.{table}")
        self.con.execute("DELETE FROM raw.touched_passes")
        for table in (*RULE_TABLES, "customer_status_changes", "changed_customers"):
            self.con.execute(f"DELETE FROM wallet.{table}")

    def take(self, world: World) -> None:
        """Take over the evidence, in the world's order."""
        for delivery in world.deliveries:
            self.add(delivery)
        for snapshot in world.snapshots:
            self.add(snapshot)

    def add(self, evidence: Delivery | Snapshot) -> None:
        """Take over one delivery or one snapshot."""
        if isinstance(evidence, Delivery):
            self._insert("raw.wallet_events", [delivery_row(evidence)])
            self._insert("raw.touched_passes", [(evidence.pass_id,)])
            return
        self.con.execute("DELETE FROM staging.listing")
        self._insert("staging.listing", [listed_row(listed) for listed in evidence.listings])
        pass_snapshot.take_over(self.con, booked(evidence))

    def take_runs(self, world: World) -> None:
        """Take over the evidence as it shall stand in the end, without the merge: each run as long as it can be."""
        self._insert("raw.wallet_events", [delivery_row(delivery) for delivery in world.deliveries])
        bookings = sorted((booked(snapshot) for snapshot in world.snapshots), key=lambda booking: booking.snapshot_id)
        ids = [booking.snapshot_id for booking in bookings]
        self._insert("raw.snapshots", [booking_row(booking) for booking in bookings])
        passes: dict[Any, dict[int, Any]] = defaultdict(dict)
        observations: dict[Any, dict[int, Any]] = defaultdict(dict)
        for snapshot in world.snapshots:
            place = ids.index(booked(snapshot).snapshot_id)
            for pass_id in {listed.pass_id for listed in snapshot.listings}:
                rows = [listed_row(listed) for listed in snapshot.listings if listed.pass_id == pass_id]
                pass_type = max((row[1] for row in rows if row[1] is not None), default=None)
                passes[pass_id,][place] = (pass_type, None, max(row[3] for row in rows))
                for wallet, column in zip(WALLETS, (4, 5), strict=True):
                    date = max((row[column] for row in rows if row[column]), default=None)
                    observations[pass_id, wallet][place] = (date is not None, date)
        self._insert("raw.passes", list(runs(passes, ids)))
        self._insert("raw.wallet_observations", list(runs(observations, ids)))

    def _insert(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            places = "(" + ", ".join("?" * len(rows[0])) + ")"
            values = [value for row in rows for value in row]
            self.con.execute(f"INSERT INTO {table} VALUES " + ", ".join([places] * len(rows)), values)

    def derive(self, now: datetime = NOON, rules: StatusRules = RULES) -> None:
        """Derive all statuses."""
        derive_statuses(self.con, rules, now)

    def rows(self) -> dict[str, list[Any]]:
        """Return every derived row of every table of the rules."""
        return {
            table: self.con.execute(f"SELECT * FROM wallet.{table} ORDER BY ALL").fetchall() for table in RULE_TABLES
        }


def said(con: duckdb.DuckDBPyConnection) -> list[list[tuple[Any, ...]]]:
    """Return the stored runs as observations, one a snapshot."""
    return [
        con.execute(
            f"SELECT s.snapshot_id, r.* EXCLUDE (first_snapshot, last_snapshot) FROM raw.{table} r"
            " JOIN raw.snapshots s ON s.snapshot_id >= r.first_snapshot"
            " AND (r.last_snapshot IS NULL OR s.snapshot_id <= r.last_snapshot) ORDER BY ALL"
        ).fetchall()
        for table in ("passes", "wallet_observations")
    ]


def booked(snapshot: Snapshot) -> pass_snapshot.Snapshot:
    """Return the accepted snapshot as collect books it."""
    return pass_snapshot.Snapshot(
        snapshot_id=pass_snapshot.snapshot_id(snapshot.start, snapshot.name),
        started_at=snapshot.start,
        finished_at=snapshot.start,
        complete=snapshot.complete,
        passes=len(snapshot.listings),
        highest_total=len(snapshot.listings),
        pages=1,
        attempts=1,
        clock="server",
        undated=0,
        other_wallets=0,
        verdict="accepted",
        reason=None,
    )


def naive(at: datetime) -> datetime:
    """Return the time as the warehouse keeps it."""
    return at.astimezone(UTC).replace(tzinfo=None)


def delivery_row(delivery: Delivery) -> tuple[Any, ...]:
    """Return the row of raw.wallet_events."""
    return (
        delivery.pass_id,
        delivery.wallet,
        delivery.kind,
        delivery.event_id,
        naive(delivery.at),
        naive(delivery.received_at),
        delivery.active,
        delivery.pass_type,
        delivery.identifiers,
        "webhook",
        None,
        None,
        None,
    )


def listed_row(listed: Listing) -> tuple[Any, ...]:
    """Return the row of a staging file."""
    providers = dict(listed.providers or ())
    dates = [naive(moment(providers[wallet])) if providers.get(wallet) else None for wallet in WALLETS]
    identifiers = json.loads(listed.identifiers or "null") or {}
    return (listed.pass_id, listed.pass_type, None, canonical(identifiers), *dates)


def booking_row(booking: pass_snapshot.Snapshot) -> tuple[Any, ...]:
    """Return the row of raw.snapshots, without the figures that no rule reads."""
    started_at = naive(booking.started_at)
    return (booking.snapshot_id, started_at, started_at, booking.complete, "accepted", *[None] * 12)


def runs(seen: dict[Any, dict[int, Any]], ids: list[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table of runs: key, values, first and last snapshot, which is null for the newest."""
    for key, values in seen.items():
        for place, value in values.items():
            if values.get(place - 1) == value:
                continue
            last = place
            while values.get(last + 1) == value:
                last += 1
            yield *key, *value, ids[place], None if last == len(ids) - 1 else ids[last]
