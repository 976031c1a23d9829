"""Alerts by e-mail, with real mail servers."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme
from aiosmtpd.controller import Controller

from tests.alerts.conftest import MESSAGE, PASSWORD, Mailbox, free_port
from wallet_pipeline.alerts.alert import AlertError, Redaction
from wallet_pipeline.alerts.mail import Mail

# It does not know that the line is encrypted from the start.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
TO = ("ops@x.test", "crm@x.test")


def mail(url: str, limit: float = 20.0) -> Mail:
    """Return a channel through a mail server."""
    return Mail(url, "pipeline@x.test", TO, Redaction((PASSWORD,)), limit)


@contextmanager
def encrypting(folder: Path, monkeypatch: pytest.MonkeyPatch, *, from_the_start: bool) -> Iterator[tuple[Mailbox, str]]:
    """Run a mail server that takes mail from who has logged in, encrypted; this process trusts its certificate."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    box = Mailbox()
    tls = {"ssl_context": context} if from_the_start else {"tls_context": context, "require_starttls": True}
    controller = Controller(
        box, hostname="localhost", port=free_port(), authenticator=box.log_in, auth_required=True,
        auth_require_tls=not from_the_start, **tls,
    )  # fmt: skip
    controller.start()
    try:
        yield box, f"{quote('me@x.test', safe='')}:{quote(PASSWORD, safe='')}@localhost:{controller.port}"
    finally:
        controller.stop()


def test_letter_arrives_with_all_it_needs(mailbox: Mailbox) -> None:
    """All recipients get one letter, marked as written by a program, dated when the alert was made."""
    mail(f"smtp://127.0.0.1:{mailbox.port}").send(MESSAGE)
    (letter,) = mailbox.letters
    assert (letter["Subject"], letter["From"], letter["To"]) == (MESSAGE.title, "pipeline@x.test", ", ".join(TO))
    assert (letter["Auto-Submitted"], letter["Message-ID"]) == ("auto-generated", "<alert-7-20261125031200@x.test>")
    assert letter["Date"].datetime == MESSAGE.made_at
    assert letter.get_content().splitlines() == MESSAGE.text.splitlines()


@pytest.mark.parametrize(("scheme", "from_the_start"), [("smtp", False), ("smtps", True)])
def test_password_goes_over_an_encrypted_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, *, from_the_start: bool
) -> None:
    """With STARTTLS and with encryption from the start the letter arrives after a login with the decoded password."""
    with encrypting(tmp_path, monkeypatch, from_the_start=from_the_start) as (box, place):
        mail(f"{scheme}://{place}").send(MESSAGE)
    assert (len(box.letters), box.users) == (1, ["me@x.test"])


def test_wrong_password_is_explained_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused login says which setting to correct, and not what stands in it."""
    with (
        encrypting(tmp_path, monkeypatch, from_the_start=True) as (_, place),
        pytest.raises(AlertError, match="did not accept user and password") as error,
    ):
        mail(f"smtps://{place}".replace("word", "w0rd")).send(MESSAGE)
    assert "me@x.test" not in str(error.value)
    assert error.value.__context__ is None


def test_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's certificate gets neither password nor letter."""
    with encrypting(tmp_path, monkeypatch, from_the_start=False) as (box, place):
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(AlertError, match="has no certificate that is accepted"):
            mail(f"smtp://{place}").send(MESSAGE)
    assert (box.letters, box.users) == ([], [])


def test_password_is_not_sent_in_the_clear(monkeypatch: pytest.MonkeyPatch, mailbox: Mailbox) -> None:
    """A server elsewhere that offers no encryption is not told the password."""
    monkeypatch.setattr("wallet_pipeline.alerts.mail.is_loopback", lambda _: False)
    with pytest.raises(AlertError, match="offers no encryption, so the password is not sent"):
        mail(f"smtp://me:secret@127.0.0.1:{mailbox.port}").send(MESSAGE)
    assert mailbox.letters == []


def test_refused_recipients_are_told_without_their_address(mailbox: Mailbox) -> None:
    """When nobody gets it, the server's reason is told, and by the doctor's look also if just one does not."""
    mailbox.refused = {TO[0]}
    channel = mail(f"smtp://127.0.0.1:{mailbox.port}")
    with pytest.raises(AlertError, match=r"took no mail for 1 recipients \(550 5\.1\.1 <…@…>: no such mailbox\)"):
        channel.examine()
    channel.send(MESSAGE)
    mailbox.refused = set(TO)
    with pytest.raises(AlertError, match="took no mail for 2 recipients"):
        channel.send(MESSAGE)
    assert len(mailbox.letters) == 1


def test_look_sends_nothing(mailbox: Mailbox) -> None:
    """The doctor's look names sender and recipients, and takes it back."""
    assert "2 of 2" in mail(f"smtp://127.0.0.1:{mailbox.port}").examine()
    assert mailbox.letters == []


def test_server_that_never_ends_its_greeting_is_given_up() -> None:
    """A server that lets a byte trickle now and then is left after the time limit."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle() -> None:
            line, _ = server.accept()
            with line:
                while not ended.wait(0.05):
                    line.sendall(b"2")

        thread = threading.Thread(target=trickle)
        thread.start()
        began = time.monotonic()
        try:
            with pytest.raises(AlertError, match="did not answer in time"):
                mail(f"smtp://127.0.0.1:{server.getsockname()[1]}", limit=0.5).send(MESSAGE)
            assert time.monotonic() - began < 5
        finally:
            ended.set()
            thread.join()


def test_missing_server_is_told() -> None:
    """Recipients without a mail server are told of as a setting that is missing."""
    with pytest.raises(AlertError, match="ALERT_SMTP_URL is not"):
        mail("").send(MESSAGE)
