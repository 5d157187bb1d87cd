"""The members that the installed SDKs know, read from their types."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

import pydantic
from anthropic.types import AnthropicBetaParam
from anthropic.types import message_count_tokens_params as counted
from anthropic.types import message_create_params as messages
from anthropic.types.beta import message_count_tokens_params as beta_counted
from anthropic.types.beta import message_create_params as beta_messages
from google.genai import types as google
from openai.types import completion_create_params as completions
from openai.types import embedding_create_params as embeddings
from openai.types.beta import response_create_params as beta_responses
from openai.types.chat import completion_create_params as chat
from openai.types.responses import input_token_count_params as input_tokens
from openai.types.responses import response_compact_params as compact
from openai.types.responses import response_create_params as responses
from typing_extensions import get_type_hints, is_typeddict

from providers.dialect import Operation

ROOTS: dict[Operation, tuple[Any, ...]] = {
    Operation.OPENAI_CHAT: (chat.CompletionCreateParams,),
    Operation.OPENAI_COMPLETIONS: (completions.CompletionCreateParams,),
    Operation.OPENAI_EMBEDDINGS: (embeddings.EmbeddingCreateParams,),
    Operation.OPENAI_RESPONSES: (responses.ResponseCreateParams, beta_responses.ResponseCreateParams),
    Operation.OPENAI_COMPACT: (compact.ResponseCompactParams,),
    Operation.OPENAI_INPUT_TOKENS: (input_tokens.InputTokenCountParams,),
    Operation.ANTHROPIC_MESSAGES: (messages.MessageCreateParams, beta_messages.MessageCreateParams),
    Operation.ANTHROPIC_COUNT_TOKENS: (counted.MessageCountTokensParams, beta_counted.MessageCountTokensParams),
    Operation.GEMINI_GENERATE: (google.GenerateContentConfig, google.GenerationConfig),
    Operation.GEMINI_COUNT_TOKENS: (google.CountTokensConfig,),
    Operation.GEMINI_EMBED: (google.EmbedContentConfig,),
}
"""The types of each operation's request. Of the Gemini SDK, whose types are no bodies, those that hold their members."""


class SdkMember(NamedTuple):
    """A member as its SDK declares it: of which type, and whether that is the request itself."""

    operation: Operation
    type: str
    name: str
    top: bool


def members_of(operation: Operation) -> Iterator[SdkMember]:
    """Every member that a request of an operation can have, at any depth."""
    roots = [found for root in ROOTS[operation] for found in _structures(root)]
    seen: set[Any] = set()
    todo = list(roots)
    while todo:
        structure = todo.pop()
        if structure in seen:
            continue
        seen.add(structure)
        for name, hint in _hints(structure).items():
            yield SdkMember(operation, structure.__name__, name, structure in roots)
            todo += _structures(hint)


def leading_to(names: frozenset[str], *roots: Any) -> set[str]:
    """The members through which a request of these types can hold a member with one of the names, at any depth."""
    inner: dict[Any, list[tuple[str, Any]]] = {}
    holding: set[Any] = set()
    todo = [found for root in roots for found in _structures(root)]
    while todo:
        structure = todo.pop()
        if structure in inner:
            continue
        hints = _hints(structure)
        inner[structure] = [(name, found) for name, hint in hints.items() for found in _structures(hint)]
        if names & hints.keys():
            holding.add(structure)
        todo += [found for _, found in inner[structure]]
    before = -1
    while before != len(holding):
        before = len(holding)
        holding |= {one for one, members in inner.items() if any(found in holding for _, found in members)}
    return {name for one in holding for name, found in inner[one] if found in holding}


def betas() -> Iterator[str]:
    """The beta names that the Anthropic SDK lists."""
    for choice in typing.get_args(AnthropicBetaParam):
        yield from (value for value in typing.get_args(choice) if isinstance(value, str))


def _hints(structure: Any) -> dict[str, Any]:
    if is_typeddict(structure):
        return {
            name: hint
            for name, hint in get_type_hints(structure, include_extras=True).items()
            if name != "betas" and not _header(hint)
        }
    return {field.alias or name: field.annotation for name, field in structure.model_fields.items()}


def _header(hint: Any) -> bool:
    """An argument that the SDK sends as a header: annotated with another name, which has a dash."""
    return any("-" in (getattr(note, "alias", None) or "") for note in getattr(hint, "__metadata__", ())) or any(
        _header(inner) for inner in typing.get_args(hint)[:1]
    )


def _structures(hint: Any) -> Iterator[Any]:
    if is_typeddict(hint) or (inspect.isclass(hint) and issubclass(hint, pydantic.BaseModel)):
        yield hint
    for inner in typing.get_args(hint):
        yield from _structures(inner)


def types_of(operation: Operation) -> Iterator[str]:
    """Every value that a member called ``type`` can have in an operation's request: kinds of parts, items and tools."""
    seen: set[Any] = set()
    todo = [found for root in ROOTS[operation] for found in _structures(root)]
    while todo:
        structure = todo.pop()
        if structure in seen or not is_typeddict(structure):
            continue
        seen.add(structure)
        for name, hint in _hints(structure).items():
            if name == "type":
                yield from _literals(hint)
            todo += _structures(hint)


def events_of(union: Any) -> Iterator[str]:
    """The names of the events of a stream."""
    for event in _structures(union):
        yield from _literals(event.model_fields["type"].annotation)


def usage_of(structure: Any) -> Iterator[str]:
    """Paths of the counts that a usage object states."""
    for name, hint in _hints(structure).items():
        inner = list(_structures(hint))
        if not inner:
            yield name
        for one in inner:
            yield from (f"{name}.{path}" for path in usage_of(one))


def _literals(hint: Any) -> Iterator[str]:
    if typing.get_origin(hint) is typing.Literal:
        yield from (value for value in typing.get_args(hint) if isinstance(value, str))
    for inner in typing.get_args(hint):
        yield from _literals(inner)
