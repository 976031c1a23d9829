"""The certificate of a day: what the sources say, what differs, and whether the reason is known; from rows to rows."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from tests.derive.evidence import RULES, add_events, add_snapshot
from wallet_pipeline.derive.reconciliation import VERDICTS, ReconciliationRules, newest_certificate, reconcile
from wallet_pipeline.derive.statuses import derive_statuses
from wallet_pipeline.derive.trends import derive_trends
from wallet_pipeline.warehouse.publish import ENUMS

DAY = date(2026, 3, 10)
NIGHT = datetime(2026, 3, 11, 3, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PASS = "p1234"
COMPARED = ReconciliationRules(staleness=MINUTE, tolerance=MINUTE)


def listed(pass_id: str, customer: str | None = "1", **wallets: str) -> dict[str, Any]:
    """Return a listed pass; a wallet's date is a time of March, such as `10T12:00:00`."""
    identifiers = {} if customer is None else {"customerId": customer}
    providers = {wallet: f"2026-03-{at}Z" for wallet, at in wallets.items()}
    created = "2026-02-01T00:00:00Z"
    return {
        "id": pass_id, "type": "loyalty", "creationDate": created, "identifiers": identifiers, "providers": providers,
    }  # fmt: skip


def event(at: str, pass_id: str = PASS, kind: str = "installed", **members: Any) -> dict[str, Any]:
    """Return a delivered event in Apple Wallet at a time of March."""
    received = {"received_at": f"2026-03-{members.pop('received')}Z"} if "received" in members else {}
    base = {"pass_id": pass_id, "wallet": "apple", "kind": kind, "event_id": at + pass_id, "at": f"2026-03-{at}Z"}
    return base | received | members


