"""One inference request from its authenticated head to its settlement.

The order is the promise:

1. Nothing is read of the body before the token is accepted and the mode allows the cloud.
2. Nothing goes to a provider before the ledger holds the credit.
3. Whatever happens after the reserve, `_settle` runs once, synchronously, in ``finally``: a record or
   a void is handed to the settler before anything else can be awaited, so that no cancellation can
   lose it.
4. Foreign errors become `GatewayError` here (`failover.error_of`, `_refusal`) and nowhere else.
"""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from aiohttp import web

from gateway import accounting, failover
from gateway.answers import error_response, rate_limit_headers
from gateway.auth.principal import Principal
from gateway.catalog import CatalogTarget, Model
from gateway.config import HoldRule
from gateway.errors import (
    ConcurrencyLimited,
    CreditsExhausted,
    GatewayError,
    InvalidRequest,
    MeteringUnavailable,
    ModelNotFound,
    ModelNotInPlan,
    PrivacyUnsupported,
    ProviderUnavailable,
    RateLimited,
    UnsupportedFeature,
    UpstreamError,
)
from gateway.identity import pseudonym
from gateway.inbound import read_body
from gateway.log import Event
from gateway.relay import Relay, reset
from gateway.responses import Encoded, begin_stream, held_response, scanner_of
from gateway.services import Services
from gateway.upstream.connection import Connection, Headers, UpstreamFault
from metering import pricing
from metering.ledger import LedgerConflict, LedgerUnavailable, Refused, Reservation, Reserved
from metering.usage import Outcome, Report, UsageRecord
from providers.anthropic_messages import check_beta
from providers.dialect import Family, Head, Operation, Refusal, Scanner, Target
from providers.headers import query_string, request_headers
from providers.partial import partial_output
from providers.server_tools import TOOLS_BY_ID, refuse_tools
from providers.wires import WIRES

if TYPE_CHECKING:
    from aiohttp.http_writer import StreamWriter

    from gateway.server import ClientConnection

LEASE_MS = 900_000
# Until a model's own p99 is learnt, this many output tokens are held where the request's limit is higher.
USUAL_OUTPUT = 4_096

_REFUSALS: dict[str, type[GatewayError]] = {
    "invalid_request": InvalidRequest,
    "unsupported_feature": UnsupportedFeature,
    "privacy_unsupported": PrivacyUnsupported,
}


_pseudonym = lru_cache(maxsize=65_536)(pseudonym)  # one keyed digest per account and provider, not per request


def refusal(error: Refusal) -> GatewayError:
    """A dialect's refusal as an error of the tree."""
    return _REFUSALS[error.code](error.message, param=error.param)


