"""Which target to try, and what a failed attempt means. Pure decisions; `forwarding` carries them out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from enum import Enum

from gateway.catalog.catalog import CatalogTarget
from gateway.errors import GatewayError, ProviderUnavailable, UpstreamError, UpstreamTimeout
from gateway.inference.answer import Answer, Ending
from gateway.inference.rejection import UNSTATED, Rejection
from gateway.upstream.faults import AttemptOutcome, Fault
from providers.account_faults import Finding, judged, lacks_model
from providers.dialect import Family, Operation

_RETRYABLE = frozenset({408, 429, 500, 501, 502, 503, 504, 529})
_OWN = frozenset({Fault.STOPPED, Fault.INTERNAL, Fault.POOL_FULL, Fault.DEADLINE})
_UNKNOWN_TO_IT = frozenset({501, 505})
_NEVER_REACHED = frozenset({Fault.CONNECT, Fault.CONNECT_TIMEOUT, Fault.TLS, Fault.POOL_FULL, Fault.CREDENTIALS})


_OUT_OF_TIME = (
    "No answer began within the time-out that the client states, or the time that this gateway has for all attempts. "
    "Raise the client's time-out, ask for a stream, or choose a faster model."
)


class Next(Enum):
    SAME_FRESH = "same_fresh"
    NEXT_KEY = "next_key"  # of the same target; if it has none left, the next target
    NEXT_TARGET = "next_target"
    GIVE_UP = "give_up"


def usable(
    targets: Sequence[CatalogTarget],
    family: Family,
    operation: Operation | None = None,
    companies: Collection[str] = (),
    selected: str = "",
) -> tuple[CatalogTarget, ...]:
    """The targets that a request of this dialect, for this operation, may go to, in order.

    Selected means selected: the first one decides the company, if ``selected`` does not name it. Other ``companies``
    are a fallback if the account allows them by name: they come after all targets of the selected one.
    """
    native = [
        target
        for target in targets
        if target.provider.family is family and (operation is None or target.provider.serves(operation))
    ]
    selected = selected or (native[0].provider.company if native else "")
    allowed = (target for target in native if target.provider.company in (selected, *companies))
    return tuple(sorted(allowed, key=lambda target: target.provider.company != selected))


def lasting_first(targets: tuple[CatalogTarget, ...], now_ms: int) -> tuple[CatalogTarget, ...]:
    """The targets in the order in which they are tried: those that their maker has switched off come last."""
    if len(targets) < 2:
        return targets
    today = datetime.fromtimestamp(now_ms / 1_000, UTC).date()
    return tuple(sorted(targets, key=lambda target: target.lifecycle.ended(today)))


def after_fault(fault: Fault, *, reused: bool, sent: int, retried: bool, more: bool) -> Next:
    """What to do when an attempt failed before the answer's head.

    If the kernel accepted no byte for a reused connection, a new connection is tried once: the provider can't
    have seen the request (RFC 9110 section 9.2.2). A bug in the gateway would only occur again, and after a
    deadline no time is left.
    """
    if fault is Fault.INTERNAL or fault is Fault.DEADLINE:
        return Next.GIVE_UP
    if reused and sent == 0 and not retried:
        return Next.SAME_FRESH
    return Next.NEXT_TARGET if more else Next.GIVE_UP


def best(waits: Sequence[tuple[bool, float]]) -> int:
    """The position of the target to try next: the first one that is ready, else the one that is soonest.

    Args:
        waits: Of each target that is left, in order: whether all its keys rest, and the seconds until this account's
            requests should use it (`gateway.upstream.target_health`).
    """
    return min(range(len(waits)), key=waits.__getitem__)


def blames_target(answer: Answer, *, lacking: bool = False) -> bool:
    """Whether an attempt failed by its target's doing, so that another target should be preferred for a while.

    What the request may have caused by its form (4xx, 501, 505) says nothing about the target; nor does a bug in the
    gateway, an end that the gateway itself made, or its own lack of connections. ``lacking``: it is a 4xx that says
    that the target does not have the model.
    """
    if answer.fault is not None:
        return answer.fault not in _OWN
    if answer.ending is Ending.BROKEN:
        return True
    status = status_of(answer)
    return lacking or (status >= 500 and status not in _UNKNOWN_TO_IT)


def outcome_of(answer: Answer, *, operators: bool, lacking: bool) -> AttemptOutcome:
    """What became of an attempt that brought no output; the arguments are those of `after_answer`."""
    if answer.fault is not None or answer.ending is Ending.NOTHING:
        return AttemptOutcome.FAULT
    if operators:
        return AttemptOutcome.KEY
    if lacking:
        return AttemptOutcome.NO_MODEL
    status = status_of(answer)
    if status == 429:
        return AttemptOutcome.LIMITED
    return AttemptOutcome.REFUSED if 400 <= status < 500 else AttemptOutcome.FAILED


def after_answer(status: int, *, operators: bool, lacking: bool, more: bool) -> Next:
    """What to do with an error: only some are better had with another key or from another target.

    Args:
        status: The HTTP status, or the one that an error inside a 2xx means.
        operators: It is about the operator's key or account. A 403 that is not stays the caller's.
        lacking: The host does not have the model, or does not show it to this key: another organisation's key may
            see it.
        more: There is another target.
    """
    if operators or lacking or status == 429:
        return Next.NEXT_KEY
    return Next.NEXT_TARGET if more and status in _RETRYABLE else Next.GIVE_UP


def status_of(answer: Answer) -> int:
    """The HTTP status that an answer means which is not good: a failure inside a 2xx has one of its own."""
    if answer.ending is not Ending.FAILED:
        return answer.status
    return answer.error.status if answer.error is not None else 502


def error_of_answer(answer: Answer) -> GatewayError:
    """The caller's error for an answer that is not good, if the provider sent no error that can be passed on."""
    if answer.fault is not None:
        return error_of(answer.fault)
    if answer.ending is Ending.FAILED:
        return UpstreamError("The provider sent no answer. Nothing was charged. Retry, or choose another model.")
    return UpstreamError()


def error_of(fault: Fault) -> GatewayError:
    """The caller's error for an attempt that got no answer."""
    if fault in _NEVER_REACHED:
        return ProviderUnavailable()
    if fault is Fault.FIRST_BYTE_TIMEOUT or fault is Fault.IDLE_TIMEOUT:
        return UpstreamTimeout()
    if fault is Fault.DEADLINE:
        return UpstreamTimeout(_OUT_OF_TIME)
    if fault is Fault.INTERNAL:
        return GatewayError()
    return UpstreamError()


def lacks(family: Family, rejection: Rejection) -> bool:
    """Whether an error says that the target does not have the model."""
    return not rejection.inside and lacks_model(family, rejection.status, rejection.body or b"")


def finding_of(family: Family, rejection: Rejection, request: bytes) -> Finding | None:
    """Whether an error is about the operator's key or account. Inside a 2xx, one without a status may be."""
    unstated = rejection.inside and rejection.status == UNSTATED
    return judged(family, 400 if unstated else rejection.status, rejection.body or b"", request)
