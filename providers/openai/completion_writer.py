"""Writes answer events as legacy completions: one completion, or the stream of its chunks.

Only text has a place there. There is no clock here: ``created`` is 0.

https://developers.openai.com/api/docs/api-reference/completions/object
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from providers.conversation.conversation import Event, Finish
from providers.conversation.writing import AnswerWriter, Block, BlockKind, Pieces
from providers.openai.chat_answer_writer import REASONS, usage_body

_encode: Final = msgspec.json.Encoder().encode
_TEXTS: Final = frozenset((BlockKind.TEXT, BlockKind.REFUSAL))


class CompletionWriter(AnswerWriter):
    """The writer of one streamed completion. After `Failed` it writes nothing more."""

    def __init__(self, identity: str, model: str, *, wants_usage: bool) -> None:
        """``wants_usage``: the caller asked for the usage chunk."""
        super().__init__(identity, model, reasoning=False)
        self._wants_usage = wants_usage

    def _on_piece(self, block: Block, text: str) -> Pieces:
        if block.kind in _TEXTS:
            yield self._chunk([_choice(text, None)])

    def _on_end(self, finish: Finish) -> Pieces:
        yield self._chunk([_choice("", REASONS[finish.reason])])
        if self._wants_usage:
            yield self._chunk([], usage=usage_body(self.counts))
        yield b"data: [DONE]\n\n"

    def _chunk(self, choices: list[dict[str, Any]], **members: Any) -> bytes:
        return b"data: %b\n\n" % _encode(_completion(self._identity, self._model, choices) | members)


def write_text_completion(events: Iterable[Event], identity: str, model: str) -> bytes | None:
    """The whole completion, or None if the answer failed."""
    answer = AnswerWriter(reasoning=False)
    answer.write(events)
    if not answer.finished or answer.finish is None:
        return None
    text = "".join(block.text for block in answer.blocks if block.kind in _TEXTS)
    completion = _completion(identity, model, [_choice(text, REASONS[answer.finish.reason])])
    return _encode(completion | {"usage": usage_body(answer.counts)})


def _completion(identity: str, model: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": f"cmpl-{identity}", "object": "text_completion", "created": 0, "model": model, "choices": choices}


def _choice(text: str, reason: str | None) -> dict[str, Any]:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": reason}
