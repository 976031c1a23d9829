"""The Wallet Crew: the list of passes, page by page, KQL queries on Insights, and webhook subscriptions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from urllib.parse import quote

from pydantic import SecretStr

from wallet_pipeline.clients.http import (
    TRANSIENT_STATUSES,
    Answer,
    AuthenticationError,
    HttpClient,
    NotFoundError,
    Pacer,
    QuotaError,
    ScopeError,
    ServiceError,
    TimeLimits,
    TooSlowError,
    UnexpectedAnswerError,
    number_in,
    server_time,
)
from wallet_pipeline.clients.minute import MinutePacer

_SERVICE = "The Wallet Crew"
_OK = range(200, 300)
_BAD_REQUEST, _UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY = 400, 401, 403, 404, 429
_TOTAL = "x-pagination-total"
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


@dataclass(frozen=True)
class Webhook:
    """A subscription to events. Its secret signs its deliveries, and is empty where an answer does not tell it."""

    id: str
    endpoint: str
    events: tuple[str, ...]
    enabled: bool
    signature_secret: SecretStr = field(repr=False)


class WalletCrew:
    """Reads from one tenant, and manages its webhook subscriptions."""

    def __init__(
        self,
        base_url: str,
        tenant_id: str,
        api_key: SecretStr,
        limits: TimeLimits | None = None,
        attempts: int = 6,
        insights_pacer: Pacer | None = None,
    ) -> None:
        headers = {"X-API-KEY": api_key.get_secret_value(), "Accept": "application/json"}
        self._http = HttpClient(_SERVICE, base_url, headers, limits, attempts)
        self._insights_pacer = insights_pacer or MinutePacer()
        self._tenant_id = tenant_id
        self._root = f"/api/{quote(tenant_id, safe='')}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def server_time(self) -> datetime | None:
        """The service's clock (aware, UTC) as its last answer told it; None when it did not."""
        return self._http.server_time

    def read_passes(self, index: int, size: int) -> PassPage:
        """Return page `index` (from 0) of all passes, by ascending id. Needs Pass.Read. Raises ServiceError."""
        answer = self._checked("GET", "/passes", "Pass.Read", params=_page_parameters(index, size))
        body = answer.body.strip()
        if not (body.startswith(b"[") and body.endswith(b"]")):
            raise UnexpectedAnswerError(
                f"{_SERVICE} answered page {index} of the passes with {answer.kind} that is not a JSON list. Check"
                " WALLET_CREW_BASE_URL; if a proxy stands between, let the address through."
            )
        return PassPage(index, answer.body, number_in(answer, _TOTAL), server_time(answer))

    def count_passes(self, wallet: str) -> int:
        """Return the service's own number of passes installed in `wallet`, apple or google. Raises ServiceError."""
        params = _page_parameters(0, 1) | {
            "filter[0].field": "installationStatus",
            "filter[0].operator": "contains",
            "filter[0].value": wallet,
        }
        total = number_in(self._checked("GET", "/passes", "Pass.Read", params=params), _TOTAL)
        if total is None:
            raise UnexpectedAnswerError(f"{_SERVICE} gave no {_TOTAL} for the passes installed in {wallet}.")
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
                pacer=self._insights_pacer,
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

    def list_webhooks(self) -> list[Webhook]:
        """Return all subscriptions of the tenant. Needs Webhook.Read. Raises ServiceError."""
        listed = self._checked("GET", "/webhooks", "Webhook.Read").json(_SERVICE)
        if not isinstance(listed, list):
            raise _unexpected_webhook()
        return [_webhook(one) for one in listed]

    def create_webhook(self, endpoint: str, events: Sequence[str], description: str) -> Webhook:
        """Subscribe an endpoint to events. Needs Webhook.Write. Raises ServiceError.

        Never sent twice, for each time would create one; after UnreachableError it may have been created.
        """
        fields = {"description": description, "endpoint": endpoint, "events": [*events], "enabled": True}
        answer = self._checked("POST", "/webhooks", "Webhook.Write", payload=fields, repeatable=False)
        return _webhook(answer.json(_SERVICE))

    def change_webhook(
        self, webhook_id: str, *, events: Sequence[str] | None = None, enabled: bool | None = None
    ) -> Webhook:
        """Change what is given of a subscription. Needs Webhook.Write. Raises NotFoundError, ServiceError."""
        fields: dict[str, Any] = {} if events is None else {"events": [*events]}
        if enabled is not None:
            fields["enabled"] = enabled
        return _webhook(self._of_webhook("PATCH", webhook_id, payload=fields).json(_SERVICE))

    def delete_webhook(self, webhook_id: str) -> None:
        """Remove a subscription. Needs Webhook.Write. Raises NotFoundError (also when an earlier try did it)."""
        self._of_webhook("DELETE", webhook_id)

    def _of_webhook(self, method: str, webhook_id: str, **request: Any) -> Answer:
        try:
            return self._checked(method, f"/webhooks/{quote(webhook_id, safe='')}", "Webhook.Write", **request)
        except NotFoundError as error:
            raise NotFoundError(
                f"{_SERVICE} knows no webhook {webhook_id!r} in the tenant {self._tenant_id!r} (404)."
                " `wallet-pipeline webhooks list` shows those that exist."
            ) from error

    def _checked(self, method: str, path: str, scope: str, **request: Any) -> Answer:
        answer = self._http.call(method, self._root + path, **request)
        if answer.status in _OK:
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
        if answer.status == _TOO_MANY:
            raise QuotaError(f"{_SERVICE} goes on asking for fewer calls (429 for {what}). Run again later. {detail}")
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


def _webhook(found: Any) -> Webhook:
    """Return a subscription from an answer; what does not fit is not quoted, for it holds a secret."""
    if not isinstance(found, dict):
        raise _unexpected_webhook()
    webhook_id, endpoint, events, enabled = (found.get(key) for key in ("id", "endpoint", "events", "enabled"))
    secret = found.get("signatureSecret") or ""
    texts = [webhook_id, endpoint, secret, *(events if isinstance(events, list) else [None])]
    if not all(isinstance(text, str) for text in texts) or not isinstance(enabled, bool):
        raise _unexpected_webhook()
    return Webhook(str(webhook_id), str(endpoint), tuple(events or ()), enabled, SecretStr(secret))


def _unexpected_webhook() -> UnexpectedAnswerError:
    return UnexpectedAnswerError(
        f"{_SERVICE} answered with webhooks of another form than documented. The API may have changed: compare with"
        " its reference."
    )


def _next_step(status: int) -> str:
    if status == _BAD_REQUEST:
        return "The request does not suit this version of the API: compare with its reference."
    return "If it goes on, ask the vendor's support with the time of this message."


def _detail(answer: Answer) -> str:
    """Return what a ProblemDetails body says, as the service's own words; nothing for any other body."""
    problem = answer.json_object() or {}
    texts = [str(problem[key]) for key in ("title", "detail", "errors") if problem.get(key)]
    return f"The service says: {'; '.join(texts)[:300]}" if texts else ""
