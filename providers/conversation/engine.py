"""Fits a conversation to a local engine: text, images and calls, with one system prompt at the start.

Chat templates of many models accept only one system message, and require that roles alternate. Earlier reasoning and
its seals are left out, since only the model that made them can use them, and so is the mark that a
tool's result is an error (its text says so). A file is replaced by a sentence that says so (`OMITTED`): a refusal would
end the session, since agents send the same file in every request. A reference to content elsewhere is refused, because
nothing is fetched in local mode.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from providers.conversation.conversation import (
    OMITTED,
    Conversation,
    File,
    Image,
    Part,
    Reasoning,
    RefusalText,
    Role,
    Text,
    ToolResult,
    ToolUse,
    Turn,
    combined,
)
from providers.dialect import Refusal

_REMOTE: Final = "In local mode nothing is fetched from the network: send the data as base64."
_PARAGRAPH: Final = "\n\n"


def for_engine(conversation: Conversation, member: str) -> Conversation:
    """The conversation in the form for a local engine.

    Args:
        conversation: As it was read.
        member: The member of the request that holds its turns.

    Raises:
        Refusal: ``unsupported_feature`` for content that must be fetched.
    """
    instructions = [
        part.text
        for turn in conversation.turns
        if turn.role is Role.SYSTEM
        for part in turn.parts
        if isinstance(part, Text)
    ]
    turns = combined(
        Turn(turn.role, tuple(taken for part in turn.parts for taken in _taken(part, member)))
        for turn in conversation.turns
        if turn.role is not Role.SYSTEM
    )
    return replace(
        conversation, turns=turns, system=_PARAGRAPH.join(filter(None, (conversation.system, *instructions)))
    )


def _taken(part: Part, member: str) -> Iterator[Part]:
    match part:
        case Text() | ToolUse():
            yield part
        case RefusalText(text):
            yield Text(text)
        case Image():
            _refuse_remote((part,), member)
            yield part
        case File():
            _refuse_remote((part,), member)
            if part.name:
                yield Text(part.name)
            yield Text(OMITTED)
        case ToolResult():
            _refuse_remote((*part.images, *part.files), member)
            left = [text for file in part.files for text in (file.name, OMITTED)]
            yield ToolResult(part.id, _PARAGRAPH.join(filter(None, (part.text, *left))), part.images)
        case Reasoning():
            pass


def _refuse_remote(held: tuple[Image | File, ...], member: str) -> None:
    if any(one.url for one in held):
        raise Refusal("unsupported_feature", _REMOTE, member)
