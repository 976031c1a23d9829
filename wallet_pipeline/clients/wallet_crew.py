"""The Wallet Crew: the list of passes, page by page, and KQL queries on Insights."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self
from urllib.parse import quote

from pydantic import SecretStr

from wallet_pipeline.clients.http import (
    TRANSIENT_STATUSES,
    Answer,
    AuthenticationError,
    HttpClient,
    NotFoundError,
    ScopeError,
    ServiceError,
    TimeLimits,
    TooSlowError,
    UnexpectedAnswerError,
)

_SERVICE = "The Wallet Crew"
_OK, _BAD_REQUEST, _UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY = 200, 400, 401, 403, 404, 429
_TIMED_OUT = frozenset({408, 504, 524})


class QueryTimeoutError(ServiceError):
    """Insights gave up on a query because it took too long; a smaller window may pass."""


@dataclass(frozen=True)
class PassPage:
    """One page as bytes, a JSON array. It holds the passes' secrets: never write, log or raise its body."""

    index: int
    body: bytes = field(repr=False)
    total: int | None
    server_time: datetime | None


class WalletCrew:
    """Reads from one tenant."""

    def __init__(self, base_url: str, tenant_id: str, api_key: SecretStr, limits: TimeLimits | None = None) -> None:
        headers = {"X-API-KEY": api_key.get_secret_value(), "Accept": "application/json"}
        self._http = HttpClient(_SERVICE, base_url, headers, limits)
        self._tenant_id = tenant_id
        self._root = f"/api/{quote(tenant_id, safe='')}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def read_passes(self, index: int, size: int) -> PassPage:
        """Return page `index` (from 0) of all passes, by ascending id. Needs Pass.Read. Raises ServiceError."""
        answer = self._checked("GET", "/passes", "Pass.Read", params=_page_parameters(index, size))
        body = answer.body.strip()
        if not (body.startswith(b"[") and body.endswith(b"]")):
            raise UnexpectedAnswerError(
                f"{_SERVICE} answered page {index} of the passes with {answer.kind} that is not a JSON list. Check"
                " WALLET_CREW_BASE_URL; if a proxy stands between, let the address through."
            )
        return PassPage(index, answer.body, _total(answer), _server_time(answer))

    def count_passes(self, wallet: str) -> int:
        """Return the service's own number of passes installed in `wallet`, apple or google. Raises ServiceError."""
        params = _page_parameters(0, 1) | {
            "filter[0].field": "installationStatus",
            "filter[0].operator": "contains",
            "filter[0].value": wallet,
        }
        total = _total(self._checked("GET", "/passes", "Pass.Read", params=params))
        if total is None:
            raise UnexpectedAnswerError(f"{_SERVICE} gave no x-pagination-total for the passes installed in {wallet}.")
        return total

    def query_insights(self, kql: str) -> list[list[Any]]:
        """Return the rows of a KQL query, by position. Needs Insights.Read. Raises QueryTimeoutError, ServiceError."""
        try:
            answer = self._checked(
                "POST",
                "/insights/query",
                "Insights.Read",
                payload={"query": kql},
                transient=TRANSIENT_STATUSES - _TIMED_OUT,
                retry_timeouts=False,
            )
        except TooSlowError as error:
            raise QueryTimeoutError(f"{_SERVICE} took too long over an Insights query.") from error
        rows = answer.json(_SERVICE)
        rows = rows.get("rows") if isinstance(rows, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
            raise UnexpectedAnswerError(
                f"{_SERVICE} answered an Insights query without `rows`. The API may have changed: compare with its"
                " reference."
            )
        return rows

    def _checked(self, method: str, path: str, scope: str, **request: Any) -> Answer:
        answer = self._http.call(method, self._root + path, **request)
        if answer.status == _OK:
            return answer
        detail = _detail(answer)
        what = f"{method} {self._root}{path}"
        if answer.status == _UNAUTHORISED:
            raise AuthenticationError(
                f"{_SERVICE} did not accept the API key (401) for {what}. It is wrong or revoked: create a key in the"
                f" tenant's back office and put it into WALLET_CREW_API_KEY. {detail}"
            )
        if answer.status == _FORBIDDEN:
            raise ScopeError(
                f"The API key lacks the scope {scope} (403 for {what}). Add {scope} to the key in the tenant's back"
                f" office, or put a key that has it into WALLET_CREW_API_KEY. {detail}"
            )
        if answer.status == _NOT_FOUND:
            raise NotFoundError(
                f"{_SERVICE} knows no tenant {self._tenant_id!r} at this address (404 for {what}). Check"
                f" WALLET_CREW_TENANT_ID and WALLET_CREW_BASE_URL; staging and production are separate. {detail}"
            )
        if answer.status in _TIMED_OUT:
            raise QueryTimeoutError(f"{_SERVICE} took too long over {what} ({answer.status}). {detail}")
        raise UnexpectedAnswerError(
            f"{_SERVICE} answered {answer.status} to {what}. {_next_step(answer.status)} {detail}".rstrip()
        )


def _page_parameters(index: int, size: int) -> dict[str, str]:
    return {
        "pageIndex": str(index),
        "pageSize": str(size),
        "sortBy[0].field": "id",
        "sortBy[0].direction": "ASC",
    }


def _next_step(status: int) -> str:
    if status == _TOO_MANY:
        return "It asks for fewer calls: run again later."
    if status == _BAD_REQUEST:
        return "The request does not suit this version of the API: compare with its reference."
    return "If it goes on, ask the vendor's support with the time of this message."


def _total(answer: Answer) -> int | None:
    text = answer.headers.get("x-pagination-total", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _server_time(answer: Answer) -> datetime | None:
    try:
        return parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return None


def _detail(answer: Answer) -> str:
    """Return what a ProblemDetails body says, as the service's own words; nothing for any other body."""
    try:
        problem = json.loads(answer.body)
    except ValueError:
        return ""
    texts = [str(problem[key]) for key in ("title", "detail") if problem.get(key)] if isinstance(problem, dict) else []
    return f"The service says: {'; '.join(texts)[:300]}" if texts else ""
