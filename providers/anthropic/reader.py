"""Reads a Messages request into a conversation.

Removed, because a chat request has no place for them: ``cache_control``, ``metadata``, citations
settings, earlier ``thinking`` blocks (they are of use to the model that signed them) and the mark
that a tool's result is an error (its text says so). Everything else that can't be told is refused.

https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from typing import Final

import msgspec

from providers.conversation.conversation import (
    Conversation,
    Image,
    Part,
    Role,
    Sampling,
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    Use,
)
from providers.dialect import Refusal
from providers.document.members import ABSENT, given

_FORM: Final = "The request does not have the form of the Messages API."
_BLOCK: Final = (
    "This engine has no Messages API of its own, and this kind of block can't be put into chat form: send text, "
    "images as base64, tool calls and tool results."
)
_TOOL: Final = "This engine has no Messages API of its own: define the tool with a name and an input_schema."
_REMOTE: Final = "In local mode nothing is fetched from the network: send the data as base64."


class _Source(msgspec.Struct):
    type: str
    media_type: str = ""
    data: str = ""


class _Block(msgspec.Struct):
    type: str
    text: str = ""
    source: _Source | str | None = None  # a search result's is a string
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")
    tool_use_id: str = ""
    content: str | list[_Block] | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Block]


class _Tool(msgspec.Struct):
    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: msgspec.Raw = ABSENT


class _Choice(msgspec.Struct):
    type: str
    name: str = ""
    disable_parallel_tool_use: bool | None = None


class _Thinking(msgspec.Struct):
    type: str
    display: str | None = None


class _Format(msgspec.Struct):
    type: str
    schema: msgspec.Raw = ABSENT


class _Output(msgspec.Struct):
    format: _Format | None = None


class _Request(msgspec.Struct):
    messages: list[_Message]
    system: str | list[_Block] | None = None
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    thinking: _Thinking | None = None
    output_config: _Output | None = None
    output_format: _Format | None = None
    stream: bool | None = None


_DECODER = msgspec.json.Decoder(_Request)
_USES: Final = {"auto": Use.AUTO, "any": Use.REQUIRED, "tool": Use.REQUIRED, "none": Use.NONE}


def read_conversation(body: bytes) -> Conversation:
    """The conversation that a Messages request holds.

    Raises:
        Refusal: ``invalid_request`` for another form, ``unsupported_feature`` for what has no place in chat.
    """
    try:
        request = _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Refusal("invalid_request", _FORM) from None
    choice = request.tool_choice
    if choice is not None and choice.type not in _USES:
        raise Refusal("invalid_request", "The tool choice is auto, any, tool or none.", "tool_choice")
    form = (request.output_config.format if request.output_config else None) or request.output_format
    return Conversation(
        turns=tuple(_turn(message) for message in request.messages),
        system=_plain(request.system, "system"),
        tools=tuple(_tool(tool) for tool in request.tools or ()),
        use=None if choice is None else _USES[choice.type],
        tool=choice.name if choice is not None and choice.type == "tool" else "",
        parallel=None
        if choice is None or choice.disable_parallel_tool_use is None
        else not choice.disable_parallel_tool_use,
        sampling=Sampling(
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            top_k=request.top_k,
            stop=tuple(request.stop_sequences or ()),
        ),
        json=form is not None,
        schema=bytes(form.schema) if form is not None and given(form.schema) else b"",
        reasoning=request.thinking is not None
        and request.thinking.type in {"enabled", "adaptive"}
        and request.thinking.display != "omitted",
        stream=bool(request.stream),
    )


def _turn(message: _Message) -> Turn:
    if message.role not in {"user", "assistant"}:
        raise Refusal("invalid_request", "A message's role is user or assistant.", "messages")
    role = Role(message.role)
    if isinstance(message.content, str):
        return Turn(role, (Text(message.content),))
    return Turn(role, tuple(part for block in message.content for part in _parts(block, role)))


def _parts(block: _Block, role: Role) -> tuple[Part, ...]:
    match block.type:
        case "text":
            return (Text(block.text),)
        case "image" | "document" if role is Role.USER:
            return (_attachment(block),)
        case "tool_use" if role is Role.ASSISTANT:
            return (ToolUse(block.id, block.name, bytes(block.input)),)
        case "tool_result" if role is Role.USER:
            return (_result(block),)
        case "thinking" | "redacted_thinking" if role is Role.ASSISTANT:
            return ()
    raise Refusal("unsupported_feature", _BLOCK, "messages")


def _attachment(block: _Block) -> Text | Image:
    source = block.source
    if isinstance(source, str) or source is None:
        raise Refusal("unsupported_feature", _BLOCK, "messages")
    if source.type == "base64" and block.type == "image":
        return Image(source.media_type, source.data)
    if source.type == "text" and block.type == "document":
        return Text(source.data)
    if source.type == "url":
        raise Refusal("unsupported_feature", _REMOTE, "messages")
    raise Refusal("unsupported_feature", _BLOCK, "messages")


def _result(block: _Block) -> ToolResult:
    if block.content is None or isinstance(block.content, str):
        return ToolResult(block.tool_use_id, block.content or "")
    texts: list[str] = []
    images: list[Image] = []
    for inner in block.content:
        if inner.type not in {"text", "image", "document"}:
            raise Refusal("unsupported_feature", _BLOCK, "messages")
        part = Text(inner.text) if inner.type == "text" else _attachment(inner)
        if isinstance(part, Text):
            texts.append(part.text)
        else:
            images.append(part)
    return ToolResult(block.tool_use_id, "\n\n".join(texts), tuple(images))


def _plain(content: str | list[_Block] | None, name: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if any(block.type != "text" for block in content):
        raise Refusal("unsupported_feature", _BLOCK, name)
    return "\n\n".join(block.text for block in content)


def _tool(tool: _Tool) -> Tool:
    if tool.type not in {None, "custom"} or not given(tool.input_schema) or not tool.name:
        raise Refusal("unsupported_feature", _TOOL, "tools")
    return Tool(tool.name, tool.description or "", bytes(tool.input_schema))
