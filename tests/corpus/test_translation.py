"""Every recorded request and answer through the hub: to every other dialect and back, with the SDKs as the judges.

A request keeps its meaning if what was written for a dialect is read back as it was fitted. An answer is accepted if the
official SDK of each dialect validates it, whole and event by event, and what its own accumulator makes of the stream
says what the whole says.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from google.genai.types import GenerateContentResponse
from openai import omit
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from providers.answers.sse import data_of, event_spans
from providers.conversation.conversation import Conversation, Dialect, Event, Reason, RefusalDelta, TextDelta
from providers.conversation.dialects import (
    Capabilities,
    answer_reader,
    answer_writer,
    read_request,
    write_answer,
    write_request,
)
from providers.conversation.fitting import fit
from providers.conversation.writing import AnswerWriter, BlockKind
from providers.dialect import Family, Head, Operation, Refusal
from providers.wires import WIRES
from tests.corpus.recordings import CORPUS, NO_CORPUS, Recording, served

pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=NO_CORPUS)

DIALECTS = {
    Operation.OPENAI_CHAT: Dialect.CHAT,
    Operation.OPENAI_RESPONSES: Dialect.RESPONSES,
    Operation.ANTHROPIC_MESSAGES: Dialect.MESSAGES,
    Operation.GEMINI_GENERATE: Dialect.GEMINI,
    Operation.GEMINI_STREAM: Dialect.GEMINI,
}
EVERY = frozenset(Family)
MADE_BY_HAND = frozenset(("vendor_fixture_hand_made_suspect", "hand_written"))
MESSAGE_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
RESPONSE_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def recordings() -> Iterator[tuple[Dialect, Recording]]:
    for recording in served():
        dialect = DIALECTS.get(recording.operation)
        if dialect is not None and recording.record["core"] and recording.record["provenance"] not in MADE_BY_HAND:
            yield dialect, recording


# -- requests ------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """All that a conversation holds, with JSON as what it means."""
    if is_dataclass(value):
        named = {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        return {"kind": type(value).__name__, **named}
    if isinstance(value, bytes):
        return json.loads(value) if value else None
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    if isinstance(value, str) and value.startswith("{"):
        try:
            return json.loads(value)  # the result of a tool, which Gemini takes as an object
        except ValueError:
            return value
    return value


def test_a_recorded_request_keeps_its_meaning_in_every_dialect():
    passed: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for dialect, recording in recordings():
        ask = recording.record["request_body"]
        if not isinstance(ask, dict) or not recording.good:
            continue
        try:
            conversation = read_request(dialect, json.dumps(ask).encode())
        except Refusal as refusal:
            refused[f"{refusal.code}: {dialect}: {refusal.param}"] += 1
            continue
        for target in Dialect:
            try:
                fitted, _ = fit(conversation, target, output_limit=32_000, carried=EVERY)
            except Refusal as refusal:
                refused[f"{refusal.code}: {dialect} to {target}: {refusal.param}"] += 1
                continue
            body = write_request(target, fitted, "m", Capabilities(0))
            assert plain(read_request(target, body, stream=fitted.stream)) == plain(fitted), (recording.id, target)
            passed[f"{dialect} to {target}"] += 1
    assert len(passed) == len(Dialect) ** 2
    assert passed.total() > 1_700
    assert refused.total() < 200, refused
    assert not [why for why in refused if why.startswith("invalid_request")], refused


# -- answers -------------------------------------------------------------------------------------


def read(dialect: Dialect, recording: Recording) -> list[Event] | None:
    """The events of a recorded answer, or None if the host did not give a whole one."""
    ask = recording.record["request_body"]
    stop: list[str] = []
    if isinstance(ask, dict) and dialect is Dialect.MESSAGES:
        stop = ask.get("stop_sequences") or []
    reader = answer_reader(dialect, stop)
    if recording.sse:
        events = reader.feed(recording.body)
        events += [] if reader.done else reader.finish()
    else:
        events = reader.whole(recording.body)
    return None if reader.failed else events


def said(events: list[Event], dialect: Dialect | None = None) -> Any:
    """What an answer says. ``dialect``: as it can be said there."""
    answer = AnswerWriter()
    words = dialect in {Dialect.MESSAGES, Dialect.GEMINI}
    answer.write([TextDelta(one.text) if words and isinstance(one, RefusalDelta) else one for one in events])
    blocks = [
        (
            block.kind,
            block.id,
            block.name,
            block.text if block.arguments is None else json.loads(bytes(block.arguments)),
        )
        + ((block.seal.family, block.seal.data, block.seal.redacted) if block.seal else ())
        for block in answer.blocks
    ]
    if dialect is Dialect.CHAT:  # a message has its thoughts, its text and its calls, in no further order
        order = [BlockKind.REASONING, BlockKind.TEXT, BlockKind.REFUSAL, BlockKind.TOOL]
        blocks.sort(key=lambda block: order.index(block[0]))
    assert answer.finish is not None
    reason = answer.finish.reason
    if dialect is not Dialect.MESSAGES and reason == "stop_sequence":
        reason = type(reason).END
    counts = answer.counts
    numbers = (counts.input or 0, counts.output or 0, counts.cached or 0)
    return blocks, reason, numbers


def joined(blocks: Any) -> Any:
    """Blocks of one kind as one: chat joins its texts."""
    found: dict[str, str] = {}
    for block in blocks:
        if block[0] is not BlockKind.TOOL:
            found[block[0]] = found.get(block[0], "") + block[3]
    return found, [block[1:4] for block in blocks if block[0] is BlockKind.TOOL]


def chunks(stream: bytes) -> Iterator[bytes]:
    for start, end in event_spans(stream):
        data = data_of(stream[start:end])
        if data and data != b"[DONE]":
            yield data


def by_sdk(dialect: Dialect, stream: bytes, whole: bytes) -> tuple[Any, Any]:
    """What the SDK makes of the stream, and of the whole: text and calls."""
    match dialect:
        case Dialect.CHAT:
            state = ChatCompletionStreamState()
            for data in chunks(stream):
                state.handle_chunk(ChatCompletionChunk.model_validate_json(data))
            # `get_final_completion` raises for an answer that was cut or filtered.
            return chat_said(state.current_completion_snapshot), chat_said(ChatCompletion.model_validate_json(whole))
        case Dialect.RESPONSES:
            events = [RESPONSE_EVENT.validate_json(data) for data in chunks(stream)]
            assert [event.sequence_number for event in events] == list(range(len(events)))
            state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
            for event in events:
                state.handle_event(event)
            return response_said(events[-1].response), response_said(Response.model_validate_json(whole))
        case Dialect.MESSAGES:
            message, pieces = None, dict[int, bytes]()
            for data in chunks(stream):
                event = MESSAGE_EVENT.validate_json(data)
                message = accumulate_event(event=event, current_snapshot=message, json_bufs=pieces)
            return message_said(message), message_said(Message.model_validate_json(whole))
        case Dialect.GEMINI:
            responses = [GenerateContentResponse.model_validate_json(data) for data in chunks(stream)]
            return gemini_said(responses), gemini_said([GenerateContentResponse.model_validate_json(whole)])


def chat_said(completion: Any) -> Any:
    [choice] = completion.choices
    called = choice.message.tool_calls or () if choice.finish_reason == "tool_calls" else ()
    calls = [(call.id, call.function.name, json.loads(call.function.arguments)) for call in called]
    text = (choice.message.content or "") + (choice.message.refusal or "")
    usage = completion.usage
    return text, calls, choice.finish_reason, (usage.prompt_tokens, usage.completion_tokens)


def response_said(response: Any) -> Any:
    calls = [
        (item.call_id, item.name, json.loads(item.arguments))
        for item in response.output
        if item.type == "function_call"
    ]
    refused = "".join(
        part.refusal
        for item in response.output
        if item.type == "message"
        for part in item.content
        if part.type == "refusal"
    )
    usage = response.usage
    return response.output_text + refused, calls, response.status, (usage.input_tokens, usage.output_tokens)


def message_said(message: Any) -> Any:
    calls = [(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"]
    text = "".join(block.text for block in message.content if block.type == "text")
    usage = message.usage
    read_tokens = usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens
    return text, calls, message.stop_reason, (read_tokens, usage.output_tokens)


def gemini_said(responses: list[Any]) -> Any:
    parts = [part for response in responses for part in response.candidates[0].content.parts or ()]
    calls = [
        (part.function_call.id, part.function_call.name, part.function_call.args)
        for part in parts
        if part.function_call
    ]
    text = "".join(part.text for part in parts if part.text and not part.thought)
    usage = responses[-1].usage_metadata
    read_tokens = usage.prompt_token_count + (usage.tool_use_prompt_token_count or 0)
    produced = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    return text, calls, responses[-1].candidates[0].finish_reason, (read_tokens, produced)


def test_a_recorded_answer_is_accepted_by_every_sdk_and_says_the_same():
    passed: Counter[str] = Counter()
    unfinished = 0
    asked = Conversation(turns=(), reasoning=True)
    for number, (dialect, recording) in enumerate(recordings()):
        if not recording.good or number % 2:  # half of them say the same, in half the time
            continue
        events = read(dialect, recording)
        if events is None:
            unfinished += 1
            continue
        for target in Dialect:
            where = (recording.id, target)
            writer = answer_writer(target, asked, "id1", "m")
            stream = b"".join(writer.write([event]) for event in events) + writer.end()
            whole = write_answer(target, asked, events, "id1", "m")
            assert whole is not None, where
            expected = said(events, target)
            reader = answer_reader(target, ["charlie"])
            streamed = reader.feed(stream)
            streamed += [] if reader.done else reader.finish()
            assert joined(said(streamed, target)[0]) == joined(expected[0]), where
            assert said(streamed, target)[1:] == expected[1:], where
            assert said(answer_reader(target, ["charlie"]).whole(whole), target)[1:] == expected[1:], where
            passed[f"{dialect} to {target}"] += 1
            if number % 6:  # the SDKs take long
                continue
            first, second = by_sdk(target, stream, whole)
            texts, calls = joined(expected[0])
            if expected[1] is Reason.LENGTH:  # a stream has told the beginning of the call that was cut
                first, second, calls = (first[0], [], *first[2:]), (second[0], [], *second[2:]), []
            assert first == second, where
            assert first[0] == texts.get(BlockKind.TEXT, "") + texts.get(BlockKind.REFUSAL, ""), where
            assert first[1] == calls, where
            assert first[3] == expected[2][:2], where
    assert len(passed) == len(Dialect) ** 2
    assert passed.total() > 1_200
    assert unfinished < 10


def test_the_hub_counts_what_the_ledger_counts():
    seen = 0
    for dialect, recording in recordings():
        events = read(dialect, recording) if recording.good else None
        if events is None:
            continue
        scanner = WIRES[recording.operation].scanner(Head("m", stream=recording.sse), sse=recording.sse)
        scanner.feed(recording.body)
        scanner.finish()
        usage = scanner.report().usage
        if usage is not None:
            answer = AnswerWriter()
            answer.write(events)
            counted = replace(answer.counts, input=answer.counts.input or 0, output=answer.counts.output or 0)
            assert (counted.input, counted.output) == (usage.input_tokens, usage.output_tokens), recording.id
            seen += 1
    assert seen > 500


def probabilities(events: list[Event]) -> list[Any]:
    answer = AnswerWriter()
    answer.write(events)
    return [plain(token) for block in answer.blocks for token in block.tokens]


def test_recorded_probabilities_pass_through_every_api_that_has_them():
    seen: Counter[str] = Counter()
    asked = Conversation(turns=())
    for recording in served():
        dialect = DIALECTS.get(recording.operation)
        if dialect is None or not recording.good or not re.search(rb'"log(?:prob|Probability)"', recording.body):
            continue
        events = read(dialect, recording)
        if events is None or not (expected := probabilities(events)):
            continue
        for target in (Dialect.CHAT, Dialect.RESPONSES, Dialect.GEMINI):
            whole = write_answer(target, asked, events, "id1", "m")
            assert whole is not None
            writer = answer_writer(target, asked, "id1", "m")
            stream = writer.write(events) + writer.end()
            assert probabilities(answer_reader(target).whole(whole)) == expected, (recording.id, target)
            assert probabilities(answer_reader(target).whole(stream)) == expected, (recording.id, target)
            if seen.total() % 4 == 0:
                by_sdk(target, stream, whole)
            seen[f"{dialect} to {target}"] += 1
    assert set(seen) >= {f"{dialect} to {target}" for dialect in ("chat", "gemini") for target in ("chat", "gemini")}
    assert seen.total() > 40, seen
