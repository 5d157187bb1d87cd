"""When a process of the gateway ends: a signal says so, or its supervisor is gone.

Rules:

1. SIGTERM, SIGINT and SIGHUP say the same: finish what runs, then end. SIGHUP is left alone if the parent ignores it
   (nohup): the gateway does not read its configuration again.
2. It holds in every state, also before anything is served: what is done until then goes through `Stopping.or_stop`.
3. A later signal means "now". One within `SAME_SECONDS` is the same wish: Ctrl-C reaches a whole process group, and
   ``timeout`` signals its child twice.
4. A worker holds one end of a pipe whose other end only its supervisor has. The kernel closes that with the supervisor,
   however it died; nobody writes to it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Collection, Coroutine
from typing import Any, TypeVar

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SAME_SECONDS = 1.0
CLEAN_UP_SECONDS = 30.0  # the embedded store writes everything out when it stops

Result = TypeVar("Result")


class Stopping:
    """Made in the running loop, before anything else is.

    Args:
        parent: The pipe of rule 4, if there is a supervisor.
        on_again: Called at each signal that means "now".

    Attributes:
        asked: Set once the process is to end.
        hurried: Set once it is to end without waiting for anybody.
    """

    def __init__(self, parent: int | None = None, on_again: Callable[[], None] | None = None) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()
        self._on_again = on_again
        self._since = 0.0
        self._parent = parent
        self._loop = asyncio.get_running_loop()
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._loop.add_signal_handler(number, self.stop)
        if parent is not None:
            os.set_blocking(parent, False)
            self._loop.add_reader(parent, self._orphaned)

    def stop(self) -> None:
        """As a signal does."""
        now = time.monotonic()
        if not self.asked.is_set():
            self._since = now
            self.asked.set()
        elif now - self._since > SAME_SECONDS:
            self.hurried.set()
            if self._on_again is not None:
                self._on_again()

    async def or_stop(self, work: Coroutine[Any, Any, Result]) -> Result | None:
        """What ``work`` returns, or ``None`` if the process is to end first: then ``work`` was cancelled, and has
        cleaned up. Raises what ``work`` raises.
        """
        task = self._loop.create_task(work)
        await self._either(task, self.asked)
        if not task.done():
            task.cancel()
            await asyncio.wait((task,), timeout=CLEAN_UP_SECONDS)
        return task.result() if task.done() and not task.cancelled() else None

    async def until_hurried(self, tasks: Collection[asyncio.Task[object]], seconds: float) -> None:
        """Wait for ``tasks``, at most ``seconds``, and no longer than until `hurried`."""
        if tasks:
            await self._either(self._loop.create_task(asyncio.wait(tasks, timeout=seconds)), self.hurried)

    async def _either(self, task: asyncio.Task[Any], event: asyncio.Event) -> None:
        """Wait for the one or the other."""
        set_ = self._loop.create_task(event.wait())
        await asyncio.wait((task, set_), return_when=asyncio.FIRST_COMPLETED)
        set_.cancel()

    def _orphaned(self) -> None:
        assert self._parent is not None
        self._loop.remove_reader(self._parent)
        self.asked.set()
