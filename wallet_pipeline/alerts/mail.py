"""Alerts by e-mail, over SMTP: encrypted wherever there is a password, within a time limit."""

import logging
import smtplib
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import format_datetime
from functools import partial
from urllib.parse import SplitResult, unquote, urlsplit

from wallet_pipeline.alerts.alert import AlertError, Redaction
from wallet_pipeline.alerts.outbox import Message
from wallet_pipeline.clients.http import is_loopback

log = logging.getLogger(__name__)

_SILENCE_S, _WHOLE_S = 10.0, 20.0
_OK = 250
_TAKEN = frozenset({250, 251})
_PORTS = {"smtp": 587, "smtps": 465}
_EXPLANATIONS: tuple[tuple[type[Exception], str, str], ...] = (
    (
        smtplib.SMTPAuthenticationError,
        "did not accept user and password",
        "Correct them in ALERT_SMTP_URL; many servers want an app password.",
    ),
    (
        ssl.SSLError,
        "has no certificate that is accepted, or does not encrypt at this port",
        "Check host, port and scheme.",
    ),
    (TimeoutError, "did not answer in time", "Check host, port and scheme, and the firewall."),
)


@dataclass(frozen=True)
class Mail:
    """A channel to some mailboxes through a mail server. The server's address is a secret: it holds a password."""

    url: str = field(repr=False)
    sender: str
    recipients: tuple[str, ...]
    redact: Redaction
    limit: float = _WHOLE_S
    name: str = "e-mail"

    def send(self, message: Message) -> None:
        """Send a message to all recipients; raises AlertError when the server takes it for none of them."""
        self._speak(partial(self._post, self._letter(message)))

    def examine(self) -> str:
        """Return in a sentence that the server would take mail for everybody, sending none; raises AlertError."""
        self._speak(self._offer)
        return f"The mail server accepts mail for {len(self.recipients)} of {len(self.recipients)} in ALERT_EMAIL_TO."

    def _post(self, letter: EmailMessage, smtp: smtplib.SMTP) -> None:
        if refused := smtp.send_message(letter):
            log.warning(
                "the mail server took an alert for %d of %d recipients: check ALERT_EMAIL_TO",
                len(self.recipients) - len(refused), len(self.recipients),
            )  # fmt: skip

    def _offer(self, smtp: smtplib.SMTP) -> None:
        """Name sender and recipients, and take it back before there is a mail."""
        smtp.ehlo_or_helo_if_needed()
        code, answer = smtp.mail(self.sender)
        if code != _OK:
            raise smtplib.SMTPSenderRefused(code, answer, self.sender)
        answers = {one: smtp.rcpt(one) for one in self.recipients}
        if refused := {one: told for one, told in answers.items() if told[0] not in _TAKEN}:
            raise smtplib.SMTPRecipientsRefused(refused)
        smtp.rset()

    def _letter(self, message: Message) -> EmailMessage:
        letter = EmailMessage()
        letter["Subject"] = message.title
        letter["From"], letter["To"] = self.sender, ", ".join(self.recipients)
        letter["Date"] = format_datetime(message.made_at)
        # The same one if it is sent again, because the server's answer got lost.
        letter["Message-ID"] = f"<alert-{message.key}@{self.sender.partition('@')[2]}>"
        letter["Auto-Submitted"] = "auto-generated"
        letter.set_content(message.text)
        return letter

    def _speak(self, action: Callable[[smtplib.SMTP], object]) -> None:
        if not self.url:
            raise AlertError("ALERT_EMAIL_TO is set, but ALERT_SMTP_URL is not: name the mail server there.")
        failure = _failure_within(self.limit, lambda: self._visit(action))
        if failure:
            # Outside of any handler: the library's errors quote addresses, and a context would carry them on.
            raise AlertError(self._told(failure))

    def _visit(self, action: Callable[[smtplib.SMTP], object]) -> None:
        with _session(urlsplit(self.url)) as smtp:
            action(smtp)

    def _told(self, failure: BaseException) -> str:
        if isinstance(failure, AlertError):
            return str(failure)
        why, what = _explanation(failure)
        return f"The mail server in ALERT_SMTP_URL {self.redact(why)}. {what} It is tried again."


@contextmanager
def _session(url: SplitResult) -> Iterator[smtplib.SMTP]:
    """Yield a session, encrypted if the server can do it and logged in if there is a name."""
    host, port = url.hostname or "", url.port or _PORTS[url.scheme]
    context = ssl.create_default_context()
    if url.scheme == "smtps":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=_SILENCE_S, context=context)
    else:
        smtp = smtplib.SMTP(host, port, timeout=_SILENCE_S)
    try:
        smtp.ehlo_or_helo_if_needed()
        if url.scheme == "smtp" and smtp.has_extn("starttls"):
            smtp.starttls(context=context)
        elif url.scheme == "smtp" and url.password and not is_loopback(host):
            raise AlertError(
                "The mail server in ALERT_SMTP_URL offers no encryption, so the password is not sent. Write smtps://,"
                " or name the port at which it encrypts."
            )
        if url.username:
            smtp.login(unquote(url.username), unquote(url.password or ""))
        yield smtp
        # It has what it was sent: whatever becomes of the farewell.
        with suppress(smtplib.SMTPException, OSError):
            smtp.quit()
    finally:
        smtp.close()


def _failure_within(seconds: float, action: Callable[[], object]) -> BaseException | None:
    """Return how an action failed, None when it did not: also with a server that never comes to an end."""
    outcome: Future[BaseException | None] = Future()

    def act() -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001  told, not swallowed
            outcome.set_result(error)
        else:
            outcome.set_result(None)

    threading.Thread(target=act, daemon=True).start()
    try:
        return outcome.result(seconds)
    except TimeoutError as error:
        return error


def _explanation(failure: BaseException) -> tuple[str, str]:
    """Return what the server did, and what to do."""
    for kind, why, what in _EXPLANATIONS:
        if isinstance(failure, kind):
            return why, what
    if isinstance(failure, smtplib.SMTPRecipientsRefused):
        told = _said(*next(iter(failure.recipients.values())))
        return f"took no mail for {len(failure.recipients)} recipients ({told})", "Check ALERT_EMAIL_TO."
    if isinstance(failure, smtplib.SMTPSenderRefused):
        return f"refused the sender ({_said(failure.smtp_code, failure.smtp_error)})", "Set ALERT_EMAIL_FROM."
    if isinstance(failure, smtplib.SMTPResponseException):
        return f"answered {_said(failure.smtp_code, failure.smtp_error)}", "Its keeper knows why."
    return f"could not be spoken with ({type(failure).__name__})", "Check host, port and scheme, and the firewall."


def _said(code: int, answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return f"{code} {text}".strip()
