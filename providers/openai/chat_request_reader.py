"""Reads a Chat Completions request into a conversation.

The roles ``system`` and ``developer`` are one role in the hub. Earlier reasoning is read from
``reasoning_details`` (`providers.openai.reasoning_details`), or from ``reasoning_content`` and ``reasoning`` of hosts
that write it there. Features that the hub does not have are refused: audio output, legacy functions,
and tools that run at the provider.

https://developers.openai.com/api/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from providers.conversation.conversation import (
    Conversation,
    Effort,
    File,
    Image,
    Part,
    Reasoning,
    ReasoningDelta,
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
from providers.conversation.reading import read_form
from providers.dialect import Refusal
from providers.document.members import ABSENT, given
from providers.openai.media import audio_type, data_url, image_at
from providers.openai.reasoning_details import read_details
from providers.openai.tools import ONE_TEXT, effort_of, read_choice

_FORM: Final = "The request does not have the form of Chat Completions."
_PART: Final = "This kind of part has no place in the API of this model: send text, images, sound and files as data."
_TOOL: Final = "The model of this request is served through another API, which has functions and custom tools only."
_MORE: Final = "The model of this request is served through another API, which does not have this: leave it out."
_FILE: Final = "Files kept at a provider are not served: send the file's data."
_REFUSED: Final = ("web_search_options", "functions", "function_call", "audio")
_encode: Final = msgspec.json.Encoder().encode


class _Url(msgspec.Struct):
    url: str = ""
    detail: str = ""


class _Audio(msgspec.Struct):
    data: str = ""
    format: str = ""


class _File(msgspec.Struct):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class _Part(msgspec.Struct):
    type: str
    text: str = ""
    refusal: str = ""
    image_url: _Url | str | None = None
    input_audio: _Audio | None = None
    file: _File | None = None
    prompt_cache_breakpoint: Any = None


class _Function(msgspec.Struct):
    name: str = ""
    arguments: str | None = None
    description: str | None = None
    parameters: msgspec.Raw = ABSENT
    strict: bool | None = None


class _Custom(msgspec.Struct):
    name: str = ""
    input: str = ""
    description: str | None = None
    format: msgspec.Raw = ABSENT


class _Call(msgspec.Struct):
    id: str = ""
    function: _Function | None = None
    custom: _Custom | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str = ""
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None


class _Tool(msgspec.Struct):
    type: str = "function"
    function: _Function | None = None
    custom: _Custom | None = None


class _Allowed(msgspec.Struct):
    mode: str = "auto"
    tools: list[_Tool] | None = None


class _Choice(msgspec.Struct):
    type: str = ""
    function: _Function | None = None
    custom: _Custom | None = None
    allowed_tools: _Allowed | None = None


class _Schema(msgspec.Struct):
    name: str = ""
    schema: msgspec.Raw = ABSENT
    strict: bool | None = None


class _Format(msgspec.Struct):
    type: str = "text"
    json_schema: _Schema | None = None


class _Request(msgspec.Struct):
    messages: list[_Message]
    tools: list[_Tool] | None = None
    tool_choice: str | _Choice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: str | list[str] | None = None
    response_format: _Format | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    prompt_cache_key: Any = None
    stream: bool | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    modalities: list[str] | None = None
    web_search_options: Any = None
    functions: Any = None
    function_call: Any = None
    audio: Any = None


_DECODER: Final = msgspec.json.Decoder(_Request)


def read_request(body: bytes) -> Conversation:
    """The conversation that a Chat Completions request holds.

    Raises:
        Refusal: ``invalid_request`` for another form, ``unsupported_feature`` for what has no place in the hub.
    """
    return read_form(_DECODER, body, _FORM, _conversation)


def _conversation(request: _Request) -> Conversation:
    for name in _REFUSED:
        if getattr(request, name) is not None:
            raise Refusal("unsupported_feature", _MORE, name)
    if request.modalities is not None and any(kind != "text" for kind in request.modalities):
        raise Refusal("unsupported_feature", _MORE, "modalities")
    tools = tuple(_tool(tool) for tool in request.tools or ())
    use, tool, tools = _choice(request.tool_choice, tools)
    system, turns = gathered("", (_turn(message) for message in request.messages))
    form = request.response_format or _Format()
    schema = form.json_schema or _Schema()
    effort = effort_of(request.reasoning_effort)
    return Conversation(
        turns=turns,
        system=system,
        tools=tools,
        use=use,
        tool=tool,
        parallel=request.parallel_tool_calls,
        sampling=Sampling(
            max_tokens=request.max_tokens if request.max_completion_tokens is None else request.max_completion_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            top_k=request.top_k,
            seed=request.seed,
            presence_penalty=request.presence_penalty,
            frequency_penalty=request.frequency_penalty,
            stop=(request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ()),
            probabilities=(request.top_logprobs or 0) if request.logprobs else None,
        ),
        json=form.type in {"json_object", "json_schema"},
        schema=bytes(schema.schema) if given(schema.schema) else b"",
        schema_name=schema.name,
        schema_strict=schema.strict,
        reasoning=effort not in {None, Effort.NONE},  # there is no member that asks for thoughts alone
        effort=effort,
        verbosity=request.verbosity or "",
        cache=request.prompt_cache_key is not None or any(map(_marked, request.messages)),
        choices=max(request.n or 1, 1),
        stream=bool(request.stream),
    )


def _marked(message: _Message) -> bool:
    return isinstance(message.content, list) and any(part.prompt_cache_breakpoint for part in message.content)


def _turn(message: _Message) -> Turn:
    match message.role:
        case "system" | "developer":
            return Turn(Role.SYSTEM, tuple(part for part in _parts(message) if isinstance(part, Text)))
        case "user":
            return Turn(Role.USER, tuple(_parts(message)))
        case "assistant":
            return Turn(Role.ASSISTANT, tuple(_said(message)))
        case "tool":
            return Turn(Role.USER, (result_of(message.tool_call_id, _parts(message)),))
    raise Refusal("invalid_request", "A message's role is system, developer, user, assistant or tool.", "messages")


def _said(message: _Message) -> Iterator[Part]:
    details = list(read_details(message.reasoning_details))
    thought = message.reasoning_content or message.reasoning
    texts: list[str] = [thought] if isinstance(thought, str) and thought else []
    if any(isinstance(event, ReasoningDelta) for event in details):  # they repeat it
        texts = []
    for event in details:
        if isinstance(event, ReasoningDelta):
            texts.append(event.text)
        else:
            yield Reasoning("".join(texts), event.seal)
            texts.clear()
    if texts:
        yield Reasoning("".join(texts))
    yield from _parts(message)
    if message.refusal:
        yield RefusalText(message.refusal)
    for call in message.tool_calls or ():
        if call.custom is not None:
            yield ToolUse(call.id, call.custom.name, _encode({"input": call.custom.input}))
        else:
            function = call.function or _Function()
            yield ToolUse(call.id, function.name, (function.arguments or "").encode() or b"{}")


def _parts(message: _Message) -> Iterator[Text | RefusalText | Image | File]:
    if isinstance(message.content, str):
        if message.content or message.role != "assistant":
            yield Text(message.content)
        return
    for part in message.content or ():
        match part.type:
            case "text":
                yield Text(part.text)
            case "refusal":
                yield RefusalText(part.refusal)
            case "image_url" if part.image_url is not None:
                named = part.image_url if isinstance(part.image_url, _Url) else _Url(part.image_url)
                yield image_at(named.url, named.detail)
            case "input_audio" if part.input_audio is not None:
                yield File(audio_type(part.input_audio.format), part.input_audio.data)
            case "file" if part.file is not None and part.file.file_data:
                media_type, data = data_url(part.file.file_data) or ("application/pdf", part.file.file_data)
                yield File(media_type, data, name=part.file.filename or "")
            case "file":
                raise Refusal("privacy_unsupported", _FILE, "messages")
            case _:
                raise Refusal("unsupported_feature", _PART, "messages")


def _tool(tool: _Tool) -> Tool:
    if tool.type == "custom" and tool.custom is not None and tool.custom.name:
        form = bytes(tool.custom.format) if given(tool.custom.format) else b""
        return Tool(tool.custom.name, tool.custom.description or "", ONE_TEXT, one_text=True, grammar=form)
    function = tool.function
    if tool.type != "function" or function is None or not function.name:
        raise Refusal("unsupported_feature", _TOOL, "tools")
    parameters = bytes(function.parameters) if given(function.parameters) else b""
    return Tool(function.name, function.description or "", parameters, strict=function.strict)


def _choice(choice: str | _Choice | None, tools: tuple[Tool, ...]) -> tuple[Use | None, str, tuple[Tool, ...]]:
    if choice is None or isinstance(choice, str):
        return read_choice(tools, choice)
    if choice.allowed_tools is not None:
        allowed = {_name(tool) for tool in choice.allowed_tools.tools or ()}
        return read_choice(tools, choice.allowed_tools.mode, allowed=allowed)
    return read_choice(tools, named=_name(choice))


def _name(tool: _Tool | _Choice) -> str:
    named = tool.custom or tool.function
    return named.name if named is not None else ""
