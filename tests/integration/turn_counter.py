"""A gateway that counts the turns of its loop for each request: `benchmarks.launch` starts it with this inside.

Each request adds a line to the file that the text of the injection names: what happened between its bytes and the
provider's request, each with the number of turns since the bytes. A stream adds another one, of what happened from then
until its client has the first output. While it counts, the loop does not wait, so that a round trip takes many turns;
the turns between two steps of the gateway's own are exact.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from gateway.api.dispatch import Dispatcher
from gateway.http.server import ClientConnection
from gateway.inference.relay import Relay
from gateway.process.app import Worker
from gateway.upstream.connection import Connection
from metering.spool.spool import Spool
from metering.store.link import Link

STEPS = (
    (ClientConnection, "data_received", "bytes"),
    (Dispatcher, "handle", "handler"),
    (Link, "call", "called"),
    (Link, "_flush", "asked"),
    (Link, "data_received", "told"),
    (Spool, "intent", "intent"),
    (Connection, "send", "sent"),
    (Relay, "on_head", "answered"),
    (Relay, "open", "opened"),
    (Relay, "on_end", "ended"),
)


class Counter:
    def __init__(self, found):
        self._file = found.open("a", buffering=1)
        self._turn = 0
        self._steps = None
        self._ticks = False

    def tick(self):
        self._turn += 1
        self._ticks = self._steps is not None
        if self._ticks:
            asyncio.get_running_loop().call_soon(self.tick)

    def note(self, name):
        if name == "bytes":
            self._turn, self._steps = 0, []
            if not self._ticks:
                self._ticks = True
                asyncio.get_running_loop().call_soon(self.tick)
        if self._steps is not None:
            self._steps.append((name, self._turn))
            if name in {"sent", "opened"}:
                print(json.dumps(self._steps), file=self._file)
                self._steps = self._steps[-1:]
            if name in {"opened", "ended"}:
                self._steps = None


def noted(counters, kind, method, name):
    original = getattr(kind, method)

    def call(self, *arguments, **more):
        if name != "bytes" or arguments[0]:  # aiohttp parses on with no bytes when a handler begins
            for counter in counters:
                counter.note(name)
        return original(self, *arguments, **more)

    setattr(kind, method, call)


def install(text: str) -> None:
    start = Worker.start.__func__
    counters: list[Counter] = []  # one, once the worker has started
    for step in STEPS:
        noted(counters, *step)

    async def counted(kind, *arguments, **more):
        worker = await start(kind, *arguments, **more)
        counters.append(Counter(Path(text)))
        return worker

    Worker.start = classmethod(counted)
