"""Analysts have older drivers: DuckDB 1.4 and 1.5 read all that 2.x reads, and show the same types and comments."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Data

from .conftest import publish_now
from .filled import ROWS, fill

# What `pip install` names; 2.x is the one that the pipeline has.
DRIVERS = ["1.4.*", "1.5.*"]
READ_ALL = """
import hashlib, json, sys
import duckdb

con = duckdb.connect(sys.argv[1], read_only=True)
views = "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal"
described = dict(con.execute(f"SELECT table_name, comment FROM duckdb_tables() UNION ALL {views}").fetchall())
rows = {name: sorted(map(repr, con.execute(f"FROM {name}").fetchall())) for name in described}
columns = "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal ORDER BY ALL"
print(json.dumps({
    "version": duckdb.__version__,
    "tables": described,
    "columns": con.execute(columns).fetchall(),
    "rows": {name: [len(found), hashlib.md5("".join(found).encode()).hexdigest()] for name, found in rows.items()},
}))
"""


def read_all(bi_file: Path, driver: Path | None) -> dict[str, Any]:
    """Return what a driver, or the pipeline's own, reads in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(driver)} if driver else None
    command = [sys.executable, "-c", READ_ALL, str(bi_file)]
    done = subprocess.run(command, env=environment, cwd=bi_file.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture(scope="session")
def driver(request: pytest.FixtureRequest) -> Path:
    """Install a driver into a folder of its own, which is kept for the next time."""
    version = request.param
    kept = request.config.cache.mkdir(f"duckdb-{version[:-2]}-{sys.implementation.cache_tag}")
    if not (kept / "duckdb").exists():
        command = [sys.executable, "-m", "pip", "install", "--no-deps", "--upgrade", "--target", str(kept)]
        done = subprocess.run([*command, f"duckdb=={version}"], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"duckdb {version} could not be installed: {done.stderr.strip().splitlines()[-1]}")
    return Path(kept)


@pytest.mark.parametrize("driver", DRIVERS, indirect=True)
def test_older_driver_reads_the_same(data: Data, bi_file: Path, driver: Path) -> None:
    """Every table and view has the same rows, types and comments, to the last value."""
    with data.open() as con:
        filled = fill(con)
    rows = publish_now(data, bi_file).rows
    newest, older = read_all(bi_file, None), read_all(bi_file, driver)
    assert newest.pop("version").startswith("2.")
    assert driver.name.startswith(f"duckdb-{older.pop('version')[:3]}")
    assert {name: count for name, (count, _) in older["rows"].items()} == rows
    assert {rows[name] for name in filled} == {ROWS}
    assert older == newest
