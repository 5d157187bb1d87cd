"""One inference request from its authenticated head to its settlement.

The order is the promise:

1. Nothing is read of the body before the token is accepted and the mode allows the cloud. Both are asked again once
   the body is complete, searched and read, unless that took no time: a person may have decided otherwise meanwhile.
2. Nothing goes to a provider before the ledger holds the credit.
3. Whatever happens after the reserve, `_settle` runs once, synchronously, in ``finally``: a record or
   a void is handed to the settler before anything else can be awaited, so that no cancellation can
   lose it.
4. Foreign errors become `GatewayError` here, in `forwarding` and in `meter` (`failover.error_of`, `refusals`), nowhere
   else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

from aiohttp import web

from gateway.auth import policy
from gateway.auth.principal import Principal
from gateway.catalog.catalog import CatalogTarget
from gateway.errors import GatewayError, UpstreamError
from gateway.evidence.statement import RECEIPT_HEADER
from gateway.http.answers import error_response
from gateway.http.request import read_body
from gateway.http.shares import Share
from gateway.inference import failover, lanes, request_log
from gateway.inference.admission import Admission, admit, read_head
from gateway.inference.answer import Answer, Ending
from gateway.inference.content import Content
from gateway.inference.forwarding import Forwarding
from gateway.inference.meter import Meter
from gateway.inference.rejection import Rejection
from gateway.inference.relay import Relay, reset
from gateway.inference.responses import begin_stream, cut_event, held_response, rejected_response
from gateway.inference.services import Services
from gateway.names import Rid
from metering.usage import Outcome, UsageRecord
from providers.bounds import UNCOUNTED_BYTES
from providers.dialect import Family, Head, Operation
from providers.masking.masking import Vault
from providers.wires import WIRES

if TYPE_CHECKING:
    from aiohttp.http_writer import StreamWriter

    from gateway.http.server import ClientConnection

LINGER_BYTES = 262_144  # of an answer whose client has left, read for its usage
OUTPUT_LIMIT = "x-output-limit"
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
        self._wire = WIRES[operation]
        self._principal = principal
        self._admit_again = admit_again
        self._rid = rid
        self._started = started  # of the loop's clock
        self._admission: Admission
        self._meter: Meter
        self._forwarding: Forwarding
        self._task = asyncio.current_task(services.loop)
        self._streaming = False  # the client's headers are out: errors are events from here on
        self._stopped: GatewayError | None = None
        self._outcome: Outcome | None = None

    # -- the order of things -------------------------------------------------------------------

    async def run(self, path_model: str | None, query: str) -> web.StreamResponse:
        """Answer the request. Raises `GatewayError` for everything that no provider answered."""
        services, sid = self._services, self._principal.sid
        counted = False
        slot = lanes.slot_of(self._request.headers)
        services.running.begin(sid, self)
        try:
            with services.bodies.hold(self._principal.pid) as share:
                here = self._request.content.is_eof()
                limits = services.config.server
                limit, seconds = limits.max_body_bytes, limits.body_timeout
                body = Content(await read_body(self._request, limit, share, seconds, services.slices))
                body, vault = await self._searched(body, share)
                share.expect(len(body))  # for what is made of it to be sent: refused before anything is held
                head = await self._read(body, path_model)
                if not here or services.secrets is not None or len(body) > UNCOUNTED_BYTES:  # it took time
                    self._principal = await self._admit_again()
                self._admit(head, vault)
                lane = None if slot is None else services.lanes.take(sid, slot, self._rid, self)
                await self._meter.reserve(self, lane)
                self._forwarding.output_limit = self._meter.output_limit
                counted = True
                services.instruments.active.add(1)
                relay = await self._forwarding.run(body, self._request.raw_headers, query, share)
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
        self._forwarding.stop()

    def progress(self) -> tuple[CatalogTarget, int]:
        """Where the request is now, and how many output tokens it has had by estimate. Decodes nothing."""
        scanner = self._forwarding.scanner
        return self._forwarding.target, scanner.estimated_output() if scanner is not None else 0

    async def _searched(self, body: Content, share: Share) -> tuple[Content, Vault | None]:
        """The body as it is sent to the provider: without its secrets, if the policy wants it, and what they were."""
        secrets = self._services.secrets
        if secrets is None:
            return body, None
        size = len(body)
        share.grow(size)  # for the body without them, beside the one with them
        masked, vault = await secrets.apply(body.reveal(), self._principal.pid, self._family, self._services.slices)
        share.shrink(size)
        return Content(masked), vault

    async def _read(self, body: Content, path_model: str | None) -> Head:
        """What is acted on of the body. Raises `GatewayError`."""
        services = self._services
        rules = services.config.policy
        return await services.slices.run(read_head(self._wire, body.reveal(), path_model, rules), self._principal.pid)

    def _admit(self, head: Head, vault: Vault | None) -> None:
        """Decide what the request may do and costs at most. Raises `GatewayError`."""
        services, principal = self._services, self._principal
        self._admission = admit(
            self._wire,
            head,
            self._request.headers.getall("anthropic-beta", ()),
            catalog=services.catalog,
            config=services.config,
            principal=principal,
            asked_regions=self._request.headers.getall(policy.REGION_HEADER, ()),
            learning=services.learning,
        )
        self._forwarding = Forwarding(services, self._wire, self._admission, principal.pid, vault)
        self._meter = Meter(services, self._rid, principal, self._admission)

    # -- the client ----------------------------------------------------------------------------

    async def _answer(self, relay: Relay) -> web.StreamResponse:
        """Pass the provider's answer on."""
        services = self._services
        services.instruments.first_byte.observe(self._forwarding.first_byte - self._started)
        rejection = self._forwarding.rejection
        if rejection is not None:
            return self._rejected(relay, rejection)
        if relay.over:
            answer = self._forwarding.answer()
            if answer.ending is Ending.FAILED:
                raise failover.error_of_answer(answer)
            if not relay.watch.flows:
                return self._held(relay)
        return await self._stream(relay)

    def _rejected(self, relay: Relay, rejection: Rejection) -> web.Response:
        """The provider's error, as a status or inside a 2xx of which the caller has seen nothing."""
        if relay.fault is not None and not rejection.inside:  # cut inside a body that nobody has seen yet
            raise failover.error_of(relay.fault)
        if 300 <= rejection.status < 400:
            raise UpstreamError("The provider answered with a redirect, which is never followed.")
        if rejection.status >= 600:
            raise UpstreamError("The provider answered with a status that HTTP does not have.")
        name = self._forwarding.target.provider.name
        response = rejected_response(
            relay,
            rejection,
            self._family,
            self._rid,
            name,
            redaction=self._services.destinations[name].redaction,
            windows=self._meter.windows,
        )
        self._tell_changes(response)
        if 400 <= rejection.status < 500 and rejection.status != 429:
            self._services.unpaid.add(self._principal.pid)  # it cost the provider a look, and nobody anything
        return response

    def _held(self, relay: Relay) -> web.Response:
        """A whole object."""
        record = self._decide()
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
            response.headers[RECEIPT_HEADER] = self._services.evidence.receipt_header(record)
        return response

    def _tell_changes(self, response: web.StreamResponse) -> None:
        """Say what the provider was sent in place of the request's own: a lower output limit, since the credit pays no
        more, and members that were left out.
        """
        if self._meter.output_limit is not None:
            response.headers[OUTPUT_LIMIT] = str(self._meter.output_limit)
        if removed := self._forwarding.members_removed():
            response.headers[MEMBERS_REMOVED] = removed

    async def _stream(self, relay: Relay) -> web.StreamResponse:
        request = self._request
        response = begin_stream(
            relay, self._family, self._rid, self._forwarding.target.provider.name, self._meter.windows
        )
        self._tell_changes(response)
        self._streaming = True
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
        except asyncio.CancelledError:
            protocol.relay = None
            grace = self._services.config.server.abort_grace
            if self._stopped is None and grace:
                await self._forwarding.linger(grace, LINGER_BYTES)
            raise
        finally:
            protocol.relay = None
        answer = self._forwarding.answer()
        if not answer.clean and answer.error is None:
            self._end_cut(relay, answer, transport)
        elif answer.fault is not None or (answer.error is not None and not answer.error.late):
            # The client has the provider's own error, perhaps in a form that its SDK does not raise on: HTTP does not
            # end well either. A close flushes; where it would pass for the end of the body, only a reset does not.
            if writer.chunked or response.content_length is not None:
                transport.close()
            else:
                reset(transport)
        return response

    def _end_cut(self, relay: Relay, answer: Answer, transport: asyncio.Transport) -> None:
        """Never let a truncated answer look complete: an error event and a close, or a reset."""
        scanner = relay.scanner
        error = self._stopped or failover.error_of_answer(answer)
        event = b""
        if answer.ending is not Ending.WHOLE and scanner is not None and scanner.at_boundary and scanner.size:
            event = cut_event(self._operation, error, self._rid, events=scanner.events, sse=scanner.sse)
        if event:
            relay.add(event)
            transport.close()  # flushes, then ends without the last chunk
        else:
            reset(transport)

    # -- the end -------------------------------------------------------------------------------

    def _decide(self) -> UsageRecord | None:
        """The settlement, decided now: the answer has ended."""
        forwarding = self._forwarding
        if not self._wire.billed:
            return None
        answer = forwarding.answer()
        return self._meter.decide(answer, answer.outcome(self._outcome or Outcome.CLIENT_ABORT), forwarding.target)

    def _settle(self) -> None:
        """Hand the settlement over, count it, stop the provider if it is still working, and let go of content."""
        forwarding = self._forwarding
        record = self._meter.settle(self._decide)
        try:
            request_log.note(
                self._services,
                forwarding,
                record,
                rid=self._rid,
                operation=self._operation,
                admission=self._admission,
                stopped=self._outcome,
                started=self._started,
                region=self._principal.region,
            )
        finally:
            forwarding.close()


def refused_response(error: GatewayError, family: Family | None, rid: str, services: Services) -> web.Response:
    """An error answer, counted."""
    services.instruments.refused.inc(error.code)
    return error_response(error, family, rid)
