"""The outbox of alerts: a SQLite file that says which runs were looked at, what people were told, and what is due.

One alert of a subject and fingerprint goes out, and none again until the next UTC day or until the subject was well in
between. Booking is one transaction with the run that was looked at; sending follows, and is repeated until it succeeds,
for a day at most. Times in the file are seconds since 1970.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from wallet_pipeline.alerts.alert import Alert, AlertError, Redaction
from wallet_pipeline.alerts.occasions import Observation

LOOKED_BACK = timedelta(days=1)
_KEPT = timedelta(days=30)
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
_LOCK_WAIT_S = 10.0
_AT_ONCE = 20
_SCHEMA = """
CREATE TABLE IF NOT EXISTS looked_at (
    run_id TEXT PRIMARY KEY,
    ended_at REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS standing (
    subject TEXT NOT NULL,
    fingerprint TEXT NOT NULL,  -- SHA-256
    day TEXT NOT NULL,  -- UTC day for which people were told
    PRIMARY KEY (subject, fingerprint)
) STRICT;
CREATE TABLE IF NOT EXISTS messages (
    message_id INTEGER PRIMARY KEY,
    channel TEXT NOT NULL,
    title TEXT NOT NULL,
    text TEXT NOT NULL,  -- without secrets, and of nobody
    made_at REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_try_at REAL NOT NULL,
    sent_at REAL,
    failure TEXT  -- of the last attempt
) STRICT;
"""


@dataclass(frozen=True)
class Message:
    """A message on its way through one channel; `made_at` is aware."""

    message_id: int
    title: str
    text: str
    made_at: datetime
    attempts: int = 0

    @property
    def key(self) -> str:
        """What tells this message from all others of this outbox."""
        return f"{self.message_id}-{self.made_at:%Y%m%d%H%M%S}"


@dataclass(frozen=True)
class Outbox:
    """An open outbox."""

    con: sqlite3.Connection

    def is_new(self, run_id: str) -> bool:
        """Tell whether a run has not been looked at yet."""
        return self.con.execute("SELECT 1 FROM looked_at WHERE run_id = ?", [run_id]).fetchone() is None

    def book(
        self,
        run_id: str,
        ended_at: datetime,
        observations: Iterable[Observation],
        channels: Iterable[str],
        redact: Redaction,
        headline: str,
    ) -> None:
        """Book what a run has shown, and a message for each channel of what is news; all or nothing."""
        names = list(channels)
        with _transaction(self.con):
            self.con.execute("INSERT INTO looked_at VALUES (?, ?)", [run_id, ended_at.timestamp()])
            for one in observations:
                if one.alert is None:
                    self.con.execute("DELETE FROM standing WHERE subject = ?", [one.subject])
                elif self._is_news(one, ended_at):
                    self._enqueue(one.alert, names, ended_at, redact, headline)

    def due(self, channel: str, now: datetime) -> list[Message]:
        """Return what is to be sent now, oldest first; of what is older than a day nobody is told any more."""
        rows = self.con.execute(
            "SELECT message_id, title, text, made_at, attempts FROM messages WHERE channel = ? AND sent_at IS NULL"
            " AND next_try_at <= ? AND made_at > ? ORDER BY message_id LIMIT ?",
            [channel, now.timestamp(), (now - LOOKED_BACK).timestamp(), _AT_ONCE],
        )
        return [
            Message(key, title, text, datetime.fromtimestamp(at, UTC), tried) for key, title, text, at, tried in rows
        ]

    def sent(self, message: Message, now: datetime) -> None:
        """Book that a message was sent."""
        self.con.execute(
            "UPDATE messages SET sent_at = ?, attempts = attempts + 1, failure = NULL WHERE message_id = ?",
            [now.timestamp(), message.message_id],
        )

    def failed(self, message: Message, why: str, now: datetime) -> None:
        """Book that a message could not be sent; it is due again after a pause that doubles each time."""
        pause = min(_FIRST_PAUSE * 2 ** min(message.attempts, 10), _LONGEST_PAUSE)
        self.con.execute(
            "UPDATE messages SET next_try_at = ?, attempts = attempts + 1, failure = ? WHERE message_id = ?",
            [(now + pause).timestamp(), why, message.message_id],
        )

    def forget(self, now: datetime) -> None:
        """Delete what is not looked up any more."""
        with _transaction(self.con):
            self.con.execute("DELETE FROM looked_at WHERE ended_at < ?", [(now - 2 * LOOKED_BACK).timestamp()])
            self.con.execute("DELETE FROM standing WHERE day < ?", [str((now - 2 * LOOKED_BACK).date())])
            self.con.execute("DELETE FROM messages WHERE made_at < ?", [(now - _KEPT).timestamp()])

    def _is_news(self, one: Observation, at: datetime) -> bool:
        """Tell whether nobody was told of this on this day, and note the day."""
        found = self.con.execute(
            "INSERT INTO standing VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET day = excluded.day"
            " WHERE excluded.day > day RETURNING 1",
            [one.subject, sha256(one.fingerprint.encode()).hexdigest(), str(at.astimezone(UTC).date())],
        )
        return bool(found.fetchall())

    def _enqueue(self, alert: Alert, channels: Iterable[str], at: datetime, redact: Redaction, headline: str) -> None:
        clean = Alert(*map(redact, (alert.title, alert.reason, alert.next_step, alert.source)))
        self.con.executemany(
            "INSERT INTO messages (channel, title, text, made_at, next_try_at) VALUES (?, ?, ?, ?, ?)",
            [[name, f"{headline}: {clean.title}", clean.text, at.timestamp(), at.timestamp()] for name in channels],
        )


@contextmanager
def opened(file: Path) -> Iterator[Outbox]:
    """Open the outbox, created where there is none. Raises AlertError, also for what goes wrong within the block."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(file, timeout=_LOCK_WAIT_S, isolation_level=None)) as con:
            con.executescript(_SCHEMA)
            yield Outbox(con)
    except sqlite3.Error as error:
        raise AlertError(
            f"The outbox of alerts {file} cannot be used: {error}. Check the folder's rights and the free disk space;"
            " if the file is damaged, remove it: it only says what people were told."
        ) from None


@contextmanager
def _transaction(con: sqlite3.Connection) -> Iterator[None]:
    con.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        con.execute("ROLLBACK")
        raise
    con.execute("COMMIT")
