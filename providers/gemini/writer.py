"""Writes answer events as generateContent answers: one response, or a stream of them.

A function call is one part, so its arguments are collected until it ends. A stream is server-sent
events with ``alt=sse`` and a JSON array otherwise, as Google sends them. A refusal is written as text. A seal is on the
last part of its thought, or, without a thought, on the following part; seals of other providers are in an envelope
(`providers.conversation.envelope`).

https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from providers.conversation.conversation import Counts, Event, Finish, Reason, TokenProbability
from providers.conversation.envelope import sealed_for
from providers.conversation.writing import AnswerWriter, Block, BlockKind, Pieces
from providers.dialect import Family

_encode = msgspec.json.Encoder().encode
_REASONS: Final = {
    Reason.END: "STOP",
    Reason.STOP_SEQUENCE: "STOP",
    Reason.LENGTH: "MAX_TOKENS",
    Reason.TOOL: "STOP",
    Reason.FILTER: "SAFETY",
}


def _usage(counts: Counts) -> dict[str, int]:
    """Google's counts of candidates and prompt do not include thoughts and input from tools; those of chat do."""
    thoughts = min(counts.reasoning or 0, counts.output or 0)
    tool = min(counts.tool or 0, counts.input or 0)
    found = {
        "promptTokenCount": (counts.input or 0) - tool,
        "candidatesTokenCount": (counts.output or 0) - thoughts,
        "totalTokenCount": (counts.input or 0) + (counts.output or 0),
    }
    beside = {"thoughtsTokenCount": thoughts, "toolUsePromptTokenCount": tool}
    beside["cachedContentTokenCount"] = counts.cached or 0
    return found | {name: number for name, number in beside.items() if number}


class _Parts:
    """Puts seals onto the parts that they belong to."""

    def __init__(self) -> None:
        self._seal = ""

    def bare(self, block: Block) -> list[dict[str, Any]]:
        """A thought is over: its seal as a part of its own, or, if it has no text, kept for the part that follows."""
        if block.seal is None:
            return []
        seal = sealed_for(Family.GOOGLE, block.seal)
        if block.pieces:
            return [{"text": "", "thought": True, "thoughtSignature": seal}]
        before = self.rest()
        self._seal = seal
        return before

    def sealed(self, part: dict[str, Any]) -> dict[str, Any]:
        """The part, with the seal that waited for it."""
        if not self._seal:
            return part
        seal, self._seal = self._seal, ""
        return part | {"thoughtSignature": seal}

    def rest(self) -> list[dict[str, Any]]:
        """The part of a seal that no part followed."""
        return [self.sealed({"text": ""})] if self._seal else []


def _call(block: Block) -> dict[str, Any]:
    return {"functionCall": {"id": block.id, "name": block.name, "args": block.arguments}}


class _Written:
    """Whether anything was written of one stream."""

    __slots__ = ("any",)

    def __init__(self) -> None:
        self.any = False


class ResponseStream(AnswerWriter):
    """The writer of one streamed answer. After `Failed` it writes nothing more."""

    def __init__(
        self,
        identity: str,
        model: str,
        *,
        reasoning: bool,
        sse: bool,
        choice: int | None = None,
        before: ResponseStream | None = None,
    ) -> None:
        """Make a writer.

        Args:
            identity: The id of the answer.
            model: As the caller named it.
            reasoning: As for `AnswerWriter`.
            sse: The stream is an event stream, and no array.
            choice: Which of several answers it is; ``None`` if it is the only one, which ends the stream.
            before: The writer of another one of them.
        """
        super().__init__(identity, model, reasoning=reasoning)
        self._parts = _Parts()
        self._sse = sse
        self._choice = choice
        self.written: _Written = _Written() if before is None else before.written

    def _on_open(self, block: Block) -> Pieces:
        if block.kind is BlockKind.REASONING and (parts := self._parts.rest()):
            yield self._frame(parts)

    def _on_piece(self, block: Block, text: str) -> Pieces:
        match block.kind:
            case BlockKind.TEXT | BlockKind.REFUSAL:
                yield self._frame([self._parts.sealed({"text": text})])
            case BlockKind.REASONING:
                yield self._frame([{"text": text, "thought": True}])
            case BlockKind.TOOL:
                pass

    def _on_tokens(self, block: Block, tokens: Sequence[TokenProbability]) -> Pieces:  # noqa: ARG002
        yield self._frame([{"text": ""}], tokens=tokens)

    def _on_close(self, block: Block) -> Pieces:
        match block.kind:
            case BlockKind.TOOL:
                yield self._frame([self._parts.sealed(_call(block))])
            case BlockKind.REASONING if parts := self._parts.bare(block):
                yield self._frame(parts)
            case BlockKind.TEXT if block.citations:
                yield self._frame([{"text": ""}], grounded=True)
            case _:
                pass

    def _on_end(self, finish: Finish) -> Pieces:
        yield self._frame(self._parts.rest() or [{"text": ""}], finish)
        if self._choice is None:
            yield self.closing()

    def closing(self) -> bytes:
        """The end of the stream."""
        return b"" if self._sse else b"\n]\n"

    def _frame(
        self,
        parts: list[dict[str, Any]],
        finish: Finish | None = None,
        *,
        grounded: bool = False,
        tokens: Sequence[TokenProbability] = (),
    ) -> bytes:
        candidate = _candidate(self._choice or 0, parts, finish, self, grounded=grounded, tokens=tokens)
        data = _encode(_response(self._identity, self._model, [candidate], None if finish is None else self.counts))
        if self._sse:
            return b"data: %b\r\n\r\n" % data
        before = b",\r\n" if self.written.any else b"["
        self.written.any = True
        return before + data


