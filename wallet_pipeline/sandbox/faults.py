"""Faults on demand: a middleware that spoils requests by rule, and the control routes that manage the rules.

Each stand-in adds `*faults.routes()` to its routes and `Middleware(FaultMiddleware, faults=faults)` to its middleware.
Paths below `/sandbox/` are the controls: they are never spoilt and never counted.
"""

import asyncio
import json
import random
import re
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HTML_ERROR = (
    "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1><p>A proxy says no.</p></body></html>"
)
STATUSES = range(200, 600)
STATUSES_OF_SUCCESS = range(200, 300)
CONTROLS = "/sandbox/"
LOGGED_REQUESTS = 10_000

_RULE_KEYS = {"method", "path", "body", "skip", "times", "probability", "action"}
_ACTION_KEYS: dict[str, set[str]] = {
    "status": {"status", "headers", "body", "html"},
    "replace": {"status", "headers", "body", "html"},
    "delay": {"seconds"},
    "drop": set(),
    "drop_after": set(),
    "truncate": {"quietly"},
    "headers": {"set", "remove"},
    "json": {"set", "remove", "omit"},
    "meanwhile": {"method", "path", "body"},
}


class BadRuleError(ValueError):
    """A fault rule that cannot be obeyed; the text says why."""


@dataclass
class Rule:
    """One fault: which requests it is for, which of those it spoils, and how."""

    id: int
    spec: dict[str, Any]
    action: dict[str, Any]
    method: str | None
    path: re.Pattern[str]
    body: re.Pattern[str] | None
    skip: int
    times: int | None
    probability: float
    matched: int = 0
    fired: int = 0

    def fires(self, method: str, target: str, body: str, chance: random.Random) -> bool:
        """Tell whether this request is to be spoilt, and count it."""
        if not self._matches(method, target, body):
            return False
        self.matched += 1
        if self.matched <= self.skip or (self.times is not None and self.fired >= self.times):
            return False
        if chance.random() >= self.probability:
            return False
        self.fired += 1
        return True

    def _matches(self, method: str, target: str, body: str) -> bool:
        if self.method is not None and self.method != method:
            return False
        if self.body is not None and not self.body.search(body):
            return False
        return self.path.search(target) is not None

    def describe(self) -> dict[str, Any]:
        """Return the rule as it was given, with its counts."""
        return {"id": self.id, **self.spec, "matched": self.matched, "fired": self.fired}


@dataclass
class LoggedRequest:
    """What is remembered of a request: no headers and no body. The status is None when no answer went out."""

    method: str
    path: str
    query: str
    status: int | None = None


@dataclass
class RequestLog:
    """Counts of all requests and answers since the start or the last `clear`, and the last requests themselves."""

    counts: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    last: deque[LoggedRequest] = field(default_factory=lambda: deque(maxlen=LOGGED_REQUESTS))

    def note(self, method: str, path: str, query: str) -> LoggedRequest:
        """Count a request and return its entry, whose status is filled in later."""
        entry = LoggedRequest(method, path, query)
        self.counts[f"{method} {path}"] += 1
        self.last.append(entry)
        return entry

    def note_answer(self, entry: LoggedRequest, status: int) -> None:
        """Count an answer."""
        entry.status = status
        self.statuses[status] += 1

    def clear(self) -> None:
        """Forget everything."""
        self.counts.clear()
        self.statuses.clear()
        self.last.clear()


class Faults:
    """The rules in force on one server, and the log of its requests."""

    def __init__(self, seed: int = 0) -> None:
        self.log = RequestLog()
        self._rules: dict[int, Rule] = {}
        self._next_id = 1
        self._chance = random.Random(seed)  # noqa: S311 - repeatable chance is the point

    @property
    def reads_bodies(self) -> bool:
        """Whether bodies are read first: for a rule that looks into them, or that acts when the caller may be gone."""
        return any(rule.body is not None or rule.action["type"] == "delay" for rule in self._rules.values())

    def add(self, spec: object) -> Rule:
        """Add a rule from its JSON form, or raise BadRuleError."""
        rule = _parse_rule(self._next_id, spec)
        self._rules[rule.id] = rule
        self._next_id += 1
        return rule

    def fired(self, method: str, target: str, body: str) -> Iterator[Rule]:
        """Yield the rules that spoil this request, oldest first; each is counted when it is reached."""
        for rule in list(self._rules.values()):
            if rule.fires(method, target, body, self._chance):
                yield rule

    def routes(self) -> list[Route]:
        """Return the control routes for rules and the request log."""
        return [
            Route("/sandbox/faults", self._list, methods=["GET"]),
            Route("/sandbox/faults", self._add, methods=["POST"]),
            Route("/sandbox/faults", self._clear, methods=["DELETE"]),
            Route("/sandbox/faults/{id:int}", self._remove, methods=["DELETE"]),
            Route("/sandbox/requests", self._requests, methods=["GET"]),
            Route("/sandbox/requests", self._forget_requests, methods=["DELETE"]),
        ]

    async def _list(self, _: Request) -> Response:
        return JSONResponse([rule.describe() for rule in self._rules.values()])

    async def _add(self, request: Request) -> Response:
        try:
            rule = self.add(json.loads(await request.body()))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        return JSONResponse({"id": rule.id}, status_code=201)

    async def _clear(self, _: Request) -> Response:
        self._rules.clear()
        return Response(status_code=204)

    async def _remove(self, request: Request) -> Response:
        rule = self._rules.pop(request.path_params["id"], None)
        return Response(status_code=404 if rule is None else 204)

    async def _requests(self, request: Request) -> Response:
        if request.query_params.get("by") == "status":
            return JSONResponse({str(status): count for status, count in self.log.statuses.items()})
        last = request.query_params.get("last")
        if last is None:
            return JSONResponse(dict(self.log.counts))
        if not last.isdecimal():
            return JSONResponse({"error": "last is a number of requests"}, status_code=400)
        entries = list(self.log.last)[-int(last) :] if int(last) else []
        return JSONResponse([vars(entry) for entry in entries])

    async def _forget_requests(self, _: Request) -> Response:
        self.log.clear()
        return Response(status_code=204)


