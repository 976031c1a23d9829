"""What HTTP clients share: time limits, retries with jitter, `Retry-After`, errors that say what to do."""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from ipaddress import ip_address
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

import requests
import tenacity
import urllib3

from wallet_pipeline.errors import ExplainedError

log = logging.getLogger(__name__)

TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504, 521, 522, 523, 524, 525, 526})
# These promise that nothing was done: after them even what may not be repeated may be sent again.
NOTHING_DONE = frozenset({429})
_CHUNK_BYTES = 1 << 18
_LONGEST_PAUSE = 60.0
_LONGEST_NUMBER = 18


class ServiceError(ExplainedError):
    """A service did not do what was asked; the message says what happened, to what, and what to do next."""


class ConfigurationError(ServiceError):
    """No request will fare better before somebody has changed the settings, the account, or the way to it."""


class AuthenticationError(ConfigurationError):
    """The service does not accept the credentials (401)."""


class ScopeError(ConfigurationError):
    """The credentials lack a scope (403)."""


class NotFoundError(ConfigurationError):
    """The address, tenant or version does not exist (404)."""


class UnreachableError(ServiceError):
    """No usable answer came, however often it was tried. Whether the service acted on the request is unknown."""


class TooSlowError(UnreachableError):
    """The service was reached, but its answer did not come within the time limits."""


class QuotaError(ServiceError):
    """The service takes no more requests for longer than a call may wait: a day's quota, or a closure."""


class UnexpectedAnswerError(ServiceError):
    """The service answered something that this client does not understand."""


@dataclass(frozen=True)
class TimeLimits:
    """Seconds: to connect, of silence, for one whole answer, and for a call with all its retries.

    `pause` is the longest pause before the second try; it doubles with each further one.
    """

    connect: float = 10
    silence: float = 60
    answer: float = 180
    call: float = 600
    pause: float = 0.5


@dataclass(frozen=True)
class Answer:
    """Status, headers (case-insensitive) and body of an answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self, service: str) -> Any:
        """Return the body as JSON; raises UnexpectedAnswerError."""
        try:
            return self._parsed
        except ValueError as error:
            raise UnexpectedAnswerError(
                f"{service} answered {self.status} with {self.kind} instead of JSON. If a proxy or firewall stands"
                " between, let the address through; otherwise check the base URL in the settings."
            ) from error

    def json_object(self) -> dict[str, Any] | None:
        """Return the body when it is a JSON object, as a service's own errors are; None when it is anything else."""
        try:
            found = self._parsed
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    @cached_property
    def _parsed(self) -> Any:
        return json.loads(self.body)

    @property
    def kind(self) -> str:
        """Name of the body's content type, such as `text/html`."""
        return self.headers.get("Content-Type", "no content type").split(";")[0]


class Pacer(Protocol):
    """Decides when a request may go out. Thread-safe."""

    def wait(self) -> None:
        """Return when the next request may be sent; called before each attempt."""

    def heed(self, answer: Answer) -> float | None:
        """Learn from an answer and return the seconds to pause before a retry, None for the usual back-off.

        Raises QuotaError when waiting would take too long.
        """


@dataclass(frozen=True)
class _Terms:
    """When a request is sent again: after which statuses, after a broken connection, after a late answer."""

    statuses: frozenset[int]
    after_break: bool
    after_timeout: bool
    is_usable: Callable[[Answer], bool]
    pacer: Pacer | None

    def wants_again(self, error: requests.RequestException) -> bool:
        may_pass = self.after_break and _may_pass(error)
        return may_pass and (self.after_timeout or not isinstance(error, requests.ReadTimeout))


