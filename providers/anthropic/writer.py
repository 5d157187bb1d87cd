"""Writes answer events as a Messages answer: one message, or the stream of its events.

The counts are often known only at the end, so ``message_start`` states those that are known and ``message_delta`` the
final ones, which SDKs use. A refusal is written as text. Another provider's seal is sent as the signature of its
thinking block, in an envelope (`providers.conversation.envelope`); a thinking block without a seal has an empty
signature.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from providers.conversation.conversation import Citation, Counts, Event, Finish, Reason, Seal
from providers.conversation.envelope import sealed_for
from providers.conversation.writing import AnswerWriter, Block, BlockKind, Pieces
from providers.dialect import Family

_encode = msgspec.json.Encoder().encode
_REASONS: Final = {
    Reason.END: "end_turn",
    Reason.STOP_SEQUENCE: "stop_sequence",
    Reason.LENGTH: "max_tokens",
    Reason.TOOL: "tool_use",
    Reason.FILTER: "refusal",
}


def _event(kind: str, **members: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode({"type": kind} | members))


def _usage(counts: Counts) -> dict[str, Any]:
    """Anthropic's input count does not include tokens read from the cache; that of chat does."""
    whole = counts.input or 0
    cached = min(counts.cached or 0, whole)
    written = min(counts.cache_write or 0, whole - cached)
    found: dict[str, Any] = {
        "input_tokens": whole - cached - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": counts.output or 0,
    }
    if counts.reasoning is not None:
        found["output_tokens_details"] = {"thinking_tokens": counts.reasoning}
    return found


class MessageWriter(AnswerWriter):
    """The writer of one streamed message. After `Failed` it writes nothing more."""

    def _on_begin(self) -> Pieces:
        yield _event("message_start", message=_message(self._identity, self._model, [], None, self.counts))

    def _on_open(self, block: Block) -> Pieces:
        yield _event("content_block_start", index=block.index, content_block=_opened(block))

    def _on_piece(self, block: Block, text: str) -> Pieces:
        match block.kind:
            case BlockKind.TEXT | BlockKind.REFUSAL:
                yield self._delta(block, {"type": "text_delta", "text": text})
            case BlockKind.REASONING:
                yield self._delta(block, {"type": "thinking_delta", "thinking": text})
            case BlockKind.TOOL:
                yield self._delta(block, {"type": "input_json_delta", "partial_json": text})

    def _on_citation(self, block: Block, citation: Citation) -> Pieces:
        yield self._delta(block, {"type": "citations_delta", "citation": _cited(citation)})

    def _on_close(self, block: Block) -> Pieces:
        if block.seal is not None and not _is_redacted(block.seal):
            yield self._delta(block, {"type": "signature_delta", "signature": sealed_for(Family.ANTHROPIC, block.seal)})
        yield _event("content_block_stop", index=block.index)

    def _on_end(self, finish: Finish) -> Pieces:
        delta = {"stop_reason": _REASONS[finish.reason], "stop_sequence": finish.sequence}
        yield _event("message_delta", delta=delta, usage=_usage(self.counts))
        yield _event("message_stop")

    @staticmethod
    def _delta(block: Block, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", index=block.index, delta=delta)


def _opened(block: Block) -> dict[str, Any]:
    """A block without its text."""
    match block.kind:
        case BlockKind.TEXT | BlockKind.REFUSAL:
            return {"type": "text", "text": ""}
        case BlockKind.REASONING if _is_redacted(block.seal):
            return {"type": "redacted_thinking", "data": block.seal.data if block.seal else ""}
        case BlockKind.REASONING:
            return {"type": "thinking", "thinking": "", "signature": ""}
        case BlockKind.TOOL:
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": {}}


def _is_redacted(seal: Seal | None) -> bool:
    return seal is not None and seal.redacted and seal.family is Family.ANTHROPIC


def _cited(citation: Citation) -> dict[str, Any]:
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title or None,
        "cited_text": citation.quote,
        "encrypted_index": "",
    }


def write_message(events: Iterable[Event], identity: str, model: str, *, reasoning: bool) -> bytes | None:
    """The whole message, or None if the answer failed or the arguments of a call are no object."""
    answer = AnswerWriter(reasoning=reasoning)
    answer.write(events)
    if not answer.finished:
        return None
    return _encode(_message(identity, model, [_whole(block) for block in answer.blocks], answer.finish, answer.counts))


def _whole(block: Block) -> dict[str, Any]:
    found = _opened(block)
    match block.kind:
        case BlockKind.TEXT | BlockKind.REFUSAL:
            found["text"] = block.text
            if block.citations:
                found["citations"] = [_cited(citation) for citation in block.citations]
        case BlockKind.REASONING if found["type"] == "thinking":
            found["thinking"] = block.text
            found["signature"] = sealed_for(Family.ANTHROPIC, block.seal) if block.seal else ""
        case BlockKind.TOOL:
            found["input"] = block.arguments
        case _:
            pass
    return found


def _message(
    identity: str, model: str, content: list[dict[str, Any]], finish: Finish | None, counts: Counts
) -> dict[str, Any]:
    return {
        "id": identity,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": finish and _REASONS[finish.reason],
        "stop_sequence": finish and finish.sequence,
        "usage": _usage(counts),
    }
