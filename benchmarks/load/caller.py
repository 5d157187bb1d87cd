"""A caller that waits for each answer: sends a request, and knows how its answer ended before it sends the next one."""

from __future__ import annotations

import asyncio
import random
from time import perf_counter

from benchmarks.load.client import Client, connect
from benchmarks.load.payloads import Payload
from benchmarks.load.tally import Tally

PATIENCE = 60.0  # seconds for one answer
LEAVE_SECONDS = 0.005  # at most, for those who do not wait for a byte


class Caller:
    """One connection to a port of loopback, opened with the first request; one that was closed is replaced."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._client: Client | None = None
        self._ended = asyncio.Event()

    async def ask(self, request: Payload, tally: Tally, *, leave_after: int = -1) -> Client:
        """Send a request and wait until its answer has ended.

        Args:
            request: What to send.
            tally: Where it is counted.
            leave_after: Break off after so many events of the answer, 0 as soon as the request is sent; -1 stays.

        Returns:
            The connection: ``ok`` if the answer came whole.

        Raises:
            OSError: No connection could be opened; the tally counts it as ``connect``.
        """
        began = perf_counter()
        client = self._client
        if client is None or not client.alive:
            try:
                client = self._client = await connect("127.0.0.1", self._port, None, tally, self._on_done)
            except OSError:
                tally.errors["connect"] += 1
                raise
        self._ended.clear()
        client.tally = tally
        client.on_events = None if leave_after < 1 else lambda seen: self._leave(seen, leave_after)
        client.send(request, began)
        if leave_after == 0:
            await asyncio.sleep(random.random() * LEAVE_SECONDS)
            client.abort()
            return client
        try:
            async with asyncio.timeout(PATIENCE):
                await self._ended.wait()
        except TimeoutError:
            client.fail("timeout")
        return client

    def close(self) -> None:
        if self._client is not None and self._client.transport is not None:
            self._client.transport.close()

    def _leave(self, client: Client, after: int) -> None:
        if client.busy and client.events >= after:
            client.abort()
            self._ended.set()

    def _on_done(self, _client: Client) -> None:
        self._ended.set()
