"""What the doctor finds in the warehouse and in Dagster's book: each kind of damage, with the right next step."""

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import duckdb
import pytest
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.types import DaemonHeartbeat

from tests.collect.deliveries import receive, told
from tests.conftest import Script
from tests.support.doctor.conftest import ROOT, Home, now
from wallet_pipeline.support.doctor.warehouse import judge_room
from wallet_pipeline.warehouse.connection import naive

HOUR_AGO = "now() AT TIME ZONE 'UTC' - INTERVAL 1 HOUR"


def test_warehouse_held_by_another_process_is_told(
    patient: Home, start_script: Callable[[str], Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who holds the warehouse is named without the wait of a run; what needs no table is looked at all the same."""
    monkeypatch.setattr("wallet_pipeline.support.doctor.warehouse.WAREHOUSE_WAIT_S", 0.3)
    file = patient.settings.warehouse_file
    script = start_script(
        f"import duckdb, time; con = duckdb.connect({str(file)!r}); print('held', flush=True); input()"
    )
    script.wait_for("held")
    begun = time.monotonic()
    found = {one.check: one for one in patient.findings("warehouse")}
    assert set(found) == {"room", "staging", "file for analysts", "opens"}
    assert (found["opens"].level, f"(process {script.process.pid})" in found["opens"].sentence) == ("problem", True)
    assert "Close that program, or wait until it is done" in found["opens"].sentence
    assert time.monotonic() - begun < 10


def test_missing_warehouse_is_told_and_not_made(patient: Home) -> None:
    """Before the first run there is no warehouse, and the doctor makes none."""
    patient.settings.warehouse_file.unlink()
    finding = patient.finding("warehouse", "opens")
    assert (finding.level, "`wallet-pipeline run` makes it" in str(finding.next_step)) == ("warning", True)
    assert not patient.settings.warehouse_file.exists()


def test_damaged_warehouse_is_told(patient: Home) -> None:
    """A file that is no warehouse is a problem."""
    patient.settings.warehouse_file.write_bytes(b"no database" * 1000)
    finding = patient.finding("warehouse", "opens")
    assert (finding.level, "cannot be opened" in finding.sentence) == ("problem", True)


def test_warehouse_of_an_earlier_version_is_told(patient: Home) -> None:
    """Tables of an earlier version are neither looked at nor changed."""
    patient.sql("SELECT 1")
    with duckdb.connect(patient.settings.warehouse_file) as con:
        con.execute("DELETE FROM schema_migrations WHERE name LIKE '003%'")
    finding = patient.finding("warehouse", "opens")
    assert (finding.level, "of an earlier version" in finding.sentence) == ("warning", True)
    with duckdb.connect(patient.settings.warehouse_file) as con:
        assert con.execute("SELECT count(*) FROM schema_migrations WHERE name LIKE '003%'").fetchall() == [(0,)]


def test_empty_warehouse_is_told(patient: Home) -> None:
    """A run that died before it made the first table leaves a file that is of no version."""
    patient.settings.warehouse_file.unlink()
    duckdb.connect(patient.settings.warehouse_file).close()
    assert "of an earlier version" in patient.finding("warehouse", "opens").sentence


@pytest.mark.parametrize(
    ("warehouse", "free", "level"),
    [(10 * 2**30, 50 * 2**30, "ok"), (10 * 2**30, 15 * 2**30, "warning"), (2**20, 100 * 2**20, "problem")],
)
def test_room_on_the_disk_is_judged(warehouse: int, free: int, level: str) -> None:
    """Room for twice the warehouse is enough, less is a warning, next to none is a problem."""
    assert [one.level for one in judge_room(warehouse, free)] == [level]


def test_leftovers_are_told_and_held_snapshots_are_none(patient: Home) -> None:
    """Work files untouched for a day are told; a held snapshot waits for its approval, however old it is."""
    staging = patient.settings.staging_dir
    for name in ("reading-ab.duckdb", "plan-cd.duckdb", "held-20260101T000000.duckdb"):
        (staging / name).write_bytes(b"x" * 1024)
        os.utime(staging / name, (time.time() - 90_000,) * 2)
    (staging / "plan-ef.duckdb").write_bytes(b"in use")
    finding = patient.finding("warehouse", "staging")
    assert (finding.level, finding.sentence.startswith("2 work files")) == ("warning", True)
    assert "The next run of that kind removes them" in str(finding.next_step)


@pytest.mark.parametrize(("hours", "level"), [(20, "ok"), (27, "warning"), (40, "problem")])
@pytest.mark.parametrize("check", ["snapshot", "Insights", "file for analysts"])
def test_what_is_made_daily_is_told_when_it_is_late(home: Home, check: str, hours: int, level: str) -> None:
    """After 26 hours a warning, after 36 a problem, as the freshness of the assets says."""
    assert home.later(hours=hours).finding("warehouse", check).level == level


def test_held_snapshot_is_told_with_its_approval(patient: Home) -> None:
    """A snapshot that stopped the last run is told with the reason and the command that admits it."""
    patient.sql(
        "INSERT INTO raw.snapshots (snapshot_id, started_at, verdict, reason)"
        f" VALUES ('29990101T000000.000000Z-1', {HOUR_AGO}, 'held', 'shrunken: 2 passes, 12 in the last one')"
    )
    held, accepted = patient.findings("warehouse", "snapshot")
    assert (held.level, accepted.level, "shrunken: 2 passes" in held.sentence) == ("problem", "ok", True)
    assert "`wallet-pipeline run --approve-snapshot 29990101T000000.000000Z-1`" in str(held.next_step)


def add_plan(home: Home, scope: str, *, admitted: bool, hours_ago: float) -> None:
    """Book a plan with a verdict."""
    home.sql(
        "INSERT INTO crm.plans (plan_id, planned_at, admitted, verdict, scope) VALUES (uuid(), ?, ?, ?, ?)",
        [naive(now() - timedelta(hours=hours_ago)), admitted, "approve just this plan: wallet-pipeline run …", scope],
    )


def test_stopped_plan_is_told_with_its_approval(patient: Home) -> None:
    """A plan that stopped a run is told with its verdict, which says how to approve it."""
    add_plan(patient, "all", admitted=False, hours_ago=0)
    finding = patient.finding("warehouse", "plan")
    assert (finding.level, "was stopped. approve just this plan" in finding.sentence) == ("problem", True)


def test_stopped_plan_of_changes_is_told_until_a_plan_of_all_follows(patient: Home) -> None:
    """A stopped plan of changes is told beside the last plan of all customers, and no more after a newer one."""
    patient.sql("UPDATE crm.plans SET planned_at = planned_at - INTERVAL 1 DAY")
    add_plan(patient, "changes", admitted=False, hours_ago=1)
    assert [one.level for one in patient.findings("warehouse", "plan")] == ["ok", "problem"]
    add_plan(patient, "all", admitted=True, hours_ago=0.5)
    assert [one.level for one in patient.findings("warehouse", "plan")] == ["ok"]


def test_outcomes_of_the_last_day_are_counted(home: Home) -> None:
    """What became of the last deliveries is told."""
    assert "in the day up to then: 12 verified." in home.finding("warehouse", "deliveries").sentence


def test_run_that_died_while_sending_is_told(patient: Home) -> None:
    """Deliveries that are still intended an hour later are told with what the next run does."""
    patient.sql("UPDATE crm.deliveries SET outcome = 'intended'")
    assert [one.level for one in patient.findings("warehouse", "deliveries")] == ["ok"]
    _, died = patient.later(hours=2).findings("warehouse", "deliveries")
    assert (died.level, "has not told what became of it" in died.sentence) == ("warning", True)


def test_wrong_name_of_a_property_in_insights_is_told(patient: Home) -> None:
    """Events of which none names its wallet are told with the setting that says where it stands."""
    patient.sql(
        "INSERT INTO raw.insights_daily VALUES (current_date - 1, 'Pass:Installed', 'loyalty', '', 7, 7),"
        " (current_date - 1, 'Pass:Updated', '', 'apple', 3, 3)"
    )
    finding = patient.finding("warehouse", "names in Insights")
    assert "None of the 7 installs and removals of the last 30 days in Insights names its wallet" in finding.sentence
    assert "Set INSIGHTS_DEVICE" in str(finding.next_step)


def add_events(home: Home, deliveries: int, events: int) -> None:
    """Book so many deliveries of so many events."""
    home.sql(
        "INSERT INTO raw.wallet_events (pass_id, wallet, kind, event_id, occurred_at, received_at)"
        f" SELECT 'p', 'apple', 'installed', (n % ?)::VARCHAR, {HOUR_AGO}, {HOUR_AGO} FROM range(?) r (n)",
        [events, deliveries],
    )


def test_many_repeated_deliveries_are_told(patient: Home) -> None:
    """Events that come again and again are told with their share, since when, and why senders do that."""
    add_events(patient, deliveries=30, events=10)
    finding = patient.finding("warehouse", "repetition")
    assert (
        finding.level,
        "Of 31 events delivered in the last 7 days 20 (65%) had come before, since" in finding.sentence,
    ) == (
        "warning",
        True,
    )
    assert "what is not answered with 2xx in time" in str(finding.next_step)


def test_some_repeated_deliveries_are_usual(patient: Home) -> None:
    """A few repetitions are told and no reason to worry."""
    add_events(patient, deliveries=22, events=20)
    finding = patient.finding("warehouse", "repetition")
    assert (finding.level, " 2 (9%) had come before" in finding.sentence) == ("ok", True)


def test_unusable_deliveries_are_told_by_reason(patient: Home) -> None:
    """Deliveries that were not understood are told by reason; events of another kind are no warning."""
    reasons = [
        "no pass id",
        "no pass id",
        "not JSON: Expecting value",
        "event type is no install or uninstall: Pass:Created",
    ]
    for reason in reasons:
        patient.sql(f"INSERT INTO raw.unusable_deliveries VALUES (1, {HOUR_AGO}, 'webhook', ?)", [reason])
    found = {
        one.sentence.partition(", the last")[0]: one for one in patient.findings("warehouse", "unusable deliveries")
    }
    assert {text.rpartition(": ")[2]: one.level for text, one in found.items()} == {
        "2 deliveries (no pass id)": "warning",
        "1 delivery (event type is no install or uninstall)": "ok",
        "1 delivery (not JSON)": "warning",
    }
    assert "`wallet-pipeline replay`" in str(next(iter(found.values())).next_step)


def test_backlog_in_the_inbox_is_told(patient: Home) -> None:
    """Deliveries that wait for long are told with what should take them over; a few minutes are nothing."""
    arrived = int(now().timestamp() * 1e6)
    receive(patient.settings.inbox_file, [told(1), told(2)], at=arrived)
    assert patient.later(minutes=5).finding("warehouse", "backlog").level == "ok"
    finding = patient.later(minutes=15).finding("warehouse", "backlog")
    assert (finding.level, "In the inbox 2 deliveries wait to be taken over" in finding.sentence) == ("warning", True)
    assert "is the sensor `changes_sensor` switched on" in str(finding.next_step)


def test_inbox_begun_anew_is_told(patient: Home) -> None:
    """An inbox that ends before what was taken over was put back or begun anew."""
    patient.sql("UPDATE raw.inbox_cursor SET delivery_id = 9e18::BIGINT")
    finding = patient.finding("warehouse", "backlog")
    assert (finding.level, "was put back or begun anew" in finding.sentence) == ("warning", True)


def test_silence_is_told(home: Home) -> None:
    """A pause between deliveries that is longer than usual is told; an hour is none."""
    assert home.later(minutes=50).finding("warehouse", "silence").level == "ok"
    finding = home.later(hours=3).finding("warehouse", "silence")
    assert (finding.level, "3.0 h ago; up to 1.0 h is usual" in finding.sentence) == ("warning", True)
    assert "docs/troubleshooting.md, Events that do not arrive" in str(finding.next_step)


def test_what_waits_in_the_inbox_breaks_the_silence(patient: Home) -> None:
    """A delivery that nobody has taken over yet did arrive."""
    receive(patient.settings.inbox_file, [told(1)], at=int((now() + timedelta(hours=3)).timestamp() * 1e6))
    assert patient.later(hours=3.5).finding("warehouse", "silence").level == "ok"


def test_first_delivery_that_never_came_is_told(patient: Home) -> None:
    """With a secret set and no delivery ever there is a warning."""
    patient.sql("DELETE FROM raw.wallet_events")
    for file in patient.settings.data_dir.glob("inbox*"):
        file.unlink()
    finding = patient.finding("warehouse", "silence")
    assert (finding.level, "No delivery has ever been received" in finding.sentence) == ("warning", True)


def test_events_that_never_arrived_are_told(patient: Home) -> None:
    """Events that Insights counted and that were not delivered are told with their share."""
    patient.sql(
        "INSERT INTO wallet.event_arrivals VALUES (current_date - 1, 'apple', 'installed', 100, 90, TRUE, 0.1, 1, 2)"
    )
    finding = patient.finding("warehouse", "arrivals")
    assert (finding.level, "10 of 100 events of the last complete day (10.0%" in finding.sentence) == ("warning", True)


def test_changes_that_do_not_get_on_are_told(patient: Home) -> None:
    """Changed customers that are due for longer than they may take to settle are told."""
    patient.sql(f"INSERT INTO wallet.changed_customers VALUES ('customerId=C-1', 1, {HOUR_AGO}, NULL)")
    finding = patient.finding("warehouse", "changes")
    assert (finding.level, "Changed customers: 1 due for the CRM" in finding.sentence) == ("warning", True)


def reject(home: Home, error_class: str, next_step: str, hours_ago: float = 1) -> None:
    """List a customer whose truth the CRM does not hold."""
    home.sql(
        "INSERT INTO crm.rejections (customer_key, error_class, message, next_step, first_at, last_at, attempts)"
        " VALUES (uuid(), ?, 'm', ?, ?, ?, 3)",
        [error_class, next_step, naive(now() - timedelta(hours=hours_ago)), naive(now())],
    )


def test_rejections_are_told_by_class_with_age_and_next_step(patient: Home) -> None:
    """Open rejections are told by what is to be done; what passes by itself is no warning for a day."""
    reject(patient, "data", "Correct it.", hours_ago=50)
    reject(patient, "data", "Correct it.")
    reject(patient, "transient", "Nothing.")
    reject(patient, "config", "Check the property.")
    found = {
        one.sentence.partition("(")[2].partition(")")[0]: one for one in patient.findings("warehouse", "rejections")
    }
    assert {name: one.level for name, one in found.items()} == {
        "data": "warning",
        "transient": "ok",
        "config": "problem",
    }
    assert "Of 2 customers" in found["data"].sentence
    assert "of the first for 2.1 days, met by up to 3 runs" in found["data"].sentence
    assert found["data"].next_step == "Correct it. The table crm_rejections lists them."
    later = patient.later(hours=30).findings("warehouse", "rejections")
    assert sorted(one.level for one in later) == ["problem", "warning", "warning"]


def test_fights_are_told_with_both_sides(patient: Home) -> None:
    """A field that somebody keeps overwriting is told with who overwrites whom, until a week after the last time."""
    for days_ago in (1, 2, 3):
        moment = naive(now() - timedelta(days=days_ago))
        patient.sql(
            "INSERT INTO crm.drift (customer_key, record_id, field, expected, found, found_at, repaired_at, changed_by,"
            " written_by) VALUES ('customerId=C-1', '1', 'wallet_status', 'apple', 'none', ?, ?, 'workflow 12',"
            " 'app 815')",
            [moment, moment],
        )
    finding = patient.finding("warehouse", "fights")
    assert (finding.level, "wallet_status, workflow 12 against app 815 (1)" in finding.sentence) == ("warning", True)
    assert "docs/crm-sync.md, Fights, says how to find them" in finding.sentence
    assert patient.later(days=8).finding("warehouse", "fights").level == "ok"


def unmatch(home: Home, *identifiers: Any) -> None:
    """Let passes with these identifiers be in no customer."""
    for number, one in enumerate(identifiers):
        text = None if one is None else json.dumps(one)
        home.sql("INSERT INTO wallet.unmatched_passes VALUES (?, 'loyalty', ?, TRUE)", [f"u-{number}", text])
        home.sql("INSERT INTO wallet.pass_customers (pass_id, resolution) VALUES (?, 'unmatched')", [f"u-{number}"])


def test_unmatched_passes_are_told_with_what_they_do_bear(patient: Home) -> None:
    """Passes without a customer are told with the identifiers that they bear, and how to use one."""
    bearing = {"y2.memberId": "M-1", "customerId": "  "}
    unmatch(
        patient,
        bearing,
        bearing,
        {"y2.memberId": 7, "customerId": ["C-1"]},
        {},
        None,
        {"flag": True, "email": "\u00a0"},
    )
    finding = patient.finding("warehouse", "unmatched passes")
    assert finding.level == "warning"
    assert finding.sentence == (
        "In no customer: 6 of 18 passes (33.3%). Of these 2 bear no identifier; 3 bear `y2.memberId`;"
        " 3 bear `customerId` without a usable value; 1 bear `email` without a usable value;"
        " 1 bear `flag` without a usable value."
    )
    assert "If `y2.memberId` names a customer, add it to IDENTIFIER_ORDER, spelled just so" in str(finding.next_step)


def test_few_unmatched_passes_are_usual(patient: Home) -> None:
    """Up to MAX_UNMATCHED_SHARE passes without a customer are told and no warning."""
    unmatch(patient, {"memberId": "M-1"})
    finding = patient.finding("warehouse", "unmatched passes")
    assert (finding.level, "If `memberId` names a customer" in str(finding.next_step)) == ("ok", True)


def test_identifier_in_another_spelling_is_told_however_few(patient: Home) -> None:
    """A name that differs from one in IDENTIFIER_ORDER in capitals alone is a mistake."""
    unmatch(patient, {"customerID": "C-1"})
    finding = patient.finding("warehouse", "unmatched passes")
    assert (finding.level, "If `customerID` names a customer" in str(finding.next_step)) == ("warning", True)


def test_passes_without_any_other_identifier_have_a_next_step(patient: Home) -> None:
    """Where no identifier could be used, the passes need one."""
    unmatch(patient, {}, {}, {})
    step = str(patient.finding("warehouse", "unmatched passes").next_step)
    assert step.startswith("Give these passes one of customerId, accountId, email")


def test_identity_conflicts_are_told(patient: Home) -> None:
    """A shared value alone is told; passes in no customer because of it are a warning."""
    patient.sql("INSERT INTO wallet.identity_conflicts VALUES ('shared', 'email', 'a@x.test', NULL, ['a', 'b'])")
    assert patient.finding("warehouse", "identity conflicts").level == "ok"
    patient.sql("INSERT INTO wallet.identity_conflicts VALUES ('conflict', 'email', 'a@x.test', 'p-1', ['a', 'b'])")
    finding = patient.finding("warehouse", "identity conflicts")
    assert (finding.level, "1 pass in no customer because of it" in finding.sentence) == ("warning", True)
    assert "a@x.test" not in finding.sentence


def test_erasure_that_was_broken_off_is_told(patient: Home) -> None:
    """One without an end is a warning, with the command that ends it."""
    patient.sql("INSERT INTO raw.erasures VALUES (now()::TIMESTAMP, 1, 9, now()::TIMESTAMP)")
    assert patient.finding("warehouse", "erasures").level == "ok"
    patient.sql("INSERT INTO raw.erasures VALUES (now()::TIMESTAMP, 1, 9, NULL)")
    finding = patient.finding("warehouse", "erasures")
    assert (finding.level, "1 erasure of 2 was broken off" in finding.sentence) == ("warning", True)
    assert "`wallet-pipeline forget`" in str(finding.next_step)


@pytest.fixture
def dagster_storage(patient: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Give Dagster's storage of the installation, as dagster.yaml places it."""
    (patient.folder / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    monkeypatch.chdir(patient.folder)
    with dg.DagsterInstance.from_config(str(patient.folder)) as instance:
        yield instance


def end_run(instance: dg.DagsterInstance, job: str, *, succeeds: bool) -> None:
    """Book a run of a job in Dagster, to its good or bad end."""
    run = create_run_for_test(instance, job_name=job, status=dg.DagsterRunStatus.STARTED)
    end = dg.DagsterEventType.RUN_SUCCESS if succeeds else dg.DagsterEventType.RUN_FAILURE
    instance.report_dagster_event(dg.DagsterEvent(end.value, job), run.run_id)


def test_failed_runs_are_told(patient: Home, dagster_storage: dg.DagsterInstance) -> None:
    """A job whose last runs failed is a problem, one whose last run went well is not."""
    for job, ends in {"daily": (True, False, False), "insights": (False, True)}.items():
        for succeeds in ends:
            end_run(dagster_storage, job, succeeds=succeeds)
    daily, insights = patient.findings("Dagster", "jobs")
    assert (daily.level, "The last run of `daily` ended" in daily.sentence) == ("problem", True)
    assert "and failed, as 2 in a row did" in daily.sentence
    assert ".dagster/headless.log" in str(daily.next_step)
    assert (insights.level, "and went well" in insights.sentence) == ("ok", True)
    end_run(dagster_storage, "__ASSET_JOB", succeeds=True)
    assert [one.level for one in patient.findings("Dagster", "jobs")] == ["ok", "ok"]


def test_daemon_that_stopped_is_told(patient: Home, dagster_storage: dg.DagsterInstance) -> None:
    """A daemon that ran once and runs no more is a warning; one that never ran, or runs, is none."""
    assert patient.finding("Dagster", "daemon").level == "ok"
    dagster_storage.add_daemon_heartbeat(DaemonHeartbeat(time.time(), "SENSOR", None))
    assert patient.finding("Dagster", "daemon").level == "ok"
    finding = patient.later(hours=1).finding("Dagster", "daemon")
    assert (finding.level, "last seen 1.0 h ago" in finding.sentence) == ("warning", True)
