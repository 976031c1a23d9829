"""The port: what the sync asks of a CRM. An adapter hides how that CRM is spoken to; no rule is in an adapter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from wallet_pipeline.errors import ExplainedError

FIELDS = (
    "wallet_status",
    "apple_wallet_installed_at",
    "google_wallet_installed_at",
    "wallet_last_changed_at",
    "wallet_last_event",
)
TIME_FIELDS = FIELDS[1:4]
# The key that a record carries; written only where it is empty.
CUSTOMER_ID = "customer_id"
# The source of a value that came from another record, by merging the two.
MERGE = "merge"

Key = Literal["record_id", "customer_id", "email"]
ErrorClass = Literal["data", "identity", "config", "quota", "transient"]
Value = str | datetime | None
Fields = Mapping[str, Value]
# What a plan looks at: all customers, or those whom events have changed.
Scope = Literal["all", "changes"]

# In the order in which a record is looked for.
KEYS: tuple[Key, ...] = ("record_id", "customer_id", "email")


class DefinitionsError(ExplainedError):
    """The CRM's fields are not as the sync needs them; the message says which and what to do."""


@dataclass(frozen=True)
class Capabilities:
    """What a CRM can do, as far as the rules depend on it."""

    read_batch: int
    history_batch: int
    write_batch: int
    time_precision: timedelta
    create_needs_email: bool


@dataclass(frozen=True)
class Quota:
    """How many requests the sync may send in `window` seconds and, where the CRM tells it, in a day.

    `per_window` and `left_today` are less what is left to other apps; `per_day` is what all of them share.
    """

    per_window: int
    window: float
    per_day: int | None
    left_today: int | None


@dataclass(frozen=True)
class Definitions:
    """Fields that the CRM has as they should be, fields that it lacks, and a hash over how it defines them."""

    present: tuple[str, ...]
    missing: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True)
class Record:
    """A CRM record: its present id, the customer id that it carries, and the wallet fields (times aware, in UTC)."""

    record_id: str
    customer_id: str | None
    fields: Fields


@dataclass(frozen=True)
class Version:
    """A value that a field had, since when (aware, UTC), and who gave it: in words, and in the CRM's own."""

    value: Value
    at: datetime
    source: str
    source_type: str


@dataclass(frozen=True)
class Write:
    """Fields to set in one record (None clears); without a record id the record is to be created.

    `trace_id` names the write in its receipt. `email` is for creating only. `refused_before` says that the CRM has
    refused just this at the last attempt.
    """

    trace_id: str
    record_id: str | None
    customer_id: str | None
    email: str | None
    fields: Fields
    refused_before: bool = False


@dataclass(frozen=True)
class Receipt:
    """What the CRM said about one write. It is no proof: reading back is."""

    trace_id: str
    outcome: Literal["accepted", "failed", "unknown"]
    record_id: str | None = None
    error_class: ErrorClass | None = None
    message: str | None = None


class Destination(Protocol):
    """A CRM. Thread-safe. Every method may raise `clients.http.ServiceError`, which ends the run."""

    @property
    def name(self) -> str:
        """Name of the CRM for messages."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    @property
    def requests(self) -> int:
        """Number of requests sent so far, retries included."""

    @property
    def errors(self) -> int:
        """Number of these that were answered by an error."""

    @property
    def quota(self) -> Quota:
        """What may be sent, as far as it is known by now."""

    def check_definitions(self) -> Definitions:
        """Return which fields exist; raises DefinitionsError when one exists in another form than needed."""

    def create_definitions(self, names: Sequence[str]) -> None:
        """Create missing fields."""

    def read(self, key: Key, values: Sequence[str]) -> dict[str, Record]:
        """Return the records by the value asked for, up to `read_batch` different ones; those not found are left out.

        A record that was merged into another one is found under its old id, and returned with its present id.
        """

    def read_history(self, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, dict[str, list[Version]]]:
        """Return, of up to `history_batch` different records, all values that their fields had, newest first.

        The fields are FIELDS and CUSTOMER_ID. A record that is gone is left out.
        """

    def write(self, writes: Sequence[Write]) -> list[Receipt]:
        """Set fields of up to `write_batch` records; return one receipt a write.

        What may not be repeated is not repeated: `unknown` says that a write may or may not have happened.
        """
