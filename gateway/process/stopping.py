"""When a process of the gateway ends: on a signal, or if its supervisor has died or replaced it.

Rules:

1. SIGTERM and SIGINT mean the same: finish running requests, then end. SIGHUP reloads the configuration of a process
   that serves (`on_hang_up`). It ends a process whose terminal has gone, unless its parent ignores it (nohup), and one
   that has nothing to reload.
2. This applies in every state, also before the process serves: work until then goes through `Stopping.or_stop`.
3. A second signal ends the process at once. A signal within `SAME_SECONDS` of the first counts as the same one: Ctrl-C
   reaches a whole process group, and ``timeout`` signals its child twice.
4. SIGUSR2 to a worker means that another one has taken its place: it hands over, and then ends as by SIGTERM. To any
   other process it means what the process says (`on_restart`), or nothing.
5. A worker holds one end of a pipe whose other end only its supervisor has. The kernel closes that end when the
   supervisor dies in any way; nobody writes to it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Collection, Coroutine
from typing import Any, TypeVar

SIGNALS = (signal.SIGTERM, signal.SIGINT)
SAME_SECONDS = 1.0
CLEAN_UP_SECONDS = 30.0  # the embedded store writes everything out when it stops

Result = TypeVar("Result")


class Stopping:
    """Made in the running loop, before anything else is.

    Args:
        parent: The pipe of rule 5, if there is a supervisor.
        on_again: Called at each signal that means "now".

    Attributes:
        asked: Set once the process is to end.
        hurried: Set once it is to end without waiting for anybody.
        replaced: Whether another worker has taken this one's place.
        told: Set once a signal has said that the process is to end.
        on_hang_up: What SIGHUP does while the process serves; ``None`` if it ends it.
        on_restart: What SIGUSR2 does to a process without a supervisor; ``None`` is nothing.
    """

    def __init__(self, parent: int | None = None, on_again: Callable[[], None] | None = None) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()
        self.told = asyncio.Event()
        self.replaced = False
        self._on_again = on_again
        self._since = 0.0
        self._parent = parent
        self._loop = asyncio.get_running_loop()
        for number in SIGNALS:
            self._loop.add_signal_handler(number, self.stop)
        self.on_hang_up: Callable[[], object] | None = None
        self._nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        self._had_terminal = _has_terminal()
        self._loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        self.on_restart: Callable[[], object] | None = None
        self._loop.add_signal_handler(signal.SIGUSR2, self._restart)
        if parent is not None:
            os.set_blocking(parent, False)
            self._loop.add_reader(parent, self._orphaned)

    def _hung_up(self) -> None:
        gone = self._had_terminal and not _has_terminal()
        if not self._nohup and (gone or self.on_hang_up is None):
            self.stop()
        elif self.on_hang_up is not None:
            self.on_hang_up()

    def stop(self) -> None:
        """As a signal does."""
        now = time.monotonic()
        if not self.told.is_set():
            self._since = now
            self.told.set()
            self.asked.set()
        elif now - self._since > SAME_SECONDS:
            self.hurried.set()
            if self._on_again is not None:
                self._on_again()

    def _restart(self) -> None:
        if self._parent is not None:
            self.replaced = True
            self.asked.set()
        elif self.on_restart is not None:
            self.on_restart()

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
        self.told.set()
        self.asked.set()


def _has_terminal() -> bool:
    """Whether the process has a controlling terminal: the kernel takes it away when it hangs up."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
