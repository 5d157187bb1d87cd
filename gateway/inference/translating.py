"""Decides whether a request goes on in another dialect, and makes it one that its provider reads.

Rules:

1. A target that speaks the caller's dialect is preferred: its answer passes unchanged.
2. The first target decides the company, as for every request (`failover.usable`). Targets of other dialects are
   fallbacks (`further_ways`).
3. The caller's request is read and judged in its own dialect first, and what the register removes is removed: what is
   translated is what would have been sent. The translated request is then read and judged like every other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from gateway.catalog.catalog import CatalogTarget, Model
from gateway.catalog.naming import required_output, thinks_by_budget
from gateway.config import PolicyConfig, RefusedTools
from gateway.errors import RequestTooLarge
from gateway.http.answers import error_of_refusal
from gateway.http.aside import Aside
from gateway.inference.estimate import of_input
from providers.conversation.conversation import Dialect
from providers.conversation.counting import COUNTERS, COUNTING, prepare_count, translate_count
from providers.conversation.dialects import Capabilities
from providers.conversation.embeddings import EMBEDDERS, EMBEDDING, prepare_embeddings, translate_embeddings
from providers.conversation.filling import filling_stream, prepare_filling, translate_filling
from providers.conversation.translator import (
    DIALECTS,
    Translated,
    TranslatedCall,
    operation_of,
    translate_request,
)
from providers.dialect import Family, Head, Operation, Refusal
from providers.tools.removal import less_refused

INLINE_BYTES, INLINE_OBJECTS = 65_536, 64
"""What has no more is translated on the loop, in about 2 ms; everything else beside it (`gateway.http.aside`)."""
MOST_BYTES, MOST_OBJECTS = 16 << 20, 20_000
_TOO_LARGE: Final = (
    "A request of more than 16 MiB, or with more than 20,000 messages and parts of messages, is not translated for "
    "this model: send less, or choose a model whose provider has the API that you use."
)
_OBJECT: Final = re.compile(rb"\{[ \t\r\n]*[\"}]")  # in a text, its first quote would follow a backslash
_VERSION: Final = ((b"anthropic-version", b"2023-06-01"),)


@dataclass(frozen=True, slots=True)
class Way:
    """How a request goes on in another dialect.

    Attributes:
        operation: What the provider is asked for.
        host: The provider's dialect.
        target: The first place that serves the model.
        model: What was asked for, with the targets to which this way may lead.
        selected: The company of the way that comes first, if this is a further one.
    """

    operation: Operation
    host: Dialect
    target: CatalogTarget
    model: Model
    selected: str = ""

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """The request headers that a provider of this dialect needs, in place of the caller's."""
        return _VERSION if self.host is Dialect.MESSAGES else ()

    @property
    def query(self) -> str:
        return "alt=sse" if self.operation is Operation.GEMINI_STREAM else ""


def way_of(operation: Operation, model: Model, *, stream: bool) -> Way | None:
    """The way of a request, or ``None`` if it needs no translation, or cannot be translated.

    Args:
        operation: What the caller asks for.
        model: What it names.
        stream: It asks for a stream.
    """
    if not model.targets or any(target.provider.serves(operation) for target in model.targets):
        return None
    target = model.targets[0]
    host = dialect_of(target)
    if operation in DIALECTS:
        return Way(operation_of(host, stream=stream), host, target, model)
    if operation in COUNTING:
        asked = COUNTERS.get(host)
    elif operation in EMBEDDING:
        asked = EMBEDDERS.get(target.provider.family)
    else:
        asked = Operation.OPENAI_FILL_IN if operation is Operation.OPENAI_COMPLETIONS else None
    if asked is None or not target.provider.serves(asked):
        return None
    if host is Dialect.RESPONSES and operation not in COUNTING:
        host = Dialect.CHAT
    return Way(asked, host, target, model)


