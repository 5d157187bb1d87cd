"""The hub between the dialects: one type for a request, and a small union of events for an answer.

A request is read from its own dialect into a `Conversation` and written from there into another; an
answer is read into `Event` values and written from those. So a dialect has one reader and one writer of each,
and there is never a module for a pair of them.

Rules that everything here obeys:

1. A feature that the other dialect lacks is dropped or refused, and named in either case
   (`providers.conversation.features`); it is never changed into another meaning.
2. JSON that is passed through (tool arguments, schemas) keeps its value, and its bytes if possible.
3. Data that only one provider can read (signatures, encrypted reasoning) is carried unchanged, with its provider's
   name.
4. These types hold content, so their representation shows none of it.

Sources of the fields, by dialect: https://developers.openai.com/api/docs/api-reference/chat/create and
.../responses/create, https://platform.claude.com/docs/en/api/messages, https://ai.google.dev/api/generate-content;
names and types as in the installed SDKs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby
from typing import Final, TypeAlias

from providers.dialect import Family

OMITTED: Final = (
    "[A file was left out here: the engine of this model is given text and images only. "
    "To use the file, extract its text or turn its pages into images.]"
)
"""Replaces a file that no engine accepts. A refusal would end the session, since agents send the file in every request.
"""


class Dialect(StrEnum):
    """The four forms of a conversation's request and answer."""

    CHAT = "chat"
    RESPONSES = "responses"
    MESSAGES = "messages"
    GEMINI = "gemini"


class Role(StrEnum):
    """The author of a turn. ``SYSTEM``: an instruction after the first turn; earlier ones are `Conversation.system`."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True, repr=False)
class Citation:
    """A source that an answer's text names.

    Attributes:
        start: The start of the cited words in the answer's text, in characters; ``end``: their end. None
            if the dialect does not state them.
        quote: The text of the source; empty if the dialect does not state it.
    """

    url: str
    title: str = ""
    quote: str = ""
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Text:
    text: str


@dataclass(frozen=True, slots=True, repr=False)
class RefusalText:
    """The model's text when it declines (only OpenAI; in other dialects it is the answer's text)."""

    text: str


@dataclass(frozen=True, slots=True, repr=False)
class Image:
    """An image: ``data`` as base64 with a ``media_type``, or a ``url`` from which the provider fetches it.

    ``detail``: how closely to look, as OpenAI names it; empty if the request does not say.
    """

    media_type: str
    data: str
    url: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class File:
    """A document, a sound or a video: ``data`` as base64, or a ``url`` from which the provider fetches it."""

    media_type: str
    data: str = ""
    url: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Seal:
    """Reasoning data that only its provider can read, unchanged, so that a later turn can send it back.

    Attributes:
        family: The API of the provider.
        data: Anthropic's ``signature`` or ``redacted_thinking.data``, OpenAI's ``encrypted_content``, Google's
            ``thoughtSignature``.
        id: OpenAI's id of the item, which its encrypted content is checked against.
        redacted: Anthropic's ``redacted_thinking``: the data is the whole thought.
    """

    family: Family
    data: str
    id: str = ""
    redacted: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Reasoning:
    """The shown part of a model's reasoning, and its seal.

    A seal without a text stands before the part that it belongs to (Google seals texts and calls).
    """

    text: str
    seal: Seal | None = None


@dataclass(frozen=True, slots=True, repr=False)
class ToolUse:
    """The model's call of a tool; ``arguments`` is the JSON object as it was sent."""

    id: str
    name: str
    arguments: bytes


@dataclass(frozen=True, slots=True, repr=False)
class ToolResult:
    """The result of the call with this id; ``failed``: the tool failed (only Messages and Gemini mark it)."""

    id: str
    text: str
    images: tuple[Image, ...] = ()
    files: tuple[File, ...] = ()
    failed: bool = False


def result_of(identity: str, parts: Iterable[Part], *, failed: bool = False) -> ToolResult:
    """The result of the call with this id, from the texts, images and files that it has."""
    held = tuple(parts)
    return ToolResult(
        identity,
        "\n\n".join(part.text for part in held if isinstance(part, Text)),
        tuple(part for part in held if isinstance(part, Image)),
        tuple(part for part in held if isinstance(part, File)),
        failed,
    )


Part: TypeAlias = Text | RefusalText | Image | File | Reasoning | ToolUse | ToolResult


@dataclass(frozen=True, slots=True, repr=False)
class Turn:
    role: Role
    parts: tuple[Part, ...]


