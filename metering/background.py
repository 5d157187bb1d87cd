"""A process's background tasks: how they are started, and how they are ended for certain."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any, TypeVar

AGAIN_SECONDS = 0.1

Result = TypeVar("Result")


class Background(ABC):
    """A background task of a process, from `start` to `close`. A subclass implements `_run`."""

    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the task, unless it runs. Call from the running loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=type(self).__name__)

    async def close(self) -> None:
        """Cancel the task; on return it has ended."""
        await end(self._task)
        self._task = None

    @abstractmethod
    async def _run(self) -> None:
        """Run until cancelled."""


async def end(task: asyncio.Task[Any] | None) -> None:
    """Cancel ``task`` and wait until it has ended; its own errors are not raised here.

    The cancellation is repeated, because it can be lost if it arrives just as the task's awaited operation completes
    (`asyncio.wait_for` of Python 3.11 swallows it then).
    """
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN_SECONDS)


async def within(seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """Return what ``work`` returns. A cancellation of the caller ends ``work`` even if it swallows one (see `end`).

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
