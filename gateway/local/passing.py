"""Forwards an engine's answer to the client, scanned (the same dialect) or translated.

Rules:

1. The opening of an answer is held until its first output, at most `OPENING_SECONDS`; a body that is not a stream is
   held until its end, at most `MOST_HELD` bytes. So an engine that fails inside a 200, or sends no answer, results in
   an error status.
2. After output has been forwarded, an answer without its dialect's own end gets the error event and no normal end. If
   no event can follow, the connection is reset.
3. Who pauses whom: `StreamResponse.write` waits while the client's buffer is full, and meanwhile nothing is read from
   the engine. A client that goes away cancels the coroutine, which drops the connection to the engine.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from gateway.errors import UpstreamError
from gateway.http.server import reset
from gateway.local.engine import EngineAnswer
from gateway.local.faults import EngineError, error_of
from providers.conversation.failures import translate_error_event
from providers.conversation.translator import StreamTranslator
from providers.dialect import Operation, ProviderError, Scanner
from providers.errors import error_event

OPENING_SECONDS: Final = 2.0
MOST_HELD: Final = 1 << 20
_NOTHING: Final = "The engine sent no answer, or one that is not an answer of this API. Retry."
_ENDED: Final = "The engine's answer ended before it was complete. Retry."


class Passing:
    """One answer of 2xx. `open` it, then either answer with its `failure` or `send` it."""

    def __init__(
        self,
        answer: EngineAnswer,
        watcher: Scanner | StreamTranslator,
        *,
        operation: Operation,
        rid: str,
        stream: bool,
        translated: bool = False,
        opening: float = OPENING_SECONDS,
    ) -> None:
        """Build it.

        Args:
            answer: The engine's unread answer.
            watcher: Knows where the answer begins and ends, and says what to send.
            operation: What the caller asked for.
            rid: The request's id.
            stream: A stream was asked for.
            translated: ``watcher`` writes the caller's own end, and no usage follows it: nothing is read after it.
            opening: Seconds for which what opens a stream is held.
        """
        self._answer = answer
        self._watcher = watcher
        self._operation = operation
        self._rid = rid
        self._stream = stream
        self._translated = translated
        self._opening = opening
        self._held: list[bytes] = []
        self._over = False
        self._fault: EngineError | None = None

    async def open(self) -> None:
        """Hold the beginning of the answer until it is one.

        Raises:
            EngineError: The answer was cut before its first output.
            UpstreamError: It ended without any, and without an error of its own.
        """
        if self._stream:
            await self._await_output()
        else:
            await self._gather()
        if self._over and not self._watcher.begun and self._watcher.error is None:
            raise UpstreamError(_NOTHING)

    @property
    def sse(self) -> bool:
        """What is sent is an event stream; known once the answer is open."""
        return self._watcher.sse

    @property
    def failure(self) -> ProviderError | None:
        """The engine's error."""
        return None if self._watcher.begun else self._watcher.error

    async def _await_output(self) -> None:
        """A fault before the first output is raised as an error; after it, what has arrived is forwarded first."""
        try:
            await self._take()
            async with asyncio.timeout(self._opening):
                while not (self._over or self._watcher.begun or self._watcher.error):
                    await self._take()
        except TimeoutError:
            return
        except EngineError as fault:
            if not self._watcher.begun:
                raise
            self._fault = fault

    async def _gather(self) -> None:
        size = 0
        while not self._over and size <= MOST_HELD:
            size += await self._take()

    async def _take(self) -> int:
        """One read: what to send of it is held."""
        data = await self._answer.read()
        self._over = not data
        shown = self._watcher.feed(data) if data else self._watcher.finish()
        if shown:
            self._held.append(shown)
        return len(data)

    async def send(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Send the answer; ``response`` has its headers and was not prepared."""
        await response.prepare(request)
        watcher = self._watcher
        try:
            while True:
                for piece in self._held:
                    await response.write(piece)
                self._held.clear()
                if self._fault is not None:
                    raise self._fault
                if self._over or (self._translated and (watcher.ended or watcher.error is not None)):
                    break
                await self._take()
        except EngineError as fault:
            self._fault = fault
        if watcher.ended:
            await response.write_eof()
        else:
            await self._end_cut(request, response)

    async def _end_cut(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Never let a truncated answer look complete: an error event and a close, or a reset."""
        transport = request.transport
        if transport is None:
            return
        event = self._event()
        if event:
            await response.write(event)
            transport.close()  # flushes, then ends without the last chunk
        else:
            reset(transport)

    def _event(self) -> bytes:
        """The error event that may follow what was sent, or nothing."""
        watcher = self._watcher
        if not watcher.at_boundary:
            return b""
        if watcher.error is not None:  # in the same dialect its own words have passed, perhaps in another form
            return translate_error_event(
                self._operation, watcher.error, rid=self._rid, sse=self.sse, sequence=watcher.events
            )
        error = UpstreamError(_ENDED) if self._fault is None else error_of(self._fault.fault)
        return error_event(
            self._operation,
            error.status,
            error.code,
            error.message,
            request_id=self._rid,
            sequence=watcher.events,
            sse=self.sse,
        )
