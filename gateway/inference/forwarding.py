"""One request's way to a provider: its targets in order, until one answers.

What an attempt's failure means is decided in `failover`; here it is carried out. Nothing here knows of money or of the
client: the caller has taken the hold before, and passes the answer on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from functools import partial

from gateway.auth.identity import pseudonym
from gateway.catalog.catalog import CatalogTarget
from gateway.config import CacheIsolation, UnknownMembers
from gateway.errors import GatewayError, ProviderUnavailable
from gateway.http.shares import Share
from gateway.inference import failover
from gateway.inference.admission import Admission, at_provider, states_region
from gateway.inference.answer import Answer, Ending, ending_of
from gateway.inference.belief import believed
from gateway.inference.content import Content
from gateway.inference.encoded import unreadable
from gateway.inference.failover import Next
from gateway.inference.key_health import KeyHealth, KeyUse
from gateway.inference.rejection import Rejection, rejection_of
from gateway.inference.relay import Relay, RelayState, Watch
from gateway.inference.responses import watch_of
from gateway.inference.services import Services
from gateway.upstream.connection import Headers
from gateway.upstream.faults import UpstreamFault
from providers.account_faults import Certainty, Finding
from providers.dialect import Scanner, Target, Wire
from providers.headers import query_string, request_headers
from providers.masking.masking import Vault
from providers.members import register

UNAVAILABLE_SECONDS = 30.0  # after which a provider whose account is at fault may be asked again

_BEGUN = frozenset({Ending.WHOLE, Ending.BROKEN, Ending.STOPPED})  # output came: no other target is tried any more


class Forwarding:
    """Build, `run`, then `close` in any case.

    Attributes:
        target: Where the request is, or was last.
        relay: Of the attempt under way; ``None`` before one and once it was given up.
        attempts: How many were made.
        output_limit: The output limit to send in place of the request's own, or ``None``; set it before `run`.
        first_byte: When the last answer began (the loop's clock), 0.0 before.
        rejection: The provider's error, if that is what `run` returned.
    """

    __slots__ = (
        "_admission",
        "_answer",
        "_health",
        "_limited",
        "_pid",
        "_sent_at",
        "_services",
        "_vault",
        "_wire",
        "attempts",
        "first_byte",
        "output_limit",
        "rejection",
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
        self._answer: Answer | None = None
        self._health = KeyHealth(services)
        # An attempt that was refused because of a rate limit alone: its error is the caller's, if the others have none.
        self._limited: tuple[Relay, Answer, Rejection, CatalogTarget] | None = None
        self._sent_at = 0.0  # of the attempt under way, by the loop's clock
        self.target = admission.targets[0]
        self.relay: Relay | None = None
        self.rejection: Rejection | None = None
        self.attempts = 0
        self.first_byte = 0.0
        self.output_limit: int | None = None

    async def run(self, body: Content, raw_headers: Iterable[tuple[bytes, bytes]], query: str, share: Share) -> Relay:
        """The first answer to pass on: one that has begun, or the provider's refusal of the last target.

        Args:
            body: As it is sent to the provider.
            raw_headers: The client's; only what a provider may see of them is sent.
            query: The client's; the same.
            share: Has what is held of the body; what is made of it for a provider is added while it is held.

        Raises:
            GatewayError: No target answered, or the operator's account is at fault; the last one's error.
        """
        services, admission, wire = self._services, self._admission, self._wire
        now, destinations = services.loop.time(), services.destinations
        rests = [not destinations[of.provider.name].keys.ready(of.model, now) for of in admission.targets]
        targets = failover.ready_first(admission.targets, rests)
        passed = request_headers(wire.operation.family, raw_headers, strip_unknown=self._strip_unknown)
        suffix = query_string(query)
        suffix = f"?{suffix}" if suffix else ""
        error: GatewayError | None = None
        for index, target in enumerate(targets):
            more = index + 1 < len(targets)
            self.target = target
            destination = destinations[target.provider.name]
            to = self._wire_target(target)
            path = wire.path(target.model)
            turn = destination.keys.turn(target.model)
            last = not more or all(rests)  # nothing better is left: a key that rests will do
            key, fresh = turn.next(services.loop.time(), last=last), False
            while key is not None:
                use = KeyUse(destination, key, target.model)
                # Made for each attempt, so that none is kept while its provider thinks.
                pieces = [await services.slices.run(wire.splice(body.reveal(), admission.head, to), self._pid)]
                pieces.insert(0, destination.head(path, suffix, passed, len(pieces[0]), key=key))
                self.attempts += 1
                try:
                    relay = await self._attempt(use, pieces, share, fresh=fresh)
                except UpstreamFault as fault:
                    services.instruments.upstream_faults.inc(destination.name, fault.fault.value)
                    error = failover.error_of(fault.fault)
                    self._abandon(Answer(Ending.NOTHING, fault=fault.fault))
                    break
                ending = _ending(relay)
                if ending in _BEGUN:
                    self._health.answered(use)
                    return relay
                answer = self._judge(relay)
                step, finding = self._step(use, relay, answer, body, retried=fresh, more=more)
                if step is Next.NEXT_KEY:
                    key = turn.next(services.loop.time(), last=last)
                    if key is None:
                        step = Next.NEXT_TARGET if more else Next.GIVE_UP
                if step is Next.GIVE_UP and relay.status:
                    return self._given_up(relay, answer, finding)
                if relay.fault is not None:
                    services.instruments.upstream_faults.inc(destination.name, relay.fault.value)
                error = failover.error_of_answer(answer)
                self._abandon(answer)
                if step is Next.GIVE_UP:
                    raise error
                fresh = step is Next.SAME_FRESH
                if step is Next.NEXT_TARGET:
                    break
        return self._limited_or(error or ProviderUnavailable())

    def _step(
        self, use: KeyUse, relay: Relay, answer: Answer, body: Content, *, retried: bool, more: bool
    ) -> tuple[Next, Finding | None]:
        """What to do after an attempt that brought no answer, and what is wrong with the operator's account."""
        if not relay.status:
            assert relay.fault is not None
            step = failover.after_fault(relay.fault, reused=relay.reused, sent=relay.sent, retried=retried, more=more)
            return step, None
        self.rejection = rejection = rejection_of(relay, answer)
        finding = None
        if rejection is not None:
            finding = failover.finding_of(self._wire.operation.family, rejection, body.reveal())
            self._health.rejected(use, rejection, finding)
            if finding is None and rejection.status == 429:
                self._limited = (relay, answer, rejection, self.target)
        step = failover.after_answer(failover.status_of(answer), operators=finding is not None, more=more)
        return step, finding

    def _given_up(self, relay: Relay, answer: Answer, finding: Finding | None) -> Relay:
        """Nothing is left to try: the provider's error is the caller's, if it is not about the operator's account.

        Raises:
            ProviderUnavailable: It is, and no other attempt was only limited.
        """
        if finding is None or finding.certainty is Certainty.QUOTED:
            self._answer = answer
            return relay
        self._abandon(answer)
        return self._limited_or(ProviderUnavailable(retry_after=UNAVAILABLE_SECONDS))

    def _limited_or(self, error: GatewayError) -> Relay:
        """The attempt that was only limited, if there was one: to wait is better advice than any other."""
        if self._limited is None:
            raise error
        relay, self._answer, self.rejection, self.target = self._limited
        self.relay = relay
        return relay

    @property
    def scanner(self) -> Scanner | None:
        """What watches the answer."""
        return self.relay.scanner if self.relay is not None else None

    def answer(self) -> Answer:
        """How the answer ended, decided once: call it when it has, or when nobody waits for it any more."""
        if self._answer is None:
            self._answer = self._judge(self.relay)
        return self._answer

    async def linger(self, seconds: float, most: int) -> None:
        """The client left a stream that had begun: read on for a moment, for the usage that comes at its end.

        If the end does not come in time, the answer is what it was when the client left: nobody pays for what was
        read for nobody. A cancellation (a drain that ran out) ends it at once.
        """
        relay = self.relay
        if relay is None or relay.state is not RelayState.FLOWING or relay.scanner is None or not relay.scanner.begun:
            return
        left = self._judge(relay)
        relay.linger(most)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await relay.ended
        finally:
            if _ending(relay) is not Ending.WHOLE:
                self._answer = left

    def stop(self) -> None:
        """End a running answer at once; its relay hears `Fault.STOPPED`."""
        if self.relay is not None:
            self.relay.stop()

    def close(self) -> None:
        """Let go of everything: the connection closes unless the answer has ended."""
        if self.relay is not None:
            self.relay.close()
            self.relay = None
        self._vault = self._limited = self.rejection = None

    def _abandon(self, answer: Answer) -> None:
        """Give an attempt up: if no further one is made, this is how the request ended."""
        if self.relay is not None:
            self.relay.close()
            self.relay = None
        self._answer = answer

    async def _attempt(self, use: KeyUse, pieces: list[bytes], share: Share, *, fresh: bool) -> Relay:
        """Send the request on a connection and wait for something to decide on. ``pieces`` is empty then."""
        services = self._services
        origin = use.destination.origin
        self._answer = self.rejection = None
        size = len(pieces[1])
        share.grow(size)
        sent = partial(share.shrink, size)
        try:
            connection = None if fresh else services.pool.reuse(origin)
            if connection is None:
                connection = await services.pool.acquire(origin, fresh=fresh)
            relay = self.relay = Relay(
                services.loop, connection, self._on_answer, opening=services.config.server.opening_timeout
            )
            self._sent_at, self.first_byte = services.loop.time(), 0.0
            connection.send(pieces, relay, sent)
        except BaseException:
            sent()
            raise
        pieces.clear()  # the connection has what is not sent yet
        await relay.ready
        self.first_byte = services.loop.time()
        if relay.status:
            services.instruments.upstream_status.inc(use.destination.name, _status_class(relay.status))
            self._health.headed(use, relay.headers)
        return relay

    def _judge(self, relay: Relay | None) -> Answer:
        """What is known of an attempt now; of one that has not ended, as if it were stopped now."""
        if relay is None:
            return Answer(Ending.STOPPED)  # between two attempts, or before the first
        scanner, ending = relay.scanner, _ending(relay)
        if scanner is None:
            return Answer(ending, relay.status, relay.fault, relay.written)
        admission = self._admission
        waited = self.first_byte - self._sent_at if self.first_byte else 0.0
        return Answer(
            ending,
            relay.status,
            relay.fault,
            relay.written,
            begun=_begun(relay, scanner),
            report=believed(scanner.report(), admission.model, admission.head, admission.input_bound),
            output=scanner.estimated_output(),
            error=scanner.error,
            readable=not unreadable(scanner),
            waited_ms=max(0, int(waited * 1000)),
        )

    def _on_answer(self, status: int, headers: Headers) -> Watch:
        redaction = self._services.destinations[self.target.provider.name].redaction
        return watch_of(self._wire, self._admission.head, status, headers, self._vault, redaction=redaction)

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
            output_limit=self.output_limit,
            completion_limit=provider.first_party,
            strip_unknown=self._strip_unknown,
            region="us" if states_region(target, self._admission.head, self._admission.regions) else "",
            renamed=self._renamed(target),
            extended_cache=services.config.policy.extended_prompt_cache,
        )

    def _renamed(self, target: CatalogTarget) -> dict[str, str]:
        """What a provider calls the further models of the request, where the client calls them otherwise."""
        names: dict[str, str] = {}
        for name, model in self._admission.further.items():
            served = at_provider(model, target.provider.name)
            if served is not None and served.model != name:
                names[name] = served.model
        return names

    @property
    def _strip_unknown(self) -> bool:
        return self._services.config.policy.unknown_members is not UnknownMembers.PASS

    def members_removed(self) -> str:
        """What the provider did not get of the request's members and betas, for the caller; may be empty."""
        return register.told(
            self._admission.head.found,
            extended_cache=self._services.config.policy.extended_prompt_cache,
            strip_unknown=self._strip_unknown,
            betas=self._admission.unknown_betas,
        )


def _ending(relay: Relay) -> Ending:
    """How an attempt has ended, or would if it were stopped now."""
    scanner = relay.scanner
    if scanner is None:
        return ending_of(status=relay.status, over=relay.over, fault=relay.fault, ended=False, begun=False, error=None)
    return ending_of(
        status=relay.status,
        over=relay.over,
        fault=relay.fault,
        ended=scanner.ended,
        begun=_begun(relay, scanner),
        error=scanner.error,
    )


def _begun(relay: Relay, scanner: Scanner) -> bool:
    """Output came, and not only in an object of which the caller has nothing until it is complete."""
    return scanner.begun and relay.watch.flows


def _status_class(status: int) -> str:
    return "429" if status == 429 else f"{status // 100}xx"
