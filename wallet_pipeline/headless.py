"""Dagster runs without the UI: each a process of its own, in the same instance as the runs of the UI."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.warehouse.staging import one_at_a_time


class InstanceError(ExplainedError):
    """Dagster's own storage cannot be made."""


Say = Callable[[str], None]

_MODULE = "wallet_pipeline.definitions"
# What a stage logs, and the message of a failure; the rest of Dagster's output is for the log file.
_LOGGED = re.compile(r"^\S+ (\S+) \S+ - dagster - (?:INFO|WARNING|ERROR) - \w+ - [0-9a-f-]{36} - ([a-z_]+) - (.*)$")
_FAILED = re.compile(r"^dagster\.\S+\.Failure: (.*)$")
# Channels have time limits of their own: this is for what they cannot foresee.
_ALERTS_S = 120
_SKIPPED = "Dependencies for step"


def run_insights(env: Mapping[str, str], say: Say, first: date, last: date) -> bool:
    """Read the UTC days from `first` to `last` from Insights in one run; return whether it succeeded."""
    tags = {
        "dagster/asset_partition_range_start": str(first),
        "dagster/asset_partition_range_end": str(last),
    }
    return _dagster(["job", "execute", "-m", _MODULE, "-j", "insights", "--tags", json.dumps(tags)], env, say)


def run_daily(env: Mapping[str, str], say: Say, approve_snapshot: str = "") -> bool:
    """Run the daily job, with an approval for a held snapshot if there is one; return whether it succeeded."""
    config: dict[str, Any] = {}
    if approve_snapshot:
        config = {"ops": {"pass_snapshot": {"config": {"approve_snapshot": approve_snapshot}}}}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump(config, file)
        file.flush()
        return _dagster(["job", "execute", "-m", _MODULE, "-j", "daily", "-c", file.name], env, say)


def run_approved_plan(env: Mapping[str, str], say: Say, plan_hash: str) -> bool:
    """Plan anew; if the plan is still the approved one, write it; return whether it succeeded."""
    config = {"ops": {"crm_plan": {"config": {"approve_plan": plan_hash}}}}
    select = ["--select", "crm_plan,crm_contacts,reconciliation,bi_database", "--config-json", json.dumps(config)]
    return _dagster(["asset", "materialize", "-m", _MODULE, *select], env, say)


def tell_alerts(env: Mapping[str, str], say: Say, failed_since: float | None) -> None:
    """Let people be told of what the runs that have ended show; what goes wrong with that is said, and no more.

    `failed_since` is when runs were started of which some failed, in seconds since 1970; None when all went well.
    """
    command = [sys.executable, "-m", "wallet_pipeline.defs.alerts"]
    command += ["--failed-since", str(failed_since)] if failed_since else []
    try:
        done = subprocess.run(  # noqa: S603
            command, env=env, cwd=env["DAGSTER_HOME"], capture_output=True, text=True, check=False, timeout=_ALERTS_S
        )
    except subprocess.TimeoutExpired:
        say("Alerts took too long and were given up; the next run tries them again.")
        return
    with log_file(env).open("a") as everything:
        everything.write(done.stderr)
    if done.stderr.strip():
        say(f"Alerts: {done.stderr.strip().splitlines()[-1]}")


def dagster_environment(home: Path) -> dict[str, str]:
    """Return this process's environment with DAGSTER_HOME, which Dagster wants absolute."""
    return os.environ | {"DAGSTER_HOME": str(home.resolve())}


def log_file(env: Mapping[str, str]) -> Path:
    """Return the file that holds everything that the runs from the command line printed."""
    return Path(env["DAGSTER_HOME"]) / ".dagster" / "headless.log"


def create_instance(env: Mapping[str, str]) -> None:
    """Create Dagster's storage if there is none: two runs that create it at once would break it for good."""
    folder = log_file(env).parent
    with one_at_a_time(folder, "created"):
        created = folder / "created"
        if not created.exists():
            if reason := _reason_to_fail(["run", "list", "--limit", "1"], env):
                raise InstanceError(
                    f"Dagster cannot create its storage in {folder}: {reason}. Check the"
                    " folder's rights, the free disk space and dagster.yaml."
                )
            created.touch()


def start_sensor(env: Mapping[str, str], workspace: Path, name: str) -> None:
    """Switch a sensor on, as a click in the UI does; the daemon looks at it from then on. Raises InstanceError."""
    if reason := _reason_to_fail(["sensor", "start", name, "-w", str(workspace)], env):
        raise InstanceError(f"Dagster cannot switch the sensor {name} on: {reason}. Check {workspace}.")


def _reason_to_fail(arguments: list[str], env: Mapping[str, str]) -> str | None:
    """Run a short command of Dagster and return the last line of its complaint; None when it succeeded."""
    command = [sys.executable, "-m", "dagster", *arguments]
    done = subprocess.run(  # noqa: S603
        command, env=env, cwd=env["DAGSTER_HOME"], capture_output=True, text=True, check=False
    )
    return (done.stderr.strip().splitlines() or ["it gave no reason"])[-1] if done.returncode else None


def _dagster(arguments: list[str], env: Mapping[str, str], say: Say) -> bool:
    """Run Dagster's command; say what matters, write all of it to the log file; return whether it succeeded."""
    log = log_file(env)
    create_instance(env)
    command = [sys.executable, "-m", "dagster", *arguments]
    with (
        log.open("a") as everything,
        subprocess.Popen(  # noqa: S603
            command, env=env, cwd=env["DAGSTER_HOME"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        try:
            for line in _worth_saying(_copied(process.stdout or (), everything.write)):
                say(line)
        except BaseException as error:
            # Nobody watches any more: the run must not go on towards the CRM.
            process.terminate()
            if isinstance(error, KeyboardInterrupt | SystemExit):
                say("The run was broken off; what was good before stands, and `wallet-pipeline run` begins again.")
            raise
    if process.returncode:
        say(f"The run failed. All that it printed stands in {log}.")
    return process.returncode == 0


def _copied(lines: Iterable[str], write: Callable[[str], object]) -> Iterator[str]:
    for line in lines:
        write(line)
        yield line.rstrip("\n")


def _worth_saying(lines: Iterable[str]) -> Iterator[str]:
    said = set()
    for line in lines:
        if (failed := _FAILED.match(line)) and failed[1] not in said:
            said.add(failed[1])
            yield failed[1]
        elif (logged := _LOGGED.match(line)) and not logged[3].startswith(_SKIPPED):
            yield f"{logged[1]} {logged[2]}: {logged[3]}"
