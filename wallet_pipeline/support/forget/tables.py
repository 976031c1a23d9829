"""Taking a person out of the tables of the warehouse, whichever they are."""

import secrets
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from wallet_pipeline.derive.statuses import normalise_identifiers
from wallet_pipeline.support.forget.person import Person
from wallet_pipeline.support.forget.queries import query
from wallet_pipeline.support.forget.traces import Traces
from wallet_pipeline.warehouse.connection import naive
from wallet_pipeline.warehouse.queries import one_row

_REDACTED = "***"
# A row with one of these is a row about a pass, or a customer: also in tables that are added one day.
_ABOUT = {
    "pass_id": "pass_id IN (FROM temp.person_passes)",
    "customer_key": "customer_key IN (FROM temp.person_keys)",
}


@dataclass(frozen=True)
class Removed:
    """Rows removed by table, rows of others from which the person's identifiers were taken, passes to derive anew."""

    rows: dict[str, int]
    redacted: dict[str, int]
    kin: int


def remove_person(
    con: duckdb.DuckDBPyConnection, person: Person, traces: Traces, delivery_ids: Collection[int], now: datetime
) -> Removed:
    """Remove every row about the person, and what was said by these deliveries; leave what keeps their passes out.

    In the caller's transaction, after `find_person` on the same connection. `now` is aware. Passes of others that
    shared an identifier are left to the next derivation as touched.
    """
    kin = con.execute(f"INSERT INTO raw.touched_passes {query('kin_of_person')}").fetchone()
    redacted = _redact_evidence_of_others(con)
    redacted["crm.drift"] += _redact_drift_of_others(con)
    _keep_out(con, now)
    rows = {table: _delete(con, table, conditions) for table, conditions in _tables(con).items()}
    rows["wallet.identity_conflicts"] += _delete(con, "wallet.identity_conflicts", [_IN_CONFLICT])
    con.execute(
        "CREATE OR REPLACE TEMP TABLE named_by AS SELECT unnest(?::BIGINT[]) AS delivery_id", [list(delivery_ids)]
    )
    rows["raw.unusable_deliveries"] = _delete(con, "raw.unusable_deliveries", ["delivery_id IN (FROM temp.named_by)"])
    redacted.update(_redact_texts(con, traces))
    found = {table: count for table, count in rows.items() if count}
    con.execute(
        "INSERT INTO raw.erasures (erased_at, passes, row_count) VALUES (?, ?, ?)",
        [naive(now), len(person.pass_ids), sum(found.values())],
    )
    return Removed(found, {table: count for table, count in redacted.items() if count}, int(kin[0]) if kin else 0)


_IN_CONFLICT = (
    "list_has_any(customer_keys, (SELECT coalesce(list(customer_key), []) FROM temp.person_keys))"
    " OR (identifier_name, identifier_value) IN (SELECT (name, value) FROM temp.person_identifiers)"
)


def _tables(con: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """Return every table that has rows about passes or customers, with what tells the person's rows."""
    columns = con.execute(
        "SELECT schema_name || '.' || table_name, column_name FROM duckdb_columns()"
        " SEMI JOIN duckdb_tables() USING (database_name, schema_name, table_name)"
        " WHERE database_name = current_database() AND column_name IN (SELECT unnest(?::VARCHAR[])) ORDER BY ALL",
        [list(_ABOUT)],
    ).fetchall()
    tables: dict[str, list[str]] = {}
    for table, column in columns:
        tables.setdefault(table, []).append(_ABOUT[column])
    return tables


def _delete(con: duckdb.DuckDBPyConnection, table: str, conditions: Sequence[str]) -> int:
    (count,) = one_row(con, f"DELETE FROM {table} WHERE {' OR '.join(conditions)}")
    return int(count)


def _redact_evidence_of_others(con: duckdb.DuckDBPyConnection) -> Counter[str]:
    """Take the person's identifiers from older evidence of passes that are others' now. No status depends on it."""
    likely = con.execute(query("foreign_mentions")).fetchall()
    values = normalise_identifiers(con, [(name, written) for _, name, written in likely]) if likely else []
    theirs = set(con.execute("SELECT name, value FROM temp.person_identifiers").fetchall())
    texts = {text for (text, name, _), value in zip(likely, values, strict=True) if (name, value) in theirs}
    con.execute(
        "CREATE OR REPLACE TEMP TABLE foreign_texts AS SELECT unnest(?::VARCHAR[]) AS identifiers", [list(texts)]
    )
    counts = Counter[str]()
    for table, without in (("raw.passes", "'{}'"), ("raw.wallet_events", "NULL")):
        (counts[table],) = one_row(
            con,
            f"UPDATE {table} SET identifiers = {without} WHERE identifiers IN (FROM temp.foreign_texts)"
            " AND pass_id NOT IN (FROM temp.person_passes)",
        )
    return counts


def _redact_drift_of_others(con: duckdb.DuckDBPyConnection) -> int:
    """Take the person's customer id from drift of contacts of others, which may have carried it for a while."""
    values = "(SELECT value FROM temp.person_identifiers)"
    (count,) = one_row(
        con,
        f"UPDATE crm.drift SET expected = if(expected IN {values}, '{_REDACTED}', expected),"
        f" found = if(found IN {values}, '{_REDACTED}', found) WHERE field = 'customer_id'"
        f" AND customer_key NOT IN (FROM temp.person_keys) AND (expected IN {values} OR found IN {values})",
    )
    return int(count)


def _redact_texts(con: duckdb.DuckDBPyConnection, traces: Traces) -> Counter[str]:
    """Overwrite the person's traces in texts about others: words of a sentence, whole values of identifiers.

    No other column is touched: what is left there are keys of others, which may have the person's in them, and codes.
    """
    counts = Counter[str]()
    for table, column in con.execute(
        "SELECT schema_name || '.' || table_name, column_name FROM duckdb_columns()"
        " SEMI JOIN duckdb_tables() USING (database_name, schema_name, table_name)"
        " WHERE database_name = current_database() AND data_type = 'VARCHAR'"
        " AND column_name IN ('message', 'identifiers')"
    ).fetchall():
        redact = traces.redact if column == "message" else traces.redact_values
        likely = con.execute(
            f"SELECT DISTINCT {column} FROM {table} WHERE regexp_matches({column}, ?)", [traces.likely]
        )
        texts = {text: redacted for (text,) in likely.fetchall() if (redacted := redact(text)) != text}
        if texts:
            (count,) = one_row(
                con,
                f"UPDATE {table} SET {column} = texts[{column}]"
                " FROM (SELECT map($1::VARCHAR[], $2::VARCHAR[]) AS texts)"
                f" WHERE {column} IN (SELECT unnest($1::VARCHAR[]))",
                [list(texts), list(texts.values())],
            )
            counts[table] += count
    return counts


def _keep_out(con: duckdb.DuckDBPyConnection, now: datetime) -> None:
    """Note the passes as forgotten, by keyed hash."""
    if not con.execute("FROM raw.erasure_key").fetchone():
        con.execute("INSERT INTO raw.erasure_key VALUES (?)", [secrets.token_hex(32)])
    con.execute(
        "INSERT INTO raw.forgotten_passes SELECT raw.pass_hash(pass_id), ? FROM temp.person_passes"
        " WHERE NOT raw.is_forgotten(pass_id)",
        [naive(now)],
    )
