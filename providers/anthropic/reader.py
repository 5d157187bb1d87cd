"""Reads a Messages request into a conversation.

Consecutive turns of one role are joined, as the API itself does. A document that is text, and the result of a
search, become text after their title and context. Claude Code's attribution is left out
(`providers.anthropic.attribution`).

``metadata`` and the setting for citations are left out, because other dialects do not have them. Any other feature that
the hub does not have is refused.

https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from providers.anthropic.attribution import without_attribution
from providers.conversation.conversation import (
    Conversation,
    Effort,
    File,
    Image,
    Part,
    Reasoning,
    Role,
    Sampling,
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    Use,
    gathered,
    result_of,
)
from providers.conversation.engine import for_engine
from providers.conversation.envelope import opened
from providers.conversation.reading import read_form
from providers.dialect import Family, Refusal
from providers.document.members import ABSENT, given

_FORM: Final = "The request does not have the form of the Messages API."
_BLOCK: Final = (
    "The model of this request is served through another API, and this kind of block can't be put into its form: send "
    "text, images and documents as data, tool calls and tool results, and leave other blocks out of the messages."
)
_TOOL: Final = (
    "The model of this request is served through another API: define the tool with a name and an input_schema."
)


class _Source(msgspec.Struct):
    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""
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
    content: str | list[_Block] | dict[str, Any] | None = None  # an object in results of the provider's tools
    is_error: bool | None = None
    thinking: str = ""
    signature: str | None = None
    data: str = ""
    cache_control: Any = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Block]


class _Tool(msgspec.Struct):
    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: msgspec.Raw = ABSENT
    strict: bool | None = None
    cache_control: Any = None


class _Choice(msgspec.Struct):
    type: str
    name: str = ""
    disable_parallel_tool_use: bool | None = None


class _Thinking(msgspec.Struct):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


class _Format(msgspec.Struct):
    type: str
    schema: msgspec.Raw = ABSENT


class _Output(msgspec.Struct):
    format: _Format | None = None
    effort: str | None = None


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
    cache_control: Any = None


_DECODER = msgspec.json.Decoder(_Request)
_EFFORTS: Final = {effort.value: effort for effort in Effort}
_USES: Final = {"auto": Use.AUTO, "any": Use.REQUIRED, "tool": Use.REQUIRED, "none": Use.NONE}


def read_conversation(body: bytes) -> Conversation:
    """The conversation that a Messages request holds, as a local engine takes it.

    Raises:
        Refusal: ``invalid_request`` for another form, ``unsupported_feature`` for what has no place in chat.
    """
    return for_engine(read_request(body), "messages")


def read_request(body: bytes) -> Conversation:
    """The conversation that a Messages request holds.

    Raises:
        Refusal: ``invalid_request`` for another form, ``unsupported_feature`` for what has no place in the hub.
    """
    return read_form(_DECODER, body, _FORM, _conversation)


def _conversation(request: _Request) -> Conversation:
    choice = request.tool_choice
    if choice is not None and choice.type not in _USES:
        raise Refusal("invalid_request", "The tool choice is auto, any, tool or none.", "tool_choice")
    if choice is not None and choice.type == "tool" and all(tool.name != choice.name for tool in request.tools or ()):
        raise Refusal("invalid_request", "The tool choice names a tool that is not in tools: add it.", "tool_choice")
    config = request.output_config or _Output()
    form = config.format or request.output_format
    thinking = request.thinking
    system, turns = gathered(_plain(request.system), map(_turn, request.messages))
    return Conversation(
        turns=turns,
        system=system,
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
        reasoning=thinking is not None and thinking.type in {"enabled", "adaptive"} and thinking.display != "omitted",
        effort=_effort(thinking, config.effort),
        budget=thinking.budget_tokens if thinking is not None and thinking.type == "enabled" else None,
        cache=request.cache_control is not None or _marked(request),
        stream=bool(request.stream),
    )


def _effort(thinking: _Thinking | None, named: str | None) -> Effort | None:
    """Adaptive thinking has a high effort, unless the request states another one."""
    if thinking is not None and thinking.type == "disabled":
        return Effort.NONE
    default = Effort.HIGH if thinking is not None and thinking.type == "adaptive" else None
    return _EFFORTS.get(named, default) if named is not None else default


def _marked(request: _Request) -> bool:
    contents = [request.system, *(message.content for message in request.messages)]
    blocks: Iterable[_Block | _Tool] = (block for one in contents if isinstance(one, list) for block in one)
    return any(one.cache_control is not None for one in (*blocks, *(request.tools or ())))


def _turn(message: _Message) -> Turn:
    if message.role == Role.SYSTEM:
        return Turn(Role.SYSTEM, (Text(_plain(message.content)),))
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
        case "thinking" if role is Role.ASSISTANT:
            return (Reasoning(block.thinking, opened(Family.ANTHROPIC, block.signature) if block.signature else None),)
        case "redacted_thinking" if role is Role.ASSISTANT:
            return (Reasoning("", opened(Family.ANTHROPIC, block.data, redacted=True)),)
    raise Refusal("unsupported_feature", _BLOCK, "messages")


def _attachment(block: _Block) -> tuple[Text | Image | File, ...]:
    """The content of a block with an attachment. Raises `Refusal`."""
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
        case "image", _Source(type="url", url=url) if url:
            return (Image("", "", url),)
        case "document", _Source(type="base64", media_type=media_type, data=data):
            return (*_titled(block, "", None, named=False), File(media_type, data, name=block.title or ""))
        case "document", _Source(type="url", url=url) if url:
            return (*_titled(block, "", None, named=False), File("", url=url, name=block.title or ""))
    raise Refusal("unsupported_feature", _BLOCK, "messages")


def _titled(
    block: _Block, address: str, content: str | list[_Block] | dict[str, Any] | None, *, named: bool = True
) -> tuple[Text | Image | File, ...]:
    """What a document holds, after what is said of it; a file is ``named`` by itself."""
    said = "\n".join(filter(None, (block.title if named else None, address, block.context)))
    held = (Text(content),) if isinstance(content, str) else _each(content)
    return (Text(said), *held) if said else held


def _each(content: list[_Block] | dict[str, Any] | None) -> tuple[Text | Image | File, ...]:
    if isinstance(content, dict):
        raise Refusal("unsupported_feature", _BLOCK, "messages")
    return tuple(part for inner in content or () for part in _attachment(inner))


def _result(block: _Block) -> ToolResult:
    failed = bool(block.is_error)
    if block.content is None or isinstance(block.content, str):
        return ToolResult(block.tool_use_id, block.content or "", failed=failed)
    return result_of(block.tool_use_id, _each(block.content), failed=failed)


def _plain(content: str | list[_Block] | None) -> str:
    texts = [content or ""] if content is None or isinstance(content, str) else [_said(block) for block in content]
    return "\n\n".join(filter(None, map(without_attribution, texts)))


def _said(block: _Block) -> str:
    if block.type != "text":
        raise Refusal("unsupported_feature", _BLOCK, "system")
    return block.text


def _tool(tool: _Tool) -> Tool:
    if tool.type not in {None, "custom"} or not given(tool.input_schema) or not tool.name:
        raise Refusal("unsupported_feature", _TOOL, "tools")
    return Tool(tool.name, tool.description or "", bytes(tool.input_schema), strict=tool.strict)
