"""The CRM stand-in's state: one SQLite file that is filled at the start and lives as long as its folder."""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from wallet_pipeline.sandbox import hubspot_contacts, hubspot_definitions
from wallet_pipeline.sandbox.hubspot_contacts import Contacts
from wallet_pipeline.sandbox.hubspot_definitions import Definitions

# Beyond 32 bits, as real record ids are: a client that narrows them fails here, too.
FIRST_ID = 30_000_000_001

_IMPORT_HISTORY = """
INSERT INTO changes (contact_id, at_ms, source_type, source_id, properties)
SELECT id, created_ms, 'IMPORT', '1', properties FROM contacts
"""
# Sorted first: keys that arrive in random order cost ten times as much at a million contacts.
_KEYS = """
INSERT INTO keys
SELECT 'email' AS name, properties ->> '$.email' AS value, id FROM contacts WHERE value IS NOT NULL
UNION ALL
SELECT 'email', address.value, contacts.id
FROM contacts, json_each('["' || replace(properties ->> '$.hs_additional_emails', ';', '","') || '"]') AS address
WHERE properties ->> '$.hs_additional_emails' IS NOT NULL
UNION ALL
SELECT 'customer_id', properties ->> '$.customer_id' AS value, id FROM contacts WHERE value IS NOT NULL
ORDER BY 1, 2
"""


class Store:
    """An open state file: contacts and definitions over one connection, one transaction a call."""

    def __init__(self, state_file: Path) -> None:
        self._state_file = state_file
        self._connection = _connect(state_file)
        self.definitions = Definitions(self._connection)
        self.contacts = Contacts(self._connection, self.definitions)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit at the end, or undo everything when the body raises."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            self.definitions.reload()
            raise
        self._connection.execute("COMMIT")

    @contextmanager
    def snapshot(self) -> Iterator[Contacts]:
        """Open a second connection that goes on showing this moment, whatever is written meanwhile."""
        with closing(_connect(self._state_file)) as connection:
            connection.execute("BEGIN")
            yield Contacts(connection, self.definitions)

    def close(self) -> None:
        """Close the state file."""
        self._connection.close()


def create_store(state_file: Path, contacts: Iterable[Mapping[str, str]]) -> None:
    """Create the state file of a new account that has these contacts and no wallet properties.

    The file appears under its name when it is complete, in place of an older one. Two contacts with one e-mail address
    or one `customer_id` raise sqlite3.IntegrityError.
    """
    unfinished = state_file.with_name(f"{state_file.name}.tmp")
    _remove(unfinished)
    with closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
        connection.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-200000; BEGIN;")
        _fill(connection, contacts)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode=WAL")
    _remove(state_file)
    unfinished.replace(state_file)


def _fill(connection: sqlite3.Connection, contacts: Iterable[Mapping[str, str]]) -> None:
    for statement in (hubspot_definitions.SCHEMA + hubspot_contacts.SCHEMA).split(";"):
        connection.execute(statement)
    hubspot_definitions.insert_at_start(connection, hubspot_definitions.at_start())
    connection.execute("INSERT INTO sqlite_sequence VALUES ('contacts', ?)", (FIRST_ID - 1,))
    connection.executemany(
        "INSERT INTO contacts (created_ms, updated_ms, properties) VALUES (?, ?, ?)",
        hubspot_contacts.rows_to_load(contacts, time.time_ns() // 1_000_000),
    )
    connection.execute(_IMPORT_HISTORY)
    connection.execute(_KEYS)
    for statement in hubspot_contacts.INDEXES.split(";"):
        connection.execute(statement)


def _remove(state_file: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        state_file.with_name(state_file.name + suffix).unlink(missing_ok=True)


def _connect(state_file: Path) -> sqlite3.Connection:
    # The server's thread is another one than the thread that makes the application; both never use it at once.
    connection = sqlite3.connect(state_file, isolation_level=None, check_same_thread=False)
    connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-65536;")
    return connection
