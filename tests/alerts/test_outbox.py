"""Once for each occurrence and channel: what is news, and what becomes of messages."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.alerts.conftest import NOW, PASSWORD, TOKEN, Hook, Mailbox
from wallet_pipeline.alerts.alert import Alert, AlertError, Redaction
from wallet_pipeline.alerts.channels import channels_of, send_due
from wallet_pipeline.alerts.occasions import EndedRun, Observation, of_failure, of_success
from wallet_pipeline.alerts.outbox import Outbox, opened
from wallet_pipeline.settings import Settings

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
PLAIN = Redaction(())


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    """Give a new outbox."""
    with opened(tmp_path / "data" / "alerts.sqlite") as found:
        yield found


def failed(outbox: Outbox, at: datetime, reason: str = "It broke.", job: str = "daily") -> None:
    """Book a run that failed."""
    run = EndedRun(f"{job}-{at.isoformat()}", job, at)
    outbox.book(run.run_id, at, [of_failure(run, reason)], ["webhook"], PLAIN, "here")


def went_well(outbox: Outbox, at: datetime) -> None:
    """Book a run that went well."""
    run = EndedRun(f"well-{at.isoformat()}", "daily", at)
    outbox.book(run.run_id, at, [of_success(run)], ["webhook"], PLAIN, "here")


def told(outbox: Outbox) -> int:
    """Return the number of messages ever made."""
    return int(outbox.con.execute("SELECT count(*) FROM messages").fetchone()[0])


def test_what_stands_unchanged_is_told_once_a_day(outbox: Outbox) -> None:
    """Failures of the same job for the same reason are one alert up to midnight UTC, whatever figures they name."""
    for minutes in range(5):
        failed(outbox, NOW + minutes * MINUTE, f"held by process {4711 + minutes} since {minutes}")
    assert told(outbox) == 1
    failed(outbox, NOW.replace(hour=23, minute=59), "held by process 1 since 2")
    assert told(outbox) == 1
    failed(outbox, NOW.replace(hour=0, minute=0) + DAY, "held by process 1 since 3")
    assert told(outbox) == 2


def test_what_was_well_in_between_is_told_again(outbox: Outbox) -> None:
    """A failure after a success is another occurrence, also on the same day."""
    failed(outbox, NOW)
    went_well(outbox, NOW + MINUTE)
    failed(outbox, NOW + 2 * MINUTE)
    assert told(outbox) == 2


def test_another_reason_and_another_job_are_news(outbox: Outbox) -> None:
    """A job that fails for a new reason is told anew, once, and so is another job."""
    for minutes, reason in enumerate(["The key is wrong.", "The disk is full.", "The key is wrong."]):
        failed(outbox, NOW + minutes * MINUTE, reason)
    failed(outbox, NOW, "The key is wrong.", job="insights")
    assert told(outbox) == 3


def test_booking_is_whole_or_not_at_all(outbox: Outbox) -> None:
    """When an observation cannot be booked, its run was not looked at, and nobody is told of half of it."""
    run = EndedRun("run-1", "daily", NOW)
    broken = Observation("x", Alert("x", "y", "z", None))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        outbox.book(run.run_id, NOW, [of_failure(run, "It broke."), broken], ["webhook"], PLAIN, "here")
    assert (told(outbox), outbox.is_new("run-1")) == (0, True)
    failed(outbox, NOW)
    assert told(outbox) == 1


def test_each_channel_gets_each_alert_once(
    outbox: Outbox, settings: Settings, hook: Hook, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    """A channel that is out of order is logged and tried again later; the other one is not told twice meanwhile."""
    webhook, mail = channels_of(settings)
    run = EndedRun("run-1", "daily", NOW)
    outbox.book(run.run_id, NOW, [of_failure(run, "It broke.")], [webhook.name, mail.name], PLAIN, "here")
    hook.status = 503
    with caplog.at_level(logging.WARNING):
        assert [send_due(outbox, one, lambda: NOW) for one in (webhook, mail)] == [0, 1]
    assert "An alert could not be sent by webhook: The webhook answered 503 (ok)" in caplog.text
    hook.status = 200
    assert [send_due(outbox, one, lambda: NOW) for one in (webhook, mail)] == [0, 0]
    assert [send_due(outbox, one, lambda: NOW + MINUTE) for one in (webhook, mail)] == [1, 0]
    assert [send_due(outbox, one, lambda: NOW + DAY / 2) for one in (webhook, mail)] == [0, 0]
    assert (len(hook.texts), len(mailbox.letters)) == (2, 1)


def test_channel_that_is_out_of_order_costs_one_attempt(outbox: Outbox, settings: Settings, hook: Hook) -> None:
    """Of many messages one is tried, and the pauses between two attempts grow to an hour."""
    webhook, _ = channels_of(settings)
    for minutes in range(3):
        failed(outbox, NOW, f"{'again ' * minutes}", job=f"job {'x' * minutes}")
    hook.status = 500
    assert send_due(outbox, webhook, lambda: NOW) == 0
    assert len(hook.methods) == 1
    pauses = []
    message = outbox.due("webhook", NOW + DAY / 2)[0]
    for _ in range(9):
        outbox.failed(message, "no", NOW)
        (due_at,) = outbox.con.execute(
            "SELECT next_try_at FROM messages WHERE message_id = ?", [message.message_id]
        ).fetchone()
        pauses.append((due_at - NOW.timestamp()) / 60)
        (message,) = [one for one in outbox.due("webhook", NOW + DAY / 2) if one.message_id == message.message_id]
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, 60]


def test_alert_that_is_a_day_old_is_given_up_and_later_forgotten(outbox: Outbox) -> None:
    """Nobody is told of yesterday's trouble when the channel works again, and the file does not grow for ever."""
    failed(outbox, NOW)
    assert len(outbox.due("webhook", NOW + DAY - MINUTE)) == 1
    assert outbox.due("webhook", NOW + DAY) == []
    outbox.forget(NOW + 31 * DAY)
    counts = [outbox.con.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in
              ("messages", "standing", "looked_at")]  # fmt: skip
    assert counts == [0, 0, 0]