class Sources:
    """A warehouse that a test fills source by source."""

    def __init__(self, con: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self.con, self._folder, self._lists = con, folder, 0

    def show(self, at: str, *passes: dict[str, Any]) -> None:
        """Let an accepted, complete snapshot that began at a time of March show these passes."""
        self._lists += 1
        snapshot = {"id": f"s{self._lists}", "start": f"2026-03-{at}Z", "complete": True, "passes": list(passes)}
        add_snapshot(self.con, self._folder, snapshot)

    def insights(self, *events: tuple[str, str, str] | tuple[str, str, str, str]) -> None:
        """Let Insights have told events: a time of March, kind, pass, and wallet, if it is not apple."""
        for at, kind, pass_id, *wallet in events:
            self.con.execute(
                "INSERT INTO raw.insights_events VALUES (?, ?, ?, 'loyalty', ?)",
                [f"2026-03-{at}", kind, pass_id, wallet[0] if wallet else "apple"],
            )

    def read(self, *days: int, at: datetime = NIGHT) -> None:
        """Note that UTC days of March were read from Insights at a moment."""
        for day in days:
            self.con.execute("DELETE FROM raw.insights_days WHERE day = ?", [date(2026, 3, day)])
            self.con.execute(
                "INSERT INTO raw.insights_days VALUES (?, ?)", [date(2026, 3, day), at.replace(tzinfo=None)]
            )

    def certify(self, now: datetime = NIGHT + 5 * MINUTE, zone: str = "UTC") -> list[date]:
        """Derive all that the certificate compares, and issue it."""
        derive_statuses(self.con, RULES, now - MINUTE)
        derive_trends(self.con, ZoneInfo(zone), now)
        return reconcile(self.con, COMPARED, now)

    def figures(self, *names: str, day: date = DAY, wallet: str = "apple") -> tuple[Any, ...]:
        """Return figures of a certificate."""
        found = self.con.execute(
            f"SELECT {', '.join(names)} FROM wallet.reconciliation WHERE day = ? AND wallet = ?", [day, wallet]
        ).fetchall()
        return found[0] if found else ()

    def differences(self, comparison: str, day: date = DAY) -> list[tuple[Any, ...]]:
        """Return the differences of a comparison: pass or customer, what differs, and why."""
        return self.con.execute(
            "SELECT coalesce(pass_id, customer_key), difference, explanation FROM wallet.reconciliation_differences"
            " WHERE comparison = ? AND day = ? ORDER BY ALL",
            [comparison, day],
        ).fetchall()


@pytest.fixture
def sources(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> Sources:
    """Give a warehouse in which Insights was read for a week of March, and nothing happened."""
    one = Sources(warehouse, tmp_path)
    one.read(*range(5, 12))
    return one


def test_sources_that_say_the_same_agree(sources: Sources) -> None:
    """One install that everybody tells is counted by each source, and no difference is found."""
    add_events(sources.con, [event("05T00:00:00", "other"), event("10T12:00:00", received="10T12:00:04")])
    sources.insights(("05T00:00:00", "installed", "other"), ("10T12:00:00", "installed", "p1234"))
    sources.show("11T03:00:00", listed("p1234", apple="10T12:00:00"), listed("other", "2", apple="05T00:00:00"))
    sources.certify()
    assert sources.figures("verdict", "differences") == ("agree", 0)
    assert sources.figures("pass_api_installed", "registers_installed", "insights_installed") == (2, 2, 2)
    assert sources.figures("pass_api_installs", "insights_installs", "inbox_installs", "lost_events") == (1, 1, 1, 0)
    assert sources.figures("late_p50_seconds", "customers_installed") == (4, 2)
    assert sources.figures("verdict", "pass_api_installed", wallet="google") == ("agree", 0)


def test_lost_event_is_a_difference_without_a_reason(sources: Sources) -> None:
    """An event that Insights counts and nobody delivered is named, and the verdict says so."""
    add_events(sources.con, [event("05T00:00:00", "other")])
    sources.insights(("05T00:00:00", "installed", "other"), ("10T12:00:00", "installed", "p1234"))
    sources.show("11T03:00:00", listed("p1234", apple="10T12:00:00"), listed("other", "2", apple="05T00:00:00"))
    sources.certify()
    assert sources.differences("delivery") == [("p1234", "installed by Insights, not delivered", None)]
    assert sources.figures("verdict", "unexplained", "lost_events") == ("not explained", 1, 1)


def test_event_that_comes_late_heals_the_certificate_of_its_day(sources: Sources) -> None:
    """A delivery that arrives days later is no longer lost, and what was installed stays as it was certified."""
    add_events(sources.con, [event("05T00:00:00", "other")])
    sources.insights(("05T00:00:00", "installed", "other"), ("10T12:00:00", "installed", "p1234"))
    sources.show("11T03:00:00", listed("p1234", apple="10T12:00:00"), listed("other", "2", apple="05T00:00:00"))
    sources.certify()
    add_events(sources.con, [event("10T12:00:00", received="11T12:00:00")])
    sources.read(11, 12, at=NIGHT + timedelta(days=1))
    sources.show("12T03:00:00", listed("other", "2"))
    sources.certify(NIGHT + timedelta(days=1, minutes=5))
    assert sources.figures("verdict", "lost_events", "inbox_installs") == ("agree", 0, 1)
    assert sources.figures("pass_api_installed", "late_p99_seconds") == (2, 86_400)


@pytest.mark.parametrize(
    ("apart", "same"), [("12:05:00", True), ("11:55:00", True), ("12:05:01", False), ("11:54:59", False)]
)
def test_clocks_may_differ_by_five_minutes(sources: Sources, apart: str, same: bool) -> None:  # noqa: FBT001
    """An event is the one that Insights tells when it is of the same pass, wallet and kind, and of about the time."""
    add_events(sources.con, [event("05T00:00:00", "other"), event(f"10T{apart}")])
    sources.insights(("10T12:00:00", "installed", "p1234"))
    sources.show("11T03:00:00")
    sources.certify()
    assert (sources.figures("lost_events") == (0,)) is same


def test_event_without_a_time_of_its_own_may_have_come_a_day_late(sources: Sources) -> None:
    """It counts as the one that Insights tells when it was received within a day after it, also on another day."""
    sources.insights(
        ("09T20:00:00", "installed", "p1234"),
        ("09T20:00:00", "installed", "p2345"),
        ("09T20:00:00", "installed", "p3456"),
    )
    add_events(
        sources.con,
        [
            event("05T00:00:00", "first"),
            event("10T19:59:59"),
            event("10T20:00:01", "p2345"),
            event("09T19:00:00", "p3456"),
        ],
    )
    sources.con.execute("UPDATE raw.wallet_events SET time_is_receipt = TRUE")
    sources.show("09T03:00:00")
    sources.show("11T03:00:00")
    sources.certify()
    assert [pass_id for pass_id, *_ in sources.differences("delivery", date(2026, 3, 9))] == ["p2345", "p3456", "p3456"]
    assert [pass_id for pass_id, *_ in sources.differences("delivery")] == ["p2345"]


def test_nothing_is_lost_before_the_first_delivery(sources: Sources) -> None:
    """Where nothing was ever delivered before the day, real time was not set up: its figures are null."""
    sources.insights(("10T12:00:00", "installed", "p1234"))
    add_events(sources.con, [event("11T00:00:00", "first", "uninstalled")])
    sources.show("11T03:00:00", listed("p1234", apple="10T12:00:00"))
    sources.certify()
    assert sources.figures("verdict", "inbox_installs", "lost_events") == ("agree", None, None)


def test_day_of_the_first_delivery_is_not_judged(sources: Sources) -> None:
    """Real time began in the midst of it."""
    sources.insights(("10T12:00:00", "installed", "p1234"))
    add_events(sources.con, [event("10T06:00:00", "first")])
    sources.show("11T03:00:00", listed("p1234", apple="10T12:00:00"))
    sources.certify()
    assert sources.figures("inbox_installs", "lost_events") == (None, None)


def test_delivered_event_that_insights_lacks(sources: Sources) -> None:
    """One that is no evidence has that as its reason; one of just before Insights was read, too; another has none."""
    add_events(
        sources.con,
        [
            event("05T00:00:00", "first"),
            event("10T12:00:00", "ghost"),
            event("10T13:00:00", "early", received="10T12:00:00"),
            event("10T23:30:00", "fresh"),
        ],
    )
    sources.read(10, at=datetime(2026, 3, 11, 0, 10, tzinfo=UTC))
    sources.show("11T03:00:00")
    sources.certify()
    told = "installed delivered, not by Insights"
    assert sources.differences("delivery") == [
        ("early", told, "the event is no evidence: quarantined: dated after its receipt"),
        ("fresh", told, "Insights was read within the hour, the next run reads it again"),
        ("ghost", told, None),
    ]


def test_list_and_registers(sources: Sources) -> None:
    """An event that the list cannot know yet, and a pass that one list lacks, are the two reasons to differ."""
    sources.show(
        "11T02:00:00",
        listed("added"),
        listed("taken", "2", apple="09T12:00:00"),
        listed("missed", "3", apple="09T12:00:00"),
    )
    sources.show("11T03:00:00", listed("added"), listed("taken", "2", apple="09T12:00:00"))
    sources.con.execute("INSERT INTO raw.snapshots (started_at, verdict) VALUES ('2026-03-11 03:03:00', 'held')")
    newer = [event("11T02:59:30", "added"), event("11T03:02:00", "taken", "uninstalled")]
    add_events(sources.con, newer)
    sources.certify()
    assert sources.differences("list") == [
        ("added", "installed by the registers, not by the list", "an event newer than the list"),
        (
            "missed",
            "installed by the registers, not by the list",
            "not in the newest list; gone only when the next one lacks it, too",
        ),
        ("taken", "listed as installed, not by the registers", "an event newer than the list"),
    ]


def test_list_and_registers_that_differ_without_a_reason(sources: Sources) -> None:
    """Registers that were changed by hand are found."""
    sources.show("11T03:00:00", listed("p1234", apple="10T12:00:00"))
    sources.insights(("10T12:00:00", "installed", "p1234"))
    derive_statuses(sources.con, RULES, NIGHT)
    derive_trends(sources.con, ZoneInfo("UTC"), NIGHT)
    sources.con.execute("UPDATE wallet.registers SET installed = FALSE, installed_at = NULL WHERE wallet = 'apple'")
    reconcile(sources.con, COMPARED, NIGHT)
    assert sources.differences("list") == [("p1234", "listed as installed, not by the registers", None)]


def test_insights_and_registers(sources: Sources) -> None:
    """Each reason why the last word of Insights may differ from the registers, and the case that has none."""
    sources.insights(
        ("09T12:00:00", "installed", "deleted"),
        ("09T12:00:00", "installed", "gone_pass"),
        ("11T03:30:00", "installed", "newer"),
        ("09T12:00:00", "installed", "two_devices"),
        ("09T13:00:00", "installed", "two_devices"),
        ("10T12:00:00", "uninstalled", "two_devices"),
        ("09T12:00:00", "installed", "nameless", ""),
        ("09T12:00:00", "installed", "no_uninstall"),
        ("08T12:00:00", "installed", "no_reinstall"),
        ("09T12:00:00", "uninstalled", "no_reinstall"),
    )
    stays = [
        listed("newer", "1"),
        listed("two_devices", "2", apple="09T12:00:00"),
        listed("nameless", "3", apple="09T12:00:00"),
        listed("no_uninstall", "4"),
        listed("before", "5", apple="01T12:00:00"),
        listed("unheard", "6", apple="09T12:00:00"),
        listed("no_reinstall", "9", apple="09T12:30:00"),
    ]
    sources.show("09T13:00:00", *stays, listed("gone_pass", "7", apple="09T12:00:00"))
    sources.show("10T03:00:00", *stays)
    sources.show("11T03:00:00", *stays, listed("late", "8", apple="11T03:00:00"))
    sources.certify(NIGHT + timedelta(hours=1))
    assert {pass_id: why for pass_id, _, why in sources.differences("insights")} == {
        "before": "installed before the first day read from Insights",
        "deleted": "in no list: deleted before the first one",
        "gone_pass": "the pass is gone from the list",
        "late": "happened after Insights was read",
        "nameless": "Insights does not name the wallet",
        "newer": "happened after the list was read",
        "no_reinstall": None,
        "no_uninstall": None,
        "two_devices": "the list still shows it: removed from one of several devices",
        "unheard": None,
    }
    assert sources.figures("verdict", "unexplained") == ("not explained", 3)


class Crm:
    """What the pipeline knows of a CRM, put into the tables as the sync leaves it there."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
        con.execute(
            "INSERT INTO crm.plans (plan_id, planned_at, scope, admitted) VALUES"
            " ('now', '2026-03-11 03:04:30', 'all', TRUE), ('before', '2026-03-10 03:04:30', 'all', TRUE)"
        )

    def plan(self, customer: str, action: str, reason: str) -> None:
        """Let the newest plan mean to do something about a customer."""
        self.con.execute(
            "INSERT INTO crm.plan (plan_id, customer_key, action, reason) VALUES ('now', ?, ?, ?)",
            [f"customerId={customer}", action, reason],
        )

    def hold(self, customer: str, status: str, apple: str | None = None, record: str | None = None) -> None:
        """Let the newest plan have read something in a customer's record."""
        self.con.execute(
            "INSERT INTO crm.holdings (customer_key, record_id, wallet_status, apple_wallet_installed_at, read_at)"
            " VALUES (?, ?, ?, ?, '2026-03-11 03:04:30')",
            [f"customerId={customer}", record or customer, status, apple and f"2026-03-{apple}"],
        )

    def verify(self, customer: str, status: str, apple: str | None, at: str = "11T03:06:00") -> None:
        """Let the CRM have been read to hold something for a customer; the last change is that of Apple Wallet."""
        moment = apple and f"2026-03-{apple}"
        self.con.execute(
            "INSERT INTO crm.deliveries (customer_key, record_id, wallet_status, apple_wallet_installed_at,"
            " wallet_last_changed_at, wallet_last_event, verified_at, outcome)"
            " VALUES (?, ?, ?, ?, ?, 'installed', ?, 'verified')",
            [f"customerId={customer}", customer, status, moment, moment, f"2026-03-{at}"],
        )


def test_customers_and_crm(sources: Sources) -> None:
    """Who is held, skipped, refused or changed since has that as reason; who was verified is right; four have none."""
    customers = ["asis", "sent", "held", "skip", "no", "date", "half", "lost"]
    passes = [listed(f"pass-{name}", name, apple="10T12:00:00") for name in customers]
    sources.show("11T03:00:00", *passes)
    sources.insights(*(("10T12:00:00", "installed", f"pass-{name}") for name in [*customers, "new"]))
    sources.certify(NIGHT + 4 * MINUTE)
    crm = Crm(sources.con)
    crm.hold("asis", "apple", "10T12:00:30")
    crm.hold("sent", "none")
    crm.verify("sent", "apple", "10T12:00:00")
    crm.plan("held", "hold", "settling")
    crm.plan("skip", "skip", "not in the CRM")
    crm.hold("no", "none")
    sources.con.execute("INSERT INTO crm.rejections (customer_key, error_class) VALUES ('customerId=no', 'data')")
    crm.hold("date", "apple", "10T12:02:00")
    crm.hold("half", "none", "10T12:00:00")
    # It held it once, and did not when it was read again.
    crm.hold("lost", "none")
    crm.verify("lost", "apple", "10T12:00:00", at="10T12:05:00")
    crm.hold("left", "apple", "10T12:00:00")
    add_events(sources.con, [event("11T03:05:00", "pass-new", identifiers={"customerId": "new"})])
    sources.certify(NIGHT + 10 * MINUTE)
    missing = "the customer has the wallet, the CRM does not say so"
    assert sources.differences("crm") == [
        ("customerId=date", "the CRM holds another date", None),
        ("customerId=half", missing, None),
        ("customerId=held", missing, "held: settling"),
        ("customerId=left", "the CRM says that the customer has the wallet", None),
        ("customerId=lost", missing, None),
        ("customerId=new", missing, "changed since the CRM was read; it is told next"),
        ("customerId=no", missing, "listed in crm_rejections: data"),
        ("customerId=skip", missing, "skipped: not in the CRM"),
    ]
    assert sources.figures("customers_installed", "crm_installed", "held_customers") == (9, 4, 1)


def test_time_from_event_to_verified_field(sources: Sources) -> None:
    """It runs from the event to the first reading that showed its time, also where the webhook never came."""
    sources.show("11T03:00:00", listed("p1234", "1", apple="10T12:00:00"), listed("p2345", "2", apple="10T13:00:00"))
    sources.insights(("10T12:00:00", "installed", "p1234"), ("10T13:00:00", "installed", "p2345"))
    sources.insights(("10T13:00:10", "uninstalled", "p2345"))
    crm = Crm(sources.con)
    # What was true just before either event is not that event.
    crm.verify("2", "apple", "10T12:59:30", at="10T12:59:50")
    crm.verify("1", "apple", "10T12:00:00", at="10T12:01:30")
    crm.verify("1", "apple", "10T12:00:00", at="11T03:05:00")
    crm.verify("2", "apple", "10T13:00:20", at="10T13:02:30")
    crm.verify("2", "apple", "10T11:00:00", at="10T13:00:30")
    sources.certify()
    assert sources.figures("verified_changes", "verified_p50_seconds") == (2, 120)


def test_drift_counts_for_the_wallet_that_it_concerns(sources: Sources) -> None:
    """Dates and statuses concern one wallet, the last change both; found and repaired count on their own days."""
    sources.show("11T03:00:00")
    drift = [
        ("1", "apple_wallet_installed_at", "2026-03-01", None, "10T03:00:00", "10T03:01:00"),
        ("2", "wallet_status", "both", "apple", "10T03:00:00", None),
        ("3", "wallet_last_changed_at", "x", "y", "09T03:00:00", "10T03:01:00"),
    ]
    for customer, field, expected, found, found_at, repaired_at in drift:
        sources.con.execute(
            "INSERT INTO crm.drift (customer_key, field, expected, found, found_at, repaired_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [customer, field, expected, found, f"2026-03-{found_at}", repaired_at and f"2026-03-{repaired_at}"],
        )
    sources.certify()
    assert sources.figures("drift_found", "drift_repaired") == (1, 2)
    assert sources.figures("drift_found", "drift_repaired", wallet="google") == (1, 1)


def test_installed_passes_in_no_customer_are_counted(sources: Sources) -> None:
    """Passes without identifier, and those in conflict, are told apart."""
    sources.show(
        "11T03:00:00",
        listed("plain", None, apple="10T12:00:00"),
        {**listed("c1", "1"), "identifiers": {"customerId": "1", "email": "x@a.de"}},
        {**listed("c2", "2"), "identifiers": {"customerId": "2", "email": "x@a.de"}},
        {**listed("torn", None, apple="10T12:00:00"), "identifiers": {"email": "x@a.de"}},
    )
    sources.certify()
    assert sources.figures("unmatched_passes", "conflict_passes") == (1, 1)


def test_day_is_certified_when_insights_was_read_whole(sources: Sources) -> None:
    """A day that was not over when it was read has no certificate, nor has one before the first list."""
    sources.show("10T03:00:00")
    assert sources.certify() == [date(2026, 3, 9), DAY]
    sources.read(10, at=datetime(2026, 3, 10, 23, 59, tzinfo=UTC))
    sources.con.execute("DELETE FROM wallet.reconciliation")
    assert sources.certify() == [date(2026, 3, 9)]


def test_day_of_which_insights_lacks_the_last_hours_waits(sources: Sources) -> None:
    """In New York the 10th of March ends at four in the morning of the 11th, UTC: a day that was not read yet."""
    sources.con.execute("DELETE FROM raw.insights_days WHERE day >= '2026-03-11'")
    sources.show("10T09:00:00")
    sources.show("11T09:00:00")
    now = datetime(2026, 3, 11, 9, 5, tzinfo=UTC)
    assert sources.certify(now, "America/New_York") == [date(2026, 3, 9)]
    sources.read(11, at=now)
    assert sources.certify(now, "America/New_York") == [date(2026, 3, 9), DAY]


def test_list_of_before_the_end_of_the_day_says_nothing_of_its_end(sources: Sources) -> None:
    """What is installed is told by a list that was begun after the day; without one it is not known."""
    sources.show("10T12:00:00", listed("p1234", apple="10T11:00:00"))
    sources.certify()
    assert sources.figures("pass_api_installs", "pass_api_installed") == (1, None)


def test_day_with_an_hour_less(sources: Sources) -> None:
    """Days are those of the report's time zone: of the 29th of March 23 hours in Paris."""
    sources.read(*range(27, 32), at=datetime(2026, 3, 31, 23, tzinfo=UTC))
    sources.con.execute("UPDATE raw.insights_days SET fetched_at = '2026-03-31 23:00:00'")
    sources.insights(("28T23:30:00", "installed", "p1234"), ("29T22:30:00", "installed", "p2345"))
    sources.show("28T03:00:00")
    sources.show("30T03:00:00")
    sources.certify(datetime(2026, 3, 31, 23, tzinfo=UTC), "Europe/Paris")
    assert sources.figures("insights_installs", day=date(2026, 3, 29)) == (1,)
    assert sources.figures("insights_installs", day=date(2026, 3, 30)) == (1,)


def test_days_without_a_run_are_certified_later_without_what_was_installed(sources: Sources) -> None:
    """A day that was never the newest tells its events; what was installed then nobody has looked at."""
    sources.show("08T03:00:00")
    sources.insights(("08T12:00:00", "installed", "p1234"))
    sources.certify(datetime(2026, 3, 11, 3, 5, tzinfo=UTC))
    assert sources.figures("insights_installs", "pass_api_installed", day=date(2026, 3, 8)) == (1, None)


def test_certifying_twice_changes_nothing(sources: Sources) -> None:
    """A second run over the same evidence issues the same certificates, each difference once."""
    add_events(sources.con, [event("05T00:00:00", "other")])
    sources.insights(("10T12:00:00", "installed", "p1234"), ("09T12:00:00", "uninstalled", "other"))
    sources.show("11T03:00:00", listed("p1234"))
    tables = ("reconciliation", "reconciliation_reasons", "reconciliation_differences")

    def rows() -> list[Any]:
        sources.certify()
        return [sources.con.execute(f"SELECT * FROM wallet.{table} ORDER BY ALL").fetchall() for table in tables]

    assert rows() == rows()


def test_rows_of_differences_are_kept_for_a_month(sources: Sources) -> None:
    """Older rows make room; their numbers by reason stay."""
    sources.show("11T03:00:00", listed("p1234", apple="09T12:00:00"))
    sources.certify()
    assert sources.differences("insights")
    later = datetime(2026, 4, 12, 3, tzinfo=UTC)
    reconcile(sources.con, COMPARED, later)
    assert not sources.differences("insights")
    assert sources.con.execute("SELECT count(*) FROM wallet.reconciliation_reasons").fetchone() == (1,)


def test_certificate_in_a_sentence(sources: Sources) -> None:
    """It says how many differences have no reason, and between whom; without any day there is no certificate."""
    assert newest_certificate(sources.con) is None
    sources.show("11T03:00:00", listed("p1234", apple="09T12:00:00"))
    sources.certify()
    certificate = newest_certificate(sources.con)
    assert certificate is not None
    assert certificate.verdict == "not explained"
    assert str(certificate) == (
        "2026-03-10: 1 differences, 1 without a reason, 1 of these new: Insights and registers 1."
    )


def verdict_on(sources: Sources, pass_id: str, *events: tuple[str, str], apple: str | None = None) -> str | None:
    """Return why Insights and registers differ over a pass of which Insights told these events, and the list this."""
    sources.insights(*((at, kind, pass_id) for at, kind in events))
    sources.show("08T03:00:00", listed("other"))
    sources.show("11T03:00:00", listed("other"), listed(pass_id, "2", **({"apple": apple} if apple else {})))
    sources.certify()
    ((found, _, why),) = sources.differences("insights")
    assert found == pass_id
    return str(why) if why else None


def test_pass_that_every_list_lacks_has_no_reason(sources: Sources) -> None:
    """It was made long after the first list: nobody can say that it was deleted before that."""
    sources.insights(("09T12:00:00", "installed", "p1234"))
    sources.show("08T03:00:00")
    sources.show("11T03:00:00")
    sources.certify()
    assert sources.differences("insights") == [("p1234", "installed by Insights, not by the registers", None)]


def test_list_that_stands_still_has_no_reason(sources: Sources) -> None:
    """One install and one uninstall are one device: a list that goes on showing the pass is wrong, or frozen."""
    events = [("09T12:00:00", "installed"), ("10T12:00:00", "uninstalled")]
    assert verdict_on(sources, "p1234", *events, apple="09T12:00:00") is None


def test_phone_that_was_swapped_has_its_reason(sources: Sources) -> None:
    """The old device goes while the new one comes: the moments are those of different clocks."""
    events = [("09T12:00:00", "installed"), ("10T12:00:00", "installed"), ("10T12:00:01", "uninstalled")]
    why = verdict_on(sources, "p1234", *events, apple="10T12:00:02")
    assert why == "the list still shows it: removed from one of several devices"


def test_install_of_just_before_insights_was_read_has_its_reason(sources: Sources) -> None:
    """Insights may lag by an hour."""
    assert verdict_on(sources, "p1234", apple="11T02:28:00") == "happened after Insights was read"


def test_install_and_uninstall_of_one_moment_leave_the_pass_removed(sources: Sources) -> None:
    """As in the rules, the install comes first."""
    sources.insights(("10T12:00:00", "uninstalled", "p1234"), ("10T12:00:00", "installed", "p1234"))
    sources.show("11T03:00:00", listed("p1234"))
    sources.certify()
    assert (sources.differences("insights"), sources.figures("insights_installed")) == ([], (0,))


def test_uninstall_that_nobody_told_has_its_reason(sources: Sources) -> None:
    """The list stopped showing it, and no event ever came: the rules infer the uninstall."""
    sources.insights(("08T12:00:00", "installed", "p1234"))
    sources.show("09T03:00:00", listed("p1234", apple="08T12:00:00"))
    sources.show("10T03:00:00", listed("p1234"))
    sources.show("11T03:00:00", listed("p1234"))
    sources.certify()
    assert [why for *_, why in sources.differences("insights")] == ["nobody told the uninstall: the list shows it"]


def test_insights_that_does_not_name_the_wallet_is_the_reason_in_deliveries_too(sources: Sources) -> None:
    """The event is there, without its wallet."""
    add_events(sources.con, [event("05T00:00:00", "first", "uninstalled"), event("10T12:00:00")])
    sources.insights(("10T12:00:00", "installed", "p1234", ""))
    sources.show("11T03:00:00", listed("p1234", apple="10T12:00:00"))
    sources.certify()
    assert [why for *_, why in sources.differences("delivery")] == ["Insights does not name the wallet"]


def test_day_that_could_not_be_counted_is_not_said_to_agree(sources: Sources) -> None:
    """Without a list after the day its events alone were compared: the verdict and the sentence say so."""
    sources.show("10T12:00:00", listed("p1234", apple="10T11:00:00"))
    sources.certify()
    certificate = newest_certificate(sources.con)
    assert certificate is not None
    assert certificate.verdict == "not compared"
    assert "no list was taken in time after that day" in str(certificate)


def test_later_night_leaves_what_was_counted(sources: Sources) -> None:
    """When Insights is read no further, the next list is of another day: the certificate keeps its own figures."""
    sources.insights(("09T12:00:00", "installed", "lost_one"))
    sources.show("08T03:00:00")
    sources.show("11T03:00:00")
    sources.certify()
    before = sources.figures("verdict", "unexplained", "insights_installed", "listed_at")
    assert before[:2] == ("not explained", 1)
    sources.insights(("12T12:00:00", "uninstalled", "lost_one"))
    sources.show("12T03:00:00", listed("p1234", apple="11T12:00:00"))
    sources.certify(NIGHT + timedelta(days=1, minutes=5))
    assert sources.figures("verdict", "unexplained", "insights_installed", "listed_at") == before
    assert len(sources.differences("insights")) == 1


def test_difference_is_new_once(sources: Sources) -> None:
    """What was found without a reason the day before is no news; what has lost its reason is."""
    sources.insights(("09T12:00:00", "installed", "lost_one"))
    sources.show("08T03:00:00")
    sources.show("11T03:00:00")
    sources.certify()
    assert sources.figures("unexplained", "newly_unexplained") == (1, 1)
    sources.insights(("11T12:00:00", "installed", "another"))
    sources.read(11, 12, at=NIGHT + timedelta(days=1))
    sources.show("12T03:00:00")
    sources.certify(NIGHT + timedelta(days=1, minutes=5))
    assert sources.figures("unexplained", "newly_unexplained", day=date(2026, 3, 11)) == (2, 1)
    since = sources.con.execute(
        "SELECT pass_id, since FROM wallet.reconciliation_differences WHERE day = '2026-03-11' ORDER BY ALL"
    )
    assert since.fetchall() == [("another", date(2026, 3, 11)), ("lost_one", DAY)]


def test_record_that_two_customers_share_counts_once(sources: Sources) -> None:
    """crm_installed counts records, for two customers may have been found in one."""
    sources.show("11T03:00:00", listed("p1234", "1", apple="10T12:00:00"), listed("p2345", "2", apple="10T12:00:00"))
    crm = Crm(sources.con)
    crm.hold("1", "apple", "10T12:00:00", record="7")
    crm.hold("2", "apple", "10T12:00:00", record="7")
    sources.certify()
    assert sources.figures("customers_installed", "crm_installed") == (2, 1)


def test_customer_who_departs_is_changed_since_the_crm_was_read(sources: Sources) -> None:
    """Their row ended after the CRM was read: it is told next."""
    sources.show("11T03:00:00", listed("p1234", "1", apple="10T12:00:00"))
    sources.insights(("10T12:00:00", "installed", "p1234"))
    sources.certify(NIGHT + 4 * MINUTE)
    crm = Crm(sources.con)
    crm.hold("1", "apple", "10T12:00:00")
    moved = {"identifiers": {"customerId": "2"}}
    add_events(sources.con, [event("11T03:05:00", **moved)])
    sources.certify(NIGHT + 10 * MINUTE)
    assert {(who, why) for who, _, why in sources.differences("crm")} == {
        ("customerId=1", "changed since the CRM was read; it is told next"),
        ("customerId=2", "changed since the CRM was read; it is told next"),
    }


def test_analysts_see_every_verdict_in_its_order() -> None:
    """The column for analysts knows each verdict: with one that it does not know it would become text."""
    assert ENUMS["reconciliation"]["verdict"] == VERDICTS
