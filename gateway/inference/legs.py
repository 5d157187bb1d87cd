"""The dialects in which a request can be sent: one leg for each, all made and priced before the hold (decision 041).

Rules:

1. The first leg is the selected one. If it can't be made or is not allowed, the request is refused with its error.
2. A further leg is a fallback: what can't be told in its dialect, or is not allowed there, makes it none.
3. Each leg is made of what the caller's own dialect would send: the same is searched, removed and hidden on each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from gateway.catalog.catalog import Model
from gateway.errors import GatewayError
from gateway.http.shares import Share
from gateway.inference import translating
from gateway.inference.admission import Admission, read_head, refuse_unknown
from gateway.inference.content import Content
from gateway.inference.services import Rules, Shares
from gateway.names import Rid
from providers.conversation.conversation import Dialect
from providers.conversation.translator import Translated
from providers.dialect import Head, Operation, Target, Wire
from providers.wires import WIRES


@dataclass(slots=True, repr=False, eq=False)
class Leg:
    """A request in one dialect.

    Attributes:
        wire: What its providers are asked for.
        asked: The caller's request, less what policy removes of it on this way.
        head: What is acted on of the body.
        body: As it is sent.
        headers: Request headers; only what a provider may see of them is sent.
        query: The same.
        model: What was asked for, with the targets to which this leg may lead.
        selected: The company of the first leg, if this is a further one.
        translation: What the answer is translated back by; ``None`` in the caller's own dialect.
        admission: What was decided about it, once that is so.
    """

    wire: Wire
    asked: Head
    head: Head
    body: Content
    headers: Iterable[tuple[bytes, bytes]]
    query: str
    model: Model | None = None
    selected: str = ""
    translation: Translated | None = None
    admission: Admission = field(init=False)


class Legs:
    """Makes the legs of one request."""

    def __init__(self, rules: Rules, shares: Shares, operation: Operation, *, pid: str, rid: Rid, events: bool) -> None:
        """``events``: a stream of this request is an event stream (Google's is an array otherwise)."""
        self._rules = rules
        self._shares = shares
        self._operation = operation
        self._pid = pid
        self._rid = rid
        self._events = events

    async def read(self, wire: Wire, body: Content, path_model: str | None) -> Head:
        """What is acted on of a body. Raises `GatewayError`."""
        steps = read_head(wire, body.reveal(), path_model, self._rules.config.policy)
        return await self._shares.slices.run(steps, self._pid)

    async def all(self, own: Leg, model: Model, companies: Collection[str], share: Share) -> list[Leg]:
        """The legs of a request, in the order in which they are preferred.

        Args:
            own: The request as the caller sent it.
            model: What it asks for, which its caller may use.
            companies: Those that may answer beside the selected one.
            share: Has the caller's body; what further ones there are is added.

        Raises:
            GatewayError: The first leg can't be made.
        """
        stream, size = own.asked.stream, len(own.body)
        first = translating.way_of(self._operation, model, stream=stream)
        further = translating.further_ways(self._operation, model, first, stream=stream, companies=companies)
        legs, ways = ([own], further) if first is None else ([], (first, *further))
        plain: tuple[Head, bytes] | None = None
        for way in ways:
            try:
                plain = plain or await self._plain(own, share)
                legs.append(await self._translated(way, *plain, share))
            except GatewayError:
                if not legs:
                    raise
        if plain is not None:
            share.shrink(2 * size)
        if first is not None:
            share.shrink(size)
            own.body.drop()
        return legs

    async def _plain(self, own: Leg, share: Share) -> tuple[Head, bytes]:
        """What is translated: the head and body that the caller's own dialect would send.

        Raises:
            UnsupportedFeature: It has members that policy refuses, since no table knows them.
            Overloaded, ConcurrencyLimited: There is no memory for it.
        """
        rules = self._rules.config.policy
        refuse_unknown(own.asked, rules)
        asked = translating.less_tools(own.asked, rules)
        target = Target(asked.model, store=False, include_usage=False)
        removed = own.wire.splice(own.body.reveal(), asked, target)
        share.grow(2 * len(own.body))  # for the body without what is removed, and a translation of it
        return asked, await self._shares.slices.run(removed, self._pid)

    async def _translated(self, way: translating.Way, asked: Head, plain: bytes, share: Share) -> Leg:
        """The request as the providers of a way read it. Raises `GatewayError`."""
        translation = await translating.translated(
            way,
            self._operation,
            plain,
            asked,
            rid=self._rid,
            sse=self._events,
            aside=self._shares.aside,
            holder=self._pid,
        )
        made = Content(translation.body)
        share.grow(len(made))
        wire = WIRES[way.operation]
        try:
            head = await self.read(wire, made, way.target.model if way.host is Dialect.GEMINI else None)
        except GatewayError:
            share.shrink(len(made))
            raise
        return Leg(
            wire,
            asked,
            # Hosts that know no switch for the usage state it all the same: the translation reads it.
            msgspec.structs.replace(head, model=asked.model, wants_usage=True),
            made,
            way.headers,
            way.query,
            way.model,
            way.selected,
            translation.without_body(),
        )


def release(legs: Sequence[Leg]) -> None:
    """Let go of every body: a long stream does not keep its prompt in memory."""
    for leg in legs:
        leg.body.drop()