class FaultMiddleware:
    """Logs each request and lets the rules spoil it. The first rule that fires decides, unless it carries on."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"].startswith(CONTROLS):
            await self._app(scope, receive, send)
            return
        path, query = scope["path"], scope["query_string"].decode("latin-1")
        entry = self._faults.log.note(scope["method"], path, query)
        body = b""
        if self._faults.reads_bodies:
            body, receive = await _read_ahead(receive)
        exchange = _Exchange(self._app, scope, receive, _noting(self._faults.log, entry, send))
        target = f"{path}?{query}" if query else path
        for rule in self._faults.fired(scope["method"], target, body.decode("utf-8", "replace")):
            if await _ACTIONS[rule.action["type"]](exchange, rule.action):
                return
        await exchange.run()


@dataclass(frozen=True)
class _Exchange:
    app: ASGIApp
    scope: Scope
    receive: Receive
    send: Send

    async def run(self, send: Send | None = None) -> None:
        await self.app(self.scope, self.receive, send or self.send)

    async def answer(self) -> tuple[Message, bytes]:
        """Execute the request and return the start of its answer and the whole body, unsent."""
        start: list[Message] = []
        chunks: list[bytes] = []

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.append(message)
            else:
                chunks.append(message.get("body", b""))

        await self.run(keep)
        return start[0], b"".join(chunks)

    async def use_control(self, method: str, path: str, body: Any) -> int:
        """Call a control of the same server and return the status of its answer."""
        request: Message = {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}
        statuses: list[int] = []

        async def receive() -> Message:
            return request

        async def keep(message: Message) -> None:
            statuses.extend([message["status"]] if message["type"] == "http.response.start" else [])

        scope = {**self.scope, "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
        await self.app(scope, receive, keep)
        return statuses[0]

    async def reply(self, start: Message, body: bytes) -> None:
        """Send an answer whose body may have changed."""
        MutableHeaders(raw=start["headers"])["content-length"] = str(len(body))
        await self.send(start)
        await self.send({"type": "http.response.body", "body": body})

    async def hang_up(self) -> None:
        """Close the connection once what was sent is out. Needs a server with DroppableProtocol."""
        self.scope["state"]["transport"].close()
        while (await self.receive())["type"] != "http.disconnect":
            pass


def _noting(log: RequestLog, entry: LoggedRequest, send: Send) -> Send:
    async def note(message: Message) -> None:
        if message["type"] == "http.response.start":
            log.note_answer(entry, message["status"])
        await send(message)

    return note


async def _read_ahead(receive: Receive) -> tuple[bytes, Receive]:
    """Return the request body, and a `receive` that gives it once more."""
    messages: deque[Message] = deque([await receive()])
    while messages[-1].get("more_body", False):
        messages.append(await receive())

    async def replay() -> Message:
        return messages.popleft() if messages else await receive()

    return b"".join(message.get("body", b"") for message in messages), replay


async def _respond(exchange: _Exchange, action: dict[str, Any]) -> bool:
    status, headers = action.get("status", 200), action.get("headers", {})
    body = action.get("body", {})
    if action.get("html"):
        response = Response(HTML_ERROR.format(status), status, media_type="text/html")
    elif isinstance(body, str):
        response = Response(body, status, media_type="text/plain")
    else:
        response = JSONResponse(body, status)
    response.headers.update(headers)
    await response(exchange.scope, exchange.receive, exchange.send)
    return True


async def _delay(_: _Exchange, action: dict[str, Any]) -> bool:
    await asyncio.sleep(action["seconds"])
    return False


async def _drop(exchange: _Exchange, _: dict[str, Any]) -> bool:
    await exchange.hang_up()
    return True


async def _drop_after(exchange: _Exchange, _: dict[str, Any]) -> bool:
    await exchange.answer()
    await exchange.hang_up()
    return True


async def _meanwhile(exchange: _Exchange, action: dict[str, Any]) -> bool:
    status = await exchange.use_control(action.get("method", "POST"), action["path"], action.get("body"))
    if status in STATUSES_OF_SUCCESS:
        return False
    answer = JSONResponse({"error": f"the control {action['path']} answered {status}"}, 500)
    await answer(exchange.scope, exchange.receive, exchange.send)
    return True


async def _truncate(exchange: _Exchange, action: dict[str, Any]) -> bool:
    start, body = await exchange.answer()
    if action.get("quietly"):
        await exchange.reply(start, body[: len(body) // 2])
        return True
    headers = MutableHeaders(raw=start["headers"])
    headers["content-length"] = str(len(body))
    await exchange.send(start)
    await exchange.send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
    await exchange.hang_up()
    return True


async def _change_headers(exchange: _Exchange, action: dict[str, Any]) -> bool:
    start, body = await exchange.answer()
    headers = MutableHeaders(raw=start["headers"])
    for name in action.get("remove", []):
        del headers[name]
    headers.update(action.get("set", {}))
    await exchange.send(start)
    await exchange.send({"type": "http.response.body", "body": body})
    return True


async def _change_json(exchange: _Exchange, action: dict[str, Any]) -> bool:
    start, body = await exchange.answer()
    content = json.loads(body)
    if omitted := action.get("omit", 0):
        content["results"] = content["results"][omitted:]
    content = {name: value for name, value in content.items() if name not in action.get("remove", [])}
    await exchange.reply(start, json.dumps(content | action.get("set", {})).encode())
    return True


# Each returns whether the request has been dealt with.
_ACTIONS: dict[str, Callable[[_Exchange, dict[str, Any]], Awaitable[bool]]] = {
    "status": _respond,
    "replace": _respond,
    "delay": _delay,
    "drop": _drop,
    "drop_after": _drop_after,
    "truncate": _truncate,
    "headers": _change_headers,
    "json": _change_json,
    "meanwhile": _meanwhile,
}


def _parse_rule(rule_id: int, spec: object) -> Rule:
    rule = _object(spec, "the rule", _RULE_KEYS)
    method, times = rule.get("method"), rule.get("times")
    _require(method is None or isinstance(method, str), "method is a string or null")
    _require(times is None or _is_count(times), "times is a whole number from 0, or null for ever")
    _require(_is_count(rule.get("skip", 0)), "skip is a whole number from 0")
    probability = rule.get("probability", 1.0)
    _require(_is_number(probability) and 0 <= probability <= 1, "probability is a number from 0 to 1")
    return Rule(
        id=rule_id,
        spec=rule,
        action=_parse_action(rule.get("action")),
        method=method.upper() if method else None,
        path=_regex(rule.get("path") or "", "path"),
        body=None if rule.get("body") is None else _regex(rule["body"], "body"),
        skip=rule.get("skip", 0),
        times=times,
        probability=probability,
    )


def _parse_action(spec: object) -> dict[str, Any]:
    kind = spec.get("type") if isinstance(spec, dict) else None
    if kind not in _ACTION_KEYS:
        raise BadRuleError(f"action.type is one of {[*_ACTION_KEYS]}")
    action = _object(spec, f"the action {kind}", _ACTION_KEYS[kind] | {"type"})
    if kind in {"status", "replace"}:
        status = action.get("status", 200 if kind == "replace" else None)
        _require(status in STATUSES, "action.status is a number from 200 to 599")
    if kind == "delay":
        _require(_is_number(action.get("seconds")) and action["seconds"] >= 0, "action.seconds is a number from 0")
    if kind == "meanwhile":
        path = action.get("path")
        _require(isinstance(path, str) and path.startswith(CONTROLS), f"action.path is a path below {CONTROLS}")
    if kind == "json":
        _require(isinstance(action.get("set", {}), dict), "action.set is a JSON object")
    _require(_is_count(action.get("omit", 0)), "action.omit is a whole number from 0")
    for name in ("headers", *(["set"] if kind == "headers" else [])):
        _require(_is_text_map(action.get(name, {})), f"action.{name} maps header names to texts")
    _require(_is_text_list(action.get("remove", [])), "action.remove is a list of names")
    return action


def _object(value: object, what: str, keys: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRuleError(f"{what} is not a JSON object")
    unknown = sorted(set(value) - keys)
    _require(not unknown, f"{what} has unknown keys {unknown}; known are {sorted(keys)}")
    return value


def _regex(pattern: object, what: str) -> re.Pattern[str]:
    if not isinstance(pattern, str):
        raise BadRuleError(f"{what} is a regular expression in a string")
    try:
        return re.compile(pattern)
    except re.error as error:
        raise BadRuleError(f"{what} is no regular expression: {error}") from error


def _require(condition: object, otherwise: str) -> None:
    if not condition:
        raise BadRuleError(otherwise)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text_map(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _is_text_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)
