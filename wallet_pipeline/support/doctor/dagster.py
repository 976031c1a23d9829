"""Dagster's own book of runs, read as the SQLite file that it is: how did each job go last, and does the daemon run."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from wallet_pipeline.collect.webhooks.inbox import reading_only
from wallet_pipeline.support.doctor.finding import Finding, each, ok, problem, warning
from wallet_pipeline.support.doctor.installation import Installation
from wallet_pipeline.support.doctor.queries import query
from wallet_pipeline.support.doctor.words import age

# The daemon writes its heartbeat every half minute.
_LONGEST_PAUSE = timedelta(minutes=5)


def examine_dagster(installation: Installation) -> Iterator[Finding]:
    """Yield what is to be said of the jobs, by Dagster's storage as dagster.yaml places it."""
    return each({"jobs": partial(_jobs, installation), "daemon": partial(_daemon, installation)})


def _jobs(installation: Installation) -> Iterator[Finding]:
    if not (file := _book(installation)).exists():
        yield ok(f"There is no {file}: no run was started here, or dagster.yaml names another storage.")
        return
    with reading_only(file) as con:
        jobs = con.execute(query("last_runs")).fetchall()
    for job, ended_at, failures, mended in jobs:
        old = installation.clock() - datetime.fromtimestamp(ended_at, UTC)
        text = f"The last run of `{job}` ended {age(old)} ago"
        if not failures:
            yield ok(f"{text} and went well.")
        elif mended:
            yield ok(f"{text} and failed; single assets were materialised well since.")
        else:
            yield problem(
                f"{text} and failed, as {failures} in a row did.",
                "The reason stands in the UI under Runs, and for a run from the command line in .dagster/headless.log.",
            )
    if not jobs:
        yield ok("No run of a job has ended here yet.")


def _daemon(installation: Installation) -> Iterator[Finding]:
    if not (file := _book(installation)).exists():
        return
    with reading_only(file) as con:
        last = _last_heartbeat(con)
    if last is None:
        yield ok("Dagster's daemon has never run here: schedules and sensor start nothing.")
    elif (old := installation.clock() - last) <= _LONGEST_PAUSE:
        yield ok("Dagster's daemon runs.")
    else:
        yield warning(
            f"Dagster's daemon was last seen {age(old)} ago: schedules and sensor start nothing.",
            "Start `dagster-daemon run` again, or `dagster dev`: docs/setup.md, Schedules.",
        )


def _last_heartbeat(con: sqlite3.Connection) -> datetime | None:
    (last,) = con.execute("SELECT max(timestamp) FROM daemon_heartbeats").fetchone()
    return datetime.fromisoformat(last).replace(tzinfo=UTC) if last else None


def _book(installation: Installation) -> Path:
    return installation.dagster_home / ".dagster" / "storage" / "history" / "runs.db"