def write_response(
    choices: Mapping[int, Iterable[Event]], identity: str, model: str, *, reasoning: bool
) -> bytes | None:
    """The whole response, or None where an answer failed or the arguments of a call are no object.

    ``choices``: the events of each answer, by its number.
    """
    candidates: list[dict[str, Any]] = []
    for index, events in choices.items():
        answer = AnswerWriter(reasoning=reasoning)
        answer.write(events)
        if not answer.finished:
            return None
        parts = _parts_of(answer) or [{"text": ""}]
        grounded = any(block.citations for block in answer.blocks)
        tokens = [token for block in answer.blocks for token in block.tokens]
        candidates.append(_candidate(index, parts, answer.finish, answer, grounded=grounded, tokens=tokens))
        counts = answer.counts
    return _encode(_response(identity, model, candidates, counts))


def _parts_of(answer: AnswerWriter) -> list[dict[str, Any]]:
    waiting = _Parts()
    parts: list[dict[str, Any]] = []
    for block in answer.blocks:
        match block.kind:
            case BlockKind.TEXT | BlockKind.REFUSAL:
                parts.append(waiting.sealed({"text": block.text}))
            case BlockKind.TOOL:
                parts.append(waiting.sealed(_call(block)))
            case BlockKind.REASONING if block.pieces:
                parts += waiting.rest()
                thought: dict[str, Any] = {"text": block.text, "thought": True}
                for sealed in waiting.bare(block):
                    thought = sealed | {"text": block.text}
                parts.append(thought)
            case BlockKind.REASONING:
                parts += waiting.bare(block)
    return parts + waiting.rest()


def _candidate(
    index: int,
    parts: list[dict[str, Any]],
    finish: Finish | None,
    answer: AnswerWriter,
    *,
    grounded: bool,
    tokens: Sequence[TokenProbability],
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": index}
    if grounded:
        candidate["groundingMetadata"] = _grounding(answer.blocks)
    if tokens:
        candidate["logprobsResult"] = {
            "chosenCandidates": [_token(one.token, one.logprob) for one in tokens],
            "topCandidates": [{"candidates": [_token(*other) for other in one.alternatives]} for one in tokens],
        }
    if finish is not None:
        candidate["finishReason"] = _REASONS[finish.reason]
    return candidate


def _response(identity: str, model: str, candidates: list[dict[str, Any]], counts: Counts | None) -> dict[str, Any]:
    response: dict[str, Any] = {"candidates": candidates, "modelVersion": model, "responseId": identity}
    if counts is not None:
        response["usageMetadata"] = _usage(counts)
    return response


def _token(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logProbability": logprob}


def _grounding(blocks: list[Block]) -> dict[str, Any]:
    """Google counts the cited words in bytes."""
    text = "".join(block.text for block in blocks if block.kind is BlockKind.TEXT)
    chunks: list[dict[str, Any]] = []
    supports: list[dict[str, Any]] = []
    for citation in (citation for block in blocks for citation in block.citations):
        chunks.append({"web": {"uri": citation.url, "title": citation.title}})
        if citation.start is not None and citation.end is not None:
            segment: dict[str, Any] = {
                "startIndex": len(text[: citation.start].encode()),
                "endIndex": len(text[: citation.end].encode()),
                "text": text[citation.start : citation.end],
            }
            supports.append({"segment": segment, "groundingChunkIndices": [len(chunks) - 1]})
    return {"groundingChunks": chunks, "groundingSupports": supports}
