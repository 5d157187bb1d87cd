"""Reads a Responses request into a conversation.

A tool of a namespace is named ``namespace__tool``, and a custom tool, whose argument is one text, has a member
``input``; `call_of` turns a call of either back into the client's form.

Earlier reasoning is carried with its encrypted content. References to data kept at the provider, and tools that run
there, are refused.

https://developers.openai.com/api/docs/api-reference/responses/create
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from providers.conversation.conversation import (
    Conversation,
    File,
    Image,
    Reasoning,
    RefusalText,
    Role,
    Sampling,
    Text,
    Tool,
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
from providers.openai.media import data_url, image_at
from providers.openai.tools import ONE_TEXT, effort_of, read_choice

_FORM: Final = "The request does not have the form of the Responses API."
_ITEM: Final = (
    "This kind of item can't be put into the form of the API that this model is served through: send messages with "
    "text, images and files as data URLs, calls of functions and of custom tools, and their outputs."
)
_FILE: Final = "Files and items kept at a provider are not served: send the file's data, and the items themselves."
_TOOL: Final = (
    "The model of this request is served through an API with functions and custom tools only: remove the others."
)
_MORE: Final = "The model of this request is served through another API, which does not have this: leave it out."
INCLUDED: Final = "message.output_text.logprobs"
"""What ``include`` asks for, so that the answer has the probabilities of its tokens."""
_ADDED: Final = "additional_tools"  # Codex puts all its tools into such an item
_TEXTS: Final = frozenset(("input_text", "output_text", "text", "refusal", "summary_text"))
_STORED: Final = ("previous_response_id", "conversation", "prompt")
_encode: Final = msgspec.json.Encoder().encode


class _Part(msgspec.Struct):
    type: str
    text: str = ""
    refusal: str = ""
    image_url: str | None = None
    detail: str = ""
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    prompt_cache_breakpoint: Any = None


_Content = str | list[_Part]


class _Tool(msgspec.Struct):
    type: str = ""
    name: str = ""
    description: str | None = None
    parameters: msgspec.Raw = ABSENT
    strict: bool | None = None
    format: msgspec.Raw = ABSENT
    tools: list[_Tool] | None = None


class _Item(msgspec.Struct):
    type: str = "message"
    role: str = ""
    content: _Content | None = None
    call_id: str | None = None  # null in calls of tools that run at the provider
    name: str | None = None
    namespace: str | None = None
    arguments: Any = ""  # an object in calls of tools that run at the provider
    input: str = ""
    output: _Content | None = None
    id: str | None = None
    summary: list[_Part] | None = None
    encrypted_content: str | None = None
    tools: list[_Tool] | None = None


class _Choice(msgspec.Struct):
    type: str = ""
    name: str = ""
    mode: str = "auto"
    tools: list[_Tool] | None = None


class _Format(msgspec.Struct):
    type: str = "text"
    name: str = ""
    schema: msgspec.Raw = ABSENT
    strict: bool | None = None


class _Wording(msgspec.Struct):
    format: _Format | None = None
    verbosity: str | None = None


class _Thinking(msgspec.Struct):
    effort: str | None = None
    summary: str | None = None


class _Request(msgspec.Struct):
    input: str | list[_Item] = ""
    instructions: str | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | _Choice | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    text: _Wording | None = None
    reasoning: _Thinking | None = None
    top_logprobs: int | None = None
    include: list[str] | None = None
    prompt_cache_key: Any = None
    previous_response_id: Any = None
    conversation: Any = None
    prompt: Any = None
    background: bool | None = None
    stream: bool | None = None


_DECODER: Final = msgspec.json.Decoder(_Request)


def read_conversation(body: bytes) -> Conversation:
    """The conversation that a Responses request holds, as a local engine takes it.

    Raises:
        Refusal: ``invalid_request`` for another form, ``unsupported_feature`` for what has no place in chat.
    """
    return for_engine(read_request(body), "input")


def read_request(body: bytes) -> Conversation:
    """The conversation that a Responses request holds.

    Raises:
        Refusal: ``invalid_request`` for another form, ``privacy_unsupported`` for what is kept at the provider,
            ``unsupported_feature`` for what has no place in the hub.
    """
    return read_form(_DECODER, body, _FORM, _conversation)


def _conversation(request: _Request) -> Conversation:
    for name in _STORED:
        if getattr(request, name) is not None:
            raise Refusal("privacy_unsupported", _FILE, name)
    if request.background:
        raise Refusal("privacy_unsupported", _MORE, "background")
    items = [_Item(role="user", content=request.input)] if isinstance(request.input, str) else request.input
    wording = request.text or _Wording()
    form = wording.format or _Format()
    thinking = request.reasoning or _Thinking()
    added = [tool for item in items if item.type == _ADDED for tool in item.tools or ()]
    tools = tuple(_tools([*(request.tools or ()), *added]))
    use, tool, tools = _choice(request.tool_choice, tools)
    system, turns = gathered(request.instructions or "", (turn for item in items for turn in _turn(item)))
    return Conversation(
        turns=turns,
        system=system,
        tools=tools,
        use=use,
        tool=tool,
        parallel=request.parallel_tool_calls,
        sampling=Sampling(
            max_tokens=request.max_output_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            probabilities=request.top_logprobs or (0 if INCLUDED in (request.include or ()) else None),
        ),
        json=form.type in {"json_schema", "json_object"},
        schema=bytes(form.schema) if form.type == "json_schema" and given(form.schema) else b"",
        schema_name=form.name,
        schema_strict=form.strict,
        reasoning=thinking.summary not in {None, "none"},
        effort=effort_of(thinking.effort),
        verbosity=wording.verbosity or "",
        cache=request.prompt_cache_key is not None or any(map(_marked, items)),
        stream=bool(request.stream),
    )


def _marked(item: _Item) -> bool:
    return isinstance(item.content, list) and any(part.prompt_cache_breakpoint for part in item.content)


def call_of(tools: Sequence[Tool], name: str) -> tuple[str, str, bool]:
    """The namespace (or nothing), the name and whether it is a custom tool, of a tool that the model calls."""
    for tool in tools:
        if tool.name == name:
            return tool.namespace, name.removeprefix(f"{tool.namespace}__") if tool.namespace else name, tool.one_text
    return "", name, False


def _turn(item: _Item) -> Iterable[Turn]:
    match item.type:
        case "message" if item.role in {"system", "developer"}:
            yield Turn(Role.SYSTEM, tuple(part for part in _parts(item.content) if isinstance(part, Text)))
        case "message" if item.role in {"user", "assistant"}:
            yield Turn(Role(item.role), tuple(_parts(item.content)))
        case "function_call":
            yield Turn(
                Role.ASSISTANT, (ToolUse(item.call_id or "", _name(item), str(item.arguments).encode() or b"{}"),)
            )
        case "custom_tool_call":
            yield Turn(Role.ASSISTANT, (ToolUse(item.call_id or "", _name(item), _encode({"input": item.input})),))
        case "function_call_output" | "custom_tool_call_output":
            yield Turn(Role.USER, (result_of(item.call_id or "", _parts(item.output)),))
        case "reasoning":
            yield from _thought(item)
        case "additional_tools":
            return
        case "message":
            raise Refusal("invalid_request", "A message's role is user, assistant, system or developer.", "input")
        case _:
            raise Refusal("unsupported_feature", _ITEM, "input")


def _thought(item: _Item) -> Iterable[Turn]:
    content = item.content if isinstance(item.content, list) else []
    text = "\n\n".join(part.text for part in (item.summary or content) if part.text)
    seal = None
    if item.encrypted_content:
        seal = opened(Family.OPENAI, item.encrypted_content, identity=item.id or "")
    if text or seal is not None:
        yield Turn(Role.ASSISTANT, (Reasoning(text, seal),))


def _name(item: _Item) -> str:
    name = item.name or ""
    return f"{item.namespace}__{name}" if item.namespace else name


def _parts(content: _Content | None) -> Iterable[Text | RefusalText | Image | File]:
    if content is None or isinstance(content, str):
        yield Text(content or "")
        return
    for part in content:
        if part.type == "refusal":
            yield RefusalText(part.refusal)
        elif part.type in _TEXTS:
            yield Text(part.text)
        elif part.file_id is not None:
            raise Refusal("unsupported_feature", _FILE, "input")
        elif part.type == "input_file" and part.file_url is not None:
            yield File("", url=part.file_url, name=part.filename or "")
        elif part.type == "input_file":
            media_type, data = data_url(part.file_data or "") or ("application/pdf", part.file_data or "")
            yield File(media_type, data, name=part.filename or "")
        elif part.type == "input_image" and part.image_url is not None:
            yield image_at(part.image_url, part.detail)
        else:
            raise Refusal("unsupported_feature", _ITEM, "input")


def _tools(tools: Iterable[_Tool], namespace: str = "") -> Iterable[Tool]:
    for tool in tools:
        name = f"{namespace}__{tool.name}" if namespace else tool.name
        if tool.type == "namespace" and not namespace:
            yield from _tools(tool.tools or (), tool.name)
        elif tool.type == "function" and tool.name:
            parameters = bytes(tool.parameters) if given(tool.parameters) else b""
            yield Tool(name, tool.description or "", parameters, namespace, strict=tool.strict)
        elif tool.type == "custom" and tool.name:
            form = bytes(tool.format) if given(tool.format) else b""
            yield Tool(name, tool.description or "", ONE_TEXT, namespace, one_text=True, grammar=form)
        else:
            raise Refusal("unsupported_feature", _TOOL, "tools")


def _choice(choice: str | _Choice | None, tools: tuple[Tool, ...]) -> tuple[Use | None, str, tuple[Tool, ...]]:
    if choice is None or isinstance(choice, str):
        return read_choice(tools, choice)
    if choice.type == "allowed_tools":
        return read_choice(tools, choice.mode, allowed={tool.name for tool in choice.tools or ()})
    return read_choice(tools, named=choice.name if choice.type in {"function", "custom"} else "")
