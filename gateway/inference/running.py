"""The requests that a worker is serving, so that a drain can wait for them and an event can end them.

A revocation names a session; this module finds the session's requests on this worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.errors import GatewayError
from metering.usage import Outcome


class Cancellation:
    """How one request is ended from outside, and why it was: all that sessions, lanes and leases know of it.

    Make it in the request's task, which is cancelled; once the client's headers are out, set ``act`` to what ends the
    stream in place of that. Call `end` when the request has ended: a task and what it was about would keep each other,
    with what is left of its content, until the collector comes.

    Attributes:
        act: Ends the request at once.
        error: What its caller gets; ``None`` if it was not ended.
        outcome: What its record says if the answer did not come to its own end; ``None`` if it did.
    """

    __slots__ = ("_task", "act", "error", "outcome")

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task: asyncio.Task[object] | None = task
        self.act: Callable[[], object] = task.cancel
        self.error: GatewayError | None = None
        self.outcome: Outcome | None = None

    def stop(self, error: GatewayError, outcome: Outcome) -> None:
        """End it now: the caller gets ``error``, the record says ``outcome``. The first one decides."""
        if self.error is None:
            self.error, self.outcome = error, outcome
            self.act()

    def caught(self) -> GatewayError | None:
        """What to raise instead of the `asyncio.CancelledError` that the request has caught; ``None``: the caught
        one.
        """
        task = self._task
        return None if self.error is None or task is None or task.uncancel() else self.error

    def end(self) -> None:
        """Nothing is left to be ended."""
        self._task, self.act = None, _nothing


def _nothing() -> None:
    pass


class Running:
    """Tasks of this worker's requests, and of inference requests their session.

    Attributes:
        draining: The worker is about to end: no new requests begin, running ones continue.
    """

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[object]] = set()
        self.draining = False
        self._sessions: dict[str, set[Cancellation]] = {}

    def __len__(self) -> int:
        return len(self.tasks)

    def begin(self, sid: str, request: Cancellation) -> None:
        """An inference request of a session begins. The caller must call `end` for it."""
        held = self._sessions.get(sid)
        if held is None:
            self._sessions[sid] = {request}
        else:
            held.add(request)

    def end(self, sid: str, request: Cancellation) -> None:
        """It ended."""
        held = self._sessions.get(sid)
        if held is not None:
            held.discard(request)
            if not held:
                del self._sessions[sid]

    def sids(self) -> tuple[str, ...]:
        """The sessions that have inference requests running."""
        return tuple(self._sessions)

    def end_session(self, sid: str, error: GatewayError, outcome: Outcome) -> int:
        """Stop every request of a session; how many there were."""
        held = tuple(self._sessions.get(sid, ()))
        for request in held:
            request.stop(error, outcome)
        return len(held)