def further_ways(
    operation: Operation, model: Model, first: Way | None, *, stream: bool, companies: Collection[str]
) -> tuple[Way, ...]:
    """The ways to those targets that the first way does not lead to, in the order in which they are fallbacks.

    Only conversations have any: another model's embedding means something else.

    Args:
        operation: What the caller asks for.
        model: What it names.
        first: Of `way_of`.
        stream: It asks for a stream.
        companies: Those that the account allows beside the selected one.
    """
    if len(model.targets) < 2 or operation not in DIALECTS:
        return ()
    asked = operation if first is None else first.operation
    reached = [target for target in model.targets if target.provider.serves(asked)]
    if not reached or len(reached) == len(model.targets):
        return ()
    selected = reached[0].provider.company
    left: dict[Dialect, list[CatalogTarget]] = {}
    for target in sorted(model.targets, key=lambda target: target.provider.company != selected):
        if not target.provider.serves(asked) and target.provider.company in (selected, *companies):
            left.setdefault(dialect_of(target), []).append(target)
    return tuple(
        Way(operation_of(host, stream=stream), host, targets[0], replace(model, targets=tuple(targets)), selected)
        for host, targets in left.items()
    )


def less_tools(head: Head, rules: PolicyConfig) -> Head:
    """A request without the tools that run at a provider, none of which is there in another API, if policy strips tools
    and the request does not force one: agents offer a search with each request.
    """
    return less_refused(head, frozenset()) if rules.server_tools_refuse is RefusedTools.STRIP else head


def dialect_of(target: CatalogTarget) -> Dialect:
    """The dialect in which a target is asked what was said in another one.

    OpenAI's own models reason across turns only in the Responses API; compatible hosts have Chat Completions in common.
    """
    match target.provider.family:
        case Family.ANTHROPIC:
            return Dialect.MESSAGES
        case Family.GOOGLE:
            return Dialect.GEMINI
        case Family.OPENAI:
            return Dialect.RESPONSES if target.provider.responses else Dialect.CHAT


async def translated(
    way: Way, operation: Operation, body: bytes, head: Head, *, rid: str, sse: bool, aside: Aside, holder: str
) -> Translated:
    """The request as its provider reads it.

    Args:
        way: Of `way_of`.
        operation: What the caller asks for.
        body: As the caller's own dialect would be sent.
        head: Of the caller's request.
        rid: Its id.
        sse: A stream is to be an event stream (Google's is an array otherwise).
        aside: Where long ones are translated.
        holder: Whose turn it is there.

    Raises:
        InvalidRequest, UnsupportedFeature: It cannot be told; the error names the caller's member.
        RequestTooLarge.
    """
    if len(body) > MOST_BYTES:
        raise RequestTooLarge(_TOO_LARGE)
    work: Callable[[], Translated] = partial(_made, way, operation, body, head, rid=rid, sse=sse)
    try:
        if len(body) <= INLINE_BYTES and body.count(b"{") <= INLINE_OBJECTS:
            return work()
        return await aside.run(work, holder)
    except Refusal as error:
        raise error_of_refusal(error) from None


def _made(way: Way, operation: Operation, body: bytes, head: Head, *, rid: str, sse: bool) -> Translated:
    """Raises `Refusal`, `RequestTooLarge`."""
    if body.count(b"{") > MOST_OBJECTS and sum(1 for _ in _OBJECT.finditer(body)) > MOST_OBJECTS:
        raise RequestTooLarge(_TOO_LARGE)
    provider, model = way.target.provider, way.target.model
    capabilities = Capabilities(
        output_limit=way.model.max_output or required_output(model),
        budgets=thinks_by_budget(model),
        completion_limit=provider.completion_limit,
        include_usage=provider.include_usage,
    )
    if operation in DIALECTS:
        return translate_request(
            operation, way.host, body, head, target=model, rid=rid, sse=sse, capabilities=capabilities
        )
    call = partial(TranslatedCall, operation, way.host)
    if operation in COUNTING:
        source = COUNTING[operation]
        counted = prepare_count(source, way.host, body, members=head.members, model=model, capabilities=capabilities)
        return call(counted.body, counted.dropped, partial(translate_count, source, way.host))
    if operation in EMBEDDING:
        asked = prepare_embeddings(operation, way.operation, body, members=head.members, model=model)
        answer = partial(
            translate_embeddings,
            operation,
            way.operation,
            texts=asked.texts,
            base64=asked.base64,
            model=head.model,
            estimate=of_input(head.weight, operation, [model]).expected.uncached,
        )
        return call(asked.body, asked.dropped, answer)
    written, dropped = prepare_filling(body, members=head.members, model=model)
    name, identity = head.model, rid.removeprefix("req_")
    answer = partial(translate_filling, model=name, identity=identity)
    if not head.stream:
        return call(written, dropped, answer)
    stream = partial(filling_stream, model=name, identity=identity, wants_usage=head.wants_usage)
    return call(written, dropped, answer, stream)
