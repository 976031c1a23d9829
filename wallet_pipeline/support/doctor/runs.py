"""What the warehouse says of runs: the newest snapshot, plan, deliveries and day of Insights."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial

import duckdb

from wallet_pipeline.collect.pass_snapshot import LATE_AFTER, TOO_LATE_AFTER
from wallet_pipeline.support.doctor.finding import Check, Finding, ok, problem, warning
from wallet_pipeline.support.doctor.installation import Installation
from wallet_pipeline.support.doctor.queries import query
from wallet_pipeline.support.doctor.words import age, many
from wallet_pipeline.warehouse.connection import naive
from wallet_pipeline.warehouse.queries import aware, one_row

_RUN = "Start `wallet-pipeline run`, and see that it is started every day: docs/setup.md, Schedules."
_A_MONTH, _AN_HOUR = timedelta(days=30), timedelta(hours=1)


def run_checks(con: duckdb.DuckDBPyConnection, installation: Installation) -> dict[str, Check]:
    """Return the checks of what runs have left in the warehouse."""
    now = installation.clock()
    return {
        "snapshot": partial(_snapshot, con, now),
        "plan": partial(_plan, con, now),
        "deliveries": partial(_deliveries, con, now),
        "Insights": partial(_insights, con, now),
        "names in Insights": partial(_insights_names, con, now),
    }


def _snapshot(con: duckdb.DuckDBPyConnection, now: datetime) -> Iterator[Finding]:
    newest = con.execute(
        "SELECT snapshot_id, started_at, verdict, reason FROM raw.snapshots ORDER BY snapshot_id DESC LIMIT 1"
    ).fetchone()
    if newest and newest[2] == "held":
        yield problem(
            f"The newest snapshot, {age(now - aware(newest[1]))} old, is held and no evidence: {newest[3]}.",
            f"If it is right: `wallet-pipeline run --approve-snapshot {newest[0]}`. Else run again.",
        )
    accepted = con.execute(
        "SELECT started_at, passes, undated, complete FROM raw.snapshots WHERE verdict = 'accepted'"
        " ORDER BY snapshot_id DESC LIMIT 1"
    ).fetchone()
    if not accepted:
        yield warning("No snapshot of the passes was ever accepted.", _RUN)
        return
    started_at, passes, undated, complete = accepted
    whole = "complete" if complete else "approved though incomplete"
    listed = many(passes, "pass", "passes")
    text = f"The newest accepted snapshot is {age(now - aware(started_at))} old: {listed}, {whole}"
    text += f", {many(undated, 'installation')} without a usable date." if undated else "."
    yield _judge_age(text, now - aware(started_at))


def _judge_age(text: str, old: timedelta) -> Finding:
    if old <= LATE_AFTER:
        return ok(text)
    return problem(text, _RUN) if old > TOO_LATE_AFTER else warning(text, _RUN)


def _plan(con: duckdb.DuckDBPyConnection, now: datetime) -> Iterator[Finding]:
    plans = con.execute(query("newest_plans")).fetchall()
    for scope, planned_at, admitted, verdict in plans:
        what = "all customers" if scope == "all" else "changes"
        text = f"The newest plan of {what}, {age(now - aware(planned_at))} old, was"
        yield ok(f"{text} let through: {verdict}") if admitted else problem(f"{text} stopped. {verdict}")
    if not plans:
        yield warning("No plan for the CRM was ever made.", _RUN)


def _deliveries(con: duckdb.DuckDBPyConnection, now: datetime) -> Iterator[Finding]:
    outcomes = con.execute(query("last_outcomes")).fetchall()
    if not outcomes:
        yield ok("Nothing was ever sent to the CRM.")
        return
    counts = ", ".join(f"{deliveries} {outcome}" for outcome, deliveries, _, _ in outcomes)
    last = max(aware(last_at) for *_, last_at in outcomes)
    yield ok(f"Last sent to the CRM {age(now - last)} ago; in the day up to then: {counts}.")
    abandoned = [first_at for outcome, _, first_at, _ in outcomes if outcome == "intended"]
    if abandoned and (old := now - aware(min(abandoned))) > _AN_HOUR:
        yield warning(
            f"A run that began to send {age(old)} ago has not told what became of it: it was killed.",
            "The next run reads these contacts and sends what differs: `wallet-pipeline run`.",
        )


def _insights(con: duckdb.DuckDBPyConnection, now: datetime) -> Iterator[Finding]:
    (day, fetched_at) = one_row(con, "SELECT max(day), max(fetched_at) FROM raw.insights_days")
    if day is None:
        yield warning("No day was ever read from Insights: there are no trends.", _RUN)
        return
    old = now - aware(fetched_at)
    yield _judge_age(f"Insights was last read {age(old)} ago, up to {day}.", old)


def _insights_names(con: duckdb.DuckDBPyConnection, now: datetime) -> Iterator[Finding]:
    events, without_wallet, without_type = one_row(
        con, query("insights_names"), {"since": naive(now - _A_MONTH).date()}
    )
    for name, setting, lacking in (
        ("wallet", "INSIGHTS_DEVICE", without_wallet),
        ("pass type", "INSIGHTS_PASS_TYPE", without_type),
    ):
        if events and lacking == events:
            yield warning(
                f"None of the {events} installs and removals of the last 30 days in Insights names its {name}.",
                f"Set {setting} to the property that does; then `wallet-pipeline run --since` reads the days again.",
            )
