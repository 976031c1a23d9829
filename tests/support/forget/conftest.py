"""An installation that knows Anna, who is to be forgotten, and others; and a search that overlooks nothing."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pydantic import SecretStr

from tests.collect.deliveries import receive
from tests.collect.snapshots import accepted, stage
from tests.conftest import made_once
from tests.sync.conftest import Account, open_account
from wallet_pipeline.collect.pass_snapshot import take_over
from wallet_pipeline.collect.wallet_events import take_events
from wallet_pipeline.collect.webhooks.understanding import EventMapping
from wallet_pipeline.derive.statuses import StatusRules, derive_statuses
from wallet_pipeline.settings import Settings
from wallet_pipeline.support.forget.forgetting import Erasure, Forgetting
from wallet_pipeline.sync.hubspot import connect as connect_crm
from wallet_pipeline.sync.lane import Lane
from wallet_pipeline.sync.plan import PlanRules
from wallet_pipeline.sync.setup_crm import setup_crm
from wallet_pipeline.warehouse.connection import connect
from wallet_pipeline.warehouse.publish import publish
from wallet_pipeline.warehouse.staging import attached

TOKEN = "pat-sandbox-full"
ANNA = "customerId=K-anna-1042"
# Whatever says anything of her says this.
TRACE = "anna"
IDENTIFIERS = {
    "customerId": "K-anna-1042",
    "email": "Anna.Kowalski@x.test",
    "phone": "+48-anna",
    "accountId": "family-77",
}


def listed(pass_id: str, /, *, apple: str | None = "2025-12-31T08:00:00Z", **identifiers: str) -> dict[str, Any]:
    """Return a pass as the API lists it."""
    providers = {"apple": apple} if apple else {}
    return {
        "id": pass_id, "passType": "loyalty", "creationDate": "2026-01-01T00:00:00Z", "secret": "s3cr3t",
        "identifiers": identifiers, "providers": providers,
    }  # fmt: skip


FIRST_LIST = [
    listed("anna-pass-1", **IDENTIFIERS),
    listed("anna-pass-2", email="anna.kowalski@x.test"),
    # Borne by Anna and Ben: in no customer.
    listed("disputed-pass", accountId="family-77"),
    listed("ben-pass-1", customerId="K-ben", email="ben@x.test", accountId="family-77"),
    # Changes hands.
    listed("cleo-pass-1", customerId="K-anna-1042", email="anna.kowalski@x.test"),
    listed("dora-pass-1", customerId="K-dora", email="dora@x.test"),
    listed("nobodys-pass", phone="none"),
]
SECOND_LIST = [
    *FIRST_LIST[:4],
    listed("cleo-pass-1", customerId="K-cleo", email="cleo@x.test"),
    *FIRST_LIST[5:],
]


def told(number: int, pass_id: str, **identifiers: str) -> dict[str, Any]:
    """Return the body of a delivery about a pass."""
    return {
        "eventId": f"event-{number}", "eventType": "Pass:Installed", "timestamp": "2026-01-01T09:00:00Z",
        "passId": pass_id, "device": "google", "identifiers": identifiers,
    }  # fmt: skip


DELIVERIES: list[dict[str, Any] | bytes] = [
    told(1, "anna-pass-1", customerId="K-anna-1042"),
    told(2, "ben-pass-1", customerId="K-ben"),
    told(3, "cleo-pass-1", customerId="K-anna-1042"),
    # Not understood, and hers all the same, in one way or another.
    {"eventType": "Pass:Created", "passId": "anna-pass-2"},
    b'{"note": "call ANNA.Kowalski\\u0040x.test", broken',
    '{"eventType":"Pass:Installed","customerId":"K-anna-1042"}'.encode("utf-16"),
    told(4, "dora-pass-1"),
    b"not JSON",
]
HER_DELIVERIES, OTHER_DELIVERIES = 5, 3


@dataclass(frozen=True)
class Installation:
    """The folder of a project whose runs have filled its data folder."""

    folder: Path
    given: dict[str, Any]

    @property
    def settings(self) -> Settings:
        """The settings."""
        return Settings(**self.given, data_dir=self.folder / "data")

    @property
    def rules(self) -> StatusRules:
        """The rules by which statuses are derived."""
        return StatusRules(timedelta(seconds=60), self.settings.identifier_order)

    def open(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the warehouse as a run does."""
        return connect(self.settings.warehouse_file, wait=30)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return rows of the warehouse."""
        with self.open() as con:
            return con.execute(query).fetchall()

    def forgetting(self) -> Forgetting:
        """Return what forgets people here."""
        return Forgetting(self.settings, self.folder, now)

    def list_passes(self, day: int, passes: Iterable[dict[str, Any]]) -> None:
        """Take a snapshot of these passes, on a day of January."""
        given = [*passes]
        staged = stage(self.folder / "staged.duckdb", *given)
        with self.open() as con, attached(con, staged, "staging"):
            take_over(con, accepted(day, len(given)))
        staged.unlink()

    def derive(self) -> None:
        """Take events over and derive everything."""
        take_events(self.open, self.settings.inbox_file, EventMapping.from_settings(self.settings))
        with self.open() as con:
            derive_statuses(con, self.rules, now())

    def sync(self) -> int:
        """Plan and deliver as the daily run does, and return how many contacts were written."""
        with connect_crm(self.settings) as destination:
            setup_crm(destination)
            rules = PlanRules.from_settings(self.settings)
            lane = Lane(self.open, destination, self.settings.staging_dir, rules, now)
            lane.plan("all")
            sent = lane.deliver("all")
            assert sent is not None
            return sent.written

    def publish(self) -> None:
        """Write the analysts' file."""
        with self.open() as con:
            publish(con, self.settings.bi_file)

    def found_in(self, trace: str = TRACE) -> set[str]:
        """Return every table of the warehouse and the analysts' file with a text that has the trace in it."""
        with self.open() as con:
            found = {table for table in _tables(con) if _has(con, table, trace)}
        with duckdb.connect(self.settings.bi_file, read_only=True) as con:
            return found | {f"bi:{table}" for table in _tables(con) if _has(con, table, trace)}

    def files_with(self, trace: str = TRACE) -> set[str]:
        """Return every file below the folder in whose bytes the trace stands, in any letter case.

        Parquet files are compressed: their rows are searched, too.
        """
        files = [one for one in self.folder.rglob("*") if one.is_file() and "crm.sqlite" not in one.name]
        return {one.relative_to(self.folder).as_posix() for one in files if trace.encode() in _content(one).lower()}


