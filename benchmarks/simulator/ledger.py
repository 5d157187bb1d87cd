"""What the simulator has seen and billed: the provider's side of every account.

Rules:

1. A request is billed its input once its answer has begun with a 2xx status, and each content
   event when it is handed to the transport: what a provider would charge for a cut stream too.
2. Every request ends in exactly one of ``completed``, ``aborted`` (the peer went away first) and
   ``faulted`` (the simulator cut it on purpose).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field


@dataclass(slots=True)
class Bill:
    """One request as the provider accounts for it; ``input`` includes the cached tokens."""

    id: str
    dialect: str = ""
    operation: str = ""
    model: str = ""
    stream: bool = False
    status: int = 0
    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0  # visible and reasoning
    reasoning: int = 0
    events: int = 0
    outcome: str = "open"  # completed | aborted | faulted


@dataclass(slots=True)
class Stats:
    """Totals since the start or the last reset."""

    requests: int = 0
    completed: int = 0
    aborted: int = 0
    faulted: int = 0
    active: int = 0
    connections_open: int = 0
    connections_total: int = 0
    events: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as it arrived; kept only where recording is on."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header, by its lower-case name."""
        return next((value for key, value in self.headers if key.lower() == name), None)


@dataclass(slots=True)
class Ledger:
    """Totals, recent bills and, with ``record``, recent requests."""

    record: bool = False
    keep: int = 20_000
    stats: Stats = field(default_factory=Stats)
    bills: deque[Bill] = field(default_factory=deque)
    requests: deque[Recorded] = field(default_factory=deque)
    _waiters: list[tuple[Callable[[Stats], bool], asyncio.Future[None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bills = deque(maxlen=self.keep)
        self.requests = deque(maxlen=1000)

    def opened(self) -> None:
        self.stats.connections_open += 1
        self.stats.connections_total += 1
        self._changed()

    def closed(self) -> None:
        self.stats.connections_open -= 1
        self._changed()

    def received(self, bill: Bill) -> None:
        self.stats.requests += 1
        self.stats.active += 1
        self.bills.append(bill)
        self._changed()

    def ended(self, bill: Bill, outcome: str) -> None:
        """Close a bill; a second call for the same one changes nothing."""
        if bill.outcome != "open":
            return
        bill.outcome = outcome
        stats = self.stats
        stats.active -= 1
        if outcome == "completed":
            stats.completed += 1
        elif outcome == "aborted":
            stats.aborted += 1
        else:
            stats.faulted += 1
        stats.events += bill.events
        stats.tokens_in += bill.input
        stats.tokens_out += bill.output
        self._changed()

    def reset(self) -> None:
        """Zero the totals, forget bills and requests; what is still open stays counted as such."""
        open_now, active = self.stats.connections_open, self.stats.active
        self.stats = Stats(connections_open=open_now, connections_total=open_now, active=active)
        self.bills.clear()
        self.requests.clear()

    def as_dict(self) -> dict[str, int]:
        return asdict(self.stats)

    async def until(self, condition: Callable[[Stats], bool]) -> None:
        """Return as soon as ``condition(stats)`` holds; looked at after every change."""
        if condition(self.stats):
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((condition, future))
        await future

    def _changed(self) -> None:
        if not self._waiters:
            return
        for entry in list(self._waiters):
            condition, future = entry
            if future.done():
                self._waiters.remove(entry)
            elif condition(self.stats):
                self._waiters.remove(entry)
                future.set_result(None)
