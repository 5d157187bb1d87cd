"""One inference request from its authenticated head to its settlement.

The order is part of the contract:

1. The body is read only after the token is accepted and the mode allows the cloud. Both are checked again when the body
   is complete, searched and read, unless that took no time, since they may have changed in the meantime.
2. Nothing is sent to a provider before the ledger holds the credit.
3. After the reserve, `_settle` always runs once, synchronously, in ``finally``: it hands a record or a void to the
   settler before anything else can be awaited, so that a cancellation cannot lose it.
4. Once a sign of life has begun the response (`gateway.inference.keep_alive`), an error is an event of the stream.
5. Foreign errors become `GatewayError` here, in `forwarding` and in `meter` (`failover.error_of`, `refusals`), nowhere
   else.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from aiohttp import web

from gateway.auth import policy
from gateway.auth.principal import Principal
from gateway.auth.retention import RETENTION_HEADER
from gateway.catalog.catalog import Catalog
from gateway.errors import GatewayError, UpstreamError
from gateway.evidence.statement import RECEIPT_HEADER
from gateway.http.answers import TOOLS_REMOVED
from gateway.http.request import read_body
from gateway.http.shares import Share
from gateway.inference import failover, lanes, request_log, tracing
from gateway.inference.admission import admit
from gateway.inference.answer import Answer, Ending
from gateway.inference.content import Content
from gateway.inference.forwarding import Forwarding
from gateway.inference.keep_alive import SIGNS, KeepAlive
from gateway.inference.legs import Leg, Legs, release
from gateway.inference.meter import Meter
from gateway.inference.patience import patience
from gateway.inference.rejection import Rejection
from gateway.inference.relay import Relay, chunk_of, reset
from gateway.inference.responses import (
    begin_before_answer,
    begin_stream,
    cut_event,
    held_response,
    rejected_event,
    rejected_response,
)
from gateway.inference.running import Cancellation
from gateway.inference.services import Services
from gateway.names import Closed, Rid
from gateway.telemetry.genai import TraceParent
from gateway.telemetry.log import Event
from gateway.upstream.client_socket import at_once
from metering.usage import Outcome
from providers.bounds import UNCOUNTED_BYTES
from providers.dialect import Family, Head, Operation
from providers.headers import asks_for_events
from providers.masking.masking import Vault
from providers.wires import WIRES

if TYPE_CHECKING:
    from aiohttp.http_writer import StreamWriter

    from gateway.http.server import ClientConnection

LINGER_BYTES = 262_144  # of an answer whose client has left, read for its usage
OUTPUT_LIMIT = "x-output-limit"
ATTEMPTS = "x-attempts"
REASONING_DROPPED = "x-reasoning-dropped"
TRANSLATION_DROPPED = "x-translation-dropped"
MEMBERS_REMOVED = "x-members-removed"


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
        admit_again: Callable[[], Awaitable[Principal]],
        rid: Rid,
        started: float,
    ) -> None:
        self._services = services
        self._request = request
        self._operation = operation
        self._family = family
        self._principal = principal
        self._admit_again = admit_again
        self._rid = rid
        self._started = started  # of the loop's clock
        self._meter: Meter
        self._forwarding: Forwarding
        self._cancellation = Cancellation()
        self._streams = False
        self._events = True  # a stream of this request is an event stream
        self._sign = False  # and it asks for one
        self._life: KeepAlive | None = None
        self._early: web.StreamResponse | None = None  # begun by a sign of life, until an answer flows
        self._model: Closed | None = None  # what was asked for, once that is known

    # -- the order of things -------------------------------------------------------------------

    async def run(self, path_model: str | None, query: str) -> web.StreamResponse:
        """Answer the request. Raises `GatewayError` for everything that no provider answered."""
        shares, rules = self._services.shares, self._services.rules
        sid, cancellation = self._principal.sid, self._cancellation
        self._events = self._family is not Family.GOOGLE or asks_for_events(query)
        counted = False
        slot = lanes.slot_of(self._request.headers)
        shares.running.begin(sid, cancellation)
        try:
            with shares.bodies.hold(self._principal.pid) as share:
                here = self._request.content.is_eof()
                limits = rules.config.server
                limit, seconds = limits.max_body_bytes, limits.body_timeout
                body = Content(await read_body(self._request, limit, share, seconds, shares.slices))
                making = Legs(
                    rules, shares, self._operation, pid=self._principal.pid, rid=self._rid, events=self._events
                )
                wire = WIRES[self._operation]
                share.expect(len(body))
                # To search is the most expensive reading, so nothing is searched that is refused anyway.
                head = await making.read(wire, body, path_model)
                searched, vault = await self._searched(body, share)
                if searched is not body:
                    body, head = searched, await making.read(wire, searched, path_model)
                share.expect(len(body))  # for what is made of it to be sent: refused before anything is held
                long = len(body) > UNCOUNTED_BYTES
                catalog = rules.catalog  # a dated change of prices replaces it, not for a request that has begun
                legs = await self._legs(making, head, body, query=query, catalog=catalog, share=share)
                translated = len(legs) > 1 or legs[0].translation is not None
                if not here or rules.secrets is not None or translated or long:  # it took time
                    self._principal = await self._admit_again()
                self._admit(legs, vault, catalog)
                lane = None if slot is None else shares.lanes.take(sid, slot, self._rid, cancellation)
                prepare = partial(self._forwarding.prepare, share)
                granted = await self._meter.reserve(self._forwarding, cancellation, lane, meanwhile=prepare)
                self._forwarding.output_limit = self._meter.output_limit
                counted = True
                self._services.signals.instruments.active.add(1)
                self._set_deadline()
                self._keep_alive()
                relay = await self._forwarding.run(granted, self._meter.move, share)
                release(legs)
            return await self._answer(relay)
        except GatewayError as refused:
            if counted and self._forwarding.attempts:
                refused.headers[ATTEMPTS] = str(self._forwarding.attempts)
            self._fail_early(refused)
            if not counted:
                self._note_refused(refused)
            raise
        except asyncio.CancelledError:
            error = cancellation.caught()
            if error is not None:
                self._fail_early(error)
                if not counted:
                    self._note_refused(error)
                raise error from None
            self._left()
            raise
        except ConnectionError:
            cancellation.outcome = Outcome.CLIENT_ABORT  # the client left while its headers were written
            raise
        finally:
            try:
                if counted:
                    self._settle()
            finally:
                if self._life is not None:
                    self._life.close()
                shares.running.end(sid, cancellation)
                cancellation.end()
                if slot is not None:
                    shares.lanes.leave(sid, slot, self._rid)
                if counted:
                    self._services.signals.instruments.active.add(-1)
                if self._streams:
                    self._services.signals.instruments.streams.add(-1)

    def _left(self) -> None:
        """Whoever was served is not any more: the client has gone, or the worker's time for it is over."""
        draining = self._services.shares.running.draining
        self._cancellation.outcome = Outcome.DRAINED if draining else Outcome.CLIENT_ABORT

    async def _searched(self, body: Content, share: Share) -> tuple[Content, Vault | None]:
        """The body as it is sent to the provider: without its secrets, if the policy wants it, and what they were.

        The same object if none was replaced.
        """
        secrets = self._services.rules.secrets
        if secrets is None:
            return body, None
        size = len(body)
        share.grow(size)  # for the body without them, beside the one with them
        masked, vault = await secrets.apply(
            body.reveal(), self._principal.pid, self._family, self._services.shares.slices
        )
        share.shrink(size)
        return (body if masked is body.reveal() else Content(masked)), vault

    async def _legs(
        self, making: Legs, head: Head, body: Content, *, query: str, catalog: Catalog, share: Share
    ) -> list[Leg]:
        """The request in each dialect in which it may be sent. Raises `GatewayError`."""
        self._sign = head.stream and self._events
        model = catalog.resolve(head.model)
        own = Leg(WIRES[self._operation], head, head, body, self._request.raw_headers, query, model)
        self._model = None if model is None else model.name
        if model is None or not policy.allows(self._principal, model):
            return [own]  # it will be refused
        return await making.all(own, model, self._principal.fallback_companies, share)

    def _admit(self, legs: list[Leg], vault: Vault | None, catalog: Catalog) -> None:
        """Decide what the request may do and costs at most, on each leg. Raises `GatewayError`."""
        services, headers = self._services, self._request.headers
        allowed: list[Leg] = []
        for leg in legs:
            try:
                leg.admission = admit(
                    leg.wire,
                    leg.head,
                    () if leg.translation is not None else headers.getall("anthropic-beta", ()),
                    catalog=catalog,
                    config=services.rules.config,
                    principal=self._principal,
                    asked_regions=headers.getall(policy.REGION_HEADER, ()),
                    asked_retention=headers.getall(RETENTION_HEADER, ()),
                    learning=services.books.learning,
                    model=leg.model,
                    selected=leg.selected,
                    operation=self._operation,
                )
            except GatewayError:
                if not allowed:
                    raise
                leg.body.drop()
            else:
                allowed.append(leg)
        self._forwarding = Forwarding(
            services.upstreams,
            services.signals,
            services.shares.slices,
            legs=allowed,
            principal=self._principal,
            vault=vault,
            rid=self._rid,
        )
        self._meter = Meter(
            services.books,
            services.signals.instruments,
            catalog,
            rid=self._rid,
            principal=self._principal,
            admissions=[leg.admission for leg in allowed],
        )

    # -- the client ----------------------------------------------------------------------------

    def _set_deadline(self) -> None:
        """Bound the time of all attempts: by the caller's own time-out, and by the configured one."""
        caller, own = patience(self._request.headers), self._services.rules.config.server.attempts_timeout
        if caller is not None or own:
            until = math.inf if caller is None else self._started + caller
            now = asyncio.get_running_loop().time()
            self._forwarding.wait_until(until, now + own if own else math.inf)

    def _keep_alive(self) -> None:
        """From now on, the client of an event stream gets signs of life."""
        seconds = self._services.rules.config.server.keep_alive_seconds
        if seconds and self._sign:
            self._life = KeepAlive(asyncio.get_running_loop(), seconds, SIGNS[self._family])
            self._life.start(self._begin_early, self._sign_early)

    async def _begin_early(self) -> None:
        """Begin the response before any answer, with a sign of life."""
        response = begin_before_answer(self._family, self._rid, self._meter.windows)
        self._tell_changes(response)
        del response.headers[ATTEMPTS]  # there may be more
        with contextlib.suppress(ConnectionError):  # the client has left, which cancels its request
            await response.prepare(self._request)
            await cast("StreamWriter", self._request.writer).write(SIGNS[self._family], drain=False)
            self._early = response
            self._forwarding.wait_for_all()

    def _sign_early(self, sign: bytes) -> None:
        """A further sign, if the client has read what it got before."""
        transport = self._request.transport
        if transport is not None and not transport.get_write_buffer_size():
            self._add_early(sign)

    def _add_early(self, data: bytes) -> None:
        transport = self._request.transport
        if transport is not None and not transport.is_closing():
            transport.write(chunk_of(data) if cast("StreamWriter", self._request.writer).chunked else data)

    def _fail_early(self, error: GatewayError) -> None:
        """If the response has begun, tell the client of an error by the dialect's event, and not by a status."""
        if self._life is not None:
            self._life.answered()
        if self._early is not None:
            self._end_early(cut_event(self._operation, error, self._rid, events=0, sse=True))

    def _end_early(self, event: bytes) -> None:
        self._add_early(event)
        if self._request.transport is not None:
            self._request.transport.close()  # flushes, then ends without the last chunk

    async def _answer(self, relay: Relay) -> web.StreamResponse:
        """Pass the provider's answer on."""
        if self._life is not None:
            self._life.answered()
        self._services.signals.instruments.first_byte.observe(self._forwarding.first_byte - self._started)
        rejection = self._forwarding.rejection
        if rejection is not None:
            rejected = self._rejected(relay, rejection)
            if self._early is None:
                return rejected
            self._end_early(rejected_event(self._operation, rejected, self._rid))
            return self._early
        if relay.over:
            answer = self._forwarding.answer()
            if answer.ending is Ending.FAILED:
                raise failover.error_of_answer(answer)
            if not relay.watch.flows:
                await self._conclude(answer)
                return self._held(relay)
        scanner = relay.scanner
        if self._early is not None and (scanner is None or (scanner.size and not scanner.sse)):
            self._forwarding.refuse()
            raise UpstreamError("The provider sent no stream, although one was asked for. Nothing was charged.")
        return await self._stream(relay)

    def _rejected(self, relay: Relay, rejection: Rejection) -> web.Response:
        """The provider's error, as a status or inside a 2xx of which the caller has seen nothing."""
        if relay.fault is not None and not rejection.inside:  # cut inside a body that nobody has seen yet
            raise failover.error_of(relay.fault)
        if 300 <= rejection.status < 400:
            raise UpstreamError("The provider answered with a redirect, which the gateway does not follow.")
        if rejection.status >= 600:
            raise UpstreamError("The provider answered with a status that does not exist in HTTP.")
        name = self._forwarding.target.provider.name
        response = rejected_response(
            relay,
            rejection,
            self._family,
            self._rid,
            name,
            redaction=self._services.upstreams.destinations[name].redaction,
            windows=self._meter.windows,
            translated=self._forwarding.leg.translation is not None,
        )
        self._tell_changes(response)
        if 400 <= rejection.status < 500 and rejection.status != 429:
            self._services.books.unpaid.add(self._principal.pid)  # the provider did some work that is not billed
        return response

    def _held(self, relay: Relay) -> web.Response:
        """A whole object."""
        record = self._meter.record
        response = held_response(
            relay,
            self._family,
            self._rid,
            self._forwarding.target.provider.name,
            charge=record.charge if record else 0,
            balance=self._meter.reserved.balance if self._meter.reserved else 0,
            held=self._meter.reserved.held if self._meter.reserved else 0,
            windows=self._meter.windows,
        )
        self._tell_changes(response)
        if record is not None and self._request.headers.get(RECEIPT_HEADER) == "1":
            response.headers[RECEIPT_HEADER] = self._services.signals.evidence.receipt_header(record)
        return response

    def _tell_changes(self, response: web.StreamResponse) -> None:
        """Report how often the request was sent, and what was sent instead of its own: a lower output limit, since the
        credit pays no more, and members that were left out; and whether the provider left out reasoning.
        """
        response.headers[ATTEMPTS] = str(self._forwarding.attempts)
        scanner = self._forwarding.scanner
        of = self._forwarding.target.provider.family
        if of is Family.ANTHROPIC and scanner is not None and scanner.report().reasoning_dropped:
            response.headers[REASONING_DROPPED] = "true"
        if self._meter.output_limit is not None:
            response.headers[OUTPUT_LIMIT] = str(self._meter.output_limit)
        leg = self._forwarding.leg
        if removed := self._forwarding.members_removed():
            response.headers[MEMBERS_REMOVED] = removed
        if tools := leg.asked.removed_tools:
            response.headers[TOOLS_REMOVED] = ", ".join(sorted(tools))
        if leg.translation is not None and leg.translation.dropped:
            response.headers[TRANSLATION_DROPPED] = ", ".join(leg.translation.dropped)

    async def _stream(self, relay: Relay) -> web.StreamResponse:
        request = self._request
        early, self._early = self._early, None
        if early is None:
            response = begin_stream(
                relay, self._family, self._rid, self._forwarding.target.provider.name, self._meter.windows
            )
            self._tell_changes(response)
        else:
            response = early
        self._cancellation.act = self._forwarding.stop  # errors are events from here on
        relay.headers = []  # a long stream need not keep them
        if early is None:
            await response.prepare(request)
        writer = cast("StreamWriter", request.writer)
        transport = request.transport
        if transport is None:
            raise asyncio.CancelledError  # the client left while the headers were prepared
        first = relay.take()
        with at_once(transport):
            if first:
                await writer.write(first, drain=False)  # in one segment with the headers; does not wait
            elif early is None:
                writer.send_headers()
        protocol = cast("ClientConnection", request.protocol)
        protocol.relay = relay
        self._services.signals.instruments.streams.add(1)
        self._streams = True
        try:
            self._meter.watch()
            relay.open(transport, chunked=writer.chunked, tick=self._services.signals.instruments.chunk_gaps.begin())
            if self._life is not None:
                self._life.watch(relay)
            if protocol.writing_paused:
                relay.pause()
            await relay.ended
        except asyncio.CancelledError:
            protocol.relay = None
            grace = self._services.rules.config.server.abort_grace
            if self._cancellation.error is None:
                self._left()
                if grace:
                    with self._services.shares.lingering.one_more(self._principal.pid) as allowed:
                        if allowed:
                            await self._forwarding.linger(grace, LINGER_BYTES)
                await self._conclude(self._forwarding.answer())
            raise
        finally:
            protocol.relay = None
        answer = self._forwarding.answer()
        await self._conclude(answer)
        if answer.error is None and (answer.ending is not Ending.WHOLE or answer.fault is not None):
            self._end_cut(relay, answer, transport)
        elif answer.fault is not None or (answer.error is not None and not answer.error.late):
            # The client has the provider's own error, perhaps in a form that its SDK does not raise on: HTTP does not
            # end well either. A close flushes; if a client would take it for the end of the body, only a reset does not
            # look like one.
            if writer.chunked or response.content_length is not None:
                transport.close()
            else:
                reset(transport)
        return response

    def _end_cut(self, relay: Relay, answer: Answer, transport: asyncio.Transport) -> None:
        """Never let a truncated answer look complete: an error event and a close, or a reset."""
        scanner = relay.scanner
        error = self._cancellation.error or failover.error_of_answer(answer)
        event = b""
        if answer.ending is not Ending.WHOLE and scanner is not None and scanner.at_boundary and scanner.size:
            event = cut_event(self._operation, error, self._rid, events=scanner.events, sse=scanner.sse)
        if event:
            relay.add(event)
            transport.close()  # flushes, then ends without the last chunk
        else:
            reset(transport)

    # -- the end -------------------------------------------------------------------------------

    async def _conclude(self, answer: Answer) -> None:
        """Decide what the answer costs, and have the ledger grant what it costs beyond its limit, if it can."""
        meter = self._meter
        meter.decide(answer, self._cancellation.outcome, self._forwarding.target)
        if meter.beyond is not None:
            await meter.cover()

    def _settle(self) -> None:
        """Hand the settlement over, count it, stop the provider if it is still working, and release content."""
        forwarding, meter = self._forwarding, self._meter
        try:
            if not meter.decided:
                meter.decide(forwarding.answer(), self._cancellation.outcome, forwarding.target)
        except Exception as error:  # noqa: BLE001 - for any error, the hold is released: the reaper would charge it
            self._services.signals.log.failure(Event.HANDLER_FAILED, error, rid=self._rid)
        try:
            meter.settle()
            request_log.note(
                self._services.signals,
                forwarding,
                meter.record,
                rid=self._rid,
                operation=self._operation,
                stopped=self._cancellation.outcome,
                started=self._started,
                now=asyncio.get_running_loop().time(),
                region=self._principal.region,
                parent=self._parent(),
            )
        finally:
            forwarding.close()

    def _note_refused(self, error: GatewayError) -> None:
        """Tell a collector of an exchange that ends here, before anything was held."""
        telemetry = self._services.signals.telemetry
        if telemetry is not None:
            tracing.note_refused(
                telemetry,
                error,
                rid=self._rid,
                operation=self._operation,
                model=self._model,
                started=self._started,
                now=asyncio.get_running_loop().time(),
                parent=self._parent(),
            )

    def _parent(self) -> TraceParent | None:
        """The client's span that the exchange belongs to, if the operator wants to know."""
        telemetry = self._services.signals.telemetry
        return None if telemetry is None else telemetry.parent_of(self._request.headers.getall("traceparent", ()))
