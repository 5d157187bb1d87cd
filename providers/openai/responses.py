"""Responses (``POST /v1/responses``, ``/compact``, ``/input_tokens``): the request side.

Everything that would make the provider keep the conversation is refused or switched off: the caller
resends its items, and ``reasoning.encrypted_content`` lets reasoning travel with them.

https://developers.openai.com/api/docs/api-reference/responses/create
"""

from __future__ import annotations

from typing import Final

import msgspec

from providers.answers.body import JsonBody
from providers.answers.sniff import scanner_by_label
from providers.dialect import Family, Head, Operation, Refusal, Scanner, Target
from providers.document.look import Look, says
from providers.document.members import (
    ABSENT,
    decode_text,
    given,
    is_object,
    is_string,
    read_members,
    read_model,
    read_object,
)
from providers.document.splice import Edits
from providers.members.register import examine
from providers.openai import request as openai_request
from providers.openai.answer import COUNTED, RESPONSE, ResponsesStream, read_counted, read_response
from providers.openai.chat import FILE_ID
from providers.openai.weight import weigh_responses
from providers.output_limit import LEAST_OUTPUT, lower_or_state
from providers.steps import Steps
from providers.tools.selection import tools_in_list


class _Part(msgspec.Struct):
    file_id: msgspec.Raw = ABSENT


class _Item(msgspec.Struct):
    type: msgspec.Raw = ABSENT
    id: msgspec.Raw = ABSENT
    role: msgspec.Raw = ABSENT
    output: msgspec.Raw = ABSENT
    tools: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT


class _Tool(msgspec.Struct):
    container: msgspec.Raw = ABSENT
    environment: msgspec.Raw = ABSENT
    input_image_mask: msgspec.Raw = ABSENT


_TOOLS = Look(_Tool)
_ITEMS = Look(_Item)
_PARTS = Look(_Part)
_INCLUDE_BYTES: Final = 8_192
_INCLUDE = msgspec.json.Decoder(list[str])

_BACKGROUND: Final = (
    "A background response is kept at the provider until it is fetched: leave out background and stream."
)
_CONTAINER: Final = "Containers are kept at the provider: let the tool make its own (type auto)."
# A larger container costs up to 64 times as much: https://developers.openai.com/api/docs/pricing (containers)
_USUAL_MEMORY: Final = "1g"
_MEMORY: Final = "Containers of this size have no price here: leave out memory_limit, or set it to 1g."
_WITH_FILES: Final = frozenset(("openai_code_interpreter", "openai_shell", "openai_image_generation"))
_REFERENCE: Final = "Earlier items are not stored: resend the item itself instead of a reference to it."
_ENCRYPTED: Final = "reasoning.encrypted_content"


class Responses:
    """The `Wire` of one operation of the Responses API."""

    def __init__(self, operation: Operation, path: str, *, billed: bool, generates: bool) -> None:
        self.operation = operation
        self.billed = billed
        self._path = path
        # ``store``, ``stream`` and ``include`` belong to creating a response alone.
        self._generates = generates

    def read(self, body: bytes, path_model: str | None) -> Steps[Head]:
        members = yield from read_members(body)
        found = yield from examine(self.operation, members, body)
        if members.boolean("background"):
            raise Refusal("privacy_unsupported", _BACKGROUND, "background")
        tools = yield from tools_in_list(self.operation.family, members.raws.get("tools"))
        if tools & _WITH_FILES:
            yield from _refuse_tool_files(members.raws.get("tools"))
        for batch in _ITEMS.one_or_more(members.raws.get("input")):
            for item in batch:
                yield from _read_item(item, tools)
            yield
        return Head(
            model=read_model(members, path_model),
            stream=self._generates and members.boolean("stream"),
            output_limit=members.count("max_output_tokens") if self.billed else 0,
            least_output=LEAST_OUTPUT if self._generates else None,
            text_only="openai_image_generation" not in tools,
            most_calls=members.count("max_tool_calls"),
            server_tools=frozenset(tools),
            variant=openai_request.read_variant(members),
            members=members.spans,
            weight=(yield from weigh_responses(members, len(body))),
            found=found,
        )

    def splice(self, body: bytes, head: Head, target: Target) -> Steps[bytes]:
        edits = Edits(body, head.members)
        if self._generates and target.reasons and not edits.holds("store", b"false"):
            _include_reasoning(edits)
        yield from openai_request.edit_common(edits, head, target, stores=self._generates)
        if target.output_limit is not None and self._generates:
            limited(edits, target.output_limit)
        return (yield from edits.built())

    def path(self, model: str) -> str:  # noqa: ARG002 - the model is in the body
        return self._path

    def scanner(self, head: Head, *, sse: bool | None) -> Scanner:
        if not self.billed:
            return JsonBody(head, read_counted, COUNTED, generated=False)
        return scanner_by_label(
            sse, lambda: ResponsesStream(head), lambda: JsonBody(head, read_response, RESPONSE, generated=True)
        )


def limited(edits: Edits, tokens: int) -> None:
    """Lower the output limit. Reasoning counts against it, and the API rejects one below 16."""
    lower_or_state(edits, "max_output_tokens", tokens)


def _read_item(item: _Item, tools: set[str]) -> Steps[None]:
    if given(item.type):
        if says(item.type, "item_reference"):
            raise Refusal("privacy_unsupported", _REFERENCE, "input")
    elif given(item.id) and not given(item.role):  # the type of a reference may be left out
        raise Refusal("privacy_unsupported", _REFERENCE, "input")
    if len(item.tools):  # tools can also come with the conversation
        named = yield from tools_in_list(Family.OPENAI, item.tools)
        if named & _WITH_FILES:
            yield from _refuse_tool_files(item.tools)
        tools |= named
    for raw in (item.content, item.output):  # a computer's output is one object, a function's may be a list of parts
        if len(raw) and not is_string(raw):
            for parts in _PARTS.one_or_more(raw):
                if any(given(part.file_id) for part in parts):
                    raise Refusal("privacy_unsupported", FILE_ID, "input")
                yield


def _refuse_tool_files(tools: msgspec.Raw | None) -> Steps[None]:
    for batch in _TOOLS.batches(tools):
        for tool in batch:
            if decode_text(tool.container) is not None:
                raise Refusal("privacy_unsupported", _CONTAINER, "tools")
            for raw in (tool.container, tool.environment, tool.input_image_mask):
                named = read_object(bytes(raw)) if is_object(raw) else None
                if named is None:
                    continue
                if named.truthy("file_ids") or named.truthy("file_id"):
                    raise Refusal("privacy_unsupported", FILE_ID, "tools")
                if named.raw("memory_limit") is not None and named.text("memory_limit") != _USUAL_MEMORY:
                    raise Refusal("unsupported_feature", _MEMORY, "tools")
        yield


def _include_reasoning(edits: Edits) -> None:
    if "include" not in edits or edits.is_null("include"):
        edits.put("include", b'["%b"]' % _ENCRYPTED.encode())
        return
    value = edits.value("include") or b""
    if len(value) > _INCLUDE_BYTES:
        return  # no list that the provider takes
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
