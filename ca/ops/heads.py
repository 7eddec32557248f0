"""The heads of requests, bounded in bytes and in time: uvicorn's parser waits for whatever comes."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 << 10  # bytes: of the first line and all headers, and of what may follow a body
HEAD_TIMEOUT = 20  # seconds from the first byte of a request, or a connection, to the last header


class BoundedHeads(HttpToolsProtocol):
    """One connection. What it sends must come to a body or an end before it is too much or too late."""

    _pending = 0  # bytes since the parser last had something whole
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and hang up on who sends a head without an end."""
        self._pending += len(data)
        super().data_received(data)
        if self._pending <= MAX_HEAD or self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.send_400_response("The request's head is too long.")
        else:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """The parser saw the first byte of a request."""
        super().on_message_begin()
        self._wait()

    def on_headers_complete(self) -> None:
        """It saw the last header."""
        self._pending = 0
        self._wait_no_more()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """It saw some of a body, which the application bounds."""
        self._pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """It saw the end of a request."""
        self._pending = 0
        super().on_message_complete()

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_TIMEOUT, self._hang_up)

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hang_up(self) -> None:
        self._timer = None
        self.transport.abort()
