"""What a check says: ok, warning or problem, in a sentence, with the next step; and how checks are kept apart."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import duckdb

from wallet_pipeline.clients.http import QuotaError, TooSlowError
from wallet_pipeline.clients.wallet_crew import QueryTimeoutError
from wallet_pipeline.errors import ExplainedError

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """What a check found. There is no next step where nothing is to do, or where the sentence says it itself."""

    level: Level
    sentence: str
    next_step: str | None = None
    check: str = ""


Check = Callable[[], Iterator[Finding]]


def ok(sentence: str) -> Finding:
    """Return that all is well."""
    return Finding("ok", sentence)


def warning(sentence: str, next_step: str | None = None) -> Finding:
    """Return that something should be looked at, or could not be."""
    return Finding("warning", sentence, next_step)


def problem(sentence: str, next_step: str | None = None) -> Finding:
    """Return that something keeps the pipeline from doing its work."""
    return Finding("problem", sentence, next_step)


def each(checks: Mapping[str, Check]) -> Iterator[Finding]:
    """Yield what each check finds, under its name; one that cannot be made says so, and the others go on."""
    for name, check in checks.items():
        yield from (replace(one, check=name) for one in _kept_apart(check))


def _kept_apart(check: Check) -> Iterator[Finding]:
    try:
        yield from check()
    except (QuotaError, TooSlowError, QueryTimeoutError) as error:
        yield warning(str(error))
    except ExplainedError as error:
        yield problem(str(error))
    except (duckdb.Error, sqlite3.Error, OSError) as error:
        yield warning(
            f"This could not be looked at: {str(error).splitlines()[0]}.", "Mend that, and call doctor again."
        )
    except Exception as error:  # noqa: BLE001  whatever is wrong with one check, the others are worth making
        # Without its text: nobody knows what a foreign service has put into it.
        yield warning(
            f"This could not be looked at: {type(error).__name__}.", "If it stays so, report it with this output."
        )
