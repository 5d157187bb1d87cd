"""Messages and token counting (``POST /v1/messages``, ``/count_tokens``): the request side.

Files, skills, containers and threads keep content at Anthropic and are refused, in the body as well
as when ``anthropic-beta`` asks for them.

https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from metering.usage import STANDARD, Geography, ServiceTier, Speed, Variant
from providers.answers.body import JsonBody
from providers.answers.sniff import scanner_by_label
from providers.anthropic.answer import COUNTED, MESSAGE, MessageStream, read_counted, read_message
from providers.anthropic.further import further_models, rename
from providers.anthropic.weight import weigh_messages
from providers.dialect import Family, Head, Operation, Refusal, Scanner, Target
from providers.document.look import Look, says
from providers.document.members import (
    ABSENT,
    Members,
    is_object,
    is_string,
    read_members,
    read_model,
    read_object,
)
from providers.document.splice import Edits
from providers.document.strings import quoted
from providers.members import register
from providers.members.anthropic import ALLOWED_WITH, BETAS, beta_name
from providers.members.decision import Decision
from providers.output_limit import LEAST_OUTPUT, lower
from providers.steps import Steps
from providers.tools.selection import most_uses, tool_in_definition, tools_in_list, tools_in_members


class _Source(msgspec.Struct):
    type: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT


class _Addition(msgspec.Struct):
    definition: msgspec.Raw = ABSENT


class _Block(msgspec.Struct):
    type: msgspec.Raw = ABSENT
    source: msgspec.Raw = ABSENT  # a search result's is a string
    content: msgspec.Raw = ABSENT
    tool: msgspec.Raw = ABSENT


class _Message(msgspec.Struct):
    content: msgspec.Raw = ABSENT


_MESSAGES = Look(_Message)
_BLOCKS = Look(_Block)
_SOURCES = Look(_Source)
_ADDITIONS = Look(_Addition)

_FILE: Final = "A file id names a file kept at the provider, which is not served: send the file's data instead."
_DEEPEST: Final = 6
_LEAST_THINKING: Final = 1_024  # the API rejects a smaller budget
_BESIDE_THINKING: Final = 256  # for an answer after that much thinking
_GEOGRAPHIES: Final = {"global": Geography.GLOBAL, "us": Geography.US, "eu": Geography.EU}


class Messages:
    """The `Wire` of one operation of the Messages API."""

    def __init__(self, operation: Operation, path: str, *, billed: bool) -> None:
        self.operation = operation
        self.billed = billed
        self._path = path

    def read(self, body: bytes, path_model: str | None) -> Steps[Head]:
        members = yield from read_members(body)
        found = yield from register.examine(self.operation, members, body)
        tools = yield from tools_in_list(self.operation.family, members.raws.get("tools"))
        listed = frozenset(tools)
        tools |= tools_in_members(self.operation.family, members)
        for batch in _MESSAGES.batches(members.raws.get("messages")):
            for one in batch:
                if not is_string(one.content):
                    yield from _read_blocks(one.content, tools)
            yield
        yield from _read_blocks(members.raws.get("system"), tools)
        most_calls = None
        if tools and tools == listed:
            most_calls = yield from most_uses(members.raws.get("tools"))
        return Head(
            model=read_model(members, path_model),
            stream=self.billed and members.boolean("stream"),
            output_limit=members.count("max_tokens") if self.billed else 0,
            least_output=_least_output(members) if self.billed else None,
            text_only=True,
            most_calls=most_calls,
            server_tools=frozenset(tools),
            variant=_read_variant(members),
            region=region if (region := members.text("inference_geo")) is None else region.strip().lower(),
            further=(yield from further_models(members)),
            members=members.spans,
            weight=(yield from weigh_messages(members, len(body))),
            found=found,
        )

    def splice(self, body: bytes, head: Head, target: Target) -> Steps[bytes]:
        edits = Edits(body, head.members)
        if target.alias:
            edits.replace("model", quoted(target.model))
        yield from register.edit(edits, self.operation.family, head.found, target)
        if target.region and self.billed:
            edits.put("inference_geo", quoted(target.region))
        if target.renamed and "fallbacks" in head.members:
            rename(edits, target.renamed)
        if target.output_limit is not None:
            limited(edits, target.output_limit)
        return (yield from edits.built())

    def path(self, model: str) -> str:  # noqa: ARG002 - the model is in the body
        return self._path

    def scanner(self, head: Head, *, sse: bool | None) -> Scanner:
        if not self.billed:
            return JsonBody(head, read_counted, COUNTED, generated=False)
        return scanner_by_label(
            sse, lambda: MessageStream(head), lambda: JsonBody(head, read_message, MESSAGE, generated=True)
        )


def limited(edits: Edits, tokens: int) -> None:
    """Lower the output limit, and the thinking budget in proportion: thinking counts against the limit, and a budget
    must stay below it (https://platform.claude.com/docs/en/build-with-claude/extended-thinking).

    A budget that is not below the limit as sent is one of interleaved thinking, for a whole turn of several requests;
    it stays. So does a request without ``max_tokens``, which the API rejects.
    """
    stated = edits.count("max_tokens")
    lower(edits, "max_tokens", tokens)
    # Those of the attempts that other models may make replace the request's own.
    edits.edit_each("fallbacks", lambda attempt: _lower_limit(attempt, tokens))
    if stated is not None and stated > tokens:
        edits.edit_object("thinking", lambda thinking: _lower_budget(thinking, stated, tokens))


def _lower_limit(attempt: Edits, tokens: int) -> None:
    lower(attempt, "max_tokens", tokens)


def _lower_budget(thinking: Edits, stated: int, tokens: int) -> None:
    budget = thinking.count("budget_tokens")
    if budget is not None and budget < stated:
        thinking.replace("budget_tokens", b"%d" % min(budget, max(_LEAST_THINKING, budget * tokens // stated)))


def _least_output(members: Members) -> int:
    raw = members.raws.get("thinking")
    if raw is None:
        return LEAST_OUTPUT
    thinking = read_object(bytes(raw))
    budget = None if thinking is None else thinking.count("budget_tokens")
    if budget is None or budget >= (members.count("max_tokens") or 0):
        return LEAST_OUTPUT
    return _LEAST_THINKING + _BESIDE_THINKING


def _read_variant(members: Members) -> Variant:
    raws = members.raws
    if not ("inference_geo" in raws or "speed" in raws or "service_tier" in raws):
        return STANDARD
    # "auto" and "standard_only" both ask for no more than standard; the answer says what it was.
    geography = members.text("inference_geo")
    return Variant(
        tier=ServiceTier.STANDARD,
        speed=Speed.FAST if members.text("speed") == "fast" else Speed.NORMAL,
        geography=Geography.GLOBAL if geography is None else _GEOGRAPHIES.get(geography, Geography.OTHER),
    )


def _read_blocks(raw: msgspec.Raw | None, tools: set[str], depth: int = 0) -> Steps[None]:
    # Blocks nest: a tool's result holds blocks, a document's source may. The API knows three levels.
    for batch in _BLOCKS.one_or_more(raw):
        for block in batch:
            if says(block.type, "container_upload"):
                raise Refusal("privacy_unsupported", _FILE, "messages")
            if is_object(block.source) and (source := _SOURCES.single(block.source)) is not None:
                if says(source.type, "file"):
                    raise Refusal("privacy_unsupported", _FILE, "messages")
                if len(source.content) and not is_string(source.content) and depth < _DEEPEST:
                    yield from _read_blocks(source.content, tools, depth + 1)
            if len(block.content) and not is_string(block.content) and depth < _DEEPEST:
                yield from _read_blocks(block.content, tools, depth + 1)
            # A tool that is added in the midst of the conversation.
            if is_object(block.tool) and (added := _ADDITIONS.single(block.tool)) is not None:
                tools |= yield from tool_in_definition(Family.ANTHROPIC, added.definition)
        yield


def check_betas(values: Iterable[str], allowed: frozenset[str] = frozenset()) -> int:
    """Refuse an ``anthropic-beta`` header that asks for what is kept at the provider.

    Args:
        values: The header's values, each a comma-separated list.
        allowed: Server-side tools that policy allows, as for `refuse_tools`.

    Returns:
        How many betas no table knows.
    """
    unknown = 0
    for value in values:
        for beta in value.split(","):
            decided = BETAS.get(name := beta_name(beta))
            if decided is None:
                unknown += bool(name)
            elif decided.decision is Decision.REFUSE and ALLOWED_WITH.get(name) not in allowed:
                raise Refusal("privacy_unsupported", decided.why, "anthropic-beta")
    return unknown


MESSAGES: Final = Messages(Operation.ANTHROPIC_MESSAGES, "/v1/messages", billed=True)
COUNT_TOKENS: Final = Messages(Operation.ANTHROPIC_COUNT_TOKENS, "/v1/messages/count_tokens", billed=False)
