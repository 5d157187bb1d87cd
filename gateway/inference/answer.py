"""How an answer ended: one value, built once from the dialect's scanner and the transport.

Response, accounting, log, metrics and failover read it; nothing else decides whether an answer was good.

| ending | what happened | what it costs |
|---|---|---|
| nothing | no attempt was answered | nothing |
| refused | the provider's error status | nothing |
| failed | an error inside a 2xx, or its end, before any output; an object that was cut | nothing |
| broken | an error, a cut or a missing end after output began | what was stated, else what was counted |
| stopped | the client left, or the gateway ended it | the same; before the response head see `accounting` |
| whole | the dialect's own end was seen | what was stated |
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.upstream.faults import Fault
from metering.usage import Outcome, Report
from providers.dialect import ProviderError


class Ending(StrEnum):
    """Closed: it may be logged and labelled."""

    NOTHING = "nothing"
    REFUSED = "refused"
    FAILED = "failed"
    BROKEN = "broken"
    STOPPED = "stopped"
    WHOLE = "whole"


NOTHING_STATED = Report()


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of an answer that has ended.

    Attributes:
        ending: How.
        status: The provider's, 0 without a response head.
        fault: The transport's, ``None`` if the HTTP message ended well.
        written: The whole request went to the provider.
        begun: Output came: of a stream; or of an object so large that it was passed on before its end.
        report: What the provider stated.
        output: Output tokens by estimate, from what passed.
        error: What the provider sent instead of an answer, or at the end of one.
        waited_ms: Milliseconds from the request to the first output, 0 if there was none.
        readable: False if the gateway cannot read it (an unknown coding or content type).
    """

    ending: Ending
    status: int = 0
    fault: Fault | None = None
    written: bool = False
    begun: bool = False
    report: Report = NOTHING_STATED
    output: int = 0
    error: ProviderError | None = None
    readable: bool = True
    waited_ms: int = 0

    def outcome(self, stopped: Outcome | None) -> Outcome:
        """What a record says of it; ``stopped`` is why it was stopped, ``None`` if nobody but its client did that."""
        match self.ending:
            case Ending.WHOLE:
                return Outcome.COMPLETED
            case Ending.STOPPED:
                return stopped or (Outcome.UPSTREAM_TIMEOUT if self.fault is Fault.DEADLINE else Outcome.CLIENT_ABORT)
        if self.fault in _TIMEOUTS:
            return Outcome.UPSTREAM_TIMEOUT
        if self.ending is Ending.BROKEN and self.error is None:
            return Outcome.UPSTREAM_CUT
        return Outcome.UPSTREAM_ERROR


_TIMEOUTS = frozenset({Fault.FIRST_BYTE_TIMEOUT, Fault.IDLE_TIMEOUT, Fault.DEADLINE})


def ending_of(
    *, status: int, over: bool, fault: Fault | None, ended: bool, begun: bool, error: ProviderError | None
) -> Ending:
    """The one decision.

    Args:
        status: The provider's, 0 without a response head.
        over: The HTTP message has ended, well or badly; False if the client ended it.
        fault: How it ended badly.
        ended: The dialect's own end was seen.
        begun: The same as in `Answer`.
        error: What the provider sent instead of an answer, or at the end of one.
    """
    stopped = not over or fault is Fault.STOPPED
    if status and not 200 <= status < 300:
        return Ending.REFUSED
    if not status:
        return Ending.STOPPED if stopped else Ending.NOTHING
    if ended and error is None:
        return Ending.WHOLE
    if error is None and stopped:
        return Ending.STOPPED
    return Ending.BROKEN if begun else Ending.FAILED