def test_message_holds_no_secret_and_nobody(settings: Settings) -> None:
    """Whatever a reason quotes, secrets, addresses and the values of identifiers stay here, and so do line breaks."""
    given = settings.model_copy(
        update={
            "alert_smtp_url": SecretStr("smtps://me:p%40ss%3Aword%2Fof-the-mail@mail.x.test"),
            "hubspot_access_token": SecretStr("pat-eu1-1234"),
            "webhook_secrets": (SecretStr("a" * 64), SecretStr("b" * 64)),
        }
    )
    text = (
        f"token pat-eu1-1234,\n {'b' * 64} {PASSWORD} http://127.0.0.1/services/{TOKEN} customerId=1042"
        " email=jane.o'doe+x@shop.example.com. <Ann@X.test>"
    )
    assert Redaction.from_settings(given)(text) == ("token …, … … http://127.0.0.1… customerId=… email=… <…@…>")


def test_secrets_do_not_reach_the_disk(tmp_path: Path) -> None:
    """A reason is redacted before it is booked: the file holds neither a secret nor whom the reason named."""
    file = tmp_path / "alerts.sqlite"
    with opened(file) as outbox:
        run = EndedRun("run-1", "daily", NOW)
        shown = [of_failure(run, "pat-eu1-1234 of jane@x.test was refused.")]
        outbox.book(run.run_id, NOW, shown, ["webhook"], Redaction(("pat-eu1-1234",)), "here")
        assert "… of …@… was refused." in outbox.due("webhook", NOW)[0].text
    assert [text for text in (b"pat-eu1", b"jane") if text in file.read_bytes()] == []


def test_damaged_outbox_is_explained(tmp_path: Path) -> None:
    """A file that is no database is told with what to do."""
    file = tmp_path / "alerts.sqlite"
    file.write_bytes(b"x" * 5000)
    with pytest.raises(AlertError, match="remove it: it only says what people were told"), opened(file):
        pass


def test_two_processes_share_the_outbox(tmp_path: Path) -> None:
    """What one process has booked the other one sees, while both have the file open."""
    file = tmp_path / "alerts.sqlite"
    with opened(file) as one, opened(file) as other:
        failed(one, NOW)
        assert not other.is_new(f"daily-{NOW.isoformat()}")
        failed(other, NOW + MINUTE)
    with closing(sqlite3.connect(file)) as con:
        assert con.execute("SELECT count(*) FROM messages").fetchone() == (1,)
