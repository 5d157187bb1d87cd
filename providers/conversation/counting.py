"""Token counting between the dialects that have it: the request is a conversation's, and the answer is a number.

Members that do not change the count, such as a limit or a temperature, are left out without a word: the answer is the
same. Each provider counts with its own tokenizer, so the number is that of the model that was asked for.

https://platform.claude.com/docs/en/api/messages/count_tokens,
https://developers.openai.com/api/docs/api-reference/responses/input-tokens, https://ai.google.dev/api/tokens
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import msgspec

from providers.answers.counts import count
from providers.conversation.conversation import Dialect, Sampling
from providers.conversation.dialects import Capabilities, Prepared, fitted, read_request, write_request
from providers.conversation.reading import UNREADABLE_JSON
from providers.conversation.translated_members import dropped_members
from providers.dialect import Operation
from providers.document.members import given

COUNTING: Final = {
    Operation.OPENAI_INPUT_TOKENS: Dialect.RESPONSES,
    Operation.ANTHROPIC_COUNT_TOKENS: Dialect.MESSAGES,
    Operation.GEMINI_COUNT_TOKENS: Dialect.GEMINI,
}
"""The operations that count, by the dialect of their request."""

COUNTERS: Final = {dialect: operation for operation, dialect in COUNTING.items()}
"""What a provider of each dialect is asked for, if its API counts."""

_NESTED: Final = ("generateContentRequest", "generate_content_request")
_TAKEN: Final = {
    Dialect.RESPONSES: frozenset(
        ("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning")
    ),
    Dialect.MESSAGES: frozenset(
        ("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control")
    ),
    Dialect.GEMINI: frozenset(("contents", "systemInstruction", "tools", "toolConfig", "generationConfig")),
}
"""What the counting requests take of the members that the request writers write; they refuse others."""

_COUNTS: Final = {
    Dialect.RESPONSES: "input_tokens",
    Dialect.MESSAGES: "input_tokens",
    Dialect.GEMINI: "totalTokens",
}
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode: Final = msgspec.json.Encoder().encode


def prepare_count(
    source: Dialect,
    target: Dialect,
    body: bytes,
    *,
    members: Iterable[str],
    model: str,
    capabilities: Capabilities,
) -> Prepared:
    """Translate a request that counts tokens; the arguments are those of `providers.conversation.dialects.prepare`.
    ``target`` is one of `COUNTERS`.

    Raises:
        Refusal: The request has another form, or says what can't be told.
    """
    conversation = read_request(source, _whole(body) if source is Dialect.GEMINI else body)
    conversation = replace(conversation, sampling=Sampling(), choices=1, stream=False)
    made, dropped = fitted(source, target, conversation, capabilities)
    written = _members.decode(write_request(target, made, model, capabilities))
    taken: dict[str, Any] = {name: value for name, value in written.items() if name in _TAKEN[target]}
    if target is Dialect.GEMINI:  # beside this member, the API takes nothing but contents
        taken = {_NESTED[0]: {"model": f"models/{model}", **taken}}
    return Prepared(conversation, _encode(taken), dropped_members(source, target, members, dropped))


def translate_count(source: Dialect, target: Dialect, body: bytes) -> bytes | None:
    """The caller's answer for the provider's; None if that has no count.

    Args:
        source: The caller's dialect.
        target: The provider's.
        body: The provider's whole answer.
    """
    try:
        tokens = count(msgspec.json.decode(body, type=dict[str, Any]).get(_COUNTS[target]))
    except UNREADABLE_JSON:
        return None
    if tokens is None:
        return None
    opening = {"object": "response.input_tokens"} if source is Dialect.RESPONSES else {}
    return _encode({**opening, _COUNTS[source]: tokens})


def _whole(body: bytes) -> bytes:
    """Google's request to count may have the request to generate as a member."""
    try:
        members = _members.decode(body)
    except UNREADABLE_JSON:
        return body  # refused by the reader
    return next((bytes(members[name]) for name in _NESTED if name in members and given(members[name])), body)
