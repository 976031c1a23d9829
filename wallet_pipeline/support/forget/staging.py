"""Snapshots that stopped a run and wait for an approval: files of their own, which list people too."""

from collections.abc import Iterator
from pathlib import Path

import duckdb

from wallet_pipeline.support.forget.person import Person
from wallet_pipeline.support.forget.traces import Traces

_LIKELY = """
SELECT pass_id IN (SELECT unnest($pass_ids::VARCHAR[])) AS is_theirs, identifiers
FROM pages
WHERE is_theirs OR EXISTS (
    FROM (SELECT unnest($values::VARCHAR[]) AS value) WHERE contains(lower(identifiers::VARCHAR), lower(value))
)
"""


def held_snapshots_of(person: Person, traces: Traces, staging_dir: Path) -> Iterator[Path]:
    """Yield the files of held snapshots that list the person. The caller has the warehouse: nobody approves one now."""
    values = sorted({text for one in person.identifiers for text in (one.written, one.value)})
    for file in sorted(staging_dir.glob("held-*.duckdb")):
        with duckdb.connect(file, read_only=True) as con:
            likely = con.execute(_LIKELY, {"pass_ids": list(person.pass_ids), "values": values}).fetchall()
        if any(is_theirs or traces.is_in((identifiers or "").encode()) for is_theirs, identifiers in likely):
            yield file
