"""Ask the CRM for the records of all customers, in batches, and gather the answers in the plan's work file."""

import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb

from wallet_pipeline.sync.destination import FIELDS, KEYS, TIME_FIELDS, Destination, Key, Record
from wallet_pipeline.sync.queries import as_json, query
from wallet_pipeline.warehouse.queries import row_count

log = logging.getLogger(__name__)

_READERS = 16
_BATCHES_AT_ONCE = 48

WORK_TABLES = """
CREATE TABLE work.answers (key VARCHAR, asked VARCHAR, record_id VARCHAR);
CREATE TABLE work.records_read (
    record_id VARCHAR, customer_id VARCHAR, wallet_status VARCHAR, apple_wallet_installed_at TIMESTAMP,
    google_wallet_installed_at TIMESTAMP, wallet_last_changed_at TIMESTAMP, wallet_last_event VARCHAR
);
"""
_READ = (
    '[{"asked": "VARCHAR", "record_id": "VARCHAR", "customer_id": "VARCHAR", '
    + ", ".join(f'"{name}": "{"TIMESTAMP" if name in TIME_FIELDS else "VARCHAR"}"' for name in FIELDS)
    + "}]"
)


def read_crm(file: Path, destination: Destination, between: Callable[[], None]) -> None:
    """Ask for every candidate's record: by link, then by customer id, then by e-mail, each only where it is needed.

    The candidates stand in the table `asked` of the work file, which has WORK_TABLES. `between` is called after each
    page of batches. Raises ServiceError.
    """
    with duckdb.connect(file) as con, ThreadPoolExecutor(_READERS) as readers:
        for key in KEYS:
            con.execute(
                f"CREATE OR REPLACE TABLE questions AS SELECT DISTINCT {key} AS asked FROM ({query('unanswered')})"
                f" WHERE {key} IS NOT NULL ORDER BY asked"
            )
            _ask(con, destination, key, readers, between)
        con.execute(
            "CREATE TABLE records AS SELECT * FROM records_read"
            " QUALIFY row_number() OVER (PARTITION BY record_id ORDER BY rowid DESC) = 1"
        )


def _ask(
    con: duckdb.DuckDBPyConnection,
    destination: Destination,
    key: Key,
    readers: ThreadPoolExecutor,
    between: Callable[[], None],
) -> None:
    """Read all questions in batches, several at a time, and keep the answers."""
    questions = row_count(con, "questions")
    size = destination.capabilities.read_batch
    page = size * _BATCHES_AT_ONCE
    for first in range(0, questions, page):
        asked = [
            value
            for (value,) in con.execute(
                "SELECT asked FROM questions WHERE rowid >= ? AND rowid < ?", [first, first + page]
            ).fetchall()
        ]
        batches = [asked[start : start + size] for start in range(0, len(asked), size)]
        found: dict[str, Record] = {}
        for answer in readers.map(lambda batch: destination.read(key, batch), batches):
            found |= answer
        _keep(con, key, found)
        log.info("%s: read %d of %d customers by %s", destination.name, first + len(asked), questions, key)
        between()


def _keep(con: duckdb.DuckDBPyConnection, key: Key, found: Mapping[str, Record]) -> None:
    """Keep a page of answers at once: one by one they would take five times as long."""
    rows = json.dumps(
        [
            as_json({"asked": asked, "record_id": one.record_id, "customer_id": one.customer_id, **one.fields})
            for asked, one in found.items()
        ]
    )
    con.execute("CREATE OR REPLACE TEMP TABLE read AS SELECT unnest(from_json(?, ?), recursive := TRUE)", [rows, _READ])
    con.execute("INSERT INTO answers SELECT ?, asked, record_id FROM read", [key])
    con.execute("INSERT INTO records_read BY NAME SELECT DISTINCT ON (record_id) * EXCLUDE (asked) FROM read")
