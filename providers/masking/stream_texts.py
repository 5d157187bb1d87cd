"""Finds the texts in a dialect's stream events, which a restorer may rewrite, and when each text ends.

A text is joined by the client from several events: the deltas of one content block, of one tool call's arguments, of
one candidate. Its key is the same in all of its events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, TypeAlias

from providers.dialect import Family, Operation

Key: TypeAlias = tuple[Any, ...]


class TextPart(NamedTuple):
    """One text's part in one event.

    Attributes:
        key: The same in all events of the text.
        value: The part.
        owner: The object that has it, under ``member``.
        inside_json: The text is JSON itself (a tool call's arguments).
        again: Makes another event of the same text, with only this part.
    """

    key: Key
    value: str
    owner: dict[str, Any]
    member: str
    inside_json: bool
    again: Callable[[str], dict[str, Any]]


def texts(operation: Operation, event: Any) -> list[TextPart]:
    """The parts of texts in a decoded event; empty if it has another form."""
    return list(_DIALECTS[operation.family][0](event)) if isinstance(event, dict) else []


def ended(operation: Operation, event: Any, open_: Iterable[Key]) -> list[Key]:
    """Which of the open texts end with this event."""
    if not isinstance(event, dict):
        return []
    ends = _DIALECTS[operation.family][1]
    return [key for key in open_ if ends(event, key)]


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


# OpenAI: chat and legacy completions have choices, Responses has typed events.

_PROSE: Final = ("content", "reasoning_content", "reasoning", "refusal")


def _openai(event: dict[str, Any]) -> Iterable[TextPart]:
    if isinstance(event.get("type"), str):
        yield from _responses(event)
        return
    for choice in _objects(event.get("choices")):
        yield from _choice(event, choice)


def _choice(event: dict[str, Any], choice: dict[str, Any]) -> Iterable[TextPart]:
    index = choice.get("index", 0)

    def again(part: dict[str, Any]) -> dict[str, Any]:
        return {**event, "choices": [{**choice, "finish_reason": None, **part}]}

    def prose(name: str) -> Callable[[str], dict[str, Any]]:
        return lambda text: again({"delta": {name: text}})

    def call(number: Any) -> Callable[[str], dict[str, Any]]:
        return lambda text: again({"delta": {"tool_calls": [{"index": number, "function": {"arguments": text}}]}})

    def legacy(text: str) -> dict[str, Any]:
        return again({"delta": {"function_call": {"arguments": text}}})

    if isinstance(choice.get("text"), str):
        yield TextPart((index, "text"), choice["text"], choice, "text", False, lambda text: again({"text": text}))
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return
    for name in _PROSE:
        if isinstance(delta.get(name), str):
            yield TextPart((index, name), delta[name], delta, name, False, prose(name))
    for place, tool in enumerate(_objects(delta.get("tool_calls"))):
        function, number = tool.get("function"), tool.get("index", place)
        if isinstance(function, dict) and isinstance(function.get("arguments"), str):
            yield TextPart((index, "tool", number), function["arguments"], function, "arguments", True, call(number))
    old = delta.get("function_call")
    if isinstance(old, dict) and isinstance(old.get("arguments"), str):
        yield TextPart((index, "function"), old["arguments"], old, "arguments", True, legacy)


def _responses(event: dict[str, Any]) -> Iterable[TextPart]:
    kind = event["type"]
    if kind.endswith(".delta") and isinstance(event.get("delta"), str):
        plain = {name: value for name, value in event.items() if name != "obfuscation"}
        yield TextPart(
            (kind.removesuffix(".delta"), *_place(event)),
            event["delta"],
            event,
            "delta",
            kind.endswith("function_call_arguments.delta"),
            lambda text: {**plain, "delta": text},
        )


def _place(event: dict[str, Any]) -> Key:
    return tuple(event.get(name) for name in ("output_index", "content_index", "summary_index"))


def _openai_ends(event: dict[str, Any], key: Key) -> bool:
    kind = event.get("type")
    if isinstance(kind, str):
        if kind in {"response.completed", "response.incomplete", "response.failed", "error"}:
            return True
        if kind == "response.output_item.done":
            return bool(key[1] == event.get("output_index"))
        return kind.endswith(".done") and key == (kind.removesuffix(".done"), *_place(event))
    return any(
        choice.get("finish_reason") is not None and choice.get("index", 0) == key[0]
        for choice in _objects(event.get("choices"))
    )


# Anthropic: content blocks by index.

_BLOCK_TEXTS: Final = {"text": False, "partial_json": True}  # not a thought, whose signature covers its bytes


def _anthropic(event: dict[str, Any]) -> Iterable[TextPart]:
    delta = event.get("delta")
    if event.get("type") != "content_block_delta" or not isinstance(delta, dict):
        return

    def again(name: str) -> Callable[[str], dict[str, Any]]:
        return lambda text: {**event, "delta": {**delta, name: text}}

    for name, inside_json in _BLOCK_TEXTS.items():
        if isinstance(delta.get(name), str):
            yield TextPart((event.get("index"), name), delta[name], delta, name, inside_json, again(name))


def _anthropic_ends(event: dict[str, Any], key: Key) -> bool:
    kind = event.get("type")
    if kind == "content_block_stop":
        return bool(event.get("index") == key[0])
    return kind in {"message_delta", "message_stop", "error"}


# Gemini: candidates with parts; a function call is never split.


def _google(event: dict[str, Any]) -> Iterable[TextPart]:
    for candidate in _objects(event.get("candidates")):
        content = candidate.get("content")
        parts = _objects(content.get("parts")) if isinstance(content, dict) else []
        index = candidate.get("index", 0)
        for part in parts:
            if isinstance(part.get("text"), str) and not part.get("thought"):  # the signature covers a thought's bytes
                yield TextPart((index,), part["text"], part, "text", False, _gemini_again(index))


def _gemini_again(index: Any) -> Callable[[str], dict[str, Any]]:
    return lambda text: {"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": index}]}


def _google_ends(event: dict[str, Any], key: Key) -> bool:
    return any(
        candidate.get("finishReason") is not None and candidate.get("index", 0) == key[0]
        for candidate in _objects(event.get("candidates"))
    )


_DIALECTS: Final[
    dict[Family, tuple[Callable[[dict[str, Any]], Iterable[TextPart]], Callable[[dict[str, Any], Key], bool]]]
] = {
    Family.OPENAI: (_openai, _openai_ends),
    Family.ANTHROPIC: (_anthropic, _anthropic_ends),
    Family.GOOGLE: (_google, _google_ends),
}
