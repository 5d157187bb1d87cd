"""Sends a request to a provider: tries its targets in order, until one answers.

`failover` decides what a failed attempt means; this module acts on it. It knows nothing of money or of the client: the
caller takes the hold before, and forwards the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from gateway.auth.identity import cache_key, period, pseudonym
from gateway.auth.principal import Principal
from gateway.catalog.catalog import CatalogTarget
from gateway.config import CacheIsolation, UnknownMembers
from gateway.errors import GatewayError, ProviderUnavailable
from gateway.http.shares import Share
from gateway.http.slices import Slices
from gateway.inference import failover
from gateway.inference.admission import Admission, at_provider, states_region
from gateway.inference.answer import Answer, Ending, ending_of
from gateway.inference.belief import believed
from gateway.inference.failover import Next
from gateway.inference.key_health import KeyHealth, KeyUse
from gateway.inference.legs import Leg
from gateway.inference.rejection import Rejection, rejection_of
from gateway.inference.relay import Relay, RelayState, Watch
from gateway.inference.responses import watch_of
from gateway.inference.services import Signals, Upstreams
from gateway.upstream.concurrency import Turnstile
from gateway.upstream.connection import Connection, Headers
from gateway.upstream.destination import Destination
from gateway.upstream.faults import AttemptOutcome, Fault, UpstreamFault
from gateway.upstream.keys import KeyTurn
from gateway.upstream.origin import Origin
from providers.account_faults import Certainty, Finding
from providers.dialect import Operation, Scanner, Target
from providers.headers import request_headers
from providers.hosts.host import Shape
from providers.masking.masking import Vault
from providers.members import register
from providers.steps import Steps, at_once

AHEAD_BYTES = 65_536  # of a body for which this costs less than the round trip to the ledger
UNAVAILABLE_SECONDS = 30.0  # after which a provider whose account is at fault may be asked again
BUSY_SECONDS = 2.0
BUSY = "The model's host has as many requests as it can serve. Nothing was charged. Retry shortly."
SWITCHED_OFF = "This model is switched off at the moment. Nothing was charged. Retry later, or choose another model."

_BEGUN = frozenset({Ending.WHOLE, Ending.BROKEN, Ending.STOPPED})  # output has arrived: no other target is tried


def _size_of(pieces: Sequence[bytes | memoryview]) -> int:
    """Bytes of the body of a request whose head is the first piece."""
    return sum(map(len, pieces)) - len(pieces[0])


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class _Ahead:
    """What the first attempt sends if it is what it promises to be."""

    leg: Leg
    target: CatalogTarget
    key: int
    shape: Shape
    to: Target
    pieces: list[bytes | memoryview]


class Forwarding:
    """Build, `prepare` if there is time before it, `run`, then `close` in any case.

    Attributes:
        leg: In which dialect the request is, or was last.
        target: Where the same.
        relay: Of the current attempt; ``None`` before the first one and after it was given up.
        attempts: How many were made.
        output_limit: The output limit to send instead of the request's own, or ``None``; set it before `run`.
        first_byte: When the last answer began (the loop's clock), 0.0 before.
        rejection: The provider's error, if that is what `run` returned.
    """

    __slots__ = (
        "_ahead",
        "_alarm",
        "_answer",
        "_caller_until",
        "_error",
        "_health",
        "_legs",
        "_limited",
        "_loop",
        "_moved",
        "_own_until",
        "_passed",
        "_place",
        "_principal",
        "_rid",
        "_several",
        "_signals",
        "_slices",
        "_until",
        "_upstreams",
        "_use",
        "_vault",
        "attempts",
        "first_byte",
        "leg",
        "output_limit",
        "rejection",
        "relay",
        "sent_at",
        "target",
    )

    def __init__(
        self,
        upstreams: Upstreams,
        signals: Signals,
        slices: Slices,
        *,
        legs: Sequence[Leg],
        principal: Principal,
        vault: Vault | None,
        rid: str,
    ) -> None:
        """Build the way of one request.

        Args:
            upstreams: The worker's.
            signals: The worker's.
            slices: In which what is sent is written.
            legs: Where it may go, and as what, the preferred one first; each was decided about.
            principal: Whose request it is; a provider gets only a pseudonym of it, if its rules want one.
            vault: Secrets that the answer gets back.
            rid: The request's id, for error events of a translated answer.
        """
        self._loop = asyncio.get_running_loop()
        self._upstreams = upstreams
        self._signals = signals
        self._slices = slices
        self._legs = legs
        self._principal = principal
        self._vault = vault
        self._rid = rid
        self._ahead: _Ahead | None = None
        self._answer: Answer | None = None
        self._health = KeyHealth(signals, self._loop.time)
        self._passed: dict[Operation, Headers] = {}  # what a provider may see of the headers, by leg
        self._error: GatewayError | None = None  # of the last attempt that failed
        # An attempt that was refused because of a rate limit alone: its error is the caller's, if the others have none.
        self._limited: tuple[Relay, Answer, Rejection, Leg, CatalogTarget] | None = None
        self._place: Turnstile | None = None  # which holds a place for this request
        self._several = sum(len(leg.admission.targets) for leg in legs) > 1  # else nothing is learnt about the only one
        self._use: KeyUse | None = None  # of the attempt whose answer has begun
        # When its caller gives up; when the time of all attempts is over; the earlier of these.
        self._caller_until = self._own_until = self._until = math.inf
        self._alarm: asyncio.TimerHandle | None = None  # at that time
        self._moved: Callable[[Admission], int | None]  # has the limit for another leg
        self.sent_at = 0.0  # of the current attempt, by the loop's clock
        self.leg = legs[0]
        self.target = self.leg.admission.targets[0]
        self.relay: Relay | None = None
        self.rejection: Rejection | None = None
        self.attempts = 0
        self.first_byte = 0.0
        self.output_limit: int | None = None

    def prepare(self, share: Share) -> None:
        """Make what the first attempt will probably send. Nothing is sent, counted or used up: `run` decides as if this
        had not been called, and takes what is made here only if it is what it needs. May be left out.

        Args:
            share: As for `run`.
        """
        leg, target = self.leg, self.target
        if len(leg.body) > AHEAD_BYTES:
            return
        destination = self._upstreams.destinations[target.provider.name]
        key = destination.keys.turn(target.model, self._principal.pid).own
        with contextlib.suppress(GatewayError, UpstreamFault):  # `run` meets it again
            shape = self._shape(destination)
            to = self._wire_target(target, shape)
            pieces = at_once(self._pieces(KeyUse(destination, key, target.model), shape, to))
            share.grow(_size_of(pieces))
            self._ahead = _Ahead(leg, target, key, shape, to, pieces)

    def _take_ahead(self, share: Share) -> _Ahead | None:
        """What was prepared, if it is for what is tried now. The share has it no more."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return None
        share.shrink(_size_of(ahead.pieces))
        same = ahead.leg is self.leg and ahead.target is self.target and self.output_limit is None
        return ahead if same else None

    async def run(self, granted: int, moved: Callable[[Admission], int | None], share: Share) -> Relay:
        """The first answer to pass on: one that has begun, or the provider's refusal of the last target.

        Args:
            granted: Micro-credits that the request may cost: a further leg that needs more is none.
            moved: Called when the request goes on in another leg; it has the output limit to send there, or ``None``.
            share: Has what is held of the bodies; what is made of one for a provider is added while it is held.

        Raises:
            GatewayError: No target answered, or the operator's account is at fault; the last one's error.
        """
        self._moved = moved
        left = self._within(granted)
        none_ready = all(resting for resting, _ in self._waits(left)) if self._several else True
        while left := self._switched_on(left):
            self._go_on(*left.pop(failover.best(self._waits(left)) if len(left) > 1 else 0))
            # Where nothing better is left, a key that rests will do.
            relay = await self._try_target(share, more=bool(left), last=not left or none_ready)
            if relay is not None:
                return relay
        if self.attempts == 0:
            self._abandon(Answer(Ending.NOTHING))
            self._error = self._error or ProviderUnavailable(SWITCHED_OFF, retry_after=UNAVAILABLE_SECONDS)
        return self._limited_or(self._error or ProviderUnavailable())

    async def _try_target(self, share: Share, *, more: bool, last: bool) -> Relay | None:
        """Try the present target with one key after the other: its answer, if that is the one to pass on.

        Args:
            share: As for `run`.
            more: Another target is left.
            last: A key that rests is used, too.

        Raises:
            GatewayError: It failed, and nothing else may be tried.
        """
        target, pid = self.target, self._principal.pid
        destination = self._upstreams.destinations[target.provider.name]
        ahead = self._take_ahead(share)
        shape = self._shape(destination) if ahead is None else ahead.shape
        to = self._wire_target(target, shape) if ahead is None else ahead.to
        turn = destination.keys.turn(target.model, pid)
        key, fresh = self._next_key(turn, destination, last=last), False
        if key is None:
            return None
        if not await self._enter(destination, target):
            self._error = ProviderUnavailable(BUSY, retry_after=BUSY_SECONDS)
            return None
        if self._several:
            destination.health.use(target.model, pid, self._loop.time())
        while True:
            use = KeyUse(destination, key, target.model)
            try:
                # Made for each attempt, so that none is kept while its provider thinks.
                if ahead is not None and ahead.key == key:
                    pieces, ahead = ahead.pieces, None
                else:
                    pieces = await self._slices.run(self._pieces(use, shape, to), pid)
                self.attempts += 1
                if not fresh:
                    self._upstreams.retries.count(self._loop.time(), first=self.attempts == 1)
                relay = await self._attempt(use, pieces, share, fresh=fresh)
            except UpstreamFault as fault:
                self._note_fault(use, fault.fault)
                if more and self._may_retry():
                    return None
                return self._limited_or(failover.error_of(fault.fault))
            if _ending(relay) in _BEGUN:
                self._note_answer(use, own=key == turn.own)
                return relay
            answer = self._judge(relay)
            step, finding, lacking = self._step(use, relay, answer, retried=fresh, more=more)
            step, another = self._further(step, turn, destination, last=last, more=more)
            key = key if another is None else another
            self._count(use, failover.outcome_of(answer, operators=finding is not None, lacking=lacking))
            if step is not Next.SAME_FRESH:
                self._note_target(use, answer, sent=relay.sent > 0, lacking=lacking and step is not Next.NEXT_KEY)
            if step is Next.GIVE_UP and relay.status:
                return self._given_up(relay, answer, finding)
            if relay.fault is not None:
                self._signals.instruments.upstream_faults.inc(destination.name, relay.fault.value)
            self._error = error = failover.error_of_answer(answer)
            self._abandon(answer)
            if step is Next.GIVE_UP:
                raise error
            if step is Next.NEXT_TARGET:
                return None
            fresh = step is Next.SAME_FRESH

    def _note_fault(self, use: KeyUse, fault: Fault) -> None:
        """An attempt ended before anything was sent."""
        self._signals.instruments.upstream_faults.inc(use.destination.name, fault.value)
        self._error = failover.error_of(fault)
        self._abandon(answer := Answer(Ending.NOTHING, fault=fault))
        self._note_target(use, answer, sent=False)
        self._count(use, AttemptOutcome.FAULT)

    def _note_answer(self, use: KeyUse, *, own: bool) -> None:
        """An answer has begun; ``own``: with the key that the account's requests always have there."""
        self._health.answered(use)
        self._count(use, AttemptOutcome.ANSWERED)
        if not own or self.target is not self._selected:
            self._signals.instruments.moved.inc(use.destination.name)
        self._use = use
        if self._place is not None:
            self._place.limit.answered(self._loop.time() - self.sent_at)
        if self._several:
            use.destination.health.answered(use.model, self._principal.pid, self._loop.time())

    @property
    def _selected(self) -> CatalogTarget:
        return self._legs[0].admission.targets[0]

    def _within(self, granted: int) -> list[tuple[Leg, CatalogTarget]]:
        """The targets in the order in which they are preferred: those of the selected company first."""
        first, *further = self._legs
        left = [(first, target) for target in first.admission.targets]
        if further:
            afforded = (leg for leg in further if leg.admission.least <= granted)
            left += [(leg, target) for leg in afforded for target in leg.admission.targets]
            selected = self._selected.provider.company
            left.sort(key=lambda place: place[1].provider.company != selected)
        return left

    def _go_on(self, leg: Leg, target: CatalogTarget) -> None:
        self.target = target
        if leg is not self.leg:
            self.leg = leg
            self.output_limit = self._moved(leg.admission)

    def _shape(self, destination: Destination) -> Shape:
        """Of the next request at the present target."""
        leg = self.leg
        operation, passed = leg.wire.operation, self._passed
        if operation not in passed:
            passed[operation] = request_headers(
                operation.family,
                leg.headers,
                strip_unknown=self._strip_unknown,
                server_tools=self._upstreams.policy.server_tools,
            )
        stream, headers = leg.admission.head.stream, passed[operation]
        return destination.shape(leg.wire, self.target.model, stream=stream, query=leg.query, headers=headers)

    def wait_until(self, caller: float, own: float) -> None:
        """No attempt waits for its response head any longer, and none is begun later.

        Args:
            caller: When the caller gives up, by the loop's clock; infinite if it waits.
            own: When the time that the gateway has for all attempts is over.
        """
        self._caller_until, self._own_until, self._until = caller, own, min(caller, own)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._until < math.inf:
            self._alarm = self._loop.call_at(self._until, self._expire)

    def wait_for_all(self) -> None:
        """The caller has had a sign of life, and waits from now on."""
        if self._caller_until < math.inf:
            self.wait_until(math.inf, self._own_until)

    def _expire(self) -> None:
        self._until = min(self._until, self._loop.time())  # uvloop's timers may be half a millisecond early
        if self.relay is not None:
            self.relay.expire()

    def _count(self, use: KeyUse, outcome: AttemptOutcome) -> None:
        self._signals.instruments.attempts.inc(use.destination.name, outcome._value_)

    def _switched_on(self, places: list[tuple[Leg, CatalogTarget]]) -> list[tuple[Leg, CatalogTarget]]:
        """Those whose provider the operator has not switched off; none if that is true of a model of the request."""
        switches, admission = self._upstreams.switches, self._legs[0].admission
        if not switches:
            return places
        if switches.model((admission.model.name, *(model.name for model in admission.further.values()))):
            return []
        return [place for place in places if not switches.provider(place[1].provider.name)]

    def _next_key(self, turn: KeyTurn, destination: Destination, *, last: bool) -> int | None:
        switches, off = self._upstreams.switches, frozenset[int]()
        if switches:
            if switches.provider(destination.name):  # between two attempts
                return None
            off = switches.keys(destination.name, destination.keys.count)
        return turn.next(self._loop.time(), last=last, off=off)

    def _further(
        self, step: Next, turn: KeyTurn, destination: Destination, *, last: bool, more: bool
    ) -> tuple[Next, int | None]:
        """What is left of a step: within the retry budget, and with another key if it needs one."""
        if step is not Next.NEXT_KEY and step is not Next.NEXT_TARGET:
            return step, None
        if not (more or turn.more) or not self._may_retry():
            return Next.GIVE_UP, None
        key = self._next_key(turn, destination, last=last) if step is Next.NEXT_KEY else None
        if key is not None:
            return step, key
        return (Next.NEXT_TARGET if more else Next.GIVE_UP), None

    def _may_retry(self) -> bool:
        """Whether the worker may make a further attempt, for which something is left."""
        now = self._loop.time()
        if now >= self._until:
            return False
        if self._upstreams.retries.left(now):
            return True
        self._signals.instruments.retries_refused.inc()
        return False

    def _waits(self, places: Sequence[tuple[Leg, CatalogTarget]]) -> list[tuple[bool, float]]:
        """Of each target, whether all its keys rest, and for how long it should be passed by."""
        now, pid, destinations = self._loop.time(), self._principal.pid, self._upstreams.destinations
        return [
            (
                not at.keys.ready(target.model, now),
                max(at.health.wait(target.model, pid, now), _crowd(at, target.model)),
            )
            for _, target in places
            for at in (destinations[target.provider.name],)
        ]

    async def _enter(self, destination: Destination, target: CatalogTarget) -> bool:
        """Wait for a place at a target that is given only so many requests; false if there is none."""
        self._leave()
        turnstile = destination.turnstile(target.model)
        if turnstile is None:
            return True
        if await turnstile.enter(self._principal.pid):
            self._place = turnstile
        return self._place is not None

    def _leave(self) -> None:
        if self._place is not None:
            self._place.leave()
            self._place = None

    def _note_target(self, use: KeyUse, answer: Answer, *, sent: bool = True, lacking: bool = False) -> None:
        """Note what an attempt says about its target, if the request has another one, or it has a limit."""
        if answer.fault is Fault.DEADLINE:
            return
        if self._place is not None and (answer.status == 429 or failover.blames_target(answer)):
            self._place.limit.failed()
        if not self._several:
            return
        health, pid, now = use.destination.health, self._principal.pid, self._loop.time()
        if failover.blames_target(answer, lacking=lacking):
            wait = self.rejection.wait if self.rejection is not None else None
            health.failed(use.model, pid, now, wait, sent=sent)
        else:
            health.answered(use.model, pid, now)

    def _pieces(self, use: KeyUse, shape: Shape, to: Target) -> Steps[list[bytes | memoryview]]:
        """The head of one attempt and the parts of its body: what is not changed is not copied either."""
        leg = self.leg
        edits = yield from leg.wire.edit(leg.body.reveal(), leg.admission.head, to)
        parts = edits.parts() if shape.wrap is None else [(yield from shape.wrap((yield from edits.built())))]
        return [(yield from use.destination.head(shape, *parts, key=use.key)), *parts]

    def _step(
        self, use: KeyUse, relay: Relay, answer: Answer, *, retried: bool, more: bool
    ) -> tuple[Next, Finding | None, bool]:
        """What to do after an attempt that brought no answer, what is wrong with the operator's account, and whether
        the target lacks the model.
        """
        if not relay.status:
            assert relay.fault is not None
            step = failover.after_fault(relay.fault, reused=relay.reused, sent=relay.sent, retried=retried, more=more)
            return step, None, False
        self.rejection = rejection = rejection_of(relay, answer, use.destination.host)
        finding, lacking = None, False
        status = failover.status_of(answer) if rejection is None else rejection.status
        if rejection is not None:
            family = self.leg.wire.operation.family
            finding = failover.finding_of(family, rejection, self.leg.body.reveal())
            lacking = finding is None and failover.lacks(family, rejection)
            self._health.rejected(use, rejection, finding, lacking=lacking)
            if finding is None and rejection.status == 429:
                self._limited = (relay, answer, rejection, self.leg, self.target)
        step = failover.after_answer(status, operators=finding is not None, lacking=lacking, more=more)
        return step, finding, lacking

    def _given_up(self, relay: Relay, answer: Answer, finding: Finding | None) -> Relay:
        """Nothing is left to try: the provider's error is the caller's, if it is not about the operator's account.

        Another company's refusal is not: what the selected one's models wrote may be what it does not accept.

        Raises:
            ProviderUnavailable: It is about the account, and no other attempt was only limited.
            GatewayError: That of an attempt before at the selected company, if this was another one.
        """
        if self._error is not None and self.target.provider.company != self._selected.provider.company:
            self._abandon(answer)
            return self._limited_or(self._error)
        if finding is None or finding.certainty is Certainty.QUOTED:
            self._answer = answer
            return relay
        self._abandon(answer)
        return self._limited_or(ProviderUnavailable(retry_after=UNAVAILABLE_SECONDS))

    def _limited_or(self, error: GatewayError) -> Relay:
        """The attempt that was only limited, if there was one: to wait is better advice than any other."""
        if self._limited is None:
            raise error
        relay, self._answer, self.rejection, leg, target = self._limited
        self._go_on(leg, target)
        self.relay = relay
        return relay

    @property
    def scanner(self) -> Scanner | None:
        """What watches the answer."""
        return self.relay.scanner if self.relay is not None else None

    def progress(self) -> tuple[CatalogTarget, int]:
        """Where the request is now, and how many output tokens it has had by estimate. Decodes nothing."""
        scanner = self.scanner
        return self.target, scanner.estimated_output() if scanner is not None else 0

    def at_output(self, tokens: int, call: Callable[[], None]) -> None:
        """Have ``call`` called once, from inside a read of the answer, when more than ``tokens`` more have come."""
        if self.scanner is not None:
            self.scanner.at_output(tokens, call)

    def answer(self) -> Answer:
        """How the answer ended, decided once: call it when it has, or when nobody waits for it any more."""
        if self._answer is None:
            self._answer = self._judge(self.relay)
        return self._answer

    async def linger(self, seconds: float, most: int) -> None:
        """The client left a stream that had begun: read on for a moment, for the usage that comes at its end.

        If the end does not arrive in time, the answer is what it was when the client left: nobody pays for what was
        read for nobody. A cancellation (the end of a drain) ends it at once.
        """
        relay = self.relay
        if relay is None or relay.state is not RelayState.FLOWING or not relay.watch.flows:
            return
        if relay.scanner is None or not relay.scanner.begun:
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

    def refuse(self) -> None:
        """What the provider answered cannot be passed on: the request failed by its doing, and costs nothing."""
        self._abandon(Answer(Ending.FAILED, self.relay.status if self.relay is not None else 0))

    def stop(self) -> None:
        """End a running answer at once; its relay gets `Fault.STOPPED`."""
        if self.relay is not None:
            self.relay.stop()

    def close(self) -> None:
        """Let go of everything: the connection closes unless the answer has ended."""
        if self._use is not None and self._answer is not None and self._answer.ending is Ending.BROKEN:
            self._note_target(self._use, self._answer)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self.relay is not None:
            self.relay.close()
            self.relay = None
        self._leave()
        self._ahead = None
        self._vault = self._limited = self._error = self.rejection = self._use = None

    def _abandon(self, answer: Answer) -> None:
        """Give an attempt up: if no further one is made, this is how the request ended.

        One for which its caller had no more time was ended by the caller, as if it had closed the connection.
        """
        if answer.fault is Fault.DEADLINE and self._caller_until <= self._own_until:
            answer = replace(answer, ending=Ending.STOPPED)
        if self.relay is not None:
            self.relay.close()
            self.relay = None
        self._answer = answer

    async def _attempt(self, use: KeyUse, pieces: list[bytes | memoryview], share: Share, *, fresh: bool) -> Relay:
        """Send the request on a connection and wait for something to decide on. ``pieces`` is empty then."""
        pool = self._upstreams.pool
        origin = use.destination.origin
        self._answer = self.rejection = None
        if self._loop.time() >= self._until:
            raise UpstreamFault(Fault.DEADLINE)
        size = _size_of(pieces)
        share.grow(size)
        sent = partial(share.shrink, size)
        try:
            connection = None if fresh else pool.reuse(origin)
            if connection is None:
                connection = await self._acquire(origin, fresh=fresh)
            relay = self.relay = Relay(self._loop, connection, self._on_answer, opening=self._upstreams.opening)
            self.sent_at, self.first_byte = self._loop.time(), 0.0
            connection.send(pieces, relay, sent)
        except BaseException:
            sent()
            raise
        pieces.clear()  # the connection has what is not sent yet
        await relay.ready
        self.first_byte = self._loop.time()
        if relay.status:
            self._signals.instruments.upstream_status.inc(use.destination.name, _status_class(relay.status))
            self._health.headed(use, relay.headers)
        return relay

    async def _acquire(self, origin: Origin, *, fresh: bool) -> Connection:
        try:
            async with asyncio.timeout_at(self._until if self._until < math.inf else None):
                return await self._upstreams.pool.acquire(origin, fresh=fresh)
        except TimeoutError:
            raise UpstreamFault(Fault.DEADLINE) from None

    def _judge(self, relay: Relay | None) -> Answer:
        """What is known of an attempt now; one that has not ended counts as stopped now."""
        if relay is None:
            return Answer(Ending.STOPPED)  # between two attempts, or before the first
        scanner, ending = relay.scanner, _ending(relay)
        if scanner is None:
            return Answer(ending, relay.status, relay.fault, relay.written)
        admission = self.leg.admission
        waited = self.first_byte - self.sent_at if self.first_byte else 0.0
        return Answer(
            ending,
            relay.status,
            relay.fault,
            relay.written,
            begun=_begun(relay, scanner),
            report=believed(scanner.report(), admission.model, admission.head, admission.input_bound),
            output=scanner.estimated_output(),
            error=scanner.error,
            readable=scanner.readable,
            waited_ms=max(0, int(waited * 1000)),
        )

    def _on_answer(self, status: int, headers: Headers) -> Watch:
        destination = self._upstreams.destinations[self.target.provider.name]
        unframe = destination.host.unframed(self.leg.wire.operation, headers)
        watch = watch_of(
            self.leg.wire,
            self.leg.admission.head,
            status,
            headers,
            self._vault,
            redaction=destination.redaction,
            translation=self.leg.translation,
            rid=self._rid,
        )
        if unframe is None or watch.scanner is None:
            return watch
        return watch._replace(scanner=unframe(watch.scanner), changes=True)

    def _wire_target(self, target: CatalogTarget, shape: Shape) -> Target:
        upstreams, provider, admission = self._upstreams, target.provider, self.leg.admission
        pid, of_period = self._principal.pid, period(self._principal.begun_ms)
        return Target(
            model=target.model,
            alias=target.model != admission.head.model,
            store=provider.store,
            include_usage=provider.include_usage,
            reasons=target.reasons,
            pseudonym=pseudonym(upstreams.identity_key, pid, provider.name, of_period),
            cache_key=partial(cache_key, upstreams.identity_key, pid, provider.name, of_period),
            isolate=upstreams.policy.cache_isolation is CacheIsolation.ACCOUNT,
            uncached=upstreams.policy.cache_isolation is CacheIsolation.NONE,
            output_limit=self.output_limit,
            completion_limit=provider.completion_limit,
            strip_unknown=self._strip_unknown,
            region="us" if states_region(target, admission.head, admission.regions) else "",
            renamed=self._renamed(target),
            extended_cache=self._extended_cache,
            attribution=provider.reads_attribution,
            without=shape.without,
            members=shape.members,
        )

    def _renamed(self, target: CatalogTarget) -> dict[str, str]:
        """A provider's names of the further models of the request, if they differ from the client's."""
        names: dict[str, str] = {}
        for name, model in self.leg.admission.further.items():
            served = at_provider(model, target.provider.name)
            if served is not None and served.model != name:
                names[name] = served.model
        return names

    @property
    def _extended_cache(self) -> bool:
        return self._upstreams.policy.extended_prompt_cache and self.leg.admission.max_retention_days != 0

    @property
    def _strip_unknown(self) -> bool:
        return self._upstreams.policy.unknown_members is not UnknownMembers.PASS

    def members_removed(self) -> str:
        """What the provider did not get of the members and betas of the caller's request; may be empty."""
        return register.told(
            self.leg.asked.found,
            extended_cache=self._extended_cache,
            strip_unknown=self._strip_unknown,
            betas=self.leg.admission.unknown_betas,
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


def _crowd(at: Destination, model: str) -> float:
    """Seconds by which a target that is given no more requests now comes after one that is."""
    turnstile = at.turnstile(model)
    return BUSY_SECONDS if turnstile is not None and turnstile.limit.full else 0.0


def _status_class(status: int) -> str:
    return "429" if status == 429 else f"{status // 100}xx"
