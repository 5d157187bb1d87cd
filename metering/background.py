"""A process's background tasks: begun, and ended so that they are over."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any

AGAIN_SECONDS = 0.1


class Background(ABC):
    """What runs beside a process's requests, from `start` to `close`; a subclass says in `_run` what that is."""

    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, unless it runs. Call from the running loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=type(self).__name__)

    async def close(self) -> None:
        """End it; on return it is over."""
        await end(self._task)
        self._task = None

    @abstractmethod
    async def _run(self) -> None:
        """Go on until cancelled."""


async def end(task: asyncio.Task[Any] | None) -> None:
    """Cancel ``task`` and wait until it is over; its own errors are not raised here.

    A cancellation that arrives in the very moment in which what the task waits for is done can be swallowed
    (`asyncio.wait_for` of Python 3.11 does so): it is repeated.
    """
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN_SECONDS)
