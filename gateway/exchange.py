"""One inference request from its authenticated head to its settlement.

The order is the promise:

1. Nothing is read of the body before the token is accepted and the mode allows the cloud.
2. Nothing goes to a provider before the ledger holds the credit.
3. Whatever happens after the reserve, `_settle` runs once, synchronously, in ``finally``: a record or
   a void is handed to the settler before anything else can be awaited, so that no cancellation can
   lose it.
4. Foreign errors become `GatewayError` here and in `meter` (`failover.error_of`, `refusals`), nowhere else.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from aiohttp import web

from gateway import accounting, failover, lanes, policy
from gateway.admission import Admission, admit
from gateway.answers import error_response
from gateway.auth.principal import Principal
from gateway.catalog import CatalogTarget
from gateway.closed import Rid
from gateway.config import CacheIsolation
from gateway.content import Content
from gateway.errors import GatewayError, ProviderUnavailable, UpstreamError
from gateway.evidence import RECEIPT_HEADER
from gateway.identity import pseudonym
from gateway.inbound import read_body
from gateway.log import Event, Fields, NoRecord
from gateway.meter import Meter
from gateway.regions import astray, promised
from gateway.relay import Relay, reset
from gateway.responses import Encoded, begin_stream, cut_event, held_response, is_sse, scanner_of
from gateway.services import Services
from gateway.upstream.connection import Connection, Headers
from gateway.upstream.faults import Fault, UpstreamFault
from metering.usage import Outcome, Report, UsageRecord
from providers.dialect import Family, Operation, Scanner, Target
from providers.headers import query_string, request_headers
from providers.masking import Vault
from providers.partial import estimated_output, partial_output
from providers.restoring import Restored
from providers.wires import WIRES

if TYPE_CHECKING:
    from aiohttp.http_writer import StreamWriter

    from gateway.server import ClientConnection


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
        rid: Rid,
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
        self._admission: Admission
        self._meter: Meter
        self._target: CatalogTarget
        self._connection: Connection | None = None
        self._relay: Relay | None = None
        self._task = asyncio.current_task(services.loop)
        self._streaming = False  # the client's headers are out: errors are events from here on
        self._stopped: GatewayError | None = None
        self._vault: Vault | None = None  # secrets that the answer gets back
        self._outcome: Outcome | None = None
        self._provider_failed = False
        self._first_byte = 0.0
        self._attempts = 0

    # -- the order of things -------------------------------------------------------------------

    async def run(self, path_model: str | None, query: str) -> web.StreamResponse:
        """Answer the request. Raises `GatewayError` for everything that no provider answered."""
        services, sid = self._services, self._principal.sid
        counted = False
        slot = lanes.slot_of(self._request.headers)
        services.running.begin(sid, self)
        try:
            with services.bodies.hold() as share:
                body = Content(await read_body(self._request, services.config.server.max_body_bytes, share))
                body = Content(self._admit(body.reveal(), path_model))
                lane = None if slot is None else services.lanes.take(sid, slot, self._rid, self)
                await self._meter.reserve(self, lane)
                counted = True
                services.instruments.active.add(1)
                relay = await self._forward(body, query)
                body.drop()  # a long stream does not keep its prompt in memory
            return await self._answer(relay)
        except asyncio.CancelledError:
            if self._stopped is not None and self._task is not None and not self._task.uncancel():
                raise self._stopped from None
            self._outcome = Outcome.DRAINED if services.draining else Outcome.CLIENT_ABORT
            raise
        except ConnectionError:
            self._outcome = Outcome.CLIENT_ABORT  # the client left while its headers were written
            raise
        finally:
            services.running.end(sid, self)
            services.lanes.leave(sid, slot, self._rid)
            if counted:
                services.instruments.active.add(-1)
                self._settle()

    def stop(self, error: GatewayError, outcome: Outcome) -> None:
        """End the request from outside: its provider request is aborted at once, its caller gets ``error``."""
        if self._stopped is not None:
            return
        self._stopped, self._outcome = error, outcome
        if not self._streaming:
            if self._task is not None:
                self._task.cancel()
            return
        relay, connection = self._relay, self._connection
        if relay is not None and connection is not None and not relay.over:
            connection.close()
            relay.on_fault(Fault.STOPPED)

    def progress(self) -> tuple[CatalogTarget, int]:
        """Where the request is now, and how many output tokens it has had by estimate. Decodes nothing."""
        scanner = self._relay.scanner if self._relay is not None else None
        return self._target, estimated_output(scanner) if scanner is not None else 0

    def _admit(self, body: bytes, path_model: str | None) -> bytes:
        """Decide; the body as it may go out (secrets masked, where policy wants it)."""
        services = self._services
        if services.secrets is not None:
            body, self._vault = services.secrets.apply(body)
        betas = self._request.headers.getall("anthropic-beta", ()) if self._family is Family.ANTHROPIC else ()
        self._admission = admit(
            self._wire,
            body,
            path_model,
            betas,
            catalog=services.catalog,
            config=services.config,
            principal=self._principal,
            asked_regions=self._request.headers.getall(policy.REGION_HEADER, ()),
            learning=services.learning,
        )
        self._target = self._admission.targets[0]
        self._meter = Meter(services, self._rid, self._principal, self._admission)
        return body

    # -- the provider --------------------------------------------------------------------------

    async def _forward(self, body: Content, query: str) -> Relay:
        """Try the targets in order until one answers; raise the last one's error if none does."""
        services, targets, asked = self._services, self._admission.targets, self._admission.head
        passed = list(request_headers(self._family, self._request.raw_headers))
        suffix = query_string(query)
        suffix = f"?{suffix}" if suffix else ""
        error: GatewayError | None = None
        for index, target in enumerate(targets):
            more = index + 1 < len(targets)
            self._target = target
            destination = services.destinations[target.provider.name]
            payload = self._wire.splice(body.reveal(), asked, self._wire_target(target))
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
                    good = 200 <= relay.status < 300
                    step = failover.Next.GIVE_UP if good else failover.after_answer(relay.status, more=more)
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
                    relay.fault, reused=connection.requests > 1, sent=connection.sent, retried=retried, more=more
                )
                self._abandon()
                if step is not failover.Next.SAME_FRESH:
                    break
                retried = True
        self._provider_failed = True
        raise error or ProviderUnavailable()

    def _wire_target(self, target: CatalogTarget) -> Target:
        provider = target.provider
        return Target(
            model=target.model,
            alias=target.model != self._admission.head.model,
            store=provider.store,
            include_usage=provider.include_usage,
            reasons=target.reasons,
            pseudonym=pseudonym(self._services.identity_key, self._principal.pid, provider.name),
            isolate=self._services.config.policy.cache_isolation is CacheIsolation.ACCOUNT,
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
        scanner, flows = scanner_of(self._wire, self._admission.head, status, headers)
        if self._vault is not None and scanner is not None and not isinstance(scanner, Encoded):
            scanner = Restored(scanner, self._vault, self._operation, sse=is_sse(headers))
        return scanner, flows

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
            record = self._decide() if good else None
            response = held_response(
                relay,
                self._family,
                self._rid,
                self._target.provider.name,
                charge=record.charge if record else 0,
                remaining=self._meter.reserved.remaining if self._meter.reserved else 0,
                windows=self._meter.windows,
            )
            if record is not None and self._request.headers.get(RECEIPT_HEADER) == "1":
                response.headers[RECEIPT_HEADER] = services.evidence.receipt_header(record)
            return response
        return await self._stream(relay)

    async def _stream(self, relay: Relay) -> web.StreamResponse:
        request = self._request
        response = begin_stream(relay, self._family, self._rid, self._target.provider.name, self._meter.windows)
        self._streaming = True
        sse = is_sse(relay.headers)
        relay.headers = []  # a long stream need not keep them
        await response.prepare(request)
        writer = cast("StreamWriter", request.writer)
        first = relay.take()
        if first:
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
            if self._stopped is None:
                self._outcome = Outcome.UPSTREAM_TIMEOUT if _timed_out(relay) else Outcome.UPSTREAM_CUT
            self._end_cut(relay, transport, sse=sse)
        else:
            failed = relay.scanner is not None and relay.scanner.failed
            self._outcome = Outcome.UPSTREAM_ERROR if failed else Outcome.COMPLETED
        return response

    def _cut_by_close(self, relay: Relay) -> bool:
        """A body that only the close ended, without the dialect's own end, was cut."""
        connection, scanner = self._connection, relay.scanner
        return connection is not None and connection.ended_by_close and scanner is not None and not scanner.complete

    def _end_cut(self, relay: Relay, transport: asyncio.Transport, *, sse: bool) -> None:
        """Never let a truncated answer look complete: an error event and a close, or a reset."""
        scanner = relay.scanner
        error = self._stopped or (failover.error_of(relay.fault) if relay.fault is not None else UpstreamError())
        event = b""
        if scanner is not None and scanner.at_boundary and scanner.size:
            event = cut_event(self._operation, error, self._rid, events=scanner.events, sse=sse)
        if event:
            relay.add(event)
            transport.close()  # flushes, then ends without the last chunk
        else:
            reset(transport)

    # -- the end -------------------------------------------------------------------------------

    def _ended(self) -> accounting.Ended | None:
        """The facts of the exchange as it stands; ``None`` for an operation that nobody bills."""
        if not self._wire.billed:
            return None
        relay, connection = self._relay, self._connection
        scanner = relay.scanner if relay is not None else None
        answered = relay is not None and 200 <= relay.status < 300
        over = relay is not None and relay.over and relay.fault is None and not self._cut_by_close(relay)
        if over and scanner is not None and scanner.failed:
            over = False  # an error ended the answer: what was stated before it is not the whole count
        return accounting.Ended(
            answered=answered,
            complete=answered and (over or (scanner is not None and scanner.complete)),
            written=connection is not None and connection.written,
            provider_failed=self._provider_failed,
            report=scanner.report() if scanner is not None else Report(),
            input_estimate=self._admission.input_tokens,
            output_estimate=partial_output(scanner) if scanner is not None else 0,
            outcome=self._outcome or Outcome.UPSTREAM_ERROR,
        )

    def _decide(self) -> UsageRecord | None:
        ended = self._ended()
        return None if ended is None else self._meter.decide(ended, self._target)

    def _settle(self) -> None:
        """Hand the settlement over, stop the provider if it is still working, and let go of content."""
        record = self._meter.settle(self._ended, self._target)
        relay, self._vault = self._relay, None
        self._abandon()
        self._note(record, relay)

    def _note(self, record: UsageRecord | None, relay: Relay | None) -> None:
        """Count and log what happened, in numbers and closed names."""
        services, instruments = self._services, self._services.instruments
        now = services.loop.time()
        outcome: Outcome | NoRecord = NoRecord.PROVIDER_ERROR
        if record is not None:
            outcome = Outcome(record.outcome)
        elif self._outcome and not self._provider_failed:
            outcome = self._outcome
        instruments.requests.inc(self._operation.value, outcome.value)
        if record is not None:
            inputs, outputs = _totals(record)
            instruments.records.inc(record.basis)
            instruments.charged.inc(record.provider, by=record.charge)
            instruments.tokens.inc(record.provider, "input", by=inputs)
            instruments.tokens.inc(record.provider, "cache_read", by=record.cache_read)
            instruments.tokens.inc(record.provider, "output", by=outputs)
            self._check_place(relay)
        if not services.log.requests:
            return
        fields: Fields = {
            "rid": self._rid,
            "operation": self._operation,
            "provider": self._target.provider.name,
            "model": self._admission.model.name,
            "status": relay.status if relay is not None else 0,
            "outcome": outcome,
            "first_byte_ms": int((self._first_byte - self._started) * 1000) if self._first_byte else -1,
            "duration_ms": int((now - self._started) * 1000),
            "attempts": self._attempts,
        }
        if record is not None:
            fields["input_tokens"] = inputs
            fields["cache_read_tokens"] = record.cache_read
            fields["output_tokens"] = outputs
            fields["charge"] = record.charge
        services.log.request(**fields)

    def _check_place(self, relay: Relay | None) -> None:
        """Raise the alarm where the provider says that it answered from elsewhere than was promised."""
        scanner, provider = relay.scanner if relay is not None else None, self._target.provider
        promise = promised(self._principal.region, provider.region)
        if promise is None or scanner is None:
            return
        variant = scanner.report().variant
        if variant is not None and astray(variant.geography, promise):
            self._services.instruments.astray.inc(provider.name)
            self._services.log.error(Event.REGION_ASTRAY, rid=self._rid, provider=provider.name, region=promise)


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


def _timed_out(relay: Relay) -> bool:
    return relay.fault is not None and relay.fault.value.endswith("timeout")


def _status_class(status: int) -> str:
    return "429" if status == 429 else f"{status // 100}xx"


def refused_response(error: GatewayError, family: Family | None, rid: str, services: Services) -> web.Response:
    """An error answer, counted."""
    services.instruments.refused.inc(error.code)
    return error_response(error, family, rid)