def now() -> datetime:
    """Return this moment."""
    return datetime.now(UTC)


def _content(file: Path) -> bytes:
    rows = str(duckdb.read_parquet(str(file)).fetchall()) if file.suffix == ".parquet" else ""
    return file.read_bytes() + rows.encode()


def _tables(con: duckdb.DuckDBPyConnection) -> list[str]:
    rows = con.execute(
        "SELECT DISTINCT schema_name || '.' || table_name FROM duckdb_columns()"
        " WHERE database_name = current_database() AND NOT internal"
    ).fetchall()
    return [name for (name,) in rows]


def _has(con: duckdb.DuckDBPyConnection, table: str, trace: str) -> bool:
    """Look at whole rows, whatever types their columns have."""
    (count,) = con.execute(
        f"SELECT count(*) FROM {table} AS one WHERE contains(lower(one::VARCHAR), ?)", [trace]
    ).fetchone() or (0,)
    return bool(count)


def _plant(con: duckdb.DuckDBPyConnection) -> None:
    """Put a row about Anna into each table of passes or customers that has none."""
    for table, column, value in con.execute(
        "SELECT schema_name || '.' || table_name, column_name,"
        " CASE column_name WHEN 'pass_id' THEN 'anna-pass-1' ELSE ? END FROM duckdb_columns()"
        " SEMI JOIN duckdb_tables() USING (schema_name, table_name)"
        " WHERE column_name IN ('pass_id', 'customer_key') AND NOT internal",
        [ANNA],
    ).fetchall():
        if not _has(con, table, TRACE):
            con.execute(f"INSERT INTO {table} ({column}) VALUES (?)", [value])


