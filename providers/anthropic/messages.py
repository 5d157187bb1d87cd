"""Messages and token counting (``POST /v1/messages``, ``/count_tokens``): the request side.

Files, skills, containers and threads keep content at Anthropic. They are refused in the body and in
``anthropic-beta``.

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
from providers.anthropic.attribution import remove_attribution
from providers.anthropic.further import further_models, rename
from providers.anthropic.output import message_output
from providers.anthropic.weight import weigh_messages
from providers.dialect import Head, Operation, Refusal, Scanner, Target
from providers.document.addresses import refuse_kept
from providers.document.look import says
from providers.document.members import ABSENT, Members, given, read_members, read_model, read_object
from providers.document.objects import Part
from providers.document.splice import Edits, Splicing
from providers.document.strings import quoted
from providers.members import register
from providers.members.anthropic import ALLOWED_WITH, BETAS, beta_name
from providers.members.decision import Decision
from providers.members.parts import walk
from providers.output_limit import LEAST_OUTPUT, lower
from providers.steps import Steps
from providers.tools.removal import not_forced, remove_tools
from providers.tools.selection import most_uses, tool_in_definition, tools_in_list, tools_in_members

_FILE: Final = "A file id names a file kept at the provider, which is not served: send the file's data instead."
_TOOLS: Final = frozenset(("tools", "definition"))
_ROOTS: Final = ("messages", "system", "tools", "tool_choice", "fallbacks", "mcp_servers")
_LEAST_THINKING: Final = 1_024  # the API rejects a smaller budget
_BESIDE_THINKING: Final = 256  # output tokens for an answer after that much thinking
_GEOGRAPHIES: Final = {"global": Geography.GLOBAL, "us": Geography.US, "eu": Geography.EU}


class Messages(Splicing):
    """The `Wire` of one operation of the Messages API."""

    def __init__(self, operation: Operation, path: str, *, billed: bool) -> None:
        self.operation = operation
        self.billed = billed
        self._path = path

    def read(self, body: bytes, path_model: str | None) -> Steps[Head]:
        members = yield from read_members(body)
        found = yield from register.examine(self.operation, members, _ROOTS)
        tools = yield from tools_in_list(self.operation.family, members.raws.get("tools"), members.objects)
        listed = frozenset(tools)
        offered = tools | tools_in_members(self.operation.family, members)
        added: list[msgspec.Raw] = []  # tools that are added in the middle of the conversation
        asked: list[msgspec.Raw] = []  # models that tools call

        def judge(root: str, place: str, part: Part) -> None:
            if place in _TOOLS:
                if "model" in part:
                    asked.append(part["model"])
            elif place == "tool" and "definition" in part:
                added.append(part["definition"])
            _refuse_kept(root, place, part)

        yield from walk(self.operation.family, members, _ROOTS, judge)
        tools = set[str]()
        for definition in added:
            tools |= yield from tool_in_definition(self.operation.family, definition)
        optional = (yield from not_forced(self.operation.family, members, offered)) - tools
        tools |= offered
        most_calls = None
        if tools and tools == listed:
            most_calls = yield from most_uses(members.raws.get("tools"), members.objects)
        return Head(
            model=read_model(members, path_model),
            stream=self.billed and members.boolean("stream"),
            output_limit=members.count("max_tokens") if self.billed else 0,
            least_output=_least_output(members) if self.billed else None,
            text_only=True,
            most_calls=most_calls,
            server_tools=frozenset(tools),
            optional_tools=optional,
            variant=_read_variant(members),
            region=region if (region := members.text("inference_geo")) is None else region.strip().lower(),
            further=further_models(members, asked),
            members=members.spans,
            weight=(yield from weigh_messages(members, len(body))),
            found=found,
        )

    def edit(self, body: bytes, head: Head, target: Target) -> Steps[Edits]:
        edits = Edits(body, head.members)
        if target.alias:
            edits.replace("model", quoted(target.model))
        yield from register.edit(edits, self.operation.family, head.found, target)
        if head.removed_tools:
            yield from remove_tools(edits, self.operation.family, head.removed_tools)
        if not target.attribution:
            yield from remove_attribution(edits)
        if target.region and self.billed:
            edits.put("inference_geo", quoted(target.region))
        if target.renamed and "fallbacks" in head.members:
            rename(edits, target.renamed)
        if target.output_limit is not None:
            limited(edits, target.output_limit)
        for name in target.without:
            edits.remove(name)
        for name, value in target.members:
            edits.put(name, value)
        return edits

    def path(self, model: str) -> str:  # noqa: ARG002 - the model is in the body
        return self._path

    def scanner(self, head: Head, *, sse: bool | None) -> Scanner:
        if not self.billed:
            return JsonBody(head, read_counted, COUNTED, output=None)
        return scanner_by_label(
            sse, lambda: MessageStream(head), lambda: JsonBody(head, read_message, MESSAGE, output=message_output)
        )


def limited(edits: Edits, tokens: int) -> None:
    """Lower the output limit, and the thinking budget in proportion: thinking counts against the limit, and a budget
    must stay below it (https://platform.claude.com/docs/en/build-with-claude/extended-thinking).

    A budget that was sent at or above the limit belongs to interleaved thinking, where it covers a turn of several
    requests; it is not changed. A request without ``max_tokens`` is not changed either; the API rejects it.
    """
    stated = edits.count("max_tokens")
    lower(edits, "max_tokens", tokens)
    # The limits of attempts by fallback models replace the request's own.
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
    # "auto" and "standard_only" both ask for at most standard; the answer states the tier that was used.
    geography = members.text("inference_geo")
    return Variant(
        tier=ServiceTier.STANDARD,
        speed=Speed.FAST if members.text("speed") == "fast" else Speed.NORMAL,
        geography=Geography.GLOBAL if geography is None else _GEOGRAPHIES.get(geography, Geography.OTHER),
    )


def _refuse_kept(root: str, place: str, part: Part) -> None:
    kind = part.get("type", ABSENT)
    if place == "source":
        if says(kind, "file") or given(part.get("file_id", ABSENT)):
            raise Refusal("privacy_unsupported", _FILE, root)
        if "url" in part:
            refuse_kept(part["url"], root, whole=False)
    elif says(kind, "container_upload"):
        raise Refusal("privacy_unsupported", _FILE, root)


def check_betas(values: Iterable[str], allowed: frozenset[str] = frozenset(), *, strip: bool = False) -> int:
    """Refuse an ``anthropic-beta`` header that asks for a feature that keeps content at the provider.

    Args:
        values: The header's values, each a comma-separated list.
        allowed: Server-side tools that policy allows, as for `refuse_tools`.
        strip: The betas of other server-side tools are removed together with the tools (`providers.headers`), and not
            refused.

    Returns:
        The number of betas that no table knows.
    """
    unknown = 0
    for value in values:
        for beta in value.split(","):
            decided = BETAS.get(name := beta_name(beta))
            if decided is None:
                unknown += bool(name)
            elif decided.decision is Decision.REFUSE and (tool := ALLOWED_WITH.get(name)) not in allowed:
                if tool is not None and strip:
                    continue
                raise Refusal(decided.code, decided.why, "anthropic-beta")
    return unknown


MESSAGES: Final = Messages(Operation.ANTHROPIC_MESSAGES, "/v1/messages", billed=True)
COUNT_TOKENS: Final = Messages(Operation.ANTHROPIC_COUNT_TOKENS, "/v1/messages/count_tokens", billed=False)
