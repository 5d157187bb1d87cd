"""One request's way to a provider: its targets in order, until one answers.

What an attempt's failure means is decided in `failover`; here it is carried out. Nothing here knows of money or of the
client: the caller has taken the hold before, and passes the answer on.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.auth.identity import pseudonym
from gateway.catalog.catalog import CatalogTarget
from gateway.config import CacheIsolation
from gateway.errors import GatewayError, ProviderUnavailable
from gateway.inference import failover
from gateway.inference.admission import Admission
from gateway.inference.content import Content
from gateway.inference.relay import Relay
from gateway.inference.responses import Encoded, is_sse, scanner_of
from gateway.inference.services import Services
from gateway.upstream.connection import Connection, Headers
from gateway.upstream.faults import Fault, UpstreamFault
from providers.dialect import Scanner, Target, Wire
from providers.headers import query_string, request_headers
from providers.masking.masking import Vault
from providers.masking.restoring import Restored


class Forwarding:
    """Build, `run`, then `close` in any case.

    Attributes:
        target: Where the request is, or was last.
        connection: Of the attempt under way, ``None`` before one and once it was given up.
        relay: Likewise.
        attempts: How many were made.
        first_byte: When the last answer began (the loop's clock), 0.0 before.
    """

    __slots__ = (
        "_admission",
        "_gave_up",
        "_pid",
        "_services",
        "_vault",
        "_wire",
        "attempts",
        "connection",
        "first_byte",
        "relay",
        "target",
    )

    def __init__(self, services: Services, wire: Wire, admission: Admission, pid: str, vault: Vault | None) -> None:
        """Build the way of one request.

        Args:
            services: The worker's.
            wire: What is asked for.
            admission: Where it may go.
            pid: Whose request it is; a provider gets only a pseudonym of it, if its rules want one.
            vault: Secrets that the answer gets back.
        """
        self._services = services
        self._wire = wire
        self._admission = admission
        self._pid = pid
        self._vault = vault
        self._gave_up = False
        self.target = admission.targets[0]
        self.connection: Connection | None = None
        self.relay: Relay | None = None
        self.attempts = 0
        self.first_byte = 0.0

    async def run(self, body: Content, raw_headers: Iterable[tuple[bytes, bytes]], query: str) -> Relay:
        """The first answer that is to be passed on, good or bad: its status is known.

        Args:
            body: As it is sent to the provider.
            raw_headers: The client's; only what a provider may see of them is sent.
            query: The client's; the same.

        Raises:
            GatewayError: No target answered; the last one's error.
        """
        services, admission, wire = self._services, self._admission, self._wire
        targets = admission.targets
        passed = request_headers(wire.operation.family, raw_headers)
        suffix = query_string(query)
        suffix = f"?{suffix}" if suffix else ""
        error: GatewayError | None = None
        for index, target in enumerate(targets):
            more = index + 1 < len(targets)
            self.target = target
            destination = services.destinations[target.provider.name]
            payload = wire.splice(body.reveal(), admission.head, self._wire_target(target))
            lines = destination.head(wire.path(target.model), suffix, passed, len(payload))
            retried = False
            while True:
                self.attempts += 1
                try:
                    relay = await self._attempt(destination.name, (lines, payload), fresh=retried)
                except UpstreamFault as fault:
                    services.instruments.upstream_faults.inc(destination.name, fault.fault.value)
                    error = failover.error_of(fault.fault)
                    self._abandon()
                    break
                if relay.status:
                    if failover.after_answer(relay.status, more=more) is failover.Next.GIVE_UP:
                        return relay
                    self._abandon()
                    break
                connection = self.connection
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
        self._gave_up = True
        raise error or ProviderUnavailable()

    @property
    def scanner(self) -> Scanner | None:
        """What watches the answer."""
        return self.relay.scanner if self.relay is not None else None

    @property
    def good(self) -> bool:
        """An answer with a 2xx status has begun, and did not break off before its caller had any of it."""
        relay = self.relay
        if relay is None or not 200 <= relay.status < 300:
            return False
        if not relay.over or relay.fault is Fault.STOPPED:
            return True
        cut = relay.fault is not None or self.cut_by_close
        unseen = not relay.streaming or (relay.scanner is not None and relay.scanner.size == 0)
        return not (cut and unseen)

    @property
    def failed(self) -> bool:
        """By the provider's doing there is no good answer: it could not be reached, it refused, or it broke off."""
        return self._gave_up or (self.relay is not None and self.relay.status != 0 and not self.good)

    @property
    def cut_by_close(self) -> bool:
        """The answer's end is that of its connection alone, and not the dialect's own: it was cut."""
        connection, scanner = self.connection, self.scanner
        return connection is not None and connection.ended_by_close and scanner is not None and not scanner.ended

    @property
    def written(self) -> bool:
        """The whole request went to the provider."""
        return self.connection is not None and self.connection.written

    def stop(self) -> None:
        """End a running answer at once; its relay hears `Fault.STOPPED`."""
        if self.relay is not None and self.connection is not None and not self.relay.over:
            self.connection.close()
            self.relay.on_fault(Fault.STOPPED)

    def close(self) -> None:
        """Let go of everything: the connection closes unless the answer has ended."""
        self._abandon()
        self._vault = None

    def _abandon(self) -> None:
        """Forget an attempt: what was written to its provider is nothing that the next one has."""
        if self.relay is not None:
            if not self.relay.over and self.connection is not None:
                self.connection.close()
            self.relay.close()
        self.relay = self.connection = None

    async def _attempt(self, name: str, pieces: tuple[bytes, bytes], *, fresh: bool) -> Relay:
        """Send the request on a connection and wait for something to decide on."""
        services = self._services
        origin = services.destinations[name].origin
        connection = None if fresh else services.pool.reuse(origin)
        if connection is None:
            connection = await services.pool.acquire(origin, fresh=fresh)
        self.connection = connection
        relay = self.relay = Relay(services.loop, connection, self._on_answer)
        connection.send(pieces, relay)
        await relay.ready
        self.first_byte = services.loop.time()
        if relay.status:
            services.instruments.upstream_status.inc(name, _status_class(relay.status))
        return relay

    def _on_answer(self, status: int, headers: Headers) -> tuple[Scanner | None, bool]:
        scanner, flows = scanner_of(self._wire, self._admission.head, status, headers)
        if self._vault is not None and scanner is not None and not isinstance(scanner, Encoded):
            scanner = Restored(scanner, self._vault, self._wire.operation, sse=is_sse(headers))
        return scanner, flows

    def _wire_target(self, target: CatalogTarget) -> Target:
        services, provider = self._services, target.provider
        return Target(
            model=target.model,
            alias=target.model != self._admission.head.model,
            store=provider.store,
            include_usage=provider.include_usage,
            reasons=target.reasons,
            pseudonym=pseudonym(services.identity_key, self._pid, provider.name),
            isolate=services.config.policy.cache_isolation is CacheIsolation.ACCOUNT,
        )


def _status_class(status: int) -> str:
    return "429" if status == 429 else f"{status // 100}xx"
