"""A process's background tasks: begun, and ended so that they are over."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any, TypeVar

AGAIN_SECONDS = 0.1

Result = TypeVar("Result")


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


async def within(seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """What ``work`` returns; a cancellation of the caller ends ``work`` also where that would swallow it (see `end`).

    Raises:
        TimeoutError: It took longer than ``seconds``.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait([task], timeout=seconds)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        await end(task)
