"""The readers and writers of every dialect: the one place that knows all four.

A request goes from the caller's dialect into a conversation, is fitted to the provider's dialect, and is written there;
the answer comes back by the provider's reader and the caller's writer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from providers.anthropic import answer_reader as messages_answer
from providers.anthropic import reader as messages_request
from providers.anthropic import request_writer as messages_writer
from providers.anthropic import writer as messages_events
from providers.conversation.conversation import Conversation, Dialect, Event
from providers.conversation.features import Feature
from providers.conversation.fitting import fit
from providers.conversation.reading import AnswerReader
from providers.conversation.translated_members import dropped_members, member_of
from providers.conversation.writing import AnswerWriter
from providers.dialect import Refusal
from providers.gemini import answer_reader as gemini_answer
from providers.gemini import reader as gemini_request
from providers.gemini import request_writer as gemini_writer
from providers.gemini import writer as gemini_events
from providers.openai import chat_answer_writer as chat_events
from providers.openai import chat_reader as chat_answer
from providers.openai import chat_request_reader as chat_request
from providers.openai import chat_writer
from providers.openai import responses_answer_reader as responses_answer
from providers.openai import responses_reader as responses_request
from providers.openai import responses_request_writer as responses_writer
from providers.openai import responses_writer as responses_events

_TEXT: Final = "The request's body is not UTF-8."


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider's model takes.

    Attributes:
        output_limit: What it gives at most: an API that requires a limit gets it where the request states none.
        budgets: See `providers.conversation.fitting.fit`.
        completion_limit: A host of Chat Completions knows ``max_completion_tokens``.
        include_usage: A host of Chat Completions knows ``stream_options.include_usage``.
    """

    output_limit: int
    budgets: bool = False
    completion_limit: bool = True
    include_usage: bool = True


@dataclass(frozen=True, slots=True, repr=False)
class Prepared:
    """One request as its provider will read it.

    Attributes:
        conversation: What the caller asked, as it was read: `answer_writer` needs it.
        body: For the provider.
        dropped: The members of the caller's that the provider is not told, by their names in the register.
    """

    conversation: Conversation
    body: bytes
    dropped: tuple[str, ...]


def prepare(
    source: Dialect,
    target: Dialect,
    body: bytes,
    *,
    members: Iterable[str],
    model: str,
    capabilities: Capabilities,
    stream: bool = False,
) -> Prepared:
    """Translate a request.

    Args:
        source: The caller's dialect.
        target: The provider's.
        body: As the caller sent it.
        members: What the request has at its top level, and by dotted names in the objects there.
        model: The provider's name of the model.
        capabilities: Of the model there.
        stream: The path asks for a stream (Gemini).

    Raises:
        Refusal: The request has another form, or says what can't be told; ``param`` is the caller's member.
    """
    conversation = read_request(source, body, stream=stream)
    made, dropped = fitted(source, target, conversation, capabilities)
    written = write_request(target, made, model, capabilities)
    return Prepared(conversation, written, dropped_members(source, target, members, dropped))


def fitted(
    source: Dialect, target: Dialect, conversation: Conversation, capabilities: Capabilities
) -> tuple[Conversation, frozenset[Feature]]:
    """As `providers.conversation.fitting.fit`, but the `Refusal` names the caller's member."""
    try:
        return fit(conversation, target, output_limit=capabilities.output_limit, budgets=capabilities.budgets)
    except Refusal as refusal:
        named = member_of(source, Feature(refusal.param)) if refusal.param in set(Feature) else refusal.param
        raise Refusal(refusal.code, refusal.message, named) from None


def read_request(dialect: Dialect, body: bytes, *, stream: bool = False) -> Conversation:
    """The conversation that a request's body holds.

    Args:
        dialect: The caller's.
        body: As it was sent.
        stream: The path asks for a stream (Gemini); the other dialects say so in the body.

    Raises:
        Refusal: It has another form, or says what the hub has no place for.
    """
    try:
        str(body, "utf-8")  # what is passed through undecoded must be text too
    except UnicodeDecodeError:
        raise Refusal("invalid_request", _TEXT) from None
    match dialect:
        case Dialect.CHAT:
            return chat_request.read_request(body)
        case Dialect.RESPONSES:
            return responses_request.read_request(body)
        case Dialect.MESSAGES:
            return messages_request.read_request(body)
        case Dialect.GEMINI:
            return gemini_request.read_request(body, stream=stream)


