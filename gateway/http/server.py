"""The listener: aiohttp's low-level HTTP server, with its error and log paths replaced.

aiohttp parses requests, keeps connections alive and frames answers. Its own error page and log lines
quote raw request bytes, so every path that would reach them ends here instead:

1. Malformed HTTP gets a content-free error in the dialect that the path suggests, and the connection
   closes, because what follows on it can't be trusted.
2. Nothing is logged by aiohttp: access log off, logger replaced.
3. A client that goes away, or half-closes, cancels its handler (``handler_cancellation``).
4. The client's back-pressure goes to the relay of the request that is being answered.
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
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from gateway.errors import GatewayError, HeadersTooLarge, InvalidRequest
from gateway.names import Rid, new_rid
from gateway.telemetry.log import Event, Log

MAX_HEADER_FIELD = 16_384
MAX_HEADERS = 128
KEEPALIVE_SECONDS = 3630.0  # longer than any load balancer in front keeps idle connections

_NO_LINGER = struct.pack("ii", 1, 0)

# aiohttp logs through this; it has no handler and lets nothing through.
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

    __slots__ = ("broken_target", "relay")

    def __init__(self, server: Server, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            cast("web.Server", server),
            loop=loop,
            keepalive_timeout=KEEPALIVE_SECONDS,
            logger=_SILENT,
            access_log=cast("logging.Logger", None),
            max_line_size=MAX_HEADER_FIELD,
            max_field_size=MAX_HEADER_FIELD,
            max_headers=MAX_HEADERS,
            lingering_time=0.0,  # `dispatch` lingers, within a bound of bytes too
            auto_decompress=False,  # bodies are decoded within a bound, by `inbound`
        )
        self.relay: Flow | None = None
        self.broken_target = ""  # the request target of what could not be parsed, for the form of its error

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages and type(self._messages[-1][0]) is _ErrInfo:
            found = _TARGET.match(data)
            if found is not None:
                self.broken_target = found[1].decode("latin-1")

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.relay is not None:
            self.relay.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.relay is not None:
            self.relay.resume()

    def log_exception(self, *args: object, **kwargs: object) -> None:
        """Swallowed: the arguments hold raw bytes. `handle_error` counts what happened."""

    def log_debug(self, *args: object, **kwargs: object) -> None:
        """Swallowed likewise."""

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
            error = InvalidRequest("The request is not valid HTTP/1.1.")
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


class Server(web.Server):
    """The protocol factory of the listening sockets."""

    def __init__(
        self,
        handler: Handler,
        on_broken: OnBroken,
        log: Log,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Build the server.

        Args:
            handler: Answers one request.
            on_broken: Makes the answer for a request that never reached ``handler`` or that broke it.
            log: Takes the type of what broke ``handler``, and nothing else of it.
            loop: The event loop.
        """
        super().__init__(cast("Any", handler), handler_cancellation=True, loop=loop)
        self.on_broken = on_broken
        self.log = log
        self._event_loop = loop

    def __call__(self) -> RequestHandler:
        return ClientConnection(self, loop=self._event_loop)


def reset(transport: asyncio.Transport) -> None:
    """End a connection so that its peer sees a reset: a plain end would complete an HTTP/1.0 body."""
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()