class HttpClient:
    """A session with one service. Thread-safe; `close` it, or use it in a `with` statement."""

    def __init__(
        self,
        service: str,
        base_url: str,
        headers: Mapping[str, str],
        limits: TimeLimits | None = None,
        attempts: int = 6,
        pacer: Pacer | None = None,
    ) -> None:
        self.service = service
        self.base_url = base_url
        self._limits = limits or TimeLimits()
        self._attempts = attempts
        self._pacer = pacer
        self._backoff = tenacity.wait_random_exponential(multiplier=self._limits.pause, max=_LONGEST_PAUSE)
        self._headers = dict(headers)
        self._is_here = is_loopback(urlsplit(base_url).hostname or "")
        self._server_time: datetime | None = None
        self._local = threading.local()
        self._sessions: list[requests.Session] = []

    @property
    def server_time(self) -> datetime | None:
        """The service's clock (aware, UTC) as its last answer told it, whatever its status; None when it did not."""
        return self._server_time

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        payload: Any = None,
        repeatable: bool = True,
        transient: frozenset[int] = TRANSIENT_STATUSES,
        nothing_done: frozenset[int] = NOTHING_DONE,
        retry_timeouts: bool = True,
        is_usable: Callable[[Answer], bool] = lambda _: True,
        pacer: Pacer | None = None,
    ) -> Answer:
        """Send a request and return the answer, whatever its status.

        A repeatable request is sent again after a broken connection, after a status in `transient`, and when its answer
        is not usable; one that is not repeatable only after a status in `nothing_done`. Without `retry_timeouts` an
        answer that takes too long is not asked for again. A call may have a pacer of its own. Raises TooSlowError,
        UnreachableError.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_TryAgainError),
            stop=tenacity.stop_after_attempt(self._attempts) | tenacity.stop_before_delay(self._limits.call),
            wait=self._pause,
            before_sleep=lambda state: self._log_retry(method, path, state),
        )
        terms = _Terms(
            transient if repeatable else nothing_done, repeatable, retry_timeouts, is_usable, pacer or self._pacer
        )
        try:
            return retrying(self._once, method, path, params, payload, terms)
        except tenacity.RetryError as error:
            failure = error.last_attempt.exception()
        except requests.RequestException as error:
            failure = error
        # Raised outside of the handlers: the library's exceptions may quote headers, and a context would carry them on.
        return self._last_word(failure, method, path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        for session in self._sessions:
            session.close()

    def _once(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        payload: Any,
        terms: _Terms,
    ) -> Answer:
        if terms.pacer:
            terms.pacer.wait()
        try:
            answer = self._send(method, path, params, payload)
        except requests.RequestException as error:
            if terms.wants_again(error):
                raise _TryAgainError(error=error) from error
            raise
        pause = terms.pacer.heed(answer) if terms.pacer else retry_after(answer)
        if answer.status in terms.statuses or (terms.after_break and not terms.is_usable(answer)):
            raise _TryAgainError(answer=answer, pause=pause)
        return answer

    def _send(self, method: str, path: str, params: Mapping[str, str] | None, payload: Any) -> Answer:
        deadline = time.monotonic() + self._limits.answer
        with self._session().request(
            method,
            self.base_url + path,
            params=params,
            json=payload,
            timeout=(self._limits.connect, self._limits.silence),
            stream=True,
            allow_redirects=False,
        ) as response:
            answer = Answer(response.status_code, response.headers, _read(response, deadline))
        self._server_time = server_time(answer)
        return answer

    def _session(self) -> requests.Session:
        """One session a thread: `requests` does not promise that a session may be shared."""
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.headers.update(self._headers)
            # Or else an entry of ~/.netrc would replace the token.
            session.auth = _as_it_is
            # No proxy leads back to this machine.
            session.trust_env = not self._is_here
            self._local.session = session
            self._sessions.append(session)
        return session

    def _pause(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.pause if isinstance(error, _TryAgainError) else None
        pause = self._backoff(state)
        # Not sooner than without it: a past date, by a clock of ours that is fast, would use up all attempts at once.
        return pause if asked is None else max(min(asked, _LONGEST_PAUSE) + pause / 10, pause)

    def _log_retry(self, method: str, path: str, state: tenacity.RetryCallState) -> None:
        again = _reason(state)
        pause = state.next_action.sleep if state.next_action else 0
        log.warning("%s: %s %s: %s; trying again in %.1f s", self.service, method, path, again, pause)

    def _last_word(self, error: BaseException | None, method: str, path: str) -> Answer:
        if isinstance(error, _TryAgainError) and error.answer is not None:
            return error.answer
        cause = error.error if isinstance(error, _TryAgainError) else error
        kind = TooSlowError if isinstance(cause, requests.ReadTimeout) else UnreachableError
        raise kind(
            f"{self.service} gave no usable answer to {method} {self.base_url}{path}: {_short(cause)}. Check the"
            " network and the base URL in the settings, and run again when the service is back."
        )


def _read(response: requests.Response, deadline: float) -> bytes:
    """Return the whole body. Bytes are taken as they come, so that a trickle cannot outlast the deadline unseen."""
    chunks = []
    try:
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            chunks.append(chunk)
            if time.monotonic() > deadline:
                raise requests.ReadTimeout
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.ReadTimeout from error
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ChunkedEncodingError from error
    return b"".join(chunks)


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _TryAgainError(Exception):
    def __init__(
        self,
        answer: Answer | None = None,
        error: requests.RequestException | None = None,
        pause: float | None = None,
    ) -> None:
        super().__init__(answer, error)
        self.answer = answer
        self.pause = pause
        self.error = error


def retry_after(answer: Answer) -> float | None:
    """Seconds that the answer's `Retry-After` asks for (number or date), or None."""
    text = answer.headers.get("Retry-After")
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def number_in(answer: Answer, header: str) -> int | None:
    """Return the number that a header of the answer holds; None when it is missing, or none that can be meant."""
    text = answer.headers.get(header, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER else None


def server_time(answer: Answer) -> datetime | None:
    """Return the time that the answer's `Date` tells, aware, in UTC; None when there is none."""
    try:
        return parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return None


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _may_pass(error: requests.RequestException) -> bool:
    """Tell a broken connection, which a second try may mend, from a request that can never be sent."""
    return isinstance(
        error, requests.ConnectionError | requests.Timeout | requests.exceptions.ChunkedEncodingError
    ) and not isinstance(error, requests.exceptions.SSLError)


def _reason(state: tenacity.RetryCallState) -> str:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, _TryAgainError) and error.answer is not None:
        return f"answered {error.answer.status}"
    return _short(error.error if isinstance(error, _TryAgainError) else error)


def _short(error: BaseException | None) -> str:
    """Name the cause of a failed request without the library's object addresses."""
    if isinstance(error, requests.ConnectTimeout):
        return "connecting took too long"
    if isinstance(error, requests.Timeout):
        return "the answer took too long"
    if isinstance(error, requests.exceptions.SSLError):
        return "the TLS certificate was not accepted"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke in the middle of the answer"
    if isinstance(error, requests.ConnectionError):
        return "the connection was refused or broken"
    return type(error).__name__
