"""Writes answer events as an answer of the Responses API: one response, or the stream of its events.

One item is open at a time. The text of a custom tool is inside the arguments of a call, so it is sent when the
call is whole. A seal is the encrypted content of a reasoning item; seals of other providers are in an envelope
(`providers.conversation.envelope`). There is no clock here: ``created_at`` is 0.

https://developers.openai.com/api/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from providers.conversation.conversation import Citation, Event, Finish, Reason, TokenProbability, Tool
from providers.conversation.envelope import sealed_for
from providers.conversation.writing import AnswerWriter, Block, BlockKind, Pieces
from providers.dialect import Family
from providers.openai.probabilities import write_probabilities
from providers.openai.responses_reader import call_of

_encode: Final = msgspec.json.Encoder().encode
_CUT: Final = {Reason.LENGTH: "max_output_tokens", Reason.FILTER: "content_filter"}


class ResponseWriter(AnswerWriter):
    """The writer of one response. After `Failed` it writes nothing more."""

    def __init__(self, identity: str, model: str, *, tools: Sequence[Tool], reasoning: bool) -> None:
        super().__init__(identity, model, reasoning=reasoning, tools=tools)
        self._items: list[dict[str, Any]] = []  # one a block

    def response(self) -> dict[str, Any]:
        """The response as it stands."""
        status = self._status()
        counts = self.counts
        details = {"cache_write_tokens": counts.cache_write or 0, "cached_tokens": counts.cached or 0}
        usage = {
            "input_tokens": counts.input or 0,
            "input_tokens_details": details,
            "output_tokens": counts.output or 0,
            "output_tokens_details": {"reasoning_tokens": counts.reasoning or 0},
            "total_tokens": (counts.input or 0) + (counts.output or 0),
        }
        return {
            "id": f"resp_{self._identity}",
            "object": "response",
            "created_at": 0,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": _CUT[self.finish.reason]}
            if status == "incomplete" and self.finish
            else None,
            "instructions": None,
            "model": self._model,
            "output": self._items[: len(self.blocks)] if self.finish is not None else [],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "store": False,
            "tool_choice": "auto",
            "tools": [],
            "usage": usage if self.finish is not None else None,
            "metadata": {},
        }

    def _status(self) -> str:
        if self.finish is None:
            return "in_progress"
        return "incomplete" if self.finish.reason in _CUT else "completed"

    def _event(self, kind: str, **members: Any) -> bytes:
        data = _encode({"type": kind, "sequence_number": self.events} | members)
        self.events += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)

    def _on_begin(self) -> Pieces:
        begun: dict[str, Any] = {"status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
        yield self._event("response.created", response=self.response() | begun)
        yield self._event("response.in_progress", response=self.response() | begun)

    def _on_end(self, finish: Finish) -> Pieces:  # noqa: ARG002
        yield self._event(f"response.{self._status()}", response=self.response())

    def _where(self, block: Block) -> dict[str, Any]:
        return {"item_id": self._items[block.index]["id"], "output_index": block.index}

    def _on_open(self, block: Block) -> Pieces:
        del self._items[block.index :]  # of a call that was left out
        item = self._item(block)
        self._items.append(item)
        yield self._event("response.output_item.added", output_index=block.index, item=item)
        if block.seal is None:  # else it is a thought without a text
            yield from self._part(block, "added", "")

    def _item(self, block: Block) -> dict[str, Any]:
        number = f"{self._identity}_{block.index}"
        match block.kind:
            case BlockKind.TEXT | BlockKind.REFUSAL:
                message = {"id": f"msg_{number}", "type": "message", "status": "in_progress"}
                return {**message, "role": "assistant", "content": []}
            case BlockKind.REASONING:
                return {"id": f"rs_{number}", "type": "reasoning", "summary": []}
            case BlockKind.TOOL:
                namespace, name, custom = call_of(self._tools, block.name)
                item: dict[str, Any] = {
                    "id": f"{'ctc' if custom else 'fc'}_{number}",
                    "type": "custom_tool_call" if custom else "function_call",
                    "status": "in_progress",
                    "call_id": block.id,
                    "name": name,
                    "input" if custom else "arguments": "",
                }
                return item | {"namespace": namespace} if namespace else item

    def _on_piece(self, block: Block, text: str) -> Pieces:
        where = self._where(block)
        match block.kind:
            case BlockKind.TEXT:
                yield self._event("response.output_text.delta", **where, content_index=0, delta=text, logprobs=[])
            case BlockKind.REFUSAL:
                yield self._event("response.refusal.delta", **where, content_index=0, delta=text)
            case BlockKind.REASONING:
                yield self._event("response.reasoning_summary_text.delta", **where, summary_index=0, delta=text)
            case BlockKind.TOOL if "arguments" in self._items[block.index]:
                yield self._event("response.function_call_arguments.delta", **where, delta=text)
            case BlockKind.TOOL:
                pass

    def _on_citation(self, block: Block, citation: Citation) -> Pieces:
        yield self._event(
            "response.output_text.annotation.added",
            **self._where(block),
            content_index=0,
            annotation_index=len(block.citations) - 1,
            annotation=annotation_of(citation),
        )

    def _on_tokens(self, block: Block, tokens: Sequence[TokenProbability]) -> Pieces:
        if block.kind is BlockKind.TEXT:
            entries = write_probabilities(tokens)
            where = self._where(block)
            yield self._event("response.output_text.delta", **where, content_index=0, delta="", logprobs=entries)

    def _part(self, block: Block, what: str, text: str) -> Pieces:
        where = self._where(block)
        match block.kind:
            case BlockKind.TEXT:
                part = _text(text, block.citations, block.tokens)
                yield self._event(f"response.content_part.{what}", **where, content_index=0, part=part)
            case BlockKind.REFUSAL:
                part = {"type": "refusal", "refusal": text}
                yield self._event(f"response.content_part.{what}", **where, content_index=0, part=part)
            case BlockKind.REASONING:
                part = {"type": "summary_text", "text": text}
                yield self._event(f"response.reasoning_summary_part.{what}", **where, summary_index=0, part=part)
            case BlockKind.TOOL:
                pass

    def _on_close(self, block: Block) -> Pieces:
        item, where, text = self._items[block.index], self._where(block), block.text
        match block.kind:
            case BlockKind.TEXT:
                part = _text(text, block.citations, block.tokens)
                item["content"] = [part]
                yield self._event(
                    "response.output_text.done", **where, content_index=0, text=text, logprobs=part["logprobs"]
                )
                yield from self._part(block, "done", text)
            case BlockKind.REFUSAL:
                item["content"] = [{"type": "refusal", "refusal": text}]
                yield self._event("response.refusal.done", **where, content_index=0, refusal=text)
                yield from self._part(block, "done", text)
            case BlockKind.REASONING:
                if block.pieces:
                    item["summary"] = [{"type": "summary_text", "text": text}]
                    yield self._event("response.reasoning_summary_text.done", **where, summary_index=0, text=text)
                    yield from self._part(block, "done", text)
                if block.seal is not None:
                    item["encrypted_content"] = sealed_for(Family.OPENAI, block.seal)
            case BlockKind.TOOL if "input" in item:
                found = msgspec.json.decode(block.arguments or b"{}").get("input")
                item["input"] = found if isinstance(found, str) else text
                yield self._event("response.custom_tool_call_input.delta", **where, delta=item["input"])
                yield self._event("response.custom_tool_call_input.done", **where, input=item["input"])
            case BlockKind.TOOL:
                item["arguments"] = bytes(block.arguments or b"{}").decode()
                yield self._event(
                    "response.function_call_arguments.done", **where, name=item["name"], arguments=item["arguments"]
                )
        if "status" in item:
            item["status"] = "completed"
        yield self._event("response.output_item.done", output_index=block.index, item=item)


def annotation_of(citation: Citation) -> dict[str, Any]:
    """The annotation of a text; the API requires indexes, which are 0 where the answer did not state them."""
    return {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title,
        "start_index": citation.start or 0,
        "end_index": citation.end or 0,
    }


def _text(text: str, citations: Sequence[Citation], tokens: Sequence[TokenProbability]) -> dict[str, Any]:
    annotations = [annotation_of(citation) for citation in citations]
    return {"type": "output_text", "annotations": annotations, "logprobs": write_probabilities(tokens), "text": text}


def write_response(
    events: Iterable[Event], identity: str, model: str, *, tools: Sequence[Tool], reasoning: bool
) -> bytes | None:
    """The whole response, or None if the answer failed or the arguments of a call are no object."""
    writer = ResponseWriter(identity, model, tools=tools, reasoning=reasoning)
    writer.write(events)
    return _encode(writer.response()) if writer.end() else None
