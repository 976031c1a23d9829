"""What the doctor says of alerts."""

import pytest
from pydantic import SecretStr

from tests.alerts.conftest import TOKEN, Hook, Mailbox
from tests.support.doctor.conftest import Home, now
from wallet_pipeline.alerts.alert import Redaction
from wallet_pipeline.alerts.channels import channels_of, send_due
from wallet_pipeline.alerts.occasions import EndedRun, of_failure
from wallet_pipeline.alerts.outbox import opened

from .test_examination import call


@pytest.fixture
def told(patient: Home, hook: Hook, mailbox: Mailbox) -> Home:
    """Give an installation with both channels."""
    return patient.having(
        alert_webhook_url=SecretStr(hook.url),
        alert_email_to=("ops@x.test",),
        alert_smtp_url=SecretStr(f"smtp://127.0.0.1:{mailbox.port}"),
    )


def fail(home: Home) -> None:
    """Let a run fail, and tell people."""
    with opened(home.settings.alerts_file) as outbox:
        run = EndedRun("run-1", "daily", now())
        channels = list(channels_of(home.settings))
        names = [one.name for one in channels]
        outbox.book(run.run_id, run.ended_at, [of_failure(run, "It broke.")], names, Redaction(()), "here")
        for channel in channels:
            send_due(outbox, channel, now)


def test_channels_that_work_are_ok_and_nothing_is_sent(told: Home, hook: Hook, mailbox: Mailbox) -> None:
    """Each channel is looked at, without a message to anybody, and no file comes of it."""
    assert [(one.level, one.check) for one in told.findings("alerts")] == [
        ("ok", "webhook"), ("ok", "e-mail"), ("ok", "sent"),
    ]  # fmt: skip
    assert (hook.texts, mailbox.letters) == ([], [])
    assert not told.settings.alerts_file.exists()


def test_channel_that_does_not_work_is_a_problem(told: Home, hook: Hook, mailbox: Mailbox) -> None:
    """A mail server that refuses the recipients and a webhook that refused an alert are told with what to do."""
    mailbox.refused = {"ops@x.test"}
    hook.status = 404
    fail(told)
    (of_webhook, of_mail, *of_sent) = told.findings("alerts")
    assert (of_webhook.level, of_mail.level) == ("ok", "problem")
    assert "took no mail for 1 recipients" in of_mail.sentence
    assert [one.level for one in of_sent] == ["problem", "problem"]
    assert "By webhook 1 alert of the last day could not be sent. The webhook answered 404" in of_sent[1].sentence
    assert TOKEN not in str(told.findings("alerts"))


def test_alert_is_tried_when_asked_for(
    checkout: Home, hook: Hook, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --send-alert each channel gets one test alert, and one that is refused is a problem."""
    monkeypatch.setenv("ALERT_WEBHOOK_URL", hook.url)
    monkeypatch.setenv("ALERT_EMAIL_TO", "ops@x.test")
    monkeypatch.setenv("ALERT_SMTP_URL", f"smtp://127.0.0.1:{mailbox.port}")
    assert "ok       e-mail: A test alert was sent." in call(checkout, "--send-alert").output
    assert hook.texts[0].startswith("*wallet_pipeline: This is a test*")
    assert len(hook.texts) == len(mailbox.letters) == 1
    hook.status = 403
    assert "problem  webhook: The webhook answered 403 (ok): create a new one" in call(checkout, "--send-alert").output


def test_alerts_that_went_out_are_counted(told: Home) -> None:
    """What was sent is told with its age."""
    fail(told)
    assert told.findings("alerts", "sent")[1].sentence.startswith("By webhook 1 alert went out in the last 30 days, ")


def test_address_that_nobody_answers_is_a_problem(told: Home) -> None:
    """A webhook's host that cannot be reached, and a missing mail server, are told before an alert needs them."""
    broken = told.having(alert_webhook_url=SecretStr(f"http://127.0.0.1:9/{TOKEN}"), alert_smtp_url=SecretStr(""))
    assert [one.level for one in broken.findings("alerts")] == ["problem", "problem", "ok"]


def test_mail_server_without_anybody_to_tell_is_a_warning(told: Home) -> None:
    """Half of a channel tells nobody."""
    half = told.having(alert_email_to=(), alert_webhook_url=SecretStr(""))
    assert half.finding("alerts", "channels").level == "warning"
