"""The world that the stand-ins show: customers, their passes and the events behind them, in one DuckDB file.

The tables of the vendor's Insights stand in the schema `main`, those that nobody may query in the schema `backstage`.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

TENANT_ID = "sandbox-tenant"
# Beyond the lag that the rules grant the Pass API, so that the first run already sees a settled world.
SETTLED_FOR = timedelta(minutes=5)
_PASSES_PER_DELETED = 50
_SQL = Path(__file__).parent / "sql"
_CONTACTS_AT_ONCE = 10_000


@dataclass(frozen=True)
class ListedPass:
    """A pass as it is listed, and beside its body: devices per wallet, and whether a change may fall on it (clean)."""

    id: str
    body: str
    apple_devices: int = 0
    google_devices: int = 0
    customer_id: str | None = None
    clean: bool = False
    touched_at: str | None = None


@dataclass(frozen=True)
class Event:
    """One row of the Insights table `Events`."""

    eventId: str  # noqa: N815 - the vendor's name
    timestamp: str
    eventType: str  # noqa: N815
    operationId: str  # noqa: N815
    properties: dict[str, Any]
    tenantId: str = TENANT_ID  # noqa: N815


def read_sql(name: str) -> str:
    """Return the text of one of the sandbox's statements."""
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")


def micros(moment: datetime) -> int:
    """Return the microseconds from 1970 to a moment that knows its zone."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def iso(micros_utc: int) -> str:
    """Return a time, given in microseconds since 1970, with six digits and `Z`."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros_utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def create(file: Path, seed: int, passes: int, now: datetime) -> None:
    """Write a new world of that many listed passes to a file. Equal arguments give equal worlds."""
    with duckdb.connect(file) as connection:
        variables = {
            "seed": seed,
            "passes": passes,
            "deleted_passes": passes // _PASSES_PER_DELETED,
            "history_end": micros(now - SETTLED_FOR),
        }
        for name, value in variables.items():
            connection.execute(f"SET VARIABLE {name} = {value}::BIGINT")
        connection.execute(f"SET TimeZone = 'UTC'; SET VARIABLE tenant = '{TENANT_ID}'")
        connection.execute(read_sql("world"))


def contacts(file: Path) -> Iterator[dict[str, str]]:
    """Yield the contacts that the CRM holds when this world begins, by HubSpot's property names, without empty ones."""
    with duckdb.connect(file, read_only=True) as connection:
        cursor = connection.execute(read_sql("contacts"))
        names = [column[0] for column in cursor.description]
        while rows := cursor.fetchmany(_CONTACTS_AT_ONCE):
            for row in rows:
                yield {name: value for name, value in zip(names, row, strict=True) if value is not None}


class World:
    """An open world. `version` grows with each change of the list of passes."""

    def __init__(self, file: Path) -> None:
        self.connection = duckdb.connect(file)
        self.connection.execute("SET TimeZone = 'UTC'")
        self.version = 0
        self.seed, self.passes = self._row("SELECT seed, passes FROM backstage.state")

    def close(self) -> None:
        """Write everything to the file and let go of it."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit at the end, or undo everything when the body raises."""
        self.connection.begin()
        try:
            yield
        except BaseException:
            self.connection.rollback()
            raise
        self.connection.commit()

    def put_passes(self, passes: Iterable[ListedPass]) -> None:
        """List these passes, in place of those that have their ids."""
        text = json.dumps([asdict(listed) for listed in passes])
        self.connection.execute(read_sql("put_passes"), {"passes": text})
        self.version += 1

    def delete_passes(self, pass_ids: Iterable[str]) -> int:
        """Take passes off the list and return how many were on it."""
        (deleted,) = self._row("DELETE FROM backstage.passes WHERE list_contains(?, id)", [list(pass_ids)])
        self.version += 1
        return int(deleted)

    def add_events(self, events: Iterable[Event]) -> None:
        """Append to the events that Insights can be asked about."""
        text = json.dumps([asdict(event) for event in events])
        self.connection.execute(read_sql("add_events"), {"events": text})

    def truth(self, pass_id: str | None) -> list[dict[str, Any]]:
        """Return what is true of each listed pass: its id, installation dates and identifiers."""
        cursor = self.connection.execute(read_sql("truth"), {"pass_id": pass_id})
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        return [{**row, "identifiers": json.loads(row["identifiers"] or "null")} for row in rows]

    def next_change(self, moments: int) -> tuple[int, int]:
        """Count a change to come; return its number, and the time in microseconds from which as many are unused."""
        (last,) = self._row("SELECT last_change FROM backstage.state")
        first = max(micros(datetime.now(UTC)) - moments, last + 1)
        number, _ = self._row(
            "UPDATE backstage.state SET changes = changes + 1, last_change = ? RETURNING changes, last_change",
            [first + moments],
        )
        return number, first

    def _row(self, sql: str, parameters: list[Any] | None = None) -> tuple[Any, ...]:
        row = self.connection.execute(sql, parameters).fetchone()
        if row is None:
            raise LookupError(f"no row from: {sql}")
        return row
