"""Which target to try, and what a failed attempt means. Pure decisions; `forwarding` carries them out."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from gateway.catalog.catalog import CatalogTarget
from gateway.errors import GatewayError, ProviderUnavailable, UpstreamError, UpstreamTimeout
from gateway.inference.answer import Answer, Ending
from gateway.inference.rejection import UNSTATED, Rejection
from gateway.upstream.faults import Fault
from providers.account_faults import Finding, judged
from providers.dialect import Family

_RETRYABLE = frozenset({408, 429, 500, 502, 503, 504, 529})
_NEVER_REACHED = frozenset({Fault.CONNECT, Fault.CONNECT_TIMEOUT, Fault.TLS, Fault.POOL_FULL})


class Next(Enum):
    SAME_FRESH = "same_fresh"
    NEXT_KEY = "next_key"  # of the same target; if it has none left, the next target
    NEXT_TARGET = "next_target"
    GIVE_UP = "give_up"


def usable(targets: Sequence[CatalogTarget], family: Family) -> tuple[CatalogTarget, ...]:
    """The targets that a request of this dialect may go to, in order.

    Selected means selected: the first one decides the company, and no other company is a fallback.
    """
    native = [target for target in targets if target.provider.family is family]
    return tuple(target for target in native if target.provider.company == native[0].provider.company)


def after_fault(fault: Fault, *, reused: bool, sent: int, retried: bool, more: bool) -> Next:
    """What to do when an attempt failed before the answer's head.

    A reused connection that the kernel took no byte for is tried once more, fresh: the provider can't
    have seen the request (RFC 9110 section 9.2.2). A fault of ours would only be met again.
    """
    if fault is Fault.INTERNAL:
        return Next.GIVE_UP
    if reused and sent == 0 and not retried:
        return Next.SAME_FRESH
    return Next.NEXT_TARGET if more else Next.GIVE_UP


def ready_first(targets: Sequence[CatalogTarget], rests: Sequence[bool]) -> Sequence[CatalogTarget]:
    """The targets in the order in which they are tried: those of which every key rests come last."""
    if True not in rests:
        return targets
    return [target for resting in (False, True) for target, rest in zip(targets, rests, strict=True) if rest is resting]


def after_answer(status: int, *, operators: bool, more: bool) -> Next:
    """What to do with an error: only some are better had with another key or from another target.

    Args:
        status: The HTTP status, or the one that an error inside a 2xx means.
        operators: It is about the operator's key or account. A 403 that is not stays the caller's.
        more: There is another target.
    """
    if operators or status == 429:
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
    if fault is Fault.INTERNAL:
        return GatewayError()
    return UpstreamError()


def finding_of(family: Family, rejection: Rejection, request: bytes) -> Finding | None:
    """Whether an error is about the operator's key or account. Inside a 2xx, one without a status may be."""
    unstated = rejection.inside and rejection.status == UNSTATED
    return judged(family, 400 if unstated else rejection.status, rejection.body or b"", request)
