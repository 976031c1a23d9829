"""Random small worlds whose times lie on the edges of the rules, and their way into a warehouse."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
from hypothesis import strategies as st

from wallet_pipeline.collect import pass_snapshot
from wallet_pipeline.collect.page_loader import PageLoader

from .oracle import Delivery, Listing, Snapshot, World

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HALF_MINUTE = timedelta(seconds=30)
MICROSECOND = timedelta(microseconds=1)
RULE_TABLES = ("registers", "pass_customers", "customer_wallet_status", "unmatched_passes", "identity_conflicts")
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
        datetime(2027, 1, 1, tzinfo=UTC),
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
# A rank of its own for each, with dots, and the e-mail in the middle: the order is a setting.
dotted_maps = st.fixed_dictionaries(
    {}, optional={"y2.customerId": customer_ids, "contact.email": emails, "accountId": account_ids, "y2": emails}
)
plain_maps = st.sampled_from([{"customerId": "1"}, {"customerId": "1"}, {"customerId": "2"}, {}])


def canonical(identifiers: dict[str, Any]) -> str:
    """Return the JSON text with sorted keys, as events are stored."""
    return json.dumps(identifiers, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def date_text(at: datetime, style: int) -> str:
    """Return the date as .NET may write it."""
    if style == 0 and at.year > 1:
        return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "9Z"
    return at.isoformat()


dates = st.builds(date_text, st.one_of(moments, moments, moments, odd_dates), st.sampled_from([0, 1]))
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


class Warehouse:
    """A migrated warehouse in memory, used by many examples; snapshots go through the page loader."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
        con.execute("ATTACH ':memory:' AS staging")
        con.execute("USE staging")
        pass_snapshot_listing(con)
        con.execute("USE memory")
        self._loader = PageLoader(con)

    def clear(self) -> None:
        """Forget everything."""
        for table in EVIDENCE_TABLES:
            self.con.execute(f"DELETE FROM raw.{table}")
        for table in (*RULE_TABLES, "customer_status_changes"):
            self.con.execute(f"DELETE FROM wallet.{table}")

    def load(self, world: World) -> None:
        """Take over the evidence in the world's order."""
        self.add(world.deliveries)
        self.add(world.snapshots)
