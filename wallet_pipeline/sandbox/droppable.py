"""The uvicorn protocol of the stand-ins: it lets the faults close a connection without an answer."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol


class DroppableProtocol(H11Protocol):
    """Hands the connection's transport to the application, in `scope["state"]["transport"]`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remember the transport for each request of this connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
