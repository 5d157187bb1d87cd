"""Ends a process's background tasks."""

from __future__ import annotations

import asyncio

AGAIN_SECONDS = 0.1


async def end(task: asyncio.Task[None] | None) -> None:
    """Cancel ``task`` and wait until it is over; its own errors are not raised here.

    A cancellation that arrives in the very moment in which what the task waits for is done can be swallowed
    (`asyncio.wait_for` of Python 3.11 does so): it is repeated.
    """
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN_SECONDS)
