"""The hub between the dialects: one form of a conversation, one small union of answer events.

A request is read from its own dialect into a `Conversation` and written from there into another; an
answer is read into `Event` values and written from those. So there is one reader and one writer a
dialect, and never a module for a pair of them.

Rules that everything here obeys:

1. What one side says and the other can't be told is refused by name, or listed in
   ``docs/local-mode.md`` as removed; it is never changed into something that was not said.
2. JSON that is passed through (tool arguments, schemas) keeps its value, and its bytes where it can.
3. These types hold content, so their representation shows none of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby
from typing import Final, TypeAlias

OMITTED: Final = (
    "[A file was left out here: the engine of this model is given text and images only. "
    "To use the file, extract its text or turn its pages into images.]"
)
"""Stands where a request has a file that no engine takes. A refusal would end the session: agents send it each time."""


class Role(StrEnum):
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True, repr=False)
class Text:
    text: str


@dataclass(frozen=True, slots=True, repr=False)
class Image:
    """An image that the request carries itself: ``data`` is base64."""

    media_type: str
    data: str


@dataclass(frozen=True, slots=True, repr=False)
class ToolUse:
    """The model's call of a tool; ``arguments`` is the JSON object as it was sent."""

    id: str
    name: str
    arguments: bytes


@dataclass(frozen=True, slots=True, repr=False)
class ToolResult:
    """What a call of that id returned."""

    id: str
    text: str
    images: tuple[Image, ...] = ()


Part: TypeAlias = Text | Image | ToolUse | ToolResult


@dataclass(frozen=True, slots=True, repr=False)
class Turn:
    role: Role
    parts: tuple[Part, ...]


def combined(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """The turns, with those of one role that follow each other as one."""
    return tuple(
        Turn(role, tuple(part for turn in group for part in turn.parts))
        for role, group in groupby(turns, key=lambda turn: turn.role)
    )


@dataclass(frozen=True, slots=True, repr=False)
class Tool:
    """A tool of the client's; ``parameters`` is a JSON schema as bytes, empty where there is none."""

    name: str
    description: str
    parameters: bytes = b""


class Use(StrEnum):
    """Whether the model may, must or must not call a tool."""

    AUTO = "auto"
    REQUIRED = "required"
    NONE = "none"


@dataclass(frozen=True, slots=True, repr=False)
class Sampling:
    """How to sample; None where the request does not say, so that the engine's own default holds."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Conversation:
    """A request, in no dialect.

    Attributes:
        system: The system prompt; empty where there is none.
        tool: With `Use.REQUIRED`, the one tool that must be called, or empty for any.
        parallel: Several calls in one answer are allowed; None where the request does not say.
        json: The answer must be JSON; ``schema`` says of which form, empty where any will do.
        reasoning: The caller asked to see what the model thought.
        stream: The answer is to come as a stream.
    """

    turns: tuple[Turn, ...]
    system: str = ""
    tools: tuple[Tool, ...] = ()
    use: Use | None = None
    tool: str = ""
    parallel: bool | None = None
    sampling: Sampling = field(default_factory=Sampling)
    json: bool = False
    schema: bytes = b""
    reasoning: bool = False
    stream: bool = False


# The events of an answer, in the order in which they may come: deltas and tool calls in any order,
# then one `Finish`; `Counts` at any time, the last one holds; `Failed` ends everything.


@dataclass(frozen=True, slots=True, repr=False)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True, repr=False)
class ReasoningDelta:
    text: str


@dataclass(frozen=True, slots=True, repr=False)
class ToolStart:
    """A tool call begins; the deltas that follow belong to it until another begins."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, repr=False)
class ToolDelta:
    """The next piece of the call's arguments, a JSON object in text."""

    arguments: str


class Reason(StrEnum):
    """Why the model stopped."""

    END = "end"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    TOOL = "tool"
    FILTER = "filter"


@dataclass(frozen=True, slots=True, repr=False)
class Finish:
    """The model stopped; ``sequence`` is the stop sequence that it met, where the engine tells."""

    reason: Reason
    sequence: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Token counts, None where nobody stated one. ``output`` includes ``reasoning``, ``input`` ``cached``."""

    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cached: int | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Failed:
    """The engine reported an error inside a begun answer, or its answer can't be read."""


Event: TypeAlias = TextDelta | ReasoningDelta | ToolStart | ToolDelta | Finish | Counts | Failed
