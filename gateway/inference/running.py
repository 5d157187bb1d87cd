"""The requests that one worker is serving now, so that a drain can wait for them and an event can end them.

An event (a revocation, a newer keystroke) names a session, never a request: the worker that serves it finds out here.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from gateway.errors import GatewayError
from metering.usage import Outcome


class Stoppable(Protocol):
    """A request that can be ended from outside."""

    def stop(self, error: GatewayError, outcome: Outcome) -> None:
        """End it now: the caller gets ``error``, the record says ``outcome``. Harmless where it has ended."""
        ...


class Running:
    """Tasks of this worker's requests, and of inference requests their session."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[object]] = set()
        self._sessions: dict[str, set[Stoppable]] = {}

    def __len__(self) -> int:
        return len(self.tasks)

    def begin(self, sid: str, request: Stoppable) -> None:
        """An inference request of a session begins. The caller must call `end` for it."""
        held = self._sessions.get(sid)
        if held is None:
            self._sessions[sid] = {request}
        else:
            held.add(request)

    def end(self, sid: str, request: Stoppable) -> None:
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
