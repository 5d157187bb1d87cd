"""Which scanner watches which answer."""

from __future__ import annotations

from providers.answers.body import JsonBody, Reader
from providers.answers.events import EventStream
from providers.anthropic import answer as anthropic_answer
from providers.dialect import Family, Head, Operation, Scanner
from providers.document.projection import Wanted
from providers.gemini import answer as gemini_answer
from providers.openai import answer as openai_answer

_BODIES: dict[Operation, tuple[Reader, Wanted]] = {
    Operation.OPENAI_CHAT: (openai_answer.read_chat, openai_answer.CHAT),
    Operation.OPENAI_RESPONSES: (openai_answer.read_response, openai_answer.RESPONSE),
    Operation.OPENAI_COMPACT: (openai_answer.read_response, openai_answer.RESPONSE),
    Operation.OPENAI_INPUT_TOKENS: (openai_answer.read_counted, openai_answer.COUNTED),
    Operation.OPENAI_COMPLETIONS: (openai_answer.read_chat, openai_answer.CHAT),
    Operation.OPENAI_EMBEDDINGS: (openai_answer.read_chat, openai_answer.CHAT),
    Operation.ANTHROPIC_MESSAGES: (anthropic_answer.read_message, anthropic_answer.MESSAGE),
    Operation.ANTHROPIC_COUNT_TOKENS: (anthropic_answer.read_counted, anthropic_answer.COUNTED),
    Operation.GEMINI_GENERATE: (gemini_answer.read_generated, gemini_answer.CHUNK),
    Operation.GEMINI_STREAM: (gemini_answer.read_generated, gemini_answer.CHUNK),
    Operation.GEMINI_COUNT_TOKENS: (gemini_answer.read_counted, gemini_answer.COUNTED),
    Operation.GEMINI_EMBED: (gemini_answer.read_generated, gemini_answer.CHUNK),
    Operation.GEMINI_BATCH_EMBED: (gemini_answer.read_generated, gemini_answer.CHUNK),
}

_NOTHING_GENERATED = frozenset(
    {
        Operation.OPENAI_INPUT_TOKENS,
        Operation.OPENAI_EMBEDDINGS,
        Operation.ANTHROPIC_COUNT_TOKENS,
        Operation.GEMINI_COUNT_TOKENS,
        Operation.GEMINI_EMBED,
        Operation.GEMINI_BATCH_EMBED,
    }
)


def scanner_for(operation: Operation, head: Head, *, sse: bool) -> Scanner:
    """A fresh scanner for a 2xx answer.

    Args:
        operation: What was asked for.
        head: The request's head; ``wants_usage`` and ``variant`` matter here.
        sse: The answer is an event stream. Go by its content type: a stream may have been asked
            for and a JSON body answered.
    """
    if sse:
        return _stream(operation, head)
    if operation is Operation.GEMINI_STREAM:
        return gemini_answer.GenerateArray(head)
    reader, wanted = _BODIES[operation]
    return JsonBody(head, reader, wanted, generated=operation not in _NOTHING_GENERATED)


def _stream(operation: Operation, head: Head) -> EventStream:
    if operation in {Operation.OPENAI_RESPONSES, Operation.OPENAI_COMPACT}:
        return openai_answer.ResponsesStream(head)
    if operation.family is Family.OPENAI:
        return openai_answer.ChatStream(head)
    if operation.family is Family.ANTHROPIC:
        return anthropic_answer.MessageStream(head)
    return gemini_answer.GenerateStream(head)
