"""Chat Completions (``POST /v1/chat/completions``): the request side.

https://developers.openai.com/api/docs/api-reference/chat/create
"""

from __future__ import annotations

from typing import Final

from providers.dialect import Head, Operation, Scanner, Target, media_out
from providers.document.members import Members, read_members, read_model, read_nested, words
from providers.document.splice import Edits, Splicing
from providers.members.parts import walk
from providers.members.register import examine, seen
from providers.openai import request as openai_request
from providers.openai.answer import chat_scanner
from providers.openai.weight import weigh_chat
from providers.output_limit import LEAST_OUTPUT, lower
from providers.steps import Steps
from providers.tools.removal import not_forced
from providers.tools.selection import tools_in_list, tools_in_members

_ROOTS: Final = ("messages", "tools", "tool_choice", "prediction")


class ChatCompletions(Splicing):
    """The `Wire` of chat completions."""

    operation = Operation.OPENAI_CHAT
    billed = True

    def read(self, body: bytes, path_model: str | None) -> Steps[Head]:
        members = yield from read_members(body)
        found = yield from examine(self.operation, members, _ROOTS)
        held = yield from walk(self.operation.family, members, _ROOTS, openai_request.judge_part)
        stream = members.boolean("stream")
        tools = yield from tools_in_list(self.operation.family, members.raws.get("tools"), members.objects)
        tools |= tools_in_members(self.operation.family, members)
        return Head(
            model=read_model(members, path_model),
            stream=stream,
            output_limit=_larger(members.count("max_completion_tokens"), members.count("max_tokens")),
            least_output=LEAST_OUTPUT,
            text_only=not members.truthy("modalities") and not members.truthy("audio"),
            media_out=media_out(words(members.raws.get("modalities"))),
            choices=members.count("n") or 1,
            wants_usage=not stream or wants_usage(members),
            server_tools=frozenset(tools),
            optional_tools=(yield from not_forced(self.operation.family, members, tools)),
            variant=openai_request.read_variant(members),
            members=members.spans,
            weight=(yield from weigh_chat(members, len(body))),
            found=seen(found, held),
        )

    def edit(self, body: bytes, head: Head, target: Target) -> Steps[Edits]:
        edits = Edits(body, head.members)
        yield from openai_request.edit_common(edits, head, target, self.operation)
        openai_request.edit_usage_switch(edits, head, target)
        if target.output_limit is not None:
            limited(edits, target.output_limit, completion_limit=target.completion_limit)
        return edits

    def path(self, model: str) -> str:  # noqa: ARG002 - the model is in the body
        return "/v1/chat/completions"

    def scanner(self, head: Head, *, sse: bool | None) -> Scanner:
        return chat_scanner(head, sse=sse)


def limited(edits: Edits, tokens: int, *, completion_limit: bool = True) -> None:
    """Lower the output limit. Reasoning counts against it.

    A request may state it under either name, and a host obeys only one of them, so both are lowered.
    `Target.completion_limit` decides which name is added if the request states none.
    """
    names = ("max_completion_tokens", "max_tokens")
    counts = [count for name in names if (count := edits.count(name)) is not None]
    if counts:
        tokens = min(tokens, max(counts))  # a limit that is not a number is replaced by at most the other one
    stated = [lower(edits, name, tokens) for name in names]
    if not any(stated):
        edits.put("max_completion_tokens" if completion_limit else "max_tokens", b"%d" % tokens)


def wants_usage(members: Members) -> bool:
    """Whether the caller itself asked for the usage chunk of its stream."""
    options = read_nested(members, "stream_options")
    asked = None if options is None else options.raws.get("include_usage")
    return asked is not None and bytes(asked) == b"true"


def _larger(one: int | None, other: int | None) -> int | None:
    return max(filter(None, (one, other)), default=one if one is not None else other)


WIRE: Final = ChatCompletions()
