"""An explanation, to be printed as text or as the JSON object of docs/explain.md. Times are aware, in UTC."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

FORMAT = 1


@dataclass(frozen=True)
class Evidence:
    """An event, or lists from the first to the last that say the same; `role` is what it is to the register."""

    kind: Literal["event", "list", "missing"]
    says: str
    first_at: datetime
    last_at: datetime
    first_id: str
    last_id: str
    installed_at: datetime | None
    given_at: datetime | None
    received_at: datetime | None
    role: list[str]


@dataclass(frozen=True)
class Register:
    """The state of a pass in a wallet, the rule that made it, and all its evidence, the newest last."""

    wallet: str
    installed: bool
    installed_at: datetime | None
    changed_at: datetime | None
    last_event: str | None
    changed_at_inferred: bool
    rule: str
    reason: str
    evidence: list[Evidence]


@dataclass(frozen=True)
class NotCounted:
    """What was received or read and is no evidence; of lists how many, from the first to the last."""

    what: str
    first_at: datetime
    last_at: datetime
    reason: str


@dataclass(frozen=True)
class Pass:
    """A pass, and why it belongs to the customer, or to nobody."""

    pass_id: str
    pass_type: str | None
    created_at: datetime | None
    identifiers: dict[str, Any]
    resolution: Literal["customer", "unmatched", "conflict"]
    customer_key: str | None
    reason: str
    registers: list[Register]
    not_counted: list[NotCounted]


@dataclass(frozen=True)
class Field:
    """One of the five values of a customer, and what it comes from."""

    name: str
    value: str | datetime | None
    reason: str


@dataclass(frozen=True)
class Version:
    """The five values as they were held true from `valid_from` until `valid_to`, which is null while they stand."""

    wallet_status: str
    apple_wallet_installed_at: datetime | None
    google_wallet_installed_at: datetime | None
    wallet_last_changed_at: datetime | None
    wallet_last_event: str | None
    valid_from: datetime
    valid_to: datetime | None


@dataclass(frozen=True)
class Customer:
    """Who the customer is. `notes` say what is unusual: shared values, passes that left."""

    customer_key: str
    identifier_name: str
    identifier_value: str
    email: str | None
    passes: int
    notes: list[str]


@dataclass(frozen=True)
class Crm:
    """The CRM's side: `state` in a word, `sentence` with the next step; the rows of the crm tables by their columns."""

    state: str
    sentence: str
    link: dict[str, Any] | None
    plan: dict[str, Any] | None
    rejection: dict[str, Any] | None
    deliveries: list[dict[str, Any]]
    drift: list[dict[str, Any]]
    fights: list[dict[str, Any]]


@dataclass(frozen=True)
class Entry:
    """One line of the timeline; the columns are those of customer_timeline."""

    happened_at: datetime
    kind: str
    pass_id: str | None
    wallet: str | None
    record_id: str | None
    what: str
    detail: str | None


@dataclass(frozen=True)
class Explanation:
    """What is known of a customer, or of a single pass that is in no customer, at the moment `as_of`."""

    asked: str
    as_of: datetime
    summary: list[str]
    customer: Customer | None
    passes: list[Pass]
    row: list[Field]
    versions: list[Version]
    crm: Crm | None
    timeline: list[Entry]

    def as_json(self) -> str:
        """Return the explanation as one JSON object."""
        return json.dumps({"format": FORMAT} | asdict(self), default=_time, indent=2)


def _time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
