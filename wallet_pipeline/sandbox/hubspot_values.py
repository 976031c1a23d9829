"""What the property types mean: which texts they accept, how they are kept, how they are shown.

Instants are kept as epoch milliseconds, whichever form they came in; all other values as their text.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

DatetimeStyle = Literal["iso", "no_ms", "epoch_ms"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 86_400_000
_LAST_MS = 253_402_300_799_999
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z", re.ASCII)
_INTEGER = re.compile(r"-?\d{1,15}", re.ASCII)
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_EMAIL = re.compile(r"[^@\s;,]+@[^@\s;,]+\.[^@\s;,]+")


class ValueRefusedError(Exception):
    """A value that its property does not accept."""

    def __init__(self, code: str, message: str) -> None:
        """Keep the vendor's code beside the message."""
        super().__init__(message)
        self.code = code


@lru_cache(maxsize=10_000)
def iso(milliseconds: int, style: DatetimeStyle = "iso") -> str:
    """Return an instant as text, by default `2026-11-24T10:00:00.000Z`. Contacts show the same ones again and again."""
    if style == "epoch_ms":
        return str(milliseconds)
    whole = style == "no_ms" and milliseconds % 1000 == 0
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.replace(tzinfo=None).isoformat(timespec="seconds" if whole else "milliseconds") + "Z"


def epoch_ms(text: str) -> int:
    """Return an ISO instant in UTC or epoch milliseconds as milliseconds; ValueError for anything else."""
    if _INTEGER.fullmatch(text) and abs(int(text)) <= _LAST_MS:
        return int(text)
    if not _ISO.fullmatch(text):
        raise ValueError(text)
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)


def normalise(definition: Mapping[str, Any], value: str) -> str:
    """Return a value that is not empty as it is kept; ValueRefusedError when its type does not accept it."""
    if definition["name"] == "email":
        return _email(value)
    if definition["name"] == "hs_additional_emails":
        return ";".join(_email(part) for part in value.split(";") if part)
    check = _BY_TYPE.get(definition["type"])
    return check(definition, value) if check else value


def present(definition: Mapping[str, Any], value: str, style: DatetimeStyle) -> str:
    """Return a kept value as answers show it."""
    return iso(int(value), style) if value and definition["type"] == "datetime" else value


def _email(value: str) -> str:
    if not _EMAIL.fullmatch(value):
        raise ValueRefusedError("INVALID_EMAIL", f"Email address {value} is invalid")
    return value.lower()


def _option(definition: Mapping[str, Any], value: str) -> str:
    allowed = [option["value"] for option in definition["options"]]
    chosen = value.split(";") if definition["fieldType"] == "checkbox" else [value]
    for one in chosen:
        if one not in allowed:
            raise ValueRefusedError(
                "INVALID_OPTION", f"{one} was not one of the allowed options: [{', '.join(allowed)}]"
            )
    return value


def _bool(_definition: Mapping[str, Any], value: str) -> str:
    if value not in ("true", "false"):
        raise ValueRefusedError("INVALID_OPTION", f"{value} was not one of the allowed options: [true, false]")
    return value


def _datetime(_definition: Mapping[str, Any], value: str) -> str:
    try:
        return str(epoch_ms(value))
    except ValueError:
        raise ValueRefusedError("INVALID_LONG", f"{value} was not a valid long.") from None


def _date(_definition: Mapping[str, Any], value: str) -> str:
    try:
        if not _INTEGER.fullmatch(value):
            return date.fromisoformat(value).isoformat()
        if epoch_ms(value) % _DAY_MS == 0:
            return iso(int(value))[:10]
    except ValueError:
        pass
    raise ValueRefusedError("INVALID_DATE", f"{value} is not a date at midnight UTC.")


def _number(_definition: Mapping[str, Any], value: str) -> str:
    if not _NUMBER.fullmatch(value):
        raise ValueRefusedError("INVALID_LONG", f"{value} was not a valid number.")
    return value


_BY_TYPE = {"enumeration": _option, "bool": _bool, "datetime": _datetime, "date": _date, "number": _number}