def write_request(dialect: Dialect, conversation: Conversation, model: str, capabilities: Capabilities) -> bytes:
    """The body of the provider's request.

    Args:
        dialect: The provider's.
        conversation: As `providers.conversation.fitting.fit` made it for this dialect.
        model: The provider's name of the model.
        capabilities: Of the model there.
    """
    match dialect:
        case Dialect.CHAT:
            return chat_writer.write_chat(
                conversation,
                model,
                completion_limit=capabilities.completion_limit,
                include_usage=capabilities.include_usage,
            )
        case Dialect.RESPONSES:
            return responses_writer.write_responses(conversation, model)
        case Dialect.MESSAGES:
            return messages_writer.write_messages(conversation, model)
        case Dialect.GEMINI:
            return gemini_writer.write_generate(conversation)


def answer_reader(dialect: Dialect, stop: Sequence[str] = (), choice: int = 0) -> AnswerReader:
    """A fresh reader of a provider's answer.

    Args:
        dialect: The provider's.
        stop: The request's stop sequences.
        choice: Which of several answers is read, in a dialect that has several.
    """
    match dialect:
        case Dialect.CHAT:
            return chat_answer.ChatEvents(stop, choice)
        case Dialect.RESPONSES:
            return responses_answer.ResponseEvents(stop)
        case Dialect.MESSAGES:
            return messages_answer.MessageEvents(stop)
        case Dialect.GEMINI:
            return gemini_answer.ContentEvents(stop, choice)


def answer_writer(
    dialect: Dialect,
    conversation: Conversation,
    identity: str,
    model: str,
    *,
    sse: bool = True,
    wants_usage: bool = True,
) -> AnswerWriter:
    """A fresh writer of a streamed answer; of several, see `choice_writers`.

    Args:
        dialect: The caller's.
        conversation: What the caller asked, as it was read: its tools and whether thoughts are told.
        identity: The id of the answer.
        model: The model as the caller named it.
        sse: The stream is an event stream (Google's is a JSON array otherwise).
        wants_usage: The caller asked for the usage chunk (Chat Completions).
    """
    shown, tools = conversation.reasoning, conversation.tools
    match dialect:
        case Dialect.CHAT:
            return chat_events.ChunkWriter(identity, model, reasoning=shown, tools=tools, wants_usage=wants_usage)
        case Dialect.RESPONSES:
            return responses_events.ResponseWriter(identity, model, reasoning=shown, tools=tools)
        case Dialect.MESSAGES:
            return messages_events.MessageWriter(identity, model, reasoning=shown)
        case Dialect.GEMINI:
            return gemini_events.ResponseStream(identity, model, reasoning=shown, sse=sse)


def choice_writers(
    dialect: Dialect, conversation: Conversation, identity: str, model: str, *, sse: bool, wants_usage: bool
) -> Sequence[chat_events.ChunkWriter] | Sequence[gemini_events.ResponseStream]:
    """Fresh writers of the answers of one stream, in their order; the arguments are those of `answer_writer`.

    ``dialect`` is one that has several answers.
    """
    shown, numbers = conversation.reasoning, range(conversation.choices)
    if dialect is Dialect.CHAT:
        return [
            chat_events.ChunkWriter(
                identity, model, reasoning=shown, tools=conversation.tools, wants_usage=wants_usage, choice=number
            )
            for number in numbers
        ]
    found: list[gemini_events.ResponseStream] = []
    for number in numbers:
        before = found[0] if found else None
        found.append(
            gemini_events.ResponseStream(identity, model, reasoning=shown, sse=sse, choice=number, before=before)
        )
    return found


def write_answer(
    dialect: Dialect,
    conversation: Conversation,
    events: Iterable[Event],
    identity: str,
    model: str,
    *,
    further: Mapping[int, Iterable[Event]] | None = None,
) -> bytes | None:
    """The whole answer, or None if it failed or the arguments of a call are no object; see `answer_writer`.

    ``further``: the events of further answers by their numbers, in a dialect that has several.
    """
    shown, tools = conversation.reasoning, conversation.tools
    choices = {0: events, **(further or {})}
    match dialect:
        case Dialect.CHAT:
            return chat_events.write_completion(choices, identity, model, reasoning=shown, tools=tools)
        case Dialect.RESPONSES:
            return responses_events.write_response(events, identity, model, reasoning=shown, tools=tools)
        case Dialect.MESSAGES:
            return messages_events.write_message(events, identity, model, reasoning=shown)
        case Dialect.GEMINI:
            return gemini_events.write_response(choices, identity, model, reasoning=shown)