class Exchange:
    """The state of one request. Build, `run`, done."""

    def __init__(
        self,
        services: Services,
        request: web.BaseRequest,
        operation: Operation,
        family: Family,
        *,
        principal: Principal,
        rid: str,
        started: float,
    ) -> None:
        self._services = services
        self._request = request
        self._operation = operation
        self._family = family
        self._wire = WIRES[operation]
        self._principal = principal
        self._rid = rid
        self._started = started  # of the loop's clock
        self._started_ms = time.time_ns() // 1_000_000
        self._head: Head
        self._model: Model
        self._target: CatalogTarget
        self._input_estimate = 0
        self._reserved: Reserved
        self._connection: Connection | None = None
        self._relay: Relay | None = None
        self._outcome: Outcome | None = None
        self._provider_failed = False
        self._record: UsageRecord | None = None
        self._decided = False
        self._first_byte = 0.0
        self._attempts = 0

    # -- before anything is held ---------------------------------------------------------------

    async def run(self, path_model: str | None, query: str) -> web.StreamResponse:
        """Answer the request. Raises `GatewayError` for everything that no provider answered."""
        services = self._services
        counted = False
        try:
            with services.bodies.hold() as share:
                body = await read_body(self._request, services.config.server.max_body_bytes, share)
                targets = self._decide(body, path_model)
                await self._reserve(len(body), targets[0])
                counted = True
                services.instruments.active.add(1)
                relay = await self._forward(body, targets, query)
                del body  # a long stream does not keep its prompt in memory
            return await self._answer(relay)
        except asyncio.CancelledError:
            self._outcome = Outcome.DRAINED if services.draining else Outcome.CLIENT_ABORT
            raise
        except ConnectionError:
            self._outcome = Outcome.CLIENT_ABORT  # the client left while its headers were written
            raise
        finally:
            if counted:
                services.instruments.active.add(-1)
                self._settle()

    def _decide(self, body: bytes, path_model: str | None) -> tuple[CatalogTarget, ...]:
        """Read the head and decide where the request may go. Raises before anything is held."""
        services = self._services
        try:
            if self._family is Family.ANTHROPIC:
                check_beta(self._request.headers.getall("anthropic-beta", ()), services.config.policy.server_tools)
            head = self._head = self._wire.read(body, path_model)
            refuse_tools(head, services.config.policy.server_tools)
        except Refusal as error:
            raise refusal(error) from None
        model = services.catalog.resolve(head.model)
        if model is None:
            raise ModelNotFound(param="model")
        if not model.allows(self._principal.tier):
            raise ModelNotInPlan
        self._model = model
        targets = failover.usable(model.targets, self._family)
        if not targets:
            raise UnsupportedFeature(
                "This model is served in another API's format: call it with its own provider's SDK.", param="model"
            )
        target = self._target = targets[0]
        if not pricing.priced(target.price, head.variant):
            raise UnsupportedFeature(
                "This service tier or speed has no price here: leave it out, or choose another.", param="service_tier"
            )
        for tool in head.server_tools:
            unit = TOOLS_BY_ID[tool].unit
            if unit is not None and not pricing.prices_calls(target.price, unit):
                raise PrivacyUnsupported(
                    "This server-side tool has no price here, so its use can't be billed: run it on the client.",
                    param="tools",
                )
        return targets

    async def _reserve(self, size: int, target: CatalogTarget) -> None:
        """Take the hold, the lease and the rate in one call."""
        services, head = self._services, self._head
        amount = 0
        worst = services.config.billing.hold is HoldRule.WORST
        tokens = self._input_estimate = pricing.estimate_input(size, ceiling=self._model.context_window)
        output = self._output_bound(worst=worst)
        if self._wire.billed:
            amount = pricing.hold(
                target.price,
                head.variant,
                input_tokens=tokens,
                output_tokens=output,
                choices=head.choices,
                calls=[unit for tool in head.server_tools if (unit := TOOLS_BY_ID[tool].unit)],
                worst=worst,
            )
        tier = self._principal.tier
        reservation = Reservation(
            rid=self._rid,
            pid=self._principal.pid,
            amount=amount,
            tokens=tokens + output * head.choices,
            lease_ms=LEASE_MS,
            limits=services.limits.get(tier) or services.limits["default"],
        )
        began = services.loop.time()
        try:
            decision = await services.ledger.reserve(reservation)
        except LedgerUnavailable as error:
            if error.maybe_ran:
                services.settler.void(reservation.pid, reservation.rid)
            raise MeteringUnavailable from None
        except LedgerConflict:
            raise MeteringUnavailable from None
        except asyncio.CancelledError:
            services.settler.void(reservation.pid, reservation.rid)
            raise
        services.instruments.reserve.observe(services.loop.time() - began)
        if isinstance(decision, Refused):
            raise _refused(decision)
        self._reserved = decision

    def _output_bound(self, *, worst: bool) -> int:
        head, model = self._head, self._model
        if head.output_limit == 0:
            return 0
        ceiling = model.max_output or 0
        asked = head.output_limit if head.output_limit is not None else (ceiling or USUAL_OUTPUT)
        if ceiling:
            asked = min(asked, ceiling)
        return asked if worst else min(asked, USUAL_OUTPUT)

    # -- the provider --------------------------------------------------------------------------

    async def _forward(self, body: bytes, targets: tuple[CatalogTarget, ...], query: str) -> Relay:
        """Try the targets in order until one answers; raise the last one's error if none does."""
        services = self._services
        passed = list(request_headers(self._family, self._request.raw_headers))
        suffix = query_string(query)
        suffix = f"?{suffix}" if suffix else ""
        error: GatewayError = ProviderUnavailable()
        for index, target in enumerate(targets):
            more = index + 1 < len(targets)
            self._target = target
            destination = services.destinations[target.provider.name]
            payload = self._wire.splice(body, self._head, self._wire_target(target))
            lines = destination.head(self._wire.path(target.model), suffix, passed, len(payload))
            retried = False
            while True:
                self._attempts += 1
                try:
                    relay = await self._attempt(destination.name, (lines, payload), fresh=retried)
                except UpstreamFault as fault:
                    services.instruments.upstream_faults.inc(destination.name, fault.fault.value)
                    error = failover.error_of(fault.fault)
                    break
                if relay.status:
                    step = (
                        failover.Next.GIVE_UP
                        if 200 <= relay.status < 300
                        else failover.after_answer(relay.status, more_targets=more)
                    )
                    if step is failover.Next.GIVE_UP:
                        return relay
                    self._abandon()
                    break
                connection = self._connection
                assert relay.fault is not None
                assert connection is not None
                services.instruments.upstream_faults.inc(destination.name, relay.fault.value)
                error = failover.error_of(relay.fault)
                step = failover.after_fault(
                    reused=connection.requests > 1, sent=connection.sent, retried=retried, more_targets=more
                )
                self._abandon()
                if step is not failover.Next.SAME_FRESH:
                    break
                retried = True
        self._provider_failed = True
        raise error

    def _wire_target(self, target: CatalogTarget) -> Target:
        provider = target.provider
        return Target(
            model=target.model,
            alias=target.model != self._head.model,
            store=provider.store,
            include_usage=provider.include_usage,
            reasons=target.reasons,
            pseudonym=_pseudonym(self._services.identity_key, self._principal.pid, provider.name),
        )

    async def _attempt(self, name: str, pieces: tuple[bytes, bytes], *, fresh: bool) -> Relay:
        """Send the request on a connection and wait for something to decide on."""
        services = self._services
        origin = services.destinations[name].origin
        connection = None if fresh else services.pool.reuse(origin)
        if connection is None:
            connection = await services.pool.acquire(origin, fresh=fresh)
        self._connection = connection
        relay = self._relay = Relay(services.loop, connection, self._on_answer)
        connection.send(pieces, relay)
        await relay.ready
        self._first_byte = services.loop.time()
        if relay.status:
            services.instruments.upstream_status.inc(name, _status_class(relay.status))
        return relay

    def _abandon(self) -> None:
        """Give up an attempt: the connection closes unless its answer has ended."""
        if self._relay is not None:
            if not self._relay.over and self._connection is not None:
                self._connection.close()
            self._relay.close()
        self._relay = None

    def _on_answer(self, status: int, headers: Headers) -> tuple[Scanner | None, bool]:
        return scanner_of(self._wire, self._head, status, headers)

    # -- the client ----------------------------------------------------------------------------

    async def _answer(self, relay: Relay) -> web.StreamResponse:
        """Pass the provider's answer on."""
        services = self._services
        services.instruments.first_byte.observe(self._first_byte - self._started)
        good = 200 <= relay.status < 300
        if not good:
            self._provider_failed = True
            if 300 <= relay.status < 400:
                raise UpstreamError("The provider answered with a redirect, which is never followed.")
            if failover.concerns_our_key(relay.status, relay.held() if relay.over else b""):
                raise ProviderUnavailable(retry_after=30.0)
        if relay.over and not relay.streaming:
            if relay.fault is not None:  # cut inside a body that nobody has seen yet
                raise failover.error_of(relay.fault)
            if self._cut_by_close(relay):
                raise UpstreamError
            self._outcome = Outcome.COMPLETED
            record = self._decide_settlement() if good else None
            return held_response(
                relay,
                self._family,
                self._rid,
                self._target.provider.name,
                charge=record.charge if record else 0,
                remaining=self._reserved.remaining,
            )
        return await self._stream(relay)

    async def _stream(self, relay: Relay) -> web.StreamResponse:
        request = self._request
        response = begin_stream(relay, self._family, self._rid, self._target.provider.name)
        await response.prepare(request)
        writer = cast("StreamWriter", request.writer)
        first = relay.take()
        if first:
            relay.written += 1
            await writer.write(first, drain=False)  # in one segment with the headers; does not wait
        else:
            writer.send_headers()
        transport = request.transport
        if transport is None:
            raise asyncio.CancelledError  # the client left while the headers were prepared
        protocol = cast("ClientConnection", request.protocol)
        protocol.relay = relay
        try:
            relay.open(transport, chunked=writer.chunked)
            if protocol.writing_paused:
                relay.pause()
            await relay.ended
        finally:
            protocol.relay = None
        cut = relay.fault is not None or self._cut_by_close(relay)
        if cut:
            self._outcome = Outcome.UPSTREAM_TIMEOUT if _timed_out(relay) else Outcome.UPSTREAM_CUT
            self._end_cut(relay, transport)
        else:
            failed = relay.scanner is not None and relay.scanner.failed
            self._outcome = Outcome.UPSTREAM_ERROR if failed else Outcome.COMPLETED
        return response

    def _cut_by_close(self, relay: Relay) -> bool:
        """A body that only the close ended, without the dialect's own end, was cut."""
        connection, scanner = self._connection, relay.scanner
        return connection is not None and connection.ended_by_close and scanner is not None and not scanner.complete

    def _end_cut(self, relay: Relay, transport: asyncio.Transport) -> None:
        """Never let a truncated answer look complete: an error event and a close, or a reset."""
        scanner = relay.scanner
        error = failover.error_of(relay.fault) if relay.fault is not None else UpstreamError()
        event = b""
        if scanner is not None and scanner.at_boundary and relay.written:
            event = Encoded.event(self._operation, error, self._rid, scanner, relay)
        if event:
            relay.add(event)
            transport.close()  # flushes, then ends without the last chunk
        else:
            reset(transport)

    # -- the end -------------------------------------------------------------------------------

    def _decide_settlement(self) -> UsageRecord | None:
        """Decide once between a record and a void."""
        if self._decided:
            return self._record
        self._decided = True
        relay, connection, services = self._relay, self._connection, self._services
        if not self._wire.billed:
            return None
        scanner = relay.scanner if relay is not None else None
        answered = relay is not None and 200 <= relay.status < 300
        ended = relay is not None and relay.over and relay.fault is None and not self._cut_by_close(relay)
        if ended and scanner is not None and scanner.failed:
            ended = False  # an error ended the answer: what was stated before it is not the whole count
        outcome = self._outcome or Outcome.UPSTREAM_ERROR
        settled = accounting.settlement(
            accounting.Ended(
                answered=answered,
                complete=answered and (ended or (scanner is not None and scanner.complete)),
                written=connection is not None and connection.written,
                provider_failed=self._provider_failed,
                report=scanner.report() if scanner is not None else Report(),
                input_estimate=self._input_estimate,
                output_estimate=partial_output(scanner) if scanner is not None else 0,
                outcome=outcome,
            )
        )
        if settled is None:
            return None
        if answered and scanner is not None and scanner.complete and outcome is Outcome.CLIENT_ABORT:
            outcome = Outcome.COMPLETED  # everything had come; the client only closed early
        provider = self._target.provider.name

        def price_of(model: str) -> pricing.Price | None:
            found = services.catalog.find_by_provider_model(provider, model)
            return found.price if found is not None else None

        self._record = accounting.record(
            accounting.Identity(
                self._rid,
                self._principal.pid,
                provider,
                self._model.name,
                self._started_ms,
                self._target.price.version,
            ),
            settled,
            outcome,
            price=self._target.price,
            asked=self._head.variant,
            price_of=price_of,
            settled_ms=time.time_ns() // 1_000_000,
            abort=services.config.billing.abort,
        )
        return self._record

    def _settle(self) -> None:
        """Hand the settlement over, stop the provider if it is still working, and let go of content."""
        services = self._services
        try:
            record = self._decide_settlement()
        except Exception as error:  # noqa: BLE001 - whatever it is, the hold must be given back
            # Never lose the hold to a fault of ours: the reaper would charge an orphan.
            services.log.failure(Event.HANDLER_FAILED, error, rid=self._rid)
            record = None
        if record is None:
            services.settler.void(self._principal.pid, self._rid)
        else:
            services.settler.submit(record)
        relay = self._relay
        self._abandon()
        self._note(record, relay)

    def _note(self, record: UsageRecord | None, relay: Relay | None) -> None:
        """Count and log what happened, in numbers and closed names."""
        services, instruments = self._services, self._services.instruments
        now = services.loop.time()
        outcome = (
            record.outcome
            if record is not None
            else (self._outcome.value if self._outcome and not self._provider_failed else "provider_error")
        )
        instruments.requests.inc(self._operation.value, outcome)
        fields: dict[str, object] = {}
        if record is not None:
            inputs, outputs = _totals(record)
            instruments.records.inc(record.basis)
            instruments.charged.inc(record.provider, by=record.charge)
            instruments.tokens.inc(record.provider, "input", by=inputs)
            instruments.tokens.inc(record.provider, "cache_read", by=record.cache_read)
            instruments.tokens.inc(record.provider, "output", by=outputs)
            fields = {
                "input_tokens": inputs,
                "cache_read_tokens": record.cache_read,
                "output_tokens": outputs,
                "charge": record.charge,
            }
        services.log.request(
            rid=self._rid,
            operation=self._operation.value,
            provider=self._target.provider.name,
            model=self._model.name,
            status=relay.status if relay is not None else 0,
            outcome=outcome,
            first_byte_ms=int((self._first_byte - self._started) * 1000) if self._first_byte else -1,
            duration_ms=int((now - self._started) * 1000),
            attempts=self._attempts,
            **fields,
        )


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


def _refused(decision: Refused) -> GatewayError:
    headers = rate_limit_headers(decision.windows)
    retry = max(1.0, decision.retry_after_ms / 1000)
    match decision.reason:
        case "credits" | "unknown_account":
            return CreditsExhausted(needed=decision.needed, held=decision.held, available=decision.available)
        case "requests" | "tokens":
            return RateLimited(retry_after=retry, headers=headers)
        case "concurrency":
            return ConcurrencyLimited(retry_after=retry, headers=headers)
        case _:
            return MeteringUnavailable()


def _timed_out(relay: Relay) -> bool:
    return relay.fault is not None and relay.fault.value.endswith("timeout")


def _status_class(status: int) -> str:
    return "429" if status == 429 else f"{status // 100}xx"


def refused_response(error: GatewayError, family: Family | None, rid: str, services: Services) -> web.Response:
    """An error answer, counted."""
    services.instruments.refused.inc(error.code)
    return error_response(error, family, rid)
