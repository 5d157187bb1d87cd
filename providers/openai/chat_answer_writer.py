"""Writes answer events as a Chat Completions answer: one completion, or the stream of its chunks.

Reasoning is written as ``reasoning_content``, which many clients show, and with its seals as ``reasoning_details``
(`providers.openai.reasoning_details`), which clients send back. Citations are ``annotations``. There is no clock here:
``created`` is 0. A stream has a usage chunk if the caller asked for it.

https://developers.openai.com/api/docs/api-reference/chat/streaming
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from providers.conversation.conversation import (
    Citation,
    Counts,
    Event,
    Finish,
    Reason,
    Reasoning,
    TokenProbability,
    Tool,
)
from providers.conversation.writing import AnswerWriter, Block, BlockKind, Pieces
from providers.openai.probabilities import write_probabilities
from providers.openai.reasoning_details import seal_entry, text_entry, write_details
from providers.openai.responses_writer import annotation_of
from providers.openai.tools import input_of, kind_of

_encode: Final = msgspec.json.Encoder().encode
REASONS: Final = {
    Reason.END: "stop",
    Reason.STOP_SEQUENCE: "stop",
    Reason.LENGTH: "length",
    Reason.TOOL: "tool_calls",
    Reason.FILTER: "content_filter",
}


def usage_body(counts: Counts) -> dict[str, Any]:
    """The counts as chat and completions state them."""
    prompt, completion = counts.input or 0, counts.output or 0
    found: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    of_prompt = {"cached_tokens": counts.cached, "cache_write_tokens": counts.cache_write}
    stated = {name: number for name, number in of_prompt.items() if number is not None}
    if stated:
        found["prompt_tokens_details"] = stated
    if counts.reasoning is not None:
        found["completion_tokens_details"] = {"reasoning_tokens": counts.reasoning}
    return found


class ChunkWriter(AnswerWriter):
    """The writer of one streamed completion. After `Failed` it writes nothing more."""

    def __init__(
        self,
        identity: str,
        model: str,
        *,
        reasoning: bool,
        tools: Sequence[Tool] = (),
        wants_usage: bool = True,
        choice: int | None = None,
    ) -> None:
        """``choice``: which of several answers it is; ``None`` if it is the only one, which ends the stream."""
        super().__init__(identity, model, reasoning=reasoning, tools=tools)
        self._choice = choice
        self._wants_usage = wants_usage
        self._calls = 0  # that began
        self._citations = 0
        self._details = 0  # indexes of ``reasoning_details`` that are taken

    def _on_begin(self) -> Pieces:
        yield self._delta({"role": "assistant", "content": ""})

    def _on_open(self, block: Block) -> Pieces:
        if block.kind is BlockKind.TOOL:
            kind = kind_of(self._tools, block.name)
            said = {"name": block.name, "input" if kind == "custom" else "arguments": ""}
            call = {"index": self._calls, "id": block.id, "type": kind, kind: said}
            self._calls += 1
            yield self._delta({"tool_calls": [call]})

    def _on_piece(self, block: Block, text: str) -> Pieces:
        match block.kind:
            case BlockKind.TEXT:
                yield self._delta({"content": text})
            case BlockKind.REFUSAL:
                yield self._delta({"refusal": text})
            case BlockKind.REASONING:
                details = [text_entry(text, self._details)]
                yield self._delta({"reasoning_content": text, "reasoning_details": details})
            case BlockKind.TOOL if kind_of(self._tools, block.name) == "function":
                call = {"index": self._calls - 1, "function": {"arguments": text}}
                yield self._delta({"tool_calls": [call]})
            case BlockKind.TOOL:
                pass  # the text is inside the arguments: it is told when they are whole

    def _on_citation(self, block: Block, citation: Citation) -> Pieces:  # noqa: ARG002
        # The SDK's accumulator takes no entry of a list without an index.
        yield self._delta({"annotations": [{"index": self._citations, **_annotation(citation)}]})
        self._citations += 1

    def _on_tokens(self, block: Block, tokens: Sequence[TokenProbability]) -> Pieces:
        yield self._delta({}, logprobs=_probabilities(block.kind, tokens))

    def _on_close(self, block: Block) -> Pieces:
        if block.kind is BlockKind.TOOL and kind_of(self._tools, block.name) == "custom":
            call = {"index": self._calls - 1, "custom": {"input": input_of(bytes(block.arguments or b"{}"))}}
            yield self._delta({"tool_calls": [call]})
        if block.kind is BlockKind.REASONING:
            if block.seal is not None:
                entry = seal_entry(block.seal, self._details)
                if "signature" not in entry and block.pieces:
                    self._details += 1
                    entry["index"] = self._details
                yield self._delta({"reasoning_details": [entry]})
            self._details += 1

    def _on_end(self, finish: Finish) -> Pieces:
        yield self._delta({}, REASONS[finish.reason])
        if self._choice is None:
            yield self.closing()

    def closing(self) -> bytes:
        """The end of the stream."""
        usage = _chunk(self._identity, self._model, [], usage=usage_body(self.counts)) if self._wants_usage else b""
        return usage + b"data: [DONE]\n\n"

    def _delta(self, delta: dict[str, Any], reason: str | None = None, logprobs: Any = None) -> bytes:
        choice = {"index": self._choice or 0, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return _chunk(self._identity, self._model, [choice])


def _chunk(identity: str, model: str, choices: list[dict[str, Any]], **members: Any) -> bytes:
    chunk = {"id": f"chatcmpl-{identity}", "object": "chat.completion.chunk", "created": 0, "model": model}
    return b"data: %b\n\n" % _encode({**chunk, "choices": choices, **members})


def _annotation(citation: Citation) -> dict[str, Any]:
    cited = annotation_of(citation)
    return {"type": cited.pop("type"), "url_citation": cited}


def write_completion(
    choices: Mapping[int, Iterable[Event]], identity: str, model: str, *, reasoning: bool, tools: Sequence[Tool] = ()
) -> bytes | None:
    """The whole completion, or None if an answer failed or the arguments of a call are no object.

    Args:
        choices: The events of each answer, by its number.
        identity: The id of the completion.
        model: As the caller named it.
        reasoning: As for `AnswerWriter`, and ``tools``.
        tools: The same.
    """
    written: list[dict[str, Any]] = []
    for index, events in choices.items():
        answer = AnswerWriter(reasoning=reasoning)
        answer.write(events)
        if not answer.finished or answer.finish is None:
            return None
        written.append(
            {
                "index": index,
                "message": _message(answer.blocks, tools),
                "logprobs": _all_probabilities(answer.blocks),
                "finish_reason": REASONS[answer.finish.reason],
            }
        )
        counts = answer.counts
    completion = {"id": f"chatcmpl-{identity}", "object": "chat.completion", "created": 0, "model": model}
    return _encode({**completion, "choices": written, "usage": usage_body(counts)})


def _probabilities(kind: BlockKind, tokens: Sequence[TokenProbability]) -> dict[str, Any]:
    entries = write_probabilities(tokens)
    refused = kind is BlockKind.REFUSAL
    return {"content": None if refused else entries, "refusal": entries if refused else None}


def _all_probabilities(blocks: list[Block]) -> dict[str, Any] | None:
    held = {
        kind: [token for block in blocks if block.kind is kind for token in block.tokens]
        for kind in (BlockKind.TEXT, BlockKind.REFUSAL)
    }
    found = {kind: write_probabilities(tokens) or None for kind, tokens in held.items()}
    content, refusal = found[BlockKind.TEXT], found[BlockKind.REFUSAL]
    return {"content": content, "refusal": refusal} if content or refusal else None


def _message(blocks: list[Block], tools: Sequence[Tool]) -> dict[str, Any]:
    text = [block.text for block in blocks if block.kind is BlockKind.TEXT]
    refused = [block.text for block in blocks if block.kind is BlockKind.REFUSAL]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(text) if text else None,
        "refusal": "".join(refused) if refused else None,
    }
    thoughts = [part for block in blocks if isinstance(part := block.part(), Reasoning)]
    if thoughts:
        message["reasoning_content"] = "".join(part.text for part in thoughts)
        message["reasoning_details"] = write_details(thoughts)
    citations = [_annotation(citation) for block in blocks for citation in block.citations]
    if citations:
        message["annotations"] = citations
    calls = [_call(block, tools) for block in blocks if block.kind is BlockKind.TOOL]
    if calls:
        message["tool_calls"] = calls
    return message


def _call(block: Block, tools: Sequence[Tool]) -> dict[str, Any]:
    arguments = bytes(block.arguments or b"{}")
    if kind_of(tools, block.name) == "custom":
        return {"id": block.id, "type": "custom", "custom": {"name": block.name, "input": input_of(arguments)}}
    function = {"name": block.name, "arguments": arguments.decode()}
    return {"id": block.id, "type": "function", "function": function}
