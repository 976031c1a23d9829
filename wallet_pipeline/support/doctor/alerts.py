"""Would people be told: do the channels of alerts work, and did what was to be sent arrive."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

from wallet_pipeline.alerts.channels import Channel, channels_of
from wallet_pipeline.alerts.outbox import LOOKED_BACK, Message
from wallet_pipeline.collect.webhooks.inbox import reading_only
from wallet_pipeline.support.doctor.finding import Check, Finding, each, ok, problem, warning
from wallet_pipeline.support.doctor.installation import Installation
from wallet_pipeline.support.doctor.queries import query
from wallet_pipeline.support.doctor.words import age, many

_TEST = "Why: wallet-pipeline doctor was asked to send it.\nNext: Nothing: alerts arrive here."


def examine_alerts(installation: Installation) -> Iterator[Finding]:
    """Yield what is to be said of alerts; none is sent but for the one that was asked for."""
    settings = installation.settings
    look = partial(_try, now=installation.clock()) if installation.sends_alert else _works
    checks: dict[str, Check] = {one.name: partial(look, one) for one in channels_of(settings)}
    if checks:
        checks["sent"] = partial(_sent, installation)
    else:
        checks["channels"] = partial(_off, is_half=bool(settings.alert_smtp_url.get_secret_value()))
    return each(checks)


def _works(channel: Channel) -> Iterator[Finding]:
    # An AlertError explains itself, and is a problem.
    yield ok(channel.examine())


def _try(channel: Channel, now: datetime) -> Iterator[Finding]:
    channel.send(Message(0, "wallet_pipeline: This is a test", _TEST, now))
    yield ok("A test alert was sent.")


def _off(*, is_half: bool) -> Iterator[Finding]:
    if is_half:
        yield warning("ALERT_SMTP_URL is set, but nobody is told of anything.", "Name the people in ALERT_EMAIL_TO.")
    else:
        yield ok("Alerts are off: neither ALERT_WEBHOOK_URL nor ALERT_EMAIL_TO is set.")


def _sent(installation: Installation) -> Iterator[Finding]:
    """Say by channel what was sent lately, and what could not be."""
    file, now = installation.settings.alerts_file, installation.clock()
    if not file.exists():
        yield ok("No run was looked at yet: there was nothing to tell.")
        return
    with reading_only(file) as con:
        channels = con.execute(query("alerts_sent"), {"since": (now - LOOKED_BACK).timestamp()}).fetchall()
    for channel, sent, last_sent_at, waiting, failure in channels:
        if failure:
            yield problem(f"By {channel} {many(waiting, 'alert')} of the last day could not be sent. {failure}")
        else:
            last = f", the last one {age(now - datetime.fromtimestamp(last_sent_at, UTC))} ago" if sent else ""
            yield ok(f"By {channel} {many(sent, 'alert')} went out in the last 30 days{last}.")
    if not channels:
        yield ok("Nobody had to be told of anything in the last 30 days.")
