"""The Date header of a stand-in's answers, in the place of uvicorn's own: a fault may set another one."""

from collections.abc import Callable
from datetime import datetime
from email.utils import format_datetime

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Dated:
    """Middleware that adds what its clock (aware, UTC) says to answers without a Date; nothing when it says None."""

    def __init__(self, app: ASGIApp, clock: Callable[[], datetime | None]) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def dated(message: Message) -> None:
            now = self._clock()
            if message["type"] == "http.response.start" and now is not None:
                MutableHeaders(raw=message["headers"]).setdefault("date", format_datetime(now, usegmt=True))
            await send(message)

        await self._app(scope, receive, dated)
