"""A warehouse with a history of passes whose types have the oddest names, and the page that is made of it."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from tests.conftest import made_once
from wallet_pipeline.derive.trends import derive_trends
from wallet_pipeline.report.content import read_content
from wallet_pipeline.report.page import put_report, render
from wallet_pipeline.warehouse.connection import migrate

from .browser import Opened, open_in_browser, read_opened

NOW = datetime(2026, 6, 10, 3, 7, tzinfo=UTC)
ZONE = ZoneInfo("America/New_York")
FIRST_DAY = date(2026, 1, 15)
DAYS = 147
PASSES, CUSTOMERS = 400, 60
# The ones at the end have the fewest passes.
TYPES = [
    "loyalty", "", "<script>alert(1)</script>", "</script></svg><img src=http://127.0.0.1:9/x.png onerror=alert(2)>",
    "say \"hi\" & 'bye'", "a.b[0]", "toString", "\U0001f389" * 45, "datum.value", "Gutschein für Ümit", "all others",
    "x" * 300 + "1", "x" * 300 + "2", "{{ 7 * 7 }}", " two\n lines\x07\t", "\u202eright to left", "__proto__", "null",
    "\\", "$period", "(no type)", "\u4e2d\u6587", "url(http://127.0.0.1:9/y.png)", "last but one", "last",
]  # fmt: skip
SOURCES = [None, "qr/shop", "email/spring", "constructor", "a.b[0]/</script>", *(f"partner/{n}" for n in range(20))]


@pytest.fixture
def empty() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a warehouse in which nothing was ever read."""
    with duckdb.connect() as con:
        migrate(con)
        yield con


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a warehouse and its report."""
    return made_once(tmp_path_factory, "reported", _make)


@pytest.fixture(scope="session")
def warehouse(made: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a warehouse with the trends of some months, to read."""
    with duckdb.connect(made / "warehouse.duckdb", read_only=True) as con:
        yield con


@pytest.fixture(scope="session")
def page(made: Path) -> str:
    """Give its page."""
    return (made / "report.html").read_text()


@pytest.fixture(scope="session")
def opened(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """Give its page as a browser has it."""
    return read_opened(made_once(tmp_path_factory, "opened", partial(open_in_browser, made / "report.html")))


def _make(folder: Path) -> None:
    with duckdb.connect(folder / "warehouse.duckdb") as con:
        con.execute("SET TimeZone = 'UTC'")
        migrate(con)
        _fill(con, random.Random(7))  # noqa: S311  the same world every time
        derive_trends(con, ZONE, NOW)
        put_report(render(read_content(con), ZONE, NOW), folder / "report.html")


def _fill(con: duckdb.DuckDBPyConnection, chance: random.Random) -> None:
    begin = datetime.combine(FIRST_DAY, datetime.min.time())
    until = NOW.replace(tzinfo=None)

    def later(moment: datetime) -> datetime:
        return moment + timedelta(hours=chance.expovariate(1 / 300))

    def insert(table: str, rows: list[tuple[Any, ...]]) -> None:
        con.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)

    events: list[tuple[Any, ...]] = []
    passes, registers = [], []
    for number in range(PASSES):
        name, (pass_type,) = f"pass-{number}", chance.choices(TYPES, range(len(TYPES) + 4, 4, -1))
        created = begin + timedelta(hours=chance.random() * DAYS * 20)
        passes.append((name, pass_type, created, "unmatched", None, None, None, None))
        events.append((created, "created", name, pass_type, ""))
        for wallet in ("apple", "google"):
            moment, installed, installed_at = created, False, None
            for _ in range(chance.choice([0, 1, 2, 2, 3])):
                moment = later(moment)
                if moment < until:
                    installed, installed_at = not installed, moment
                    events.append((moment, "installed" if installed else "uninstalled", name, pass_type, wallet))
            registers.append((name, wallet, installed, installed_at if installed else None, installed_at, None, None))
    insert("raw.insights_days", [(FIRST_DAY + timedelta(days=n), until) for n in range(DAYS)])
    insert("raw.insights_events", events)
    insert("wallet.pass_customers", passes)
    installs = [event for event in events if event[1] == "installed"]
    origins = chance.choices(SOURCES, range(len(SOURCES) + 4, 4, -1), k=len(installs))
    told = [(*event[:3], event[4], origin) for event, origin in zip(installs, origins, strict=True)]
    columns = "occurred_at, kind, pass_id, wallet, acquisition_source"
    con.executemany(f"INSERT INTO raw.wallet_events ({columns}) VALUES (?, ?, ?, ?, ?)", told)
    insert("wallet.registers", registers)
    versions, now = [], []
    for number in range(CUSTOMERS):
        moment, key = begin + timedelta(days=40 + 1.7 * number), f"customerId=C-{number}"
        for version in range(3):
            status, ends = chance.choice(["none", "apple", "google", "both"]), later(moment)
            last = version == 2 or ends >= until
            versions.append((key, status, None, None, None, None, moment, None if last else ends))
            moment = ends
            if last:
                break
        now.append((key, "customerId", f"C-{number}", f"somebody-{number}@example.com", status))
    insert("wallet.customer_status_changes", versions)
    columns = "customer_key, identifier_name, identifier_value, email, wallet_status"
    con.executemany(f"INSERT INTO wallet.customer_wallet_status ({columns}) VALUES (?, ?, ?, ?, ?)", now)
