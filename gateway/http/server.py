"""The listener: aiohttp's low-level HTTP server, with its error and log paths replaced.

aiohttp parses requests, keeps connections alive and frames answers. Its own error page and log lines
quote raw request bytes, so every path that would reach them ends here instead:

1. Malformed HTTP gets a content-free error in the dialect that the path suggests, and the connection
   closes, because what follows on it can't be trusted.
2. Nothing is logged by aiohttp: access log off, logger replaced.
3. If a client disconnects or half-closes, its handler is cancelled (``handler_cancellation``).
4. The client's back-pressure is forwarded to the relay of the current request.
5. The protocol reports the state of a connection to the table that bounds connections (`connections`), once a request.
6. The size of a whole head is limited, before it is complete.
7. Repeated fields are accepted or refused by the rule of `gateway.http.repeats`.
8. Once the server takes its leave, each answer says that its connection closes (``Connection: close``), and idle
   connections stay open for the time being: a request that is on its way when a worker ends would otherwise be reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo

from gateway.errors import GatewayError, HeadersTooLarge, InvalidRequest
from gateway.http import repeats
from gateway.http.connections import Connections
from gateway.names import Rid, new_rid
from gateway.telemetry.log import Event, Log

MAX_HEADER_FIELD = 16_384
MAX_HEADERS = 128
MAX_HEAD_BYTES = 65_536  # of a head that is not complete yet: its sender is unknown
KEEP_ALIVE_SECONDS = 75.0

_NO_LINGER = struct.pack("ii", 1, 0)

# aiohttp logs through this; it has no handler and drops everything.
_SILENT = logging.getLogger("codegrex.silent")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
_SILENT.disabled = True

_TARGET = re.compile(rb"[A-Z]{3,10} (/[!-~]{0,1024}) HTTP/")


OnBroken: TypeAlias = Callable[[web.BaseRequest, str, GatewayError, Rid], web.Response]
"""Takes the request, its path as far as it is known, the error and the request id."""


class Flow(Protocol):
    """What writes to a client past aiohttp, and so hears of its back-pressure."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class ClientConnection(RequestHandler):
    """One client connection."""

    __slots__ = ("_answering", "_begun", "_head_bytes", "_wire", "broken_target", "opening", "relay", "table")

    def __init__(self, server: Server, *, loop: asyncio.AbstractEventLoop, keep_alive: float) -> None:
        super().__init__(
            cast("web.Server", server),
            loop=loop,
            keepalive_timeout=keep_alive,
            logger=_SILENT,
            access_log=cast("logging.Logger", None),
            max_line_size=MAX_HEADER_FIELD,
            max_field_size=MAX_HEADER_FIELD,
            max_headers=MAX_HEADERS,
            lingering_time=0.0,  # `dispatch` lingers, within a bound of bytes too
            auto_decompress=False,  # bodies are decoded within a bound, by `inbound`
        )
        self.relay: Flow | None = None
        self.table: Connections | None = None
        self.opening: asyncio.Task[None] | None = None  # until `connection_made`, and the TLS handshake before it
        self._wire: asyncio.Transport | None = None  # aiohttp forgets its own before it has closed
        self._answering = False
        self._head_bytes = 0
        self._begun = bytearray()  # of a head that arrived in pieces
        self.broken_target = ""  # the request target of what could not be parsed, for the form of its error

    @property
    def streams(self) -> bool:
        return self.relay is not None

    @property
    def idle(self) -> bool:
        """Whether it waits for a request's head."""
        return self._waiter is not None

    def end(self) -> None:
        """Close the connection at once, in any state."""
        if self._wire is not None:
            self._wire.abort()
        elif self.opening is not None:
            self.opening.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast("asyncio.Transport", transport)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._wire = None
        if self.table is not None:
            self.table.gone(self)
        super().connection_lost(exc)

    def asked(self) -> None:
        """The request has a valid token: from now on the connection is not displaced."""
        if self.table is not None:
            self.table.asked(self)

    def data_received(self, data: bytes) -> None:
        if self._head_bytes > MAX_HEAD_BYTES:
            return  # refused already
        owed, asked = self._owes_head(), self._request_count
        super().data_received(data)
        if self._messages and type(self._messages[-1][0]) is _ErrInfo:
            whole = bytes(self._begun + data)
            if owed and self._request_count == asked + 1:
                self._repair(whole)
            found = _TARGET.match(whole)
            if found is not None:
                self.broken_target = found[1].decode("latin-1")
        if self._request_count != asked:
            self._answering, self._head_bytes = True, 0
            self._begun.clear()
        elif owed and data:
            self._begun += data
            self._head(len(data))

    def _repair(self, data: bytes) -> None:
        """Read a request that aiohttp refused for a repeated field again, without the repetition."""
        refused = self._messages[-1][0]
        assert isinstance(refused, _ErrInfo)
        if not isinstance(refused.exc, BadHttpMessage) or not repeats.is_repeat(refused.exc.message):
            return
        kept = repeats.without(data)
        if kept is None:
            return
        self._messages.pop()
        self._request_count -= 1
        self._parser = self._new_parser()
        super().data_received(kept)

    def _new_parser(self) -> HttpRequestParser:
        """As aiohttp makes its own, which is of no use once it has refused something."""
        return HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=MAX_HEADER_FIELD,
            max_field_size=MAX_HEADER_FIELD,
            max_headers=MAX_HEADERS,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=self._max_msg_queue_size,
        )

    def _owes_head(self) -> bool:
        """Whether what comes next is of a head, and not of a body."""
        if not self._answering:
            return True
        if self._messages:
            return self._messages[-1][1].is_eof()
        request = self._current_request
        return request is not None and request.content.is_eof()

    def _head(self, count: int) -> None:
        """Bytes arrived that do not complete a head."""
        if self.table is not None and not self._answering:
            self.table.asks(self)
        self._head_bytes += count
        if self._head_bytes > MAX_HEAD_BYTES:
            self._answering = True
            self._messages.append((_ErrInfo(400, LineTooLong(b"", MAX_HEAD_BYTES), ""), EMPTY_PAYLOAD))
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.table is not None:
            self.table.stands(self)
        if self.relay is not None:
            self.relay.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.table is not None:
            self.table.flows(self)
        if self.relay is not None:
            self.relay.resume()

    async def _handle_request(
        self, request: web.BaseRequest, start_time: float | None, request_handler: Handler
    ) -> tuple[web.StreamResponse, bool]:
        try:
            return await super()._handle_request(request, start_time, request_handler)
        finally:
            if not self._messages:
                self._answering = False
                if self.table is not None:
                    self.table.answered(self)

    def log_exception(self, *args: object, **kwargs: object) -> None:
        """Swallowed: the arguments hold raw bytes. `handle_error` counts what happened."""

    def log_debug(self, *args: object, **kwargs: object) -> None:
        """Swallowed too."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # quotes the request: never used
    ) -> web.StreamResponse:
        """What aiohttp calls for malformed HTTP and for a handler that raised."""
        del message
        if request.writer.output_size > 0:
            raise ConnectionError
        error: GatewayError
        if isinstance(exc, LineTooLong):
            error = HeadersTooLarge()
        elif status >= 500:
            error = GatewayError()
        else:
            error = InvalidRequest(repeats.reason(exc.message if isinstance(exc, BadHttpMessage) else ""))
        server = cast("Server | None", self._manager)
        if server is None:
            raise ConnectionError
        rid = new_rid()
        if status >= 500 and exc is not None:
            server.log.failure(Event.HANDLER_FAILED, exc, rid=rid)
        # What could not be parsed has no path of its own; the connection knows the one that was meant.
        path = (self.broken_target or request.raw_path).partition("?")[0]
        response = server.on_broken(request, path, error, rid)
        response.force_close()
        return response


class _Request(web.BaseRequest):
    """A request whose connection closes after its answer if the server has taken its leave."""

    @property
    def keep_alive(self) -> bool:
        server = cast("Server | None", self.protocol._manager)  # noqa: SLF001 - aiohttp has no other way to it
        return super().keep_alive and not (server is None or server.leaving)


class Server(web.Server):
    """The protocol factory of the listening sockets.

    Attributes:
        leaving: Whether each connection closes after its next answer (rule 8).
    """

    def __init__(
        self,
        handler: Handler,
        on_broken: OnBroken,
        log: Log,
        loop: asyncio.AbstractEventLoop,
        *,
        keep_alive: float = KEEP_ALIVE_SECONDS,
    ) -> None:
        """Build the server.

        Args:
            handler: Answers one request.
            on_broken: Makes the answer for a request that never reached ``handler`` or that broke it.
            log: Takes the type of what broke ``handler``, and nothing else of it.
            loop: The event loop.
            keep_alive: Seconds for which a connection is kept between two requests.
        """
        super().__init__(
            cast("Any", handler), request_factory=cast("Any", self._request), handler_cancellation=True, loop=loop
        )
        self.leaving = False
        self.on_broken = on_broken
        self.log = log
        self._event_loop = loop
        self._keep_alive = keep_alive

    def idle(self) -> list[ClientConnection]:
        """Connections between two requests, or before the first one."""
        return [one for one in cast("list[ClientConnection]", self.connections) if one.idle]

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> _Request:
        return _Request(message, payload, protocol, writer, task, self._event_loop)

    def __call__(self) -> ClientConnection:
        return ClientConnection(self, loop=self._event_loop, keep_alive=self._keep_alive)


def reset(transport: asyncio.Transport) -> None:
    """End a connection so that its peer sees a reset: a plain end would complete an HTTP/1.0 body."""
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()
