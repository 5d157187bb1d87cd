"""Reads generateContent answers, streamed or whole, into events.

A stream is server-sent events; a JSON array, which Google sends without ``alt=sse``, is read as a whole body. Calls
without an id are numbered. Parts of tools that run at the provider are skipped: such tools are not
translated. A blocked prompt is an answer that a filter stopped.

https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from providers.answers.counts import count, member
from providers.conversation.conversation import (
    Citation,
    Cited,
    Event,
    Probabilities,
    Reason,
    ReasoningDelta,
    Sealed,
    TextDelta,
    TokenProbability,
    ToolDelta,
    ToolStart,
)
from providers.conversation.envelope import opened
from providers.conversation.reading import AnswerReader, Unreadable, counts_of
from providers.dialect import Family
from providers.gemini.failure import provider_error
from providers.gemini.usage import add_usage, gemini_usage

_REASONS: Final = {"STOP": Reason.END, "MAX_TOKENS": Reason.LENGTH}
_FILTERS: Final = frozenset((
    "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "MODEL_ARMOR", "LANGUAGE",
))  # fmt: skip
# Some hosts write the numbers of the enumeration.
_NUMBERED: Final = (
    *("FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "BLOCKLIST"),
    *("PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL"),
)


class _Call(msgspec.Struct):
    name: str = ""
    id: str | None = None
    args: msgspec.Raw = msgspec.Raw(b"{}")


class _Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: _Call | None = None


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Candidate(msgspec.Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: Any = None
    index: Any = None
    grounding_metadata: Any = None
    logprobs_result: Any = None


class _Response(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    usage_metadata: Any = None
    prompt_feedback: Any = None
    error: Any = None


_RESPONSE: Final = msgspec.json.Decoder(_Response)
_RESPONSES: Final = msgspec.json.Decoder(list[_Response])


class ContentEvents(AnswerReader):
    """The events of one answer."""

    def __init__(self, stop: Sequence[str] = (), choice: int = 0) -> None:
        """``choice``: which of several answers."""
        super().__init__(stop)
        self._number = choice
        self._usage: dict[str, Any] = {}
        self._calls = 0
        self._texts: list[str] = []  # cited words are counted in bytes of the text
        self._sources = 0  # that were told

    def _data(self, data: bytes, found: list[Event]) -> None:
        self._response(_RESPONSE.decode(data), data, found)

    def _body(self, body: bytes, found: list[Event]) -> None:
        responses = _RESPONSES.decode(body) if body.lstrip().startswith(b"[") else [_RESPONSE.decode(body)]
        for response in responses:
            self._response(response, body, found)

    def _response(self, response: _Response, data: bytes, found: list[Event]) -> None:
        if response.error is not None:
            self._fail(found, provider_error(msgspec.json.decode(data)))
            return
        running = not self._finished
        for candidate in response.candidates or ():
            if (candidate.index or 0) == self._number:
                self._candidate(candidate, found)
        if response.usage_metadata is not None:
            add_usage(self._usage, response.usage_metadata)
        if member(response.prompt_feedback, "blockReason") is not None and not self._finished:
            self._stopped(Reason.FILTER, None, called=False, found=found)
        # Each chunk has a usage; only that of the end is told.
        if self._finished and self._usage and (running or response.usage_metadata is not None):
            found.append(counts_of(gemini_usage(self._usage).usage))

    def _candidate(self, candidate: _Candidate, found: list[Event]) -> None:
        if self._finished:
            return
        parts = (candidate.content.parts if candidate.content is not None else None) or ()
        begun = len(found)
        for part in parts:
            found += self._part(part)
        if candidate.logprobs_result is not None:  # it is that of the text, after which calls may have come
            texts = (place for place in range(begun, len(found)) if isinstance(found[place], TextDelta))
            after = max(texts, default=len(found) - 1) + 1
            found[after:after] = _probabilities(candidate.logprobs_result)
        found += self._cited(candidate.grounding_metadata)
        named = candidate.finish_reason
        if type(named) is int and 0 <= named < len(_NUMBERED):
            named = _NUMBERED[named]
        if named is None or named == "FINISH_REASON_UNSPECIFIED":
            return
        if named in _FILTERS:
            reason = Reason.FILTER
        elif named in _REASONS:
            reason = _REASONS[named]
        elif named == "OTHER":
            reason = Reason.END
        else:
            raise Unreadable  # a call that the model malformed, say: there is no whole answer
        self._stopped(reason, None, called=self._calls > 0, found=found)

    def _part(self, part: _Part) -> Iterator[Event]:
        sealed = Sealed(opened(Family.GOOGLE, part.thought_signature)) if part.thought_signature else None
        if part.thought:
            if part.text:
                yield ReasoningDelta(part.text)
            if sealed is not None:
                yield sealed
            return
        if sealed is not None:
            yield sealed
        if part.text:
            self._texts.append(part.text)
            yield TextDelta(part.text)
        if part.function_call is not None:
            self._calls += 1
            yield ToolStart(part.function_call.id or f"call_{self._calls}", part.function_call.name)
            arguments = bytes(part.function_call.args)
            yield ToolDelta("{}" if arguments == b"null" else arguments.decode())

    def _cited(self, grounding: Any) -> Iterator[Event]:
        """The sources that a grounded answer names, with the words that each supports."""
        chunks = member(grounding, "groundingChunks")
        chunks = chunks if isinstance(chunks, list) else []
        if len(chunks) <= self._sources:
            return
        spans: dict[int, tuple[int, int]] = {}
        text = "".join(self._texts).encode()
        supports = member(grounding, "groundingSupports")
        for support in supports if isinstance(supports, list) else ():
            segment, numbers = member(support, "segment"), member(support, "groundingChunkIndices")
            start, end = count(member(segment, "startIndex")) or 0, count(member(segment, "endIndex"))
            for number in numbers if end is not None and isinstance(numbers, list) else ():
                if type(number) is int and end is not None:
                    spans.setdefault(number, (_characters(text, start), _characters(text, end)))
        for number, chunk in enumerate(chunks[self._sources :], self._sources):
            web = member(chunk, "web")
            url, title = member(web, "uri"), member(web, "title")
            if isinstance(url, str):
                start_end = spans.get(number, (None, None))
                yield Cited(Citation(url, title if isinstance(title, str) else "", "", *start_end))
        self._sources = len(chunks)


def _probabilities(result: Any) -> Iterator[Probabilities]:
    """The tokens that were chosen, with the likeliest ones in the place of each."""
    chosen, likeliest = member(result, "chosenCandidates"), member(result, "topCandidates")
    places = likeliest if isinstance(likeliest, list) else []
    tokens: list[TokenProbability] = []
    for number, one in enumerate(chosen if isinstance(chosen, list) else ()):
        found = _token(one)
        others = member(places[number], "candidates") if number < len(places) else None
        if found is not None:
            alternatives = filter(None, map(_token, others if isinstance(others, list) else ()))
            tokens.append(TokenProbability(*found, tuple(alternatives)))
    if tokens:
        yield Probabilities(tuple(tokens))


def _token(one: Any) -> tuple[str, float] | None:
    token, logprob = member(one, "token"), member(one, "logProbability")
    if not isinstance(token, str) or isinstance(logprob, bool):
        return None
    return (token, float(logprob)) if isinstance(logprob, int | float) else (token, 0.0) if logprob is None else None


def _characters(text: bytes, end: int) -> int:
    return len(text[:end].decode(errors="ignore"))
