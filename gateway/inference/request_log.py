"""What is counted and logged of a request that has ended: numbers and closed names."""

from __future__ import annotations

from gateway.auth.regions import astray, promised
from gateway.inference import tracing
from gateway.inference.answer import Answer, Ending
from gateway.inference.forwarding import Forwarding
from gateway.inference.services import Signals
from gateway.names import Closed, Rid
from gateway.telemetry.genai import TraceParent
from gateway.telemetry.log import Event, Fields, NoRecord
from metering.usage import Outcome, UsageRecord
from providers.dialect import Operation


def note(
    signals: Signals,
    forwarding: Forwarding,
    record: UsageRecord | None,
    *,
    rid: Rid,
    operation: Operation,
    stopped: Outcome | None,
    started: float,
    now: float,
    region: str,
    parent: TraceParent | None,
) -> None:
    """Count a request and log it.

    Args:
        signals: The worker's.
        forwarding: How it went, before it is closed.
        record: Its settlement; ``None`` if nothing is owed.
        rid: The request.
        operation: What was asked for.
        stopped: Why it was stopped, if it was.
        started: When it arrived, by the loop's clock.
        now: Of the same clock.
        region: What its session is pinned to.
        parent: The client's span that it belongs to.
    """
    instruments, relay = signals.instruments, forwarding.relay
    name, translation = forwarding.leg.admission.model.name, forwarding.leg.translation
    answer = forwarding.answer()
    told: Outcome | NoRecord = NoRecord.PROVIDER_ERROR
    if record is not None:
        told = Outcome(record.outcome)
    elif answer.ending is Ending.WHOLE or (answer.ending is Ending.STOPPED and stopped is not None):
        told = answer.outcome(stopped)
    provider = forwarding.target.provider.name
    instruments.requests.inc(operation._value_, told._value_)
    instruments.model_requests.inc(provider, name, told._value_)
    instruments.request_time.observe(now - started)
    if relay is not None and relay.status:
        instruments.provider_first_byte.observe(forwarding.first_byte - forwarding.sent_at, provider)
        if forwarding.attempts == 1:
            instruments.gateway_time.observe(forwarding.sent_at - started)
    if translation is not None:
        instruments.translated.inc(operation.value, translation.host.value)
        for member in translation.dropped:
            instruments.translation_dropped.inc(member)
    if answer.report.reasoning_dropped:
        instruments.reasoning_dropped.inc(provider)
    if record is not None:
        inputs, outputs = record.input_tokens, record.output_tokens
        instruments.records.inc(record.basis)
        instruments.charged.inc(record.provider, by=record.charge)
        instruments.tokens.inc(record.provider, "input", by=inputs)
        instruments.tokens.inc(record.provider, "cache_read", by=record.cache_read)
        instruments.tokens.inc(record.provider, "cache_write", by=record.cache_write)
        instruments.tokens.inc(record.provider, "output", by=outputs)
        if told is Outcome.COMPLETED and outputs > 1 and relay is not None and relay.watch.flows:
            instruments.token_time.observe((now - forwarding.first_byte) / (outputs - 1))
        _check_place(signals, forwarding, rid, region)
        _check_answer(signals, forwarding, answer, rid)
        _check_prices(signals, forwarding, name, record, rid)
    if signals.telemetry is not None:
        tracing.note_ended(
            signals.telemetry,
            forwarding,
            record,
            told,
            rid=rid,
            operation=operation,
            started=started,
            now=now,
            parent=parent,
        )
    if not signals.log.requests:
        return
    fields: Fields = {
        "rid": rid,
        "operation": operation,
        "provider": provider,
        "model": name,
        "status": relay.status if relay is not None else 0,
        "outcome": told,
        "first_byte_ms": int((forwarding.first_byte - started) * 1000) if forwarding.first_byte else -1,
        "duration_ms": int((now - started) * 1000),
        "attempts": forwarding.attempts,
    }
    if translation is not None:
        fields["translated"] = translation.host
    if answer.fault is not None:
        fields["fault"] = answer.fault
    if record is not None:
        fields["input_tokens"] = inputs
        fields["cache_read_tokens"] = record.cache_read
        fields["output_tokens"] = outputs
        fields["charge"] = record.charge
    signals.log.request(**fields)


def _check_answer(signals: Signals, forwarding: Forwarding, answer: Answer, rid: Rid) -> None:
    """Raise the alarm if an answer was charged whose counts could not be read, or were impossible."""
    provider = forwarding.target.provider
    if not answer.readable:
        signals.instruments.unreadable.inc(provider.name)
        signals.log.error(Event.ANSWER_UNREADABLE, rid=rid, provider=provider.name)
    if answer.report.suspect:
        signals.instruments.suspect.inc(provider.name)
        signals.log.warning(Event.USAGE_SUSPECT, rid=rid, provider=provider.name)


def _check_prices(signals: Signals, forwarding: Forwarding, name: Closed, record: UsageRecord, rid: Rid) -> None:
    """Say that a record is charged without a price for all that was stated (docs/billing.md)."""
    if record.unpriced:
        provider = forwarding.target.provider.name
        signals.instruments.unpriced.inc(provider)
        signals.log.warning(Event.USAGE_UNPRICED, rid=rid, provider=provider, model=name)


def _check_place(signals: Signals, forwarding: Forwarding, rid: Rid, region: str) -> None:
    """Raise the alarm if the provider states another region than the promised one."""
    scanner, provider = forwarding.scanner, forwarding.target.provider
    promise = promised(region, forwarding.target.handling.region)
    if promise is None or scanner is None:
        return
    variant = scanner.report().variant
    if variant is not None and astray(variant.geography, promise):
        signals.instruments.astray.inc(provider.name)
        signals.log.error(Event.REGION_ASTRAY, rid=rid, provider=provider.name, region=promise)
