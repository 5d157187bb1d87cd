"""What is counted and logged of a request that has ended: numbers and closed names."""

from __future__ import annotations

from gateway.auth.regions import astray, promised
from gateway.inference.admission import Admission
from gateway.inference.answer import Answer, Ending
from gateway.inference.forwarding import Forwarding
from gateway.inference.services import Services
from gateway.names import Rid
from gateway.telemetry.log import Event, Fields, NoRecord
from metering.usage import Outcome, UsageRecord
from providers.dialect import Operation


def note(
    services: Services,
    forwarding: Forwarding,
    record: UsageRecord | None,
    *,
    rid: Rid,
    operation: Operation,
    admission: Admission,
    stopped: Outcome | None,
    started: float,
    region: str,
) -> None:
    """Count a request and log it.

    Args:
        services: The worker's.
        forwarding: How it went, before it is closed.
        record: Its settlement; ``None`` where nothing is owed.
        rid: The request.
        operation: What was asked for.
        admission: What was decided.
        stopped: Why it was stopped, if it was.
        started: When it came, of the loop's clock.
        region: What its session is pinned to.
    """
    instruments, relay = services.instruments, forwarding.relay
    answer = forwarding.answer()
    told: Outcome | NoRecord = NoRecord.PROVIDER_ERROR
    if record is not None:
        told = Outcome(record.outcome)
    elif answer.ending is Ending.WHOLE or (answer.ending is Ending.STOPPED and stopped is not None):
        told = answer.outcome(stopped or Outcome.COMPLETED)
    instruments.requests.inc(operation.value, told.value)
    if record is not None:
        inputs, outputs = _totals(record)
        instruments.records.inc(record.basis)
        instruments.charged.inc(record.provider, by=record.charge)
        instruments.tokens.inc(record.provider, "input", by=inputs)
        instruments.tokens.inc(record.provider, "cache_read", by=record.cache_read)
        instruments.tokens.inc(record.provider, "output", by=outputs)
        _check_place(services, forwarding, rid, region)
        _check_answer(services, forwarding, answer, rid)
        _check_prices(services, forwarding, admission, record, rid)
    if not services.log.requests:
        return
    fields: Fields = {
        "rid": rid,
        "operation": operation,
        "provider": forwarding.target.provider.name,
        "model": admission.model.name,
        "status": relay.status if relay is not None else 0,
        "outcome": told,
        "first_byte_ms": int((forwarding.first_byte - started) * 1000) if forwarding.first_byte else -1,
        "duration_ms": int((services.loop.time() - started) * 1000),
        "attempts": forwarding.attempts,
    }
    if answer.fault is not None:
        fields["fault"] = answer.fault
    if record is not None:
        fields["input_tokens"] = inputs
        fields["cache_read_tokens"] = record.cache_read
        fields["output_tokens"] = outputs
        fields["charge"] = record.charge
    services.log.request(**fields)


def _check_answer(services: Services, forwarding: Forwarding, answer: Answer, rid: Rid) -> None:
    """Raise the alarm if an answer was charged of which nobody here could read the counts, or could believe them."""
    provider = forwarding.target.provider
    if not answer.readable:
        services.instruments.unreadable.inc(provider.name)
        services.log.error(Event.ANSWER_UNREADABLE, rid=rid, provider=provider.name)
    if answer.report.suspect:
        services.instruments.suspect.inc(provider.name)
        services.log.warning(Event.USAGE_SUSPECT, rid=rid, provider=provider.name)


def _check_prices(
    services: Services, forwarding: Forwarding, admission: Admission, record: UsageRecord, rid: Rid
) -> None:
    """Say that a record is charged without a price for all that was stated (docs/billing.md)."""
    if record.unpriced:
        provider = forwarding.target.provider.name
        services.instruments.unpriced.inc(provider)
        services.log.warning(Event.USAGE_UNPRICED, rid=rid, provider=provider, model=admission.model.name)


def _check_place(services: Services, forwarding: Forwarding, rid: Rid, region: str) -> None:
    """Raise the alarm where the provider says that it answered from elsewhere than was promised."""
    scanner, provider = forwarding.scanner, forwarding.target.provider
    promise = promised(region, provider.region)
    if promise is None or scanner is None:
        return
    variant = scanner.report().variant
    if variant is not None and astray(variant.geography, promise):
        services.instruments.astray.inc(provider.name)
        services.log.error(Event.REGION_ASTRAY, rid=rid, provider=provider.name, region=promise)


def _totals(record: UsageRecord) -> tuple[int, int]:
    inputs = (
        record.in_uncached
        + record.cache_read
        + record.cache_write_5m
        + record.cache_write_1h
        + record.cache_write_other
        + record.tool_in
        + record.audio_in
        + record.image_in
    )
    return inputs, record.out_visible + record.out_reasoning + record.audio_out + record.image_out
