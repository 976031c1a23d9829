"""The golden cases of the status rules, from evidence to rows."""

import json
import os
from pathlib import Path
from typing import Any

import duckdb
import pytest

from .evidence import add_events, add_snapshot, derive, derived

CASES = Path(os.environ.get("STATUS_CASES", Path(__file__).parent.parent / "cases" / "status-cases.json"))
SCENARIOS = json.loads(CASES.read_text())["scenarios"]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
def test_scenario(scenario: dict[str, Any], warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """The evidence of the case gives exactly its expected rows."""
    for snapshot in scenario["input"]["snapshots"]:
        add_snapshot(warehouse, tmp_path, snapshot)
    add_events(warehouse, scenario["input"]["events"])
    derive(warehouse)
    expected = {
        name: sorted(rows, key=lambda row: json.dumps(row, sort_keys=False, ensure_ascii=False))
        for name, rows in scenario["expected"].items()
    }
    actual = {
        name: sorted(rows, key=lambda row: json.dumps(row, sort_keys=False, ensure_ascii=False))
        for name, rows in derived(warehouse).items()
    }
    assert actual == expected
