"""Reading records before and after a write, and comparing what they hold with the truth."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from wallet_pipeline.sync.destination import KEYS, TIME_FIELDS, Destination, Fields, Record, Value
from wallet_pipeline.sync.ledger import Intention


def locate(destination: Destination, intentions: Sequence[Intention]) -> dict[str, Record]:
    """Return the record of each intention by delivery id: by record id, else by customer id, else by e-mail."""
    found: dict[str, Record] = {}
    for key in KEYS:
        asked = {
            value: one.delivery_id
            for one in intentions
            if one.delivery_id not in found and (value := getattr(one, key)) is not None
        }
        if asked:
            found |= {asked[value]: record for value, record in destination.read(key, list(asked)).items()}
    return found


def holds(record: Record, intention: Intention, tolerance: timedelta, precision: timedelta) -> bool:
    """Tell whether a record needs no write: times within the tolerance are equal while status and event are."""
    if intention.owed_id is not None and record.customer_id is None:
        return False
    different = differences(record, intention.truth, precision)
    return all(
        name in TIME_FIELDS and _is_close(record.fields.get(name), value, tolerance)
        for name, value in different.items()
    )


def is_verified(record: Record, intention: Intention, precision: timedelta) -> bool:
    """Tell whether a written record holds the truth to the destination's precision, under the customer's id."""
    is_theirs = intention.owed_id is None or record.customer_id == intention.owed_id
    return is_theirs and not differences(record, intention.truth, precision)


def differences(record: Record, truth: Fields, precision: timedelta) -> dict[str, Value]:
    """Return the fields of the truth that a record does not hold."""
    return {name: value for name, value in truth.items() if not is_equal(record.fields.get(name), value, precision)}


def is_equal(one: Value, other: Value, precision: timedelta) -> bool:
    """Tell whether two values are the same, times to a precision."""
    if isinstance(one, datetime) and isinstance(other, datetime):
        return abs(one - other) < precision
    return one == other


def _is_close(one: Value, other: Value, tolerance: timedelta) -> bool:
    return isinstance(one, datetime) and isinstance(other, datetime) and abs(one - other) < tolerance
