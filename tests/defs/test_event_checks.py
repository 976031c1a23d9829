"""The checks that notice when events do not arrive."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from tests.conftest import Data

from .conftest import definitions, now

FIRST_STEPS = ("signatures", "endpoint", "retries", "docs/troubleshooting.md")


@dataclass(frozen=True)
class Warehouse:
    """A warehouse with deliveries in it, and the checks that look at it."""

    data: Data
    instance: dg.DagsterInstance

    def receive(self, *times: datetime, late: timedelta = timedelta(0)) -> None:
        """Let installs come at these times, a while after they happened."""
        with self.data.open() as con:
            for time in times:
                con.execute(
                    "INSERT INTO raw.wallet_events (pass_id, wallet, kind, event_id, occurred_at, received_at)"
                    " VALUES ('p', 'apple', 'installed', gen_random_uuid(), ?, ?)",
                    [time - late, time],
                )

    def count(self, day: datetime, events: int) -> None:
        """Let Insights have counted installs of a day, just now, and compare."""
        with self.data.open() as con:
            con.execute("INSERT INTO raw.insights_days VALUES (?, ?)", [day.date(), now()])
            con.execute(
                "INSERT INTO raw.insights_daily VALUES (?, 'Pass:Installed', '', 'apple', ?, 1)", [day.date(), events]
            )
        (event,) = self._run(dg.AssetKey("event_arrivals")).get_asset_materialization_events()
        assert event.materialization.metadata["dagster/row_count"].value == self._rows()

    def check(self, asset: str, name: str) -> dg.AssetCheckEvaluation:
        """Evaluate a check."""
        (evaluation,) = self._run(dg.AssetCheckKey(dg.AssetKey(asset), name)).get_asset_check_evaluations()
        return evaluation

    def _run(self, key: dg.AssetKey | dg.AssetCheckKey) -> dg.ExecuteInProcessResult:
        assets = {key} if isinstance(key, dg.AssetKey) else set()
        checks = {key} if isinstance(key, dg.AssetCheckKey) else set()
        job = definitions().resolve_job_def("daily").get_subset(asset_selection=assets, asset_check_selection=checks)
        return job.execute_in_process(instance=self.instance)

    def _rows(self) -> int:
        return len(self.data.rows("FROM wallet.event_arrivals"))

    def arrive(self) -> dg.AssetCheckEvaluation:
        """Evaluate whether events arrive."""
        return self.check("event_arrivals", "events_arrive")

    def speak(self) -> dg.AssetCheckEvaluation:
        """Evaluate whether deliveries still come."""
        return self.check("wallet_events", "not_silent")


@pytest.fixture
def warehouse(tmp_path: Path, data: Data, monkeypatch: pytest.MonkeyPatch) -> Iterator[Warehouse]:
    """Give an empty warehouse, configured."""
    monkeypatch.chdir(tmp_path)  # no .env
    monkeypatch.setenv("DATA_DIR", str(data.folder))
    with dg.DagsterInstance.ephemeral() as instance:
        yield Warehouse(data, instance)


def noon(days_ago: int) -> datetime:
    """Return noon of a day: too far from midnight for a test to cross it."""
    return now().replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=days_ago)


def ago(hours: float) -> datetime:
    """Return the moment some hours ago."""
    return now() - timedelta(hours=hours)


def test_missing_events_are_a_warning_with_the_first_steps(warehouse: Warehouse) -> None:
    """A share above 1 % of a week's events warns, tells how late the others were, and where to look."""
    warehouse.receive(noon(9))
    warehouse.receive(*[noon(3)] * 98, late=timedelta(seconds=4))
    warehouse.count(noon(3), 100)
    found = warehouse.arrive()
    text = found.description or ""
    assert (found.passed, found.severity, found.blocking) == (False, dg.AssetCheckSeverity.WARN, False)
    assert text.startswith("2 of 100 events of the last complete day (2.0%, limit 1%) never arrived.")
    assert "Half of the others came within 4.0 s, 99 % within 4.0 s." in text
    assert all(step in text for step in FIRST_STEPS)


def test_few_missing_events_are_none(warehouse: Warehouse) -> None:
    """Exactly 1 % is allowed, and says how many that were."""
    warehouse.receive(noon(9), *[noon(3)] * 99)
    warehouse.count(noon(3), 100)
    found = warehouse.arrive()
    assert (found.passed, found.metadata["missing_share"].value) == (True, pytest.approx(0.01))
    assert not any(step in (found.description or "") for step in FIRST_STEPS)


def test_nothing_to_compare_is_no_warning(warehouse: Warehouse) -> None:
    """Before the first complete day the check passes and says why."""
    warehouse.receive(noon(3))
    warehouse.count(noon(3), 100)
    found = warehouse.arrive()
    assert (found.passed, "nothing to compare yet" in (found.description or "")) == (True, True)


def test_long_silence_is_a_warning_with_the_first_steps(warehouse: Warehouse) -> None:
    """More than twice the longest pause of the last month warns and says since when."""
    last = ago(50.4)
    warehouse.receive(last - timedelta(hours=24), last)
    found = warehouse.speak()
    text = found.description or ""
    assert (found.passed, found.severity, found.blocking) == (False, dg.AssetCheckSeverity.WARN, False)
    assert f"came at {last:%Y-%m-%d %H:%M} UTC, 50.4 h ago; up to 24.0 h is usual." in text
    assert all(step in text for step in FIRST_STEPS)


def test_usual_silence_is_no_warning(warehouse: Warehouse) -> None:
    """A pause like others of the month passes."""
    warehouse.receive(ago(48), ago(24))
    found = warehouse.speak()
    assert found.passed
    assert not any(step in (found.description or "") for step in FIRST_STEPS)


def test_who_never_received_anything_is_not_warned(warehouse: Warehouse) -> None:
    """Without real time both checks pass with the same sentence."""
    warehouse.count(noon(3), 100)
    sentence = "No delivery has ever been received: real time is not set up."
    for found in (warehouse.arrive(), warehouse.speak()):
        assert (found.passed, found.description) == (True, sentence)
