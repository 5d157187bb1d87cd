"""Makes a conversation one that a dialect can say, and names what it can't: dropped or refused, as the table decides.

What comes out is written by the dialect's request writer without a decision of its own, and read back as the same.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

import msgspec

from providers.conversation.arguments import read_object
from providers.conversation.conversation import (
    Conversation,
    Dialect,
    Effort,
    File,
    Image,
    Part,
    Reasoning,
    RefusalText,
    Role,
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    Use,
    combined,
)
from providers.conversation.features import FEATURES, Feature, Handling
from providers.conversation.schemas import is_closed
from providers.conversation.stopping import LONGEST_SEQUENCE, MOST_SEQUENCES
from providers.dialect import Family, Refusal

OWN: Final = {
    Dialect.CHAT: frozenset[Family](),
    Dialect.RESPONSES: frozenset((Family.OPENAI,)),
    Dialect.MESSAGES: frozenset((Family.ANTHROPIC,)),
    Dialect.GEMINI: frozenset((Family.GOOGLE,)),
}
"""Whose reasoning a provider that speaks the dialect takes."""

MOST_CHOICES: Final = 8
"""Each is read and written apart from the others. Google allows no more: https://ai.google.dev/api/generate-content"""

LEAST_BUDGET: Final = 1_024
"""Anthropic refuses less: https://platform.claude.com/docs/en/build-with-claude/extended-thinking"""

_OPENAI: Final = frozenset((Dialect.CHAT, Dialect.RESPONSES))
_MOST_STOPS: Final = {Dialect.CHAT: 4, Dialect.GEMINI: 5, Dialect.RESPONSES: MOST_SEQUENCES}
_CUT_HERE: Final = (
    "The model of this request is served through another API, which has no stop sequences: the answer is cut at those "
    "of up to 256 characters, and without probabilities of tokens. Leave out the one or the other."
)
_IMAGES: Final = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp"))
_SOUNDS: Final = {
    **dict.fromkeys(("audio/wav", "audio/x-wav", "audio/wave"), "audio/wav"),
    **dict.fromkeys(("audio/mpeg", "audio/mp3"), "audio/mpeg"),
}
_PDF: Final = "application/pdf"
_BUDGETS: Final = ((4_096, Effort.LOW), (16_384, Effort.MEDIUM))
_TOKENS: Final = {
    Effort.MINIMAL: LEAST_BUDGET,
    Effort.LOW: 4_096,
    Effort.MEDIUM: 16_384,
    Effort.HIGH: 24_576,
    Effort.XHIGH: 24_576,
    Effort.MAX: 24_576,
}
"""The same the other way; Google's smaller models take no more than the last."""

_NO_PARAMETERS: Final = b'{"type":"object","properties":{}}'
_PLACE: Final = "A part of a message stands with a role that it can't have: calls are the model's, results the user's."
_encode: Final = msgspec.json.Encoder().encode


def fit(
    conversation: Conversation,
    dialect: Dialect,
    *,
    output_limit: int,
    budgets: bool = False,
    carried: frozenset[Family] | None = None,
) -> tuple[Conversation, frozenset[Feature]]:
    """The conversation as the dialect can say it, and what was dropped.

    Args:
        conversation: As it was read.
        dialect: The provider's.
        output_limit: What the model gives at most: an API that requires a limit gets it where the request states none.
        budgets: The model takes a number of tokens to think with, and knows no effort (Claude before 4.6, Gemini 2.5).
        carried: Whose reasoning it takes; `OWN` if not given.

    Raises:
        Refusal: ``unsupported_feature``; ``param`` is the feature's name.
    """
    taken = OWN[dialect] if carried is None else carried
    return _Fitting(dialect, taken, output_limit, budgets=budgets).fit(conversation)


