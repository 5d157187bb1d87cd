"""The simulator as an object: listening sockets, defaults, control endpoints.

``async with Simulator.start() as sim`` serves on a free port of the running loop. Control endpoints
(beside the provider's paths): ``GET /__sim__/stats``, ``GET /__sim__/bills``, ``GET /__sim__/requests``
(only with recording), ``POST /__sim__/reset``, ``GET`` and ``POST /__sim__/defaults``.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import orjson

from benchmarks.simulator import routes
from benchmarks.simulator.controls import Controls, override
from benchmarks.simulator.exchange import Call, Reply
from benchmarks.simulator.ledger import Bill, Ledger, Recorded, Stats
from benchmarks.simulator.protocol import Connection
from benchmarks.simulator.tls import Certificates
from benchmarks.simulator.wheel import Wheel

_JSON = b"Content-Type: application/json\r\n"


class Simulator:
    """A provider on one port. Make one with `start`; attributes are valid while it runs."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: Certificates | None = None,
        record: bool = False,
        keys: frozenset[str] = frozenset(),
        defaults: Controls | None = None,
        backlog: int = 4096,
    ) -> None:
        self.host, self.port, self.tls, self.keys, self.backlog = host, port, tls, keys, backlog
        self.initial = self.defaults = defaults or Controls()
        self.ledger = Ledger(record=record)
        self.connections: set[Connection] = set()
        self.parsed: dict[str, tuple[str, Controls]] = {}
        self.listener: asyncio.Server | None = None
        self.loop = asyncio.get_running_loop()
        self.wheel = Wheel(self.loop)

    @classmethod
    @asynccontextmanager
    async def start(cls, **options: Any) -> AsyncIterator[Simulator]:
        """Serve until the block ends, then close every connection. Options as in the constructor."""
        simulator = cls(**options)
        await simulator.listen()
        try:
            yield simulator
        finally:
            await simulator.close()

    # --- what tests read

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://{self.host}:{self.port}"

    @property
    def stats(self) -> Stats:
        return self.ledger.stats

    @property
    def bills(self) -> list[Bill]:
        """Recent requests as the provider accounts for them, oldest first."""
        return list(self.ledger.bills)

    @property
    def requests(self) -> list[Recorded]:
        """Recent requests as they arrived, oldest first; empty unless recording is on."""
        return list(self.ledger.requests)

    async def until(self, condition: Callable[[Stats], bool]) -> None:
        """Return once ``condition(stats)`` holds. Bound it with `asyncio.timeout`."""
        await self.ledger.until(condition)

    # --- what tests change

    def set_defaults(self, **changes: Any) -> None:
        """Change controls of every following request, by the names of `Controls` or of a suffix.

        With ``times`` the faults strike so many requests, then stop. Raises ValueError.
        """
        self.defaults = override(self.defaults, changes)
        self.parsed.clear()

    def restore_defaults(self) -> None:
        self.defaults = self.initial
        self.parsed.clear()

    def reset(self) -> None:
        """Zero the totals; forget bills and recorded requests. Defaults stay."""
        self.ledger.reset()

    def strike(self) -> None:
        """Count a struck request against ``times``."""
        left = self.defaults.times
        if left is not None and self.defaults.faults:
            if left <= 1:
                self.set_defaults(faults="", times=None)
            else:
                self.defaults = override(self.defaults, {"times": left - 1})
                self.parsed.clear()

    async def listen(self) -> None:
        """Open the port (the same one again after `refuse`)."""
        context = self.tls.server_context() if self.tls else None
        self.listener = await self.loop.create_server(
            lambda: Connection(self), self.host, self.port, ssl=context, backlog=self.backlog
        )
        self.port = self.listener.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Close the port: new connections are refused, open ones go on. `listen` reopens it."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None
            await asyncio.sleep(0)

    async def close(self) -> None:
        await self.refuse()
        for connection in list(self.connections):
            connection.transport.abort()
        await self.until(lambda stats: stats.connections_open <= 0)

    # --- answers

    def answer(self, call: Call) -> Reply:
        reply = routes.answer(call, self.defaults, self.parsed, self.keys)
        if self.defaults.times is not None and call.controls.faults:
            self.strike()
        return reply

    def control(self, call: Call) -> Reply:
        """The answer to ``/__sim__/...``."""
        action = (call.method, call.path.removeprefix("/__sim__/"))
        body: Any
        if action == ("GET", "stats"):
            body = self.ledger.as_dict() | {"late_ms": self.wheel.late}
        elif action == ("GET", "bills"):
            body = [asdict(bill) for bill in self.ledger.bills]
        elif action == ("GET", "requests") and self.ledger.record:
            body = [_recorded(request) for request in self.ledger.requests]
        elif action == ("POST", "reset"):
            self.reset()
            self.wheel.late = 0
            body = {"ok": True}
        elif action[1] == "defaults":
            try:
                if action[0] == "POST":
                    self.set_defaults(**orjson.loads(call.body))
            except (ValueError, TypeError) as error:
                return Reply(400, _JSON, orjson.dumps({"error": str(error)}))
            body = asdict(self.defaults) | {"faults": sorted(self.defaults.faults)}
        else:
            return Reply(404, _JSON, b'{"error":"no such control"}')
        return Reply(200, _JSON, orjson.dumps(body))


def _recorded(request: Recorded) -> dict[str, Any]:
    body: dict[str, Any] = {"method": request.method, "target": request.target, "headers": request.headers}
    try:
        return body | {"body": request.body.decode()}
    except UnicodeDecodeError:
        return body | {"body_base64": base64.b64encode(request.body).decode()}
