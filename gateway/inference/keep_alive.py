"""Signs of life for the client of a stream while nothing comes from its provider.

Balancers and editors close a connection that is quiet for a minute, and a model may think for longer. If nothing was
written to a client for ``server.keep_alive_seconds``, it gets a comment, or what its API sends for that (`SIGNS`).

Rules:

1. A sign stands between two events, never inside one, and only in an event stream that the client asked for.
2. Before the provider's answer, the first sign begins the response, with status 200. Not earlier: until then a failure
   is an error status. From then on it is the dialect's error event; other targets are tried as before.
3. Nothing is done per chunk. One timer for each stream looks twice in an interval whether anything was written since
   the last look, so that a client waits for at most one interval.
4. A client that does not read gets no sign: what waits for it is one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from gateway.inference.relay import Relay
from providers.dialect import Family

SIGNS: Final = {
    Family.OPENAI: b": keep-alive\n\n",
    Family.ANTHROPIC: b'event: ping\ndata: {"type": "ping"}\n\n',
    # Google's SDKs read every line that does not begin with "data:" as JSON, comments too; they skip blank lines.
    Family.GOOGLE: b"\r\n",
}


class KeepAlive:
    """The signs of one stream, from `start` to `close`. Three phases: until `answered`, until `watch`, and then."""

    __slots__ = ("_again", "_begin", "_beginning", "_half", "_heard", "_loop", "_relay", "_sign", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, sign: bytes) -> None:
        """Build it.

        Args:
            loop: The event loop.
            seconds: After which a quiet client gets a sign.
            sign: What it gets.
        """
        self._loop = loop
        self._half = seconds / 2
        self._sign = sign
        self._heard = True  # the client got something since the last look; at first, it has just asked
        self._begin: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._again: Callable[[bytes], None] | None = None
        self._beginning: asyncio.Task[None] | None = None
        self._relay: Relay | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self, begin: Callable[[], Coroutine[Any, Any, None]], again: Callable[[bytes], None]) -> None:
        """A provider is asked. ``begin`` begins the response with the first sign, ``again`` writes a further one."""
        self._begin, self._again = begin, again
        self._timer = self._loop.call_later(self._half, self._look)

    def answered(self) -> None:
        """A provider has answered, or none has: what the client gets now is not a sign."""
        self._begin = self._again = None
        if self._beginning is not None:
            self._beginning.cancel()  # nothing, if it has begun the response, which takes one turn of the loop
            self._beginning = None

    def watch(self, relay: Relay) -> None:
        """The answer flows."""
        self._relay = relay

    def close(self) -> None:
        """The answer has ended. May be called twice."""
        self.answered()
        self._relay = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = self._loop.call_later(self._half, self._look)
        heard = self._heard if self._relay is None else self._relay.heard()
        self._heard = False
        if heard:
            return
        if self._relay is not None:
            self._relay.sign(self._sign)
        elif self._begin is None:
            return
        elif self._beginning is None:
            self._beginning = self._loop.create_task(self._begin())
        elif self._again is not None:
            self._again(self._sign)
        self._heard = True
