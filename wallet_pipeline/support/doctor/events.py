"""What the warehouse says of events: do they arrive, once, understood, and do they get on to the CRM."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import duckdb

from wallet_pipeline.collect.wallet_events import taken_up_to
from wallet_pipeline.collect.webhooks.inbox import survey
from wallet_pipeline.derive.arrivals import measure_silence, sum_up_arrivals
from wallet_pipeline.support.doctor.finding import Check, Finding, ok, warning
from wallet_pipeline.support.doctor.inbox import as_time
from wallet_pipeline.support.doctor.installation import Installation
from wallet_pipeline.support.doctor.queries import query
from wallet_pipeline.support.doctor.words import age, many, when
from wallet_pipeline.sync.changes import count_changes
from wallet_pipeline.sync.plan import PlanRules
from wallet_pipeline.warehouse.connection import naive
from wallet_pipeline.warehouse.queries import aware, one_row

_COUNTED_UP_TO = 100_000
_SLOW = timedelta(minutes=10)
_A_WEEK = timedelta(days=7)
# Some repetition is what "at least once" means.
_MUCH_REPETITION = 0.2
_SENSOR = (
    "Is Dagster's daemon running, is the sensor `changes_sensor` switched on, and do its runs go well? Without it,"
    " `wallet-pipeline run` takes them over."
)
_ARRIVE = (
    "See what is said above of the receiver and of the subscriptions; then docs/troubleshooting.md, Events that do not"
    " arrive."
)


def event_checks(con: duckdb.DuckDBPyConnection, installation: Installation) -> dict[str, Check]:
    """Return the checks of the way that events take."""
    now = installation.clock()
    return {
        "backlog": partial(_backlog, con, installation, now),
        "silence": partial(_silence, con, installation, now),
        "arrivals": partial(_arrivals, con),
        "repetition": partial(_repetition, con, now),
        "unusable deliveries": partial(_unusable, con, now),
        "changes": partial(_changes, con, installation, now),
    }


def _backlog(con: duckdb.DuckDBPyConnection, installation: Installation, now: datetime) -> Iterator[Finding]:
    file = installation.settings.inbox_file
    if not file.exists():
        return
    cursor = taken_up_to(con)
    found = survey(file, cursor, _COUNTED_UP_TO)
    if found.newest_id < cursor:
        yield warning(
            f"{file} ends before what was taken over: it was put back or begun anew.",
            "Nothing: the next run reads it from its beginning, and nothing counts twice.",
        )
    elif found.waiting == 0:
        yield ok("Everything in the inbox has been taken over.")
    else:
        least = "at least " if found.waiting == _COUNTED_UP_TO else ""
        count = f"{least}{many(found.waiting, 'delivery', 'deliveries')}"
        old = now - as_time(found.oldest_waiting)
        text = f"In the inbox {count} wait to be taken over, the oldest for {age(old)}."
        yield ok(text) if old <= _SLOW else warning(text, _SENSOR)


def _silence(con: duckdb.DuckDBPyConnection, installation: Installation, now: datetime) -> Iterator[Finding]:
    silence = measure_silence(con, now)
    file = installation.settings.inbox_file
    if file.exists() and (newest := survey(file, after=0, limit=0).newest):
        received = as_time(newest)
        if silence is None:
            yield ok(f"The first deliveries have come, the last one at {when(received)}.")
            return
        # What waits in the inbox has arrived all the same.
        silence = replace(silence, since=max(silence.since, received), lasts=min(silence.lasts, now - received))
    if silence is None:
        text = "No delivery has ever been received"
        yield (
            warning(f"{text}, though WEBHOOK_SECRETS or CONNECTOR_KEY is set.", _ARRIVE)
            if installation.is_real_time
            else ok(f"{text}: real time is not set up.")
        )
        return
    yield warning(str(silence), _ARRIVE) if silence.unusual else ok(str(silence))


def _arrivals(con: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    arrivals = sum_up_arrivals(con)
    if arrivals.counted:
        yield ok(str(arrivals)) if arrivals.enough else warning(str(arrivals), _ARRIVE)


def _repetition(con: duckdb.DuckDBPyConnection, now: datetime) -> Iterator[Finding]:
    deliveries, again, since = one_row(con, query("repeated_deliveries"), {"since": naive(now - _A_WEEK)})
    if not deliveries:
        return
    share = again / deliveries
    text = f"Of {many(deliveries, 'event')} delivered in the last 7 days {again} ({share:.0%}) had come before"
    text += f", since {when(aware(since))}; they change nothing." if again else "."
    if share <= _MUCH_REPETITION:
        yield ok(text)
    else:
        yield warning(
            text,
            "The sender tries again what is not answered with 2xx in time: is the receiver restarted often, slow, or"
            " behind a proxy that gives up early? Is there a second subscription to the same address"
            " (`wallet-pipeline webhooks list`)?",
        )


def _unusable(con: duckdb.DuckDBPyConnection, now: datetime) -> Iterator[Finding]:
    reasons = con.execute(query("unusable_reasons"), {"since": naive(now - _A_WEEK)}).fetchall()
    for reason, deliveries, last_at, is_foreign in reasons:
        count = many(deliveries, "delivery", "deliveries")
        text = f"Of the last 7 days no event: {count} ({reason}), the last one at {when(aware(last_at))}."
        if is_foreign:
            yield ok(text)
        else:
            yield warning(
                text,
                "docs/troubleshooting.md, Receiving events, says what to correct; then `wallet-pipeline replay` reads"
                " them again.",
            )
    if not reasons:
        yield ok("Every delivery of the last 7 days was understood.")


def _changes(con: duckdb.DuckDBPyConnection, installation: Installation, now: datetime) -> Iterator[Finding]:
    changes = count_changes(con, PlanRules.from_settings(installation.settings), now)
    (oldest,) = one_row(con, "SELECT min(changed_at) FROM wallet.changed_customers")
    text = f"Changed customers: {changes.due} due for the CRM, {changes.waiting} that have yet to come to rest."
    if oldest is None or not changes.due or (old := now - aware(oldest)) <= _SLOW + _cap(installation):
        yield ok(text)
    else:
        yield warning(f"{text} The oldest change waits for {age(old)}.", _SENSOR)


def _cap(installation: Installation) -> timedelta:
    return timedelta(seconds=installation.settings.settle_cap)