class _Fitting:
    def __init__(self, dialect: Dialect, carried: frozenset[Family], output_limit: int, *, budgets: bool) -> None:
        self._dialect = dialect
        self._output_limit = output_limit
        self._budgets = budgets
        self._carried = carried
        self._dropped: set[Feature] = set()

    def fit(self, conversation: Conversation) -> tuple[Conversation, frozenset[Feature]]:
        system, turns = self._instructions(conversation)
        turns = combined(turn for turn in map(self._turn, turns) if turn.parts)
        self._takes(Feature.CHOICES, said=conversation.choices > 1)
        if conversation.choices > MOST_CHOICES:
            raise Refusal("unsupported_feature", "An answer has at most eight choices: ask for fewer.", Feature.CHOICES)
        fitted = replace(conversation, system=system, turns=turns)
        fitted = self._form(self._sampling(self._thinking(self._tools(fitted))))
        return fitted, frozenset(self._dropped)

    def _takes(self, feature: Feature, *, said: bool = True) -> bool:
        """Whether the dialect has the feature. Notes it if it is dropped. Raises `Refusal`."""
        fate = FEATURES[feature][self._dialect]
        if not said or fate.handling in {Handling.MAPPED, Handling.CARRIED}:
            return True
        if fate.handling is Handling.REFUSED:
            raise Refusal("unsupported_feature", fate.note, feature)
        self._dropped.add(feature)
        return False

    def _refuse(self, feature: Feature) -> Refusal:
        return Refusal("unsupported_feature", FEATURES[feature][self._dialect].note, feature)

    # -- turns ----------------------------------------------------------------------------------

    def _instructions(self, conversation: Conversation) -> tuple[str, Iterable[Turn]]:
        if self._dialect in _OPENAI:
            return conversation.system, conversation.turns
        among = [_texts(turn) for turn in conversation.turns if turn.role is Role.SYSTEM]
        rest = [turn for turn in conversation.turns if turn.role is not Role.SYSTEM]
        return "\n\n".join(filter(None, (conversation.system, *among))), rest

    def _turn(self, turn: Turn) -> Turn:
        parts = [fitted for part in turn.parts for fitted in self._part(part, turn.role)]
        if self._dialect is Dialect.CHAT:
            order = (Reasoning, Text, RefusalText, ToolUse) if turn.role is Role.ASSISTANT else (ToolResult,)
            parts.sort(key=lambda part: next((n for n, kind in enumerate(order) if isinstance(part, kind)), len(order)))
        elif self._dialect is Dialect.MESSAGES:
            parts.sort(key=lambda part: not isinstance(part, ToolResult) if turn.role is Role.USER else 0)
        return Turn(turn.role, tuple(parts))

    def _part(self, part: Part, role: Role) -> Iterator[Part]:
        if _out_of_place(part, role):
            raise Refusal("invalid_request", _PLACE, Feature.MESSAGES)
        match part:
            case Text(text):
                if text.strip() if self._dialect is Dialect.MESSAGES else text:
                    yield part
            case RefusalText(text):
                if self._dialect in _OPENAI:
                    yield part
                elif text.strip():
                    yield Text(text)
            case Image():
                yield self._image(part, role)
            case File():
                yield self._file(part, role)
            case Reasoning(text, seal):
                if seal is not None and seal.family in self._carried and role is Role.ASSISTANT:
                    yield part
                elif text or seal is not None:
                    self._dropped.add(Feature.EARLIER_REASONING)
            case ToolUse(identity, name, arguments):
                if read_object(arguments.decode()) is None:  # a model wrote it so, and the client sends it back
                    arguments = _encode({"input": arguments.decode(errors="replace")})
                yield ToolUse(self._identity(identity), name, arguments or b"{}")
            case ToolResult():
                yield from self._result(part)

    def _identity(self, identity: str) -> str:
        """Anthropic takes few letters in the id of a call; a letter that it refuses becomes its number."""
        if self._dialect is not Dialect.MESSAGES or _is_plain(identity):
            return identity
        return "".join(letter if _is_plain(letter) else f"_{ord(letter):x}_" for letter in identity)

    def _result(self, part: ToolResult) -> Iterator[Part]:
        failed = part.failed and self._takes(Feature.FAILED_RESULTS)
        images = tuple(self._image(image, Role.USER) for image in part.images)
        held = [self._file(file, Role.USER) for file in part.files]
        texts = [one.text for one in held if isinstance(one, Text)]
        files = tuple(one for one in held if isinstance(one, File))
        result = ToolResult(self._identity(part.id), "\n\n".join(filter(None, (part.text, *texts))), failed=failed)
        if self._dialect is Dialect.CHAT:  # a result is text there: the others follow as the user's
            yield result
            yield from images
            yield from files
        else:
            yield replace(result, images=images, files=files)

    def _image(self, part: Image, role: Role) -> Image:
        if role is Role.ASSISTANT and self._dialect is not Dialect.GEMINI:
            raise self._refuse(Feature.OTHER_OUTPUT)
        if part.media_type == "image/jpg":  # which clients write for the type's registered name
            part = replace(part, media_type="image/jpeg")
        if part.url:
            self._takes(Feature.IMAGE_ADDRESSES)
        elif self._dialect is Dialect.MESSAGES and part.media_type not in _IMAGES:
            raise Refusal("unsupported_feature", "The API takes images as JPEG, PNG, GIF or WebP.", Feature.IMAGES)
        return part if self._takes(Feature.IMAGE_DETAIL, said=bool(part.detail)) else replace(part, detail="")

    def _file(self, part: File, role: Role) -> File | Text:
        if role is Role.ASSISTANT and self._dialect is not Dialect.GEMINI:
            raise self._refuse(Feature.OTHER_OUTPUT)
        kind = part.media_type.partition("/")[0]
        if kind == "text" and not part.url:
            return Text("\n\n".join(filter(None, (part.name, _decoded(part.data)))))
        if kind == "audio":
            self._takes(Feature.AUDIO)
            if self._dialect is Dialect.CHAT and (part.url or part.media_type not in _SOUNDS):
                raise Refusal("unsupported_feature", "The API takes sound as WAV or MP3 data.", Feature.AUDIO)
            return part if self._dialect is not Dialect.CHAT else File(_SOUNDS[part.media_type], part.data)
        if kind == "video":
            self._takes(Feature.VIDEO)
            return part
        if part.url:
            self._takes(Feature.DOCUMENT_ADDRESSES)
            return replace(part, media_type="")
        if part.media_type != _PDF and self._dialect is not Dialect.GEMINI:
            raise Refusal("unsupported_feature", "The API takes documents as PDF or text.", Feature.DOCUMENTS)
        return replace(part, name=part.name or "file.pdf") if self._dialect in _OPENAI else part

    # -- the rest ---------------------------------------------------------------------------------

    def _tools(self, conversation: Conversation) -> Conversation:
        if not conversation.tools:
            return replace(conversation, use=None, tool="", parallel=None)
        use, parallel = conversation.use, conversation.parallel
        if not self._takes(Feature.PARALLEL_CALLS, said=parallel is not None):
            parallel = None
        if self._dialect is Dialect.MESSAGES and parallel is not None:
            use = use or Use.AUTO
            parallel = None if use is Use.NONE else parallel
        tools = tuple(map(self._tool, conversation.tools))
        tool = conversation.tool if use is Use.REQUIRED else ""
        if tool and self._dialect is Dialect.GEMINI:  # which knows no choice, only what is allowed
            tools = tuple(one for one in tools if one.name == tool)
        return replace(conversation, tools=tools, use=use, tool=tool, parallel=parallel)

    def _tool(self, tool: Tool) -> Tool:
        if self._dialect is not Dialect.RESPONSES:
            tool = replace(tool, namespace="")
        if tool.one_text and self._dialect not in _OPENAI:
            self._takes(Feature.TOOL_GRAMMAR, said=bool(tool.grammar))
            return replace(tool, one_text=False, grammar=b"", strict=None)
        if tool.one_text:
            return replace(tool, strict=None)
        strict = tool.strict
        if not self._takes(Feature.STRICT_TOOLS, said=bool(strict)):
            strict = None
        match self._dialect:
            case Dialect.RESPONSES:
                return replace(tool, strict=bool(strict), parameters=tool.parameters or _NO_PARAMETERS)
            case Dialect.MESSAGES:
                strict = True if strict and is_closed(tool.parameters) else None
                return replace(tool, strict=strict, parameters=tool.parameters or _NO_PARAMETERS)
            case Dialect.GEMINI:
                return replace(tool, strict=None)
            case Dialect.CHAT:
                return tool

    def _thinking(self, conversation: Conversation) -> Conversation:
        effort, budget, shown = conversation.effort, conversation.budget, conversation.reasoning
        if self._budgets and budget is None and effort is not None and effort is not Effort.NONE:
            budget = min(_TOKENS[effort], self._limit(conversation) - 1)
        match self._dialect:
            case Dialect.CHAT | Dialect.RESPONSES:
                if budget is not None and effort is None:
                    effort = next((effort for most, effort in _BUDGETS if budget <= most), Effort.HIGH)
                budget = None
                if self._dialect is Dialect.CHAT or effort is Effort.NONE:
                    shown = effort not in {None, Effort.NONE}
            case Dialect.MESSAGES:
                if budget is not None and not LEAST_BUDGET <= budget < self._limit(conversation):
                    budget = max(LEAST_BUDGET, min(budget, self._limit(conversation) - 1))
                    self._dropped.add(Feature.BUDGET)
                    if budget >= self._limit(conversation):
                        effort, budget, shown = None, None, False
                if shown and effort is None and budget is None:
                    effort = Effort.MEDIUM  # thoughts are shown of a model that thinks
                if effort is Effort.MINIMAL:
                    effort = Effort.LOW
                thinks = budget is not None or effort not in {None, Effort.NONE}
                if thinks and conversation.use is Use.REQUIRED:
                    self._dropped.add(Feature.EFFORT)
                    effort, budget, thinks = None, None, False
                effort, shown = None if budget is not None else effort, shown and thinks
            case Dialect.GEMINI:
                effort = None if budget is not None else Effort.XHIGH if effort is Effort.MAX else effort
        return replace(conversation, effort=effort, budget=budget, reasoning=shown)

    def _limit(self, conversation: Conversation) -> int:
        stated = conversation.sampling.max_tokens
        return self._output_limit if stated is None else stated

    def _sampling(self, conversation: Conversation) -> Conversation:
        sampling = conversation.sampling
        if self._dialect is Dialect.MESSAGES:
            sampling = replace(sampling, max_tokens=self._limit(conversation))
        if not self._takes(Feature.TOP_K, said=sampling.top_k is not None):
            sampling = replace(sampling, top_k=None)
        if not self._takes(Feature.SEED, said=sampling.seed is not None):
            sampling = replace(sampling, seed=None)
        penalties = sampling.presence_penalty is not None or sampling.frequency_penalty is not None
        if not self._takes(Feature.PENALTIES, said=penalties):
            sampling = replace(sampling, presence_penalty=None, frequency_penalty=None)
        self._takes(Feature.STOP, said=bool(sampling.stop))
        self._takes(Feature.PROBABILITIES, said=sampling.probabilities is not None)
        if len(sampling.stop) > _MOST_STOPS.get(self._dialect, len(sampling.stop)):
            raise Refusal("unsupported_feature", "The API takes fewer stop sequences: leave some out.", Feature.STOP)
        if self._dialect is Dialect.RESPONSES and sampling.stop:
            long = any(len(stop) > LONGEST_SEQUENCE for stop in sampling.stop)
            if long or sampling.probabilities is not None:
                raise Refusal("unsupported_feature", _CUT_HERE, Feature.STOP)
            sampling = replace(sampling, stop=())  # the provider is not told: the reader of its answer is
        if self._dialect is Dialect.MESSAGES:
            thinks = conversation.budget is not None or conversation.effort not in {None, Effort.NONE}
            if sampling.temperature is not None and (thinks or sampling.temperature > 1):
                self._dropped.add(Feature.TEMPERATURE)
                sampling = replace(sampling, temperature=None if thinks else 1.0)
            if sampling.top_p is not None and (thinks or sampling.temperature is not None):
                self._dropped.add(Feature.TOP_P)
                sampling = replace(sampling, top_p=None)
            if sampling.top_k is not None and thinks:
                self._dropped.add(Feature.TOP_K)
                sampling = replace(sampling, top_k=None)
        return replace(conversation, sampling=sampling)

    def _form(self, conversation: Conversation) -> Conversation:
        schema, strict, name = conversation.schema, conversation.schema_strict, conversation.schema_name
        wanted = bool(schema) or conversation.json
        wanted = wanted and (bool(schema) or self._takes(Feature.JSON))
        verbosity = conversation.verbosity
        if not self._takes(Feature.VERBOSITY, said=bool(verbosity)):
            verbosity = ""
        if self._dialect in _OPENAI and schema:
            strict, name = is_closed(schema) if strict is None else strict, name or "answer"
        else:
            strict, name = None, ""
        cache = conversation.cache and self._dialect is Dialect.MESSAGES
        return replace(
            conversation, json=wanted, schema_strict=strict, schema_name=name, verbosity=verbosity, cache=cache
        )


def _out_of_place(part: Part, role: Role) -> bool:
    """Models call tools and refuse, users bring what tools returned."""
    match part:
        case ToolUse() | RefusalText():
            return role is not Role.ASSISTANT
        case ToolResult():
            return role is not Role.USER
        case Image() | File():
            return role is Role.SYSTEM
        case Text() | Reasoning():
            return False


def _texts(turn: Turn) -> str:
    return "\n\n".join(part.text for part in turn.parts if isinstance(part, Text))


def _decoded(data: str) -> str:
    try:
        return b64decode(data).decode(errors="replace")
    except ValueError:
        raise Refusal("invalid_request", "A document's data is base64.") from None


def _is_plain(identity: str) -> bool:
    return identity.isascii() and identity.replace("_", "").replace("-", "").isalnum()
