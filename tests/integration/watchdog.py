"""A gateway that watches its own loop: `benchmarks.launch` starts it with this inside.

A heartbeat on the worker's loop notes the processor time that the loop's thread has used since the last one: what the
machine does meanwhile does not count. The text of the injection names the file that holds the longest, in seconds;
deleting it begins a new measurement.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from gateway.process.app import Worker

BEAT = 0.001


class Watchdog:
    def __init__(self, loop, found):
        self._found = found
        self._loop = loop
        self._longest = 0.0
        self._since = time.thread_time()
        loop.call_later(BEAT, self._beat)

    def _beat(self):
        now = time.thread_time()
        held = now - self._since
        if not self._found.exists():
            self._longest = 0.0
        if held > self._longest or not self._found.exists():
            self._longest = held
            self._found.write_text(f"{held:.6f}")
        self._since = time.thread_time()
        self._loop.call_later(BEAT, self._beat)


def install(text: str) -> None:
    start = Worker.start.__func__

    async def watched(kind, *arguments, **more):
        worker = await start(kind, *arguments, **more)
        Watchdog(asyncio.get_running_loop(), Path(text))
        return worker

    Worker.start = classmethod(watched)