def combined(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """The turns, with consecutive turns of one role joined."""
    return tuple(
        Turn(role, tuple(part for turn in group for part in turn.parts))
        for role, group in groupby(turns, key=lambda turn: turn.role)
    )


def gathered(system: str, turns: Iterable[Turn]) -> tuple[str, tuple[Turn, ...]]:
    """The system prompt including the instructions before the first other turn, and the turns `combined`."""
    found = list(combined(turns))
    if found and found[0].role is Role.SYSTEM:
        texts = (part.text for part in found.pop(0).parts if isinstance(part, Text))
        system = "\n\n".join(filter(None, (system, *texts)))
    return system, tuple(found)


@dataclass(frozen=True, slots=True, repr=False)
class Tool:
    """A tool that the client runs.

    Attributes:
        name: The name that the model sees.
        parameters: A JSON schema as bytes, empty if there is none.
        namespace: The group of tools that it belongs to, which is a prefix of its name; empty without one.
        one_text: Its only argument is a text, in the member ``input`` of its parameters (OpenAI's custom tools).
        grammar: The ``format`` of that text as JSON, empty if any text is allowed.
        strict: Arguments must fit the schema; None if the request does not say.
    """

    name: str
    description: str
    parameters: bytes = b""
    namespace: str = ""
    one_text: bool = False
    grammar: bytes = b""
    strict: bool | None = None


class Use(StrEnum):
    """Whether the model may, must or must not call a tool."""

    AUTO = "auto"
    REQUIRED = "required"
    NONE = "none"


@dataclass(frozen=True, slots=True, repr=False)
class Sampling:
    """Sampling parameters; None if the request does not state one, so that the provider's default applies.

    ``probabilities``: the answer tells the probability of each token of its text, with up to so many alternatives.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()
    probabilities: int | None = None


class Effort(StrEnum):
    """How much the model should reason, in ascending order."""

    NONE = "none"
    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    XHIGH = "xhigh"
    MAX = "max"


@dataclass(frozen=True, slots=True, repr=False)
class Conversation:
    """A request, independent of any dialect.

    Attributes:
        system: The instructions before the first turn, as one text; empty if there are none.
        tool: With `Use.REQUIRED`, the tool that must be called; empty for any.
        parallel: Several calls in one answer are allowed; None if the request does not say.
        json: The answer must be JSON, of the form ``schema``; that is empty if any form is allowed.
        schema_name: The request's name of that form.
        schema_strict: The answer must fit it; None if the request does not say.
        reasoning: The caller asked to see the model's reasoning.
        effort: How much the model should reason; None if the request does not say.
        budget: The most tokens for reasoning, if the request states them.
        verbosity: low, medium or high; empty if the request does not say.
        cache: The request marks a prefix of its prompt that may be cached.
        choices: How many answers are asked for at once.
        stream: The caller asked for a stream.
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
    schema_name: str = ""
    schema_strict: bool | None = None
    reasoning: bool = False
    effort: Effort | None = None
    budget: int | None = None
    verbosity: str = ""
    cache: bool = False
    choices: int = 1
    stream: bool = False


# The events of an answer, in the order in which they may come: deltas and tool calls in any order,
# then one `Finish`; `Counts` at any time, the last one counts; `Failed` ends the answer. There is no opening event: the
# gateway sets the answer's id and its model's name, and the answer starts with the first output.


@dataclass(frozen=True, slots=True, repr=False)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True, repr=False)
class RefusalDelta:
    text: str


@dataclass(frozen=True, slots=True, repr=False)
class ReasoningDelta:
    text: str


@dataclass(frozen=True, slots=True, repr=False)
class Sealed:
    """The open reasoning ends with this seal; if none is open, it is reasoning without text."""

    seal: Seal


@dataclass(frozen=True, slots=True, repr=False)
class Cited:
    """A source of the text so far."""

    citation: Citation


@dataclass(frozen=True, slots=True, repr=False)
class TokenProbability:
    """One token of an answer's text.

    Attributes:
        token: As text.
        logprob: The natural logarithm of its probability.
        alternatives: The likeliest tokens in its place, with theirs; empty if none were asked for.
    """

    token: str
    logprob: float
    alternatives: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Probabilities:
    """The next tokens of the text so far."""

    tokens: tuple[TokenProbability, ...]


@dataclass(frozen=True, slots=True, repr=False)
class ToolStart:
    """The start of a tool call; the following deltas belong to it until another starts."""

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
    """The model stopped; ``sequence`` is the stop sequence that it met, if the provider states it."""

    reason: Reason
    sequence: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Token counts; None if not stated. ``output`` includes ``reasoning``; ``input`` includes ``cached``
    (read from the cache), ``cache_write`` and ``tool`` (input from the provider's tools).
    """

    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    tool: int | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Failed:
    """The provider reported an error inside its answer, or the answer can't be read."""


Event: TypeAlias = (
    TextDelta
    | RefusalDelta
    | ReasoningDelta
    | Sealed
    | Cited
    | Probabilities
    | ToolStart
    | ToolDelta
    | Finish
    | Counts
    | Failed
)
