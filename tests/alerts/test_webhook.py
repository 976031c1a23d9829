"""Alerts by webhook, over real HTTP."""

import pytest

from tests.alerts.conftest import MESSAGE, TOKEN, Hook, free_port
from wallet_pipeline.alerts.alert import AlertError, Redaction
from wallet_pipeline.alerts.webhook import Webhook


def webhook(url: str) -> Webhook:
    """Return a channel to an address."""
    return Webhook(url, Redaction((TOKEN,)))


def test_message_arrives_as_slack_takes_it(hook: Hook) -> None:
    """One JSON object with the text, in which nothing is a link or command to Slack."""
    webhook(hook.url).send(MESSAGE)
    assert hook.texts == [
        "*wallet_pipeline, acme: It broke*\nWhy: &lt;this&gt; &amp; that\nNext: mend it\nRun 1.",
    ]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (404, "The webhook answered 404 (no_service): create a new one"),
        (400, "The webhook answered 400 (no_service): it takes no"),
        (302, "The webhook answered 302"),
        (500, "The webhook answered 500"),
    ],
)
def test_refusal_is_explained(hook: Hook, status: int, told: str) -> None:
    """What is not taken is told with the answer and what to do, and was sent once only."""
    hook.status, hook.body = status, b"no_service"
    with pytest.raises(AlertError) as error:
        webhook(hook.url).send(MESSAGE)
    assert str(error.value).startswith(told)
    assert hook.methods == ["POST"]


def test_answer_that_quotes_the_address_is_told_without(hook: Hook) -> None:
    """A server that repeats the token in its answer does not get it into the message."""
    hook.status, hook.body = 403, f"invalid token {TOKEN}".encode()
    with pytest.raises(AlertError) as error:
        webhook(hook.url).send(MESSAGE)
    assert "invalid token …" in str(error.value)


def test_address_stays_out_of_errors_and_logs(hook: Hook, everything_logged: pytest.LogCaptureFixture) -> None:
    """Neither a success nor a refused connection tells the address anywhere, however much is logged."""
    channel = webhook(hook.url)
    channel.send(MESSAGE)
    with pytest.raises(AlertError, match="could not be reached") as error:
        webhook(f"http://127.0.0.1:{free_port()}/services/{TOKEN}").send(MESSAGE)
    assert error.value.__cause__ is None
    assert TOKEN not in str(error.value) + repr(channel) + everything_logged.text
    assert "Starting new HTTP connection" in everything_logged.text


def test_look_sends_nothing(hook: Hook) -> None:
    """The doctor's look is a request that leaves no message."""
    assert "answers (200)" in webhook(hook.url).examine()
    assert (hook.methods, hook.texts) == (["OPTIONS"], [])