def given_to(crm: str) -> dict[str, Any]:
    """Return the settings of an installation with a CRM at an address."""
    return {
        "hubspot_base_url": crm, "hubspot_access_token": SecretStr(TOKEN), "settle_window": 0, "hubspot_reserve": 0
    }  # fmt: skip


def _build(folder: Path) -> None:
    with running_account(folder) as account:
        _live(Installation(folder, given_to(account.url)))


def _live(home: Installation) -> None:
    folder = home.folder
    home.list_passes(1, FIRST_LIST)
    home.derive()
    home.sync()
    receive(home.settings.inbox_file, DELIVERIES)
    home.list_passes(2, SECOND_LIST)
    home.derive()
    home.sync()
    with home.open() as con:
        _plant(con)
        con.execute(
            "INSERT INTO crm.drift (customer_key, field, expected, found) VALUES"
            " ('customerId=K-ben', 'customer_id', 'K-ben', 'K-anna-1042')"
        )
        con.execute(
            "INSERT INTO crm.rejections (customer_key, message) VALUES"
            " ('customerId=K-ben', 'the contact of anna.kowalski@x.test has it, not joe@x.test')"
        )
    for _ in range(2):  # a set of Parquet files is kept beside the newest
        home.publish()
    held = [*SECOND_LIST, listed("anna-pass-new", customerId="K-anna-1042")]
    stage(home.settings.staging_dir / "held-20260103T000000.000000Z-1.duckdb", *held)
    stage(home.settings.staging_dir / "held-20260104T000000.000000Z-1.duckdb", *SECOND_LIST[3:])
    stage(home.settings.staging_dir / "reading-0011223344556677.duckdb", *FIRST_LIST)
    (folder / ".dagster").mkdir()
    (folder / ".dagster" / "headless.log").write_text(f"{ANNA} was held\n")


@dataclass(frozen=True)
class Forgotten:
    """An installation from which Anna was removed, and what was told of it."""

    home: Installation
    erasure: Erasure


@contextmanager
def running_account(folder: Path) -> Iterator[Account]:
    """Run the CRM of an installation, which answers as quickly as it can."""
    with open_account(folder) as account:
        account.switch(rate_limit=100_000)
        yield account


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Build the installation, whose CRM does not answer any more."""
    return Installation(made_once(tmp_path_factory, "anna", _build), given_to("http://127.0.0.1:9"))


@pytest.fixture(scope="session")
def forgotten(built: Installation, tmp_path_factory: pytest.TempPathFactory) -> Forgotten:
    """Give a copy of the installation from which Anna was removed; tests leave it as it is."""
    home = _copy(built, tmp_path_factory.mktemp("forgotten"))
    return Forgotten(home, home.forgetting().remove(ANNA, clear_crm=False))


@pytest.fixture
def after(forgotten: Forgotten, tmp_path: Path) -> Installation:
    """Give a copy of the installation from which Anna was removed."""
    return _copy(forgotten.home, tmp_path)


@pytest.fixture
def account(built: Installation, tmp_path: Path) -> Iterator[Account]:
    """Run a copy of the CRM account."""
    for file in built.folder.glob("crm.sqlite*"):
        shutil.copy(file, tmp_path)
    with running_account(tmp_path) as account:
        yield account


@pytest.fixture
def home(built: Installation, tmp_path: Path) -> Installation:
    """Give a copy of the installation, whose CRM does not answer."""
    return _copy(built, tmp_path)


@pytest.fixture
def connected(home: Installation, account: Account) -> Installation:
    """Give a copy of the installation, with a copy of its CRM."""
    return Installation(home.folder, given_to(account.url))


def _copy(home: Installation, folder: Path) -> Installation:
    for part in ("data", ".dagster"):
        shutil.copytree(home.folder / part, folder / part, symlinks=True)
    return Installation(folder, home.given)
