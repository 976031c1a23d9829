"""Dagster runs without the UI: each a process of its own, in the same instance as the runs of the UI."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import IO, Any

_MODULE = "wallet_pipeline.definitions"


def run_insights(first: date, last: date, env: Mapping[str, str], output: IO[str] | None = None) -> bool:
    """Read the UTC days from `first` to `last` from Insights in one run; return whether it succeeded."""
    tags = {
        "dagster/asset_partition_range_start": str(first),
        "dagster/asset_partition_range_end": str(last),
    }
    return _dagster(["job", "execute", "-m", _MODULE, "-j", "insights", "--tags", json.dumps(tags)], env, output)


def run_daily(env: Mapping[str, str], approve_snapshot: str = "", output: IO[str] | None = None) -> bool:
    """Run the daily job, with an approval for a held snapshot if there is one; return whether it succeeded."""
    config: dict[str, Any] = {}
    if approve_snapshot:
        config = {"ops": {"pass_snapshot": {"config": {"approve_snapshot": approve_snapshot}}}}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump(config, file)
        file.flush()
        return _dagster(["job", "execute", "-m", _MODULE, "-j", "daily", "-c", file.name], env, output)


def run_approved_plan(env: Mapping[str, str], plan_hash: str, output: IO[str] | None = None) -> bool:
    """Plan anew; if the plan is still the approved one, write it; return whether it succeeded."""
    config = {"ops": {"crm_plan": {"config": {"approve_plan": plan_hash}}}}
    select = ["--select", "crm_plan,crm_contacts,bi_database", "--config-json", json.dumps(config)]
    return _dagster(["asset", "materialize", "-m", _MODULE, *select], env, output)


def dagster_environment(home: Path) -> dict[str, str]:
    """Return this process's environment with DAGSTER_HOME, which Dagster wants absolute."""
    return os.environ | {"DAGSTER_HOME": str(home.resolve())}


def _dagster(arguments: list[str], env: Mapping[str, str], output: IO[str] | None) -> bool:
    command = [sys.executable, "-m", "dagster", *arguments]
    home = env["DAGSTER_HOME"]
    done = subprocess.run(command, env=env, cwd=home, stdout=output, stderr=output, check=False)  # noqa: S603
    return done.returncode == 0
