"""Reads a Messages request into a conversation.

System messages among the others join the system prompt in their order: chat templates of many models take one system
message, at the start. Turns of one role that follow each other become one, as the API itself combines them, since
templates demand that roles alternate.

Left out, because a chat request has no place for them: ``cache_control``, ``metadata``, citations
settings, earlier ``thinking`` blocks (they are of use to the model that signed them) and the mark
that a tool's result is an error (its text says so). A document that is no text is replaced by a sentence that says so
(`providers.conversation.conversation.OMITTED`). Everything else that can't be told is refused.

https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from typing import Final

import msgspec

from providers.conversation.conversation import (
    OMITTED,
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
    combined,
)
from providers.dialect import Refusal
from providers.document.members import ABSENT, given

_FORM: Final = "The request does not have the form of the Messages API."
_BLOCK: Final = (
    "This engine has no Messages API of its own, and this kind of block can't be put into chat form: send text, "
    "images and documents as data, tool calls and tool results, and leave other blocks out of the messages."
)
_TOOL: Final = "This engine has no Messages API of its own: define the tool with a name and an input_schema."
_REMOTE: Final = "In local mode nothing is fetched from the network: send the data as base64."


class _Source(msgspec.Struct):
    type: str
    media_type: str = ""
    data: str = ""
    content: str | list[_Block] | None = None


class _Block(msgspec.Struct):
    type: str
    text: str = ""
    title: str | None = None
    context: str | None = None
    tool_name: str = ""
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
_SYSTEM: Final = "system"
_USES: Final = {"auto": Use.AUTO, "any": Use.REQUIRED, "tool": Use.REQUIRED, "none": Use.NONE}


def read_conversation(body: bytes) -> Conversation:
    """The conversation that a Messages request holds.

    Raises:
        Refusal: ``invalid_request`` for another form, ``unsupported_feature`` for what has no place in chat.
    """
    try:
        return _conversation(_DECODER.decode(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Refusal("invalid_request", _FORM) from None


def _conversation(request: _Request) -> Conversation:
    choice = request.tool_choice
    if choice is not None and choice.type not in _USES:
        raise Refusal("invalid_request", "The tool choice is auto, any, tool or none.", "tool_choice")
    if choice is not None and choice.type == "tool" and all(tool.name != choice.name for tool in request.tools or ()):
        raise Refusal("invalid_request", "The tool choice names a tool that is not in tools: add it.", "tool_choice")
    system = [message for message in request.messages if message.role == _SYSTEM]
    form = (request.output_config.format if request.output_config else None) or request.output_format
    return Conversation(
        turns=combined(_turn(message) for message in request.messages if message.role != _SYSTEM),
        system="\n\n".join(
            filter(None, (_plain(request.system, "system"), *(_plain(each.content, "messages") for each in system)))
        ),
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
        raise Refusal("invalid_request", "A message's role is user, assistant or system.", "messages")
    role = Role(message.role)
    if isinstance(message.content, str):
        return Turn(role, (Text(message.content),))
    return Turn(role, tuple(part for block in message.content for part in _parts(block, role)))


def _parts(block: _Block, role: Role) -> tuple[Part, ...]:
    match block.type:
        case "text":
            return (Text(block.text),)
        case "image" | "document" | "search_result" if role is Role.USER:
            return _attachment(block)
        case "tool_use" if role is Role.ASSISTANT:
            return (ToolUse(block.id, block.name, bytes(block.input)),)
        case "tool_result" if role is Role.USER:
            return (_result(block),)
        case "thinking" | "redacted_thinking" if role is Role.ASSISTANT:
            return ()
    raise Refusal("unsupported_feature", _BLOCK, "messages")


def _attachment(block: _Block) -> tuple[Text | Image, ...]:
    """What a block that carries something with it holds. Raises `Refusal`."""
    match block.type, block.source:
        case "text", _:
            return (Text(block.text),)
        case "tool_reference", _:
            return (Text(f"Tool: {block.tool_name}"),)
        case "search_result", str(address):
            return _titled(block, address, block.content)
        case "image", _Source(type="base64", media_type=media_type, data=data):
            return (Image(media_type, data),)
        case "document", _Source(type="text", data=data):
            return _titled(block, "", data)
        case "document", _Source(type="content", content=content):
            return _titled(block, "", content)
        case "document", _Source(type="base64"):
            return _titled(block, "", OMITTED)
        case _, _Source(type="url"):
            raise Refusal("unsupported_feature", _REMOTE, "messages")
    raise Refusal("unsupported_feature", _BLOCK, "messages")


def _titled(block: _Block, address: str, content: str | list[_Block] | None) -> tuple[Text | Image, ...]:
    """What a document holds, after what is said of it."""
    said = "\n".join(filter(None, (block.title, address, block.context)))
    held = (Text(content),) if isinstance(content, str) else _each(content)
    return (Text(said), *held) if said else held


def _each(content: list[_Block] | None) -> tuple[Text | Image, ...]:
    return tuple(part for inner in content or () for part in _attachment(inner))


def _result(block: _Block) -> ToolResult:
    if block.content is None or isinstance(block.content, str):
        return ToolResult(block.tool_use_id, block.content or "")
    parts = _each(block.content)
    texts = [part.text for part in parts if isinstance(part, Text)]
    images = tuple(part for part in parts if isinstance(part, Image))
    return ToolResult(block.tool_use_id, "\n\n".join(texts), images)


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
