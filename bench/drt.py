"""The rival of the CRM sync: drt-core, in an environment of its own, at the same writes.

It can write to HubSpot in two ways. Its HubSpot destination sends a request a contact; the address in it is a constant,
which a launcher sets to the stand-in's, and nothing else is changed. Its REST destination sends batches to any address.
A sync of it has one request on its way, so the customers are dealt out to several syncs, which it runs in threads. It
does not look at the limits in HubSpot's answers, and is told the pace. What fails it keeps (`dlq`), and is asked once
to try again.
"""

import json
import os
import subprocess
import venv
from pathlib import Path
from typing import Literal

import duckdb

from bench.measure import Spent, run
from tests.sync.conftest import SYNC_TOKEN

PACKAGE = "drt-core[duckdb]==1.2.1"
Way = Literal["a request a contact", "batches", "batches with trace ids"]

_SQL = Path(__file__).parent
_CONTACTS = "/crm/objects/2026-09"
_PARTS = 8
_LAUNCHER = f"""
import os
import drt.destinations.hubspot as hubspot
hubspot._HUBSPOT_API = os.environ["CRM_URL"] + "{_CONTACTS}"
from drt.cli.main import app
app()
"""
_PROJECT = "name: bench\nprofile: default\n"
_PROFILE = "default: {type: duckdb, database: ':memory:'}\n"
_TRACE = '"objectWriteTraceId": {{ row.customer_id | tojson_safe }}, '


class Drt:
    """drt-core, installed into a folder."""

    def __init__(self, folder: Path) -> None:
        self._python = str(folder / "environment" / "bin" / "python")
        venv.create(folder / "environment", with_pip=True)
        install = [self._python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]
        subprocess.run(install, check=True, stderr=subprocess.DEVNULL)

    def write(self, folder: Path, way: Way, source: Path, url: str, pace: float) -> Spent:
        """Write the customers of a Parquet file, which `export` makes, to the account; the folder is its project."""
        (folder / "syncs").mkdir(parents=True)
        (folder / ".drt").mkdir()
        (folder / "drt_project.yml").write_text(_PROJECT)
        (folder / ".drt" / "profiles.yml").write_text(_PROFILE)
        for part in range(_PARTS):
            sync = _sync(part, _destination(way, url), source, pace)
            (folder / "syncs" / f"part_{part}.yml").write_text(json.dumps(sync))  # JSON is YAML
        return self._command(folder, url, "run", "--threads", str(_PARTS), "--quiet")

    def retry(self, folder: Path, url: str) -> None:
        """Let it try again what failed."""
        for part in range(_PARTS):
            self._command(folder, url, "retry", f"part_{part}")

    def _command(self, folder: Path, url: str, *arguments: str) -> Spent:
        own = {"HOME": str(folder), "HUBSPOT_TOKEN": SYNC_TOKEN, "CRM_URL": url, "DO_NOT_TRACK": "1"}
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | own
        return run([self._python, "-c", _LAUNCHER, *arguments], folder, environment)


def export(warehouse_file: Path, customers: set[str], target: Path) -> None:
    """Write what is true of these customers to a Parquet file, as HubSpot wants the values."""
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{warehouse_file}' AS pipeline (READ_ONLY)")
        values = {"customers": sorted(customers), "parts": _PARTS, "target": str(target)}
        con.execute((_SQL / "rival_rows.sql").read_text(), values)


def _sync(part: int, destination: dict[str, object], source: Path, pace: float) -> dict[str, object]:
    return {
        "name": f"part_{part}",
        "model": f"SELECT customer_id, properties FROM read_parquet('{source}') WHERE part = {part}",
        "destination": destination,
        "sync": {
            "mode": "full",
            "match_policy": "update_only" if destination["type"] == "hubspot" else "upsert",
            "batch_size": 100,
            "on_error": "skip",
            "rate_limit": {"requests_per_second": pace},
            "dlq": {"enabled": True, "max_records": 0},
        },
    }


def _destination(way: Way, url: str) -> dict[str, object]:
    token = {"auth": {"type": "bearer", "token_env": "HUBSPOT_TOKEN"}}
    if way == "a request a contact":
        template = "{{ row.properties | tojson_safe }}"
        hubspot = {"type": "hubspot", "object_type": "contacts", "id_property": "customer_id"}
        return {**hubspot, "properties_template": template, **token}
    trace = _TRACE if way == "batches with trace ids" else ""
    row = f'{{"idProperty": "customer_id", "id": {{{{ row.customer_id | tojson_safe }}}}, {trace}'
    row += '"properties": {{ row.properties | tojson_safe }}}'
    template = '{"inputs": [{% for row in rows %}' + row + "{% if not loop.last %}, {% endif %}{% endfor %}]}"
    return {
        "type": "rest_api",
        "url": f"{url}{_CONTACTS}/contacts/batch/update",
        "headers": {"Content-Type": "application/json"},
        "body_mode": "batch",
        "batch_template": template,
        "max_records_per_request": 100,
        **token,
    }


def failed_customers(folder: Path) -> set[str]:
    """Return the ids of the customers whom a project of drt-core keeps as failed."""
    lines = [line for file in (folder / ".drt" / "dlq").glob("*.jsonl") for line in file.read_text().splitlines()]
    return {json.loads(line)["record"]["customer_id"] for line in lines}
