"""Responses (``POST /v1/responses``, ``/compact``, ``/input_tokens``): the request side.

Everything that would make the provider keep the conversation is refused or switched off. The caller
resends its items instead, including its reasoning as ``reasoning.encrypted_content``.

https://developers.openai.com/api/docs/api-reference/responses/create
"""

from __future__ import annotations

from typing import Final

import msgspec

from providers.answers.body import JsonBody
from providers.answers.sniff import scanner_by_label
from providers.dialect import Head, Operation, Refusal, Scanner, Target
from providers.document.look import says
from providers.document.members import ABSENT, given, read_members, read_model
from providers.document.objects import Part
from providers.document.splice import Edits, Splicing
from providers.members.parts import walk
from providers.members.register import examine, seen
from providers.openai import request as openai_request
from providers.openai.answer import COUNTED, RESPONSE, ResponsesStream, read_counted, read_response
from providers.openai.output import responses_output
from providers.openai.weight import weigh_responses
from providers.output_limit import LEAST_OUTPUT, lower_or_state
from providers.steps import Steps
from providers.tools.removal import not_forced
from providers.tools.selection import tools_in_list

_ROOTS: Final = ("input", "instructions", "tools", "tool_choice")
_ITEMS: Final = frozenset(("input", "instructions"))
_INCLUDE_BYTES: Final = 8_192
_INCLUDE = msgspec.json.Decoder(list[str])

_BACKGROUND: Final = (
    "A background response is kept at the provider until it is fetched: leave out background and stream."
)
_REFERENCE: Final = "Earlier items are not stored: resend the item itself instead of a reference to it."
_ENCRYPTED: Final = "reasoning.encrypted_content"


class Responses(Splicing):
    """The `Wire` of one operation of the Responses API."""

    def __init__(self, operation: Operation, path: str, *, billed: bool, generates: bool) -> None:
        self.operation = operation
        self.billed = billed
        self._path = path
        # Only the creation of a response has ``store``, ``stream`` and ``include``.
        self._generates = generates

    def read(self, body: bytes, path_model: str | None) -> Steps[Head]:
        members = yield from read_members(body)
        found = yield from examine(self.operation, members, _ROOTS)
        if members.boolean("background"):
            raise Refusal("privacy_unsupported", _BACKGROUND, "background")
        given_later: list[msgspec.Raw] = []  # tools that the conversation adds

        def judge(root: str, place: str, part: Part) -> None:
            if place in _ITEMS:
                _refuse_reference(part)
                if "tools" in part:
                    given_later.append(part["tools"])
            openai_request.judge_part(root, place, part)

        held = yield from walk(self.operation.family, members, _ROOTS, judge)
        listed = yield from tools_in_list(self.operation.family, members.raws.get("tools"), members.objects)
        added: set[str] = set()
        for raw in given_later:
            added |= yield from tools_in_list(self.operation.family, raw, members.objects)
        tools = listed | added
        return Head(
            model=read_model(members, path_model),
            stream=self._generates and members.boolean("stream"),
            output_limit=members.count("max_output_tokens") if self.billed else 0,
            least_output=LEAST_OUTPUT if self._generates else None,
            text_only="openai_image_generation" not in tools,
            most_calls=members.count("max_tool_calls"),
            server_tools=frozenset(tools),
            optional_tools=(yield from not_forced(self.operation.family, members, listed)) - added,
            variant=openai_request.read_variant(members),
            members=members.spans,
            weight=(yield from weigh_responses(members, len(body))),
            found=seen(found, held),
        )

    def edit(self, body: bytes, head: Head, target: Target) -> Steps[Edits]:
        edits = Edits(body, head.members)
        if self._generates and target.reasons and not edits.holds("store", b"false"):
            _include_reasoning(edits)
        yield from openai_request.edit_common(edits, head, target, self.operation)
        if target.output_limit is not None and self._generates:
            limited(edits, target.output_limit)
        return edits

    def path(self, model: str) -> str:  # noqa: ARG002 - the model is in the body
        return self._path

    def scanner(self, head: Head, *, sse: bool | None) -> Scanner:
        if not self.billed:
            return JsonBody(head, read_counted, COUNTED, output=None)
        return scanner_by_label(
            sse, lambda: ResponsesStream(head), lambda: JsonBody(head, read_response, RESPONSE, output=responses_output)
        )


def limited(edits: Edits, tokens: int) -> None:
    """Lower the output limit. Reasoning counts against it, and the API rejects one below 16."""
    lower_or_state(edits, "max_output_tokens", tokens)


def _refuse_reference(item: Part) -> None:
    kind = item.get("type", ABSENT)
    if given(kind):
        refers = says(kind, "item_reference")
    else:  # the type of a reference is optional
        refers = given(item.get("id", ABSENT)) and not given(item.get("role", ABSENT))
    if refers:
        raise Refusal("privacy_unsupported", _REFERENCE, "input")


def _include_reasoning(edits: Edits) -> None:
    if "include" not in edits or edits.is_null("include"):
        edits.put("include", b'["%b"]' % _ENCRYPTED.encode())
        return
    value = edits.value("include") or b""
    if len(value) > _INCLUDE_BYTES:
        return  # not a list, so the provider rejects it
    try:
        asked = _INCLUDE.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return
    if _ENCRYPTED not in asked:
        separator = b"," if asked else b""
        edits.replace("include", b'%b%b"%b"]' % (value[:-1], separator, _ENCRYPTED.encode()))


RESPONSES: Final = Responses(Operation.OPENAI_RESPONSES, "/v1/responses", billed=True, generates=True)
COMPACT: Final = Responses(Operation.OPENAI_COMPACT, "/v1/responses/compact", billed=True, generates=False)
INPUT_TOKENS: Final = Responses(
    Operation.OPENAI_INPUT_TOKENS, "/v1/responses/input_tokens", billed=False, generates=False
)
