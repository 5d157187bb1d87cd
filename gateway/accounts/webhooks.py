"""Signed events to the operator's own service, as Standard Webhooks 1.0 describes them.

Rules:

1. `Webhooks.emit` is synchronous and never raises: it puts the event on a bounded queue. If the
   queue is full, the oldest event is dropped and counted: an event is only a hint, the ledger is authoritative.
2. One background task delivers events in order of retry time, each until the receiver answers 2xx or the retries are
   used up. The receiver must accept an event that arrives twice (with the same ``webhook-id``).
3. An event contains a type, the account's random id and integers: nothing that a client wrote.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import hmac
import secrets
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from itertools import count
from typing import Any

import orjson

from gateway.config.webhooks import WebhookConfig
from metering.background import Background

QUEUE = 1_000
# Seconds before each further try: about a day in all, as Standard Webhooks recommends.
RETRIES = (5.0, 60.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0)
TIMEOUT_SECONDS = 15.0
CLOSING_SECONDS = 5.0  # that a process which ends waits for events to be delivered


class WebhookEvent(StrEnum):
    CREDITS_LOW = "credits.low"
    CREDITS_EXHAUSTED = "credits.exhausted"
    ACCOUNT_ERASED = "account.erased"
    NEW_DEVICE = "session.new_device"
    REFRESH_REUSE = "session.refresh_reuse"


class Webhooks(Background):
    """One process's sender. Without a ``url``, events are dropped. Queued events are lost at `close`.

    Attributes:
        delivered: Events that were answered with a 2xx.
        dropped: Events that found the queue full or used up their tries.
    """

    def __init__(
        self,
        url: str = "",
        secret: bytes = b"",
        *,
        retries: Sequence[float] = RETRIES,
        limit: int = QUEUE,
        clock: Callable[[], float] = time.time,
        on_dropped: Callable[[], None] | None = None,
    ) -> None:
        self._url = url
        self._secret = secret
        self._retries = tuple(retries)
        self._limit = limit
        self._clock = clock
        self._on_dropped = on_dropped
        self._queue: list[tuple[float, int, str, bytes, int]] = []  # due, order, id, body, tries so far
        self._order = count()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.delivered = 0
        self.dropped = 0

    def emit(self, event: WebhookEvent, pid: str, **amounts: int) -> None:
        """Tell that something happened to an account."""
        if not self._url:
            return
        now = self._clock()
        at = datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "Z")
        body = orjson.dumps({"type": event.value, "timestamp": at, "data": {"pid": pid, **amounts}})
        if len(self._queue) >= self._limit:
            self._queue.remove(min(self._queue, key=lambda queued: queued[1]))
            heapq.heapify(self._queue)
            self._drop()
        self._put(now, f"msg_{secrets.token_hex(12)}", body, 0)

    def start(self) -> None:
        """Begin to deliver. Call from the running loop."""
        if self._url:
            super().start()

    async def drain(self, timeout: float = CLOSING_SECONDS) -> bool:
        """Wait until nothing is queued, for at most ``timeout`` seconds; whether that is so."""
        try:
            await asyncio.wait_for(self._idle.wait(), timeout)
        except TimeoutError:
            return False
        return True

    def _put(self, due: float, name: str, body: bytes, tries: int) -> None:
        heapq.heappush(self._queue, (due, next(self._order), name, body, tries))
        self._idle.clear()
        self._wake.set()

    def _drop(self) -> None:
        self.dropped += 1
        if self._on_dropped is not None:
            self._on_dropped()

    async def _run(self) -> None:
        from aiohttp import ClientSession, ClientTimeout, DummyCookieJar  # noqa: PLC0415 - not in a worker's start

        timeout = ClientTimeout(total=TIMEOUT_SECONDS)
        async with ClientSession(timeout=timeout, cookie_jar=DummyCookieJar()) as session:
            while True:
                if not self._queue:
                    self._idle.set()
                self._wake.clear()
                wait = self._queue[0][0] - self._clock() if self._queue else None
                if wait is None or wait > 0:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), wait)
                    continue
                _, _, name, body, tries = heapq.heappop(self._queue)
                if await self._deliver(session, name, body):
                    self.delivered += 1
                elif tries < len(self._retries):
                    self._put(self._clock() + self._retries[tries], name, body, tries + 1)
                else:
                    self._drop()

    async def _deliver(self, session: Any, name: str, body: bytes) -> bool:
        from aiohttp import ClientError  # noqa: PLC0415 - not in a worker's start

        headers = {"Content-Type": "application/json", **signature(self._secret, name, int(self._clock()), body)}
        try:
            async with session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                return bool(200 <= answer.status < 300)
        except (ClientError, OSError, TimeoutError, ValueError):
            return False


def signature(secret: bytes, name: str, at: int, body: bytes) -> dict[str, str]:
    """The three headers: HMAC-SHA-256 over id, time and body (Standard Webhooks, "Signature scheme")."""
    signed = f"{name}.{at}.".encode() + body
    digest = b64encode(hmac.digest(secret, signed, "sha256")).decode()
    return {"webhook-id": name, "webhook-timestamp": str(at), "webhook-signature": f"v1,{digest}"}


def make_webhooks(config: WebhookConfig | None, on_dropped: Callable[[], None] | None = None) -> Webhooks:
    """A sender as configured; without a configuration, one that drops everything."""
    if config is None:
        return Webhooks()
    return Webhooks(config.url, config.secret, on_dropped=on_dropped)
