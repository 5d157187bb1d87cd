"""What OpenTelemetry is told of an exchange: numbers and closed names, made when it has ended."""

from __future__ import annotations

import time
from typing import Final

from gateway.errors import GatewayError
from gateway.inference.answer import Answer
from gateway.inference.forwarding import Forwarding
from gateway.names import Closed, Rid
from gateway.telemetry.genai import EndedExchange, ErrorType, TokenCounts, TraceParent
from gateway.telemetry.log import NoRecord
from gateway.telemetry.otlp import Telemetry
from metering.usage import Basis, Outcome, UsageRecord
from providers.dialect import Operation

_CALLERS: Final = frozenset((Outcome.COMPLETED, Outcome.CLIENT_ABORT, Outcome.SUPERSEDED))
"""What is no failure: the answer is whole, or its caller did not want it any more."""


def note_ended(
    telemetry: Telemetry,
    forwarding: Forwarding,
    record: UsageRecord | None,
    told: Outcome | NoRecord,
    *,
    rid: Rid,
    operation: Operation,
    started: float,
    now: float,
    parent: TraceParent | None,
) -> None:
    """Tell of an exchange that credit was reserved for. Arguments as of `gateway.inference.request_log.note`."""
    answer, target, translation = forwarding.answer(), forwarding.target, forwarding.leg.translation
    stream, began = forwarding.leg.asked.stream, forwarding.first_byte
    telemetry.note(
        EndedExchange(
            rid=rid,
            operation=operation,
            seconds=now - started,
            end_ns=time.time_ns(),
            provider=target.provider.name if forwarding.attempts else None,
            model=forwarding.leg.admission.model.name,
            answered=telemetry.answered(answer.report.model, target.model) if record is not None else None,
            translated=None if translation is None else translation.host,
            outcome=told,
            error=_error(told, answer),
            status=answer.status,
            attempts=forwarding.attempts,
            stream=stream,
            first_chunk=began - started if stream and began and answer.begun else None,
            before=forwarding.sent_at - started if forwarding.attempts == 1 and forwarding.sent_at else None,
            finish=answer.report.finish,
            tokens=None if record is None else _counts(record),
            parent=parent,
        )
    )


def note_refused(
    telemetry: Telemetry,
    error: GatewayError,
    *,
    rid: Rid,
    operation: Operation,
    model: Closed | None,
    started: float,
    now: float,
    parent: TraceParent | None,
) -> None:
    """Tell of an exchange that the gateway refused before any provider was called, and before anything was held."""
    telemetry.note(
        EndedExchange(
            rid=rid,
            operation=operation,
            seconds=now - started,
            end_ns=time.time_ns(),
            model=model,
            error=telemetry.codes.get(error.code),
            parent=parent,
        )
    )


def _error(told: Outcome | NoRecord, answer: Answer) -> ErrorType | None:
    if told in _CALLERS:
        return None
    if told is NoRecord.PROVIDER_ERROR:
        if answer.fault is not None:
            return answer.fault
        if answer.status >= 300:
            return answer.status
    return told


def _counts(record: UsageRecord) -> TokenCounts:
    return TokenCounts(
        inputs=record.input_tokens,
        cache_read=record.cache_read,
        cache_write=record.cache_write,
        outputs=record.output_tokens,
        reasoning=record.out_reasoning,
        charge=record.charge,
        basis=Basis(record.basis),
    )
