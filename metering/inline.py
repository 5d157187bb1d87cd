"""A future whose task goes on inside the call that has its result, and not in a later turn of the event loop.

Between a result and the task that waits for it, asyncio puts a turn of the loop, in which everything else that is due
runs first: under load, a burst of chunks of other requests. A request waits for the ledger and the spool before its
provider is called, and here it does not wait for that turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


class InlineFuture(asyncio.Future[T]):
    """A future for one task; whoever has its result calls `resolve`.

    `resolve` runs the task that awaits the future until that waits again, so call it last, when the caller's own state
    is complete. Every other waiter (a callback, an `asyncio.gather`, a second task) is told in the next turn, as of any
    future. So is the task if the future fails or is cancelled, or if `resolve` is called from inside another task.
    """

    _step: tuple[Callable[[InlineFuture[T]], object], Context] | None = None

    def add_done_callback(self, fn: Callable[[InlineFuture[T]], object], /, *, context: Context | None = None) -> None:
        """As of any future; the first that has a context is the step of the task that awaits this."""
        if context is None or self._step is not None or self.done():
            super().add_done_callback(fn, context=context)
        else:
            self._step = fn, context

    def remove_done_callback(self, fn: Callable[[InlineFuture[T]], object], /) -> int:
        self._later()
        return super().remove_done_callback(fn)

    def set_result(self, result: T, /) -> None:
        self._later()
        super().set_result(result)

    def set_exception(self, exception: type | BaseException, /) -> None:
        self._later()
        super().set_exception(exception)

    def cancel(self, msg: Any | None = None) -> bool:
        self._later()
        return super().cancel(msg)

    def resolve(self, result: T) -> None:
        """Set the result, and run the task that awaits it."""
        step, self._step = self._step, None
        if step is not None and asyncio.current_task(self.get_loop()) is not None:
            super().add_done_callback(step[0], context=step[1])
            step = None
        super().set_result(result)
        if step is not None:
            step[1].run(step[0], self)

    def _later(self) -> None:
        step, self._step = self._step, None
        if step is not None:
            super().add_done_callback(step[0], context=step[1])
