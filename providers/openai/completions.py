"""Legacy completions (``POST /v1/completions``), which editors use for fill-in-the-middle.

Mistral has an operation of its own for that, whose answers have the form of chat completions: callers never ask for it,
their completions are translated into it (`providers.conversation.filling`).

https://developers.openai.com/api/docs/api-reference/completions/create
"""

from __future__ import annotations

from typing import Final

from providers import bounds
from providers.dialect import Head, Operation, Scanner, Target
from providers.document.look import values
from providers.document.members import Members, is_list, read_members, read_model
from providers.document.splice import Edits, Splicing
from providers.members.register import examine
from providers.openai import request as openai_request
from providers.openai.answer import chat_scanner
from providers.openai.chat import wants_usage
from providers.openai.weight import weigh_prompt
from providers.output_limit import LEAST_OUTPUT, lower_or_state
from providers.steps import Steps
from providers.tools.selection import tools_in_members

_UNSTATED_OUTPUT: Final = 16  # the documented default of max_tokens, which many compatible hosts do not apply


class Completions(Splicing):
    """The `Wire` of legacy completions, at one of the paths that hosts have for them."""

    billed = True

    def __init__(self, operation: Operation, path: str) -> None:
        self.operation = operation
        self._path = path

    def read(self, body: bytes, path_model: str | None) -> Steps[Head]:
        members = yield from read_members(body, values=bounds.TOKEN_VALUES)
        found = yield from examine(self.operation, members)
        stream = members.boolean("stream")
        each = max(members.count("n") or 1, members.count("best_of") or 1)
        prompts = _prompts(members)
        yield
        return Head(
            model=read_model(members, path_model),
            stream=stream,
            output_limit=members.count("max_tokens"),
            least_output=LEAST_OUTPUT,
            unstated_output=_UNSTATED_OUTPUT,
            text_only=True,
            choices=each * prompts,
            wants_usage=not stream or wants_usage(members),
            server_tools=frozenset(tools_in_members(self.operation.family, members)),
            variant=openai_request.read_variant(members),
            members=members.spans,
            weight=(yield from weigh_prompt(members, len(body), "prompt")),
            found=found,
        )

    def edit(self, body: bytes, head: Head, target: Target) -> Steps[Edits]:
        edits = Edits(body, head.members)
        yield from openai_request.edit_common(edits, head, target, self.operation)
        openai_request.edit_usage_switch(edits, head, target)
        if target.output_limit is not None:
            limited(edits, target.output_limit)
        return edits

    def path(self, model: str) -> str:  # noqa: ARG002 - the model is in the body
        return self._path

    def scanner(self, head: Head, *, sse: bool | None) -> Scanner:
        return chat_scanner(head, sse=sse)


def limited(edits: Edits, tokens: int) -> None:
    """Lower the output limit; without one, the API's documented default (16) is stated if it is lower."""
    unstated = edits.count("max_tokens") is None
    lower_or_state(edits, "max_tokens", min(tokens, _UNSTATED_OUTPUT) if unstated else tokens)


def _prompts(members: Members) -> int:
    # Each prompt in a list gets an answer; a list of numbers is one prompt, given as tokens.
    raw = members.raw("prompt")
    if raw is None or not is_list(raw):
        return 1
    opening = bytes(memoryview(raw)[1:64]).lstrip(b" \t\r\n")
    return max(1, len(values(raw))) if opening.startswith((b'"', b"[")) else 1


COMPLETIONS: Final = Completions(Operation.OPENAI_COMPLETIONS, "/v1/completions")
FILL_IN: Final = Completions(Operation.OPENAI_FILL_IN, "/v1/fim/completions")
