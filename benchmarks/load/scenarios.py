"""Who sends what and when. Each scenario drives its clients from their callbacks, without a task each.

Closed loop: `Callers` with one payload, each sending again as soon as its answer ended. Open loop:
`Arrivals`, where a request's time counts from when it was due, so that a stall shows in full.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from urllib.parse import urlsplit

from benchmarks.load.client import Client, connect
from benchmarks.load.payloads import Payload
from benchmarks.load.tally import Tally

RETRY_S = 0.25  # what a caller waits after an error, on average: as SDKs do, nobody storms


@dataclass(slots=True)
class Target:
    """Where the load goes."""

    host: str
    port: int
    context: ssl.SSLContext | None = None

    @classmethod
    def of(cls, url: str, ca_file: str | None = None) -> Target:
        """From a base URL; ``ca_file`` is trusted instead of the system's authorities."""
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        context = ssl.create_default_context(cafile=ca_file) if secure else None
        return cls(parts.hostname or "127.0.0.1", parts.port or (443 if secure else 80), context)


@dataclass(slots=True)
class Scenario:
    """Common ground: running until told to stop, opening connections again when they are lost."""

    target: Target
    tally: Tally
    payloads: Sequence[Payload]
    running: bool = True
    clients: set[Client] = field(default_factory=set)
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def stop(self) -> None:
        """Break off everything that is still open."""
        self.running = False
        for task in self._tasks:
            task.cancel()
        for client in list(self.clients):
            client.abort()

    async def open(self) -> Client | None:
        """A connected client, or ``None`` after counting the error."""
        try:
            client = await connect(self.target.host, self.target.port, self.target.context, self.tally, self.ended)
        except OSError:
            self.tally.errors["connect"] += 1
            return None
        self.clients.add(client)
        return client

    async def start(self) -> None:
        """Begin; returns when all callers are under way."""
        raise NotImplementedError

    def ended(self, client: Client) -> None:
        """An answer ended."""
        raise NotImplementedError

    def spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        """Keep a reference to a background task until it is done."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@dataclass(slots=True)
class Callers(Scenario):
    """Closed loop: ``count`` callers, started evenly over ``ramp`` seconds."""

    count: int = 1
    ramp: float = 0.0

    async def start(self) -> None:
        began = perf_counter()
        for index in range(self.count):
            wait = began + self.ramp * index / self.count - perf_counter()
            if wait > 0.0005:
                await asyncio.sleep(wait)
            elif not index % 64:
                await asyncio.sleep(0)
            if not self.running:
                return
            await self.caller(self.payloads[index % len(self.payloads)])

    async def caller(self, payload: Payload, pause: float = 0.0) -> None:
        """One more caller, after a pause; where the connection is refused it tries again."""
        if pause:
            await asyncio.sleep(pause * (0.5 + self.chance.random()))
        while self.running:
            client = await self.open()
            if client is not None:
                self.begin(client, payload)
                return
            await asyncio.sleep(0.1)

    def begin(self, client: Client, payload: Payload) -> None:
        client.send(payload)

    def ended(self, client: Client) -> None:
        if not self.running:
            return
        if client.ok and client.alive:
            self.begin(client, client.payload)
            return
        self.clients.discard(client)
        if client.transport is not None:
            client.transport.close()
        self.spawn(self.caller(client.payload, 0.0 if client.ok else RETRY_S))


@dataclass(slots=True)
class AbortStorm(Callers):
    """Callers who break off: a third before the first byte, the others after some events."""

    most_events: int = 10
    patience: float = 0.005  # seconds, for those who do not wait for a byte

    def begin(self, client: Client, payload: Payload) -> None:
        client.send(payload)
        if self.chance.random() < 1 / 3:
            delay = self.chance.random() * self.patience
            asyncio.get_running_loop().call_later(delay, self._break_off, client)
            client.on_events = None
            return
        limit = self.chance.randint(1, self.most_events)

        def after(seen: Client) -> None:
            if seen.events >= limit:
                self._break_off(seen)

        client.on_events = after

    def _break_off(self, client: Client) -> None:
        if client.busy:
            client.abort()
            self.clients.discard(client)
            if self.running:
                self.spawn(self.caller(client.payload))


@dataclass(slots=True)
class SlowReaders(Callers):
    """Callers who take one segment, then nothing for a while."""

    rest: float = 0.1

    def begin(self, client: Client, payload: Payload) -> None:
        client.on_events = self._pause
        client.send(payload)

    def _pause(self, client: Client) -> None:
        transport = client.transport
        if transport is not None and client.busy:
            transport.pause_reading()
            asyncio.get_running_loop().call_later(self.rest, _resume, client)


def _resume(client: Client) -> None:
    if client.transport is not None and not client.transport.is_closing():
        client.transport.resume_reading()


@dataclass(slots=True)
class Arrivals(Scenario):
    """Open loop: requests arrive at ``rate`` a second (Poisson), on idle connections or new ones."""

    rate: float = 10.0
    most: int = 10_000
    idle: list[Client] = field(default_factory=list)
    opening: int = 0

    async def start(self) -> None:
        self.spawn(self._arrive())

    async def _arrive(self) -> None:
        due = perf_counter()
        while self.running:
            due += self.chance.expovariate(self.rate)
            wait = due - perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            payload = self.chance.choice(self.payloads)
            while self.idle and not self.idle[-1].alive:
                self.clients.discard(self.idle.pop())
            if self.idle:
                self.idle.pop().send(payload, due)
            elif len(self.clients) + self.opening < self.most:
                self.opening += 1
                self.spawn(self._fresh(payload, due))
            else:
                self.tally.late += 1

    async def _fresh(self, payload: Payload, due: float) -> None:
        try:
            client = await self.open()
        finally:
            self.opening -= 1
        if client is not None and self.running:
            client.send(payload, due)

    def ended(self, client: Client) -> None:
        if client.alive:
            self.idle.append(client)
        else:
            self.clients.discard(client)


@dataclass(slots=True)
class Developers(Scenario):
    """What an IDE sends: each keystroke's completion cancels the one before, now and then a chat, rarely
    a long agent turn. ``payloads`` are completion, chat and agent turn, in this order.
    """

    count: int = 10
    keystroke: float = 0.3  # mean seconds between two completions of one developer
    chat: float = 20.0
    agent: float = 60.0

    async def start(self) -> None:
        for _ in range(self.count):
            self.spawn(self._type())
            self.spawn(self._talk(self.payloads[1], self.chat))
            self.spawn(self._talk(self.payloads[2], self.agent))

    async def _type(self) -> None:
        current: Client | None = None
        while self.running:
            await asyncio.sleep(self.chance.expovariate(1 / self.keystroke))
            if current is not None and current.busy:
                current.abort()
            if current is None or not current.alive:
                if current is not None:
                    self.clients.discard(current)
                current = await self.open()
            if current is not None:
                current.send(self.payloads[0])

    async def _talk(self, payload: Payload, mean: float) -> None:
        client: Client | None = None
        await asyncio.sleep(self.chance.random() * mean)
        while self.running:
            if client is None or not client.alive:
                client = await self.open()
            if client is not None and not client.busy:
                client.send(payload)
            await asyncio.sleep(self.chance.expovariate(1 / mean))

    def ended(self, client: Client) -> None:
        """Nothing follows by itself: the developer's own clock decides."""


async def settle(scenario: Scenario, seconds: float = 5.0) -> None:
    """Let answers that are under way end, up to a bound."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while any(client.busy for client in scenario.clients):  # noqa: ASYNC110 - once, at the end of a run
                await asyncio.sleep(0.02)
