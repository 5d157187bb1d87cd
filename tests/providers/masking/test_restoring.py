"""Secrets come back exactly, however the model's words and the network's bytes are cut."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.dialect import Head, Operation
from providers.masking.restoring import BODY_LIMIT, Restored
from providers.wires import WIRES
from tests.providers.masking.naming import vault as new_vault

SECRETS = ["hunter22", 'quo"te\\', "two\nlines", "ü"]


def made():
    vault = new_vault()
    return vault, [vault.placeholder(secret, "SECRET") for secret in SECRETS]


def sse(value, event=None, end="\n"):
    name = f"event: {event}{end}" if event else ""
    return f"{name}data: {json.dumps(value)}{end}{end}".encode()


def chat(parts, arguments):
    """Chunks of two texts that take turns: the answer and a tool call's arguments."""
    out = [sse({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})]
    for number in range(max(len(parts), len(arguments))):
        if number < len(parts):
            out.append(
                sse({"id": "c", "choices": [{"index": 0, "delta": {"content": parts[number]}, "finish_reason": None}]})
            )
        if number < len(arguments):
            call = {"index": 0, "function": {"arguments": arguments[number]}}
            out.append(
                sse({"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]})
            )
    out.append(sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
    out.append(sse({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}}))
    return b"".join([*out, b"data: [DONE]\n\n"])


def read_chat(stream):
    text = arguments = ""
    over = False
    for event in events(stream):
        for choice in event["choices"]:
            delta = choice["delta"]
            assert not over or not delta
            text += delta.get("content") or ""
            for call in delta.get("tool_calls", []):
                arguments += call["function"]["arguments"]
            over = over or choice["finish_reason"] is not None
    assert stream.endswith(b"data: [DONE]\n\n")
    return text, arguments


def responses(parts, arguments):
    out = []
    for number, part in enumerate(parts):
        event = {
            "type": "response.output_text.delta",
            "output_index": 0,
            "content_index": 0,
            "delta": part,
            "obfuscation": "x",
        }
        out.append(sse({**event, "sequence_number": number}, event["type"]))
    out.append(
        sse({"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "".join(parts)})
    )
    out += [
        sse({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": part}) for part in arguments
    ]
    whole = {"type": "function_call", "arguments": "".join(arguments)}
    out.append(sse({"type": "response.output_item.done", "output_index": 1, "item": whole}))
    usage = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
    out.append(sse({"type": "response.completed", "response": {"output": [whole], "usage": usage}}))
    return b"".join(out)


def read_responses(stream):
    text = arguments = ""
    for event in events(stream):
        match event["type"]:
            case "response.output_text.delta":
                text += event["delta"]
            case "response.output_text.done":
                assert event["text"] == text
            case "response.function_call_arguments.delta":
                arguments += event["delta"]
            case "response.output_item.done":
                assert event["item"]["arguments"] == arguments
            case "response.completed":
                assert event["response"]["output"][0]["arguments"] == arguments
    return text, arguments


def anthropic(parts, arguments):
    out = [
        sse({"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}}, "message_start")
    ]
    for index, (name, kind, pieces) in enumerate(
        (("text", "text_delta", parts), ("partial_json", "input_json_delta", arguments))
    ):
        out.append(sse({"type": "content_block_start", "index": index}, "content_block_start"))
        for piece in pieces:
            delta = {"type": kind, name: piece}
            out.append(sse({"type": "content_block_delta", "index": index, "delta": delta}, "content_block_delta"))
        out.append(sse({"type": "ping"}, "ping"))
        out.append(sse({"type": "content_block_stop", "index": index}, "content_block_stop"))
    out.append(
        sse(
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
            "message_delta",
        )
    )
    out.append(sse({"type": "message_stop"}, "message_stop"))
    return b"".join(out)


def read_anthropic(stream):
    found = {"text": "", "partial_json": ""}
    stopped = set()
    for event in events(stream):
        if event["type"] == "content_block_delta":
            assert event["index"] not in stopped
            for name in found:
                found[name] += event["delta"].get(name, "")
        if event["type"] == "content_block_stop":
            stopped.add(event["index"])
    return found["text"], found["partial_json"]


def google(parts, arguments):
    """A function call comes whole; the last text comes with the finish reason."""
    out = []
    for number, part in enumerate(parts):
        candidate = {"content": {"parts": [{"text": part}], "role": "model"}, "index": 0}
        if number == len(parts) - 1:
            candidate["content"]["parts"].append({"functionCall": {"name": "f", "args": {"a": "".join(arguments)}}})
            candidate["finishReason"] = "STOP"
        counts = {"promptTokenCount": 3, "candidatesTokenCount": 5}
        out.append(sse({"candidates": [candidate], "usageMetadata": counts}, end="\r\n"))
    return b"".join(out)


def read_google(stream):
    text = arguments = ""
    for event in events(stream):
        for candidate in event["candidates"]:
            for part in candidate["content"]["parts"]:
                text += part.get("text", "")
                arguments += part.get("functionCall", {}).get("args", {}).get("a", "")
    return text, json.dumps(arguments)[1:-1]


def events(stream):
    for block in stream.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = [line for line in block.splitlines() if line.startswith(b"data: ")]
        assert len(lines) <= 1
        if lines and lines[0] != b"data: [DONE]":
            yield json.loads(lines[0][6:])


DIALECTS = {
    Operation.OPENAI_CHAT: (chat, read_chat),
    Operation.OPENAI_RESPONSES: (responses, read_responses),
    Operation.ANTHROPIC_MESSAGES: (anthropic, read_anthropic),
    Operation.GEMINI_STREAM: (google, read_google),
}


def scanner(operation, vault, *, sse=True, labelled=True):
    head = Head(model="m", stream=sse)
    return Restored(WIRES[operation].scanner(head, sse=sse if labelled else None), vault, operation)


def passed(restored, stream, cuts):
    places = [0, *cuts, len(stream)]
    shown = [restored.feed(stream[a:b]) for a, b in pairwise(places)]
    return b"".join([*shown, restored.finish()])


def pieces(data, text):
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=6)))
    places = [0, *cuts, len(text)]
    return [text[a:b] for a, b in pairwise(places)]


WORDS = st.lists(st.sampled_from([0, 1, 2, 3, "MASKED", "MASKED_S", "M", " plain ", "ü"]), max_size=5)


@pytest.mark.parametrize("operation", DIALECTS)
@given(words=WORDS, more=WORDS, labelled=st.booleans(), data=st.data())
@settings(max_examples=80, deadline=None)
def test_every_cut_of_words_and_bytes_gives_the_secrets_back(operation, words, more, labelled, data):
    write, read = DIALECTS[operation]
    vault, placeholders = made()

    def text(chosen, of):
        return "".join(of[word] if isinstance(word, int) else word for word in chosen)

    escaped = [json.dumps(secret)[1:-1] for secret in SECRETS]
    stream = write(pieces(data, text(words, placeholders)), pieces(data, text(more, placeholders)))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=8)))
    restored = scanner(operation, vault, labelled=labelled)
    shown = passed(restored, stream, cuts)
    expected = text(more, escaped)
    if operation is Operation.GEMINI_STREAM:
        expected = json.dumps(text(more, SECRETS))[1:-1]
    assert read(shown) == (text(words, SECRETS), expected)
    assert restored.ended
    assert restored.report().usage.output_tokens == 5


def test_what_only_looks_like_a_placeholder_hides_no_real_one():
    vault, placeholders = made()
    assert vault.restore("MASKED_SMASKED_SMASKED" + placeholders[0]) == "MASKED_SMASKED_SMASKED" + SECRETS[0]


@pytest.mark.parametrize("operation", DIALECTS)
def test_byte_by_byte(operation):
    write, read = DIALECTS[operation]
    vault, placeholders = made()
    stream = write(list("see " + placeholders[1] + " and M"), [placeholders[0]])
    shown = passed(scanner(operation, vault), stream, range(1, len(stream)))
    assert read(shown) == ("see " + SECRETS[1] + " and M", SECRETS[0])


def test_events_without_a_placeholder_are_the_provider_s_own_bytes():
    vault, _ = made()
    stream = anthropic(["plain", " words"], ["{}"])
    restored = scanner(Operation.ANTHROPIC_MESSAGES, vault)
    for event in stream.split(b"\n\n")[:-1]:
        whole = event + b"\n\n"
        assert restored.feed(whole) == whole


@pytest.mark.parametrize("cut", [1, 40, 10_000])
def test_a_body_that_is_no_stream_is_restored_at_its_end(cut):
    vault, placeholders = made()
    answer = {
        "choices": [
            {
                "message": {
                    "content": placeholders[1],
                    "tool_calls": [{"function": {"arguments": json.dumps({"a": placeholders[2]})}}],
                }
            }
        ]
    }
    body = json.dumps({**answer, "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}}).encode()
    restored = scanner(Operation.OPENAI_CHAT, vault, sse=False)
    shown = json.loads(passed(restored, body, range(cut, len(body), cut)))
    message = shown["choices"][0]["message"]
    assert message["content"] == SECRETS[1]
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"a": SECRETS[2]}
    assert restored.report().usage.output_tokens == 5


def test_a_body_over_the_bound_passes_whole_with_its_placeholders():
    vault, placeholders = made()
    body = json.dumps({"data": ["x" * (1 << 20)] * 17, "text": placeholders[0]}).encode()
    assert len(body) > BODY_LIMIT
    shown = passed(scanner(Operation.OPENAI_CHAT, vault, sse=False), body, range(1 << 20, len(body), 1 << 20))
    assert shown == body


def thinking(parts):
    """A thinking block in pieces, its signature, and a text."""
    out = [
        sse({"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}}, "message_start")
    ]
    deltas = [(0, {"type": "thinking_delta", "thinking": part}) for part in parts]
    deltas += [(0, {"type": "signature_delta", "signature": "c2ln"})]
    deltas += [(1, {"type": "text_delta", "text": part}) for part in parts]
    out += [
        sse({"type": "content_block_delta", "index": index, "delta": delta}, "content_block_delta")
        for index, delta in deltas
    ]
    out.append(sse({"type": "content_block_stop", "index": 1}, "content_block_stop"))
    out.append(sse({"type": "message_stop"}, "message_stop"))
    return b"".join(out)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_signed_thinking_comes_as_it_was_signed_whatever_the_cut(size):
    vault, placeholders = made()
    words = f"use {placeholders[0]} and {placeholders[1]}"
    parts = [words[at : at + size] for at in range(0, len(words), size)]
    shown = passed(scanner(Operation.ANTHROPIC_MESSAGES, vault), thinking(parts), [])
    deltas = [event["delta"] for event in events(shown) if event["type"] == "content_block_delta"]
    assert "".join(delta.get("thinking", "") for delta in deltas) == words
    assert "".join(delta.get("text", "") for delta in deltas) == f"use {SECRETS[0]} and {SECRETS[1]}"
    assert "".join(delta.get("signature", "") for delta in deltas) == "c2ln"


def test_gemini_s_thoughts_come_as_they_were_thought():
    vault, placeholders = made()
    parts = [
        {"text": placeholders[0], "thought": True},
        {"text": placeholders[0], "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "f", "args": {"thinking": placeholders[1]}}, "thoughtSignature": "c2ln"},
    ]
    stream = sse({"candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0, "finishReason": "STOP"}]})
    (event,) = events(passed(scanner(Operation.GEMINI_STREAM, vault), stream, []))
    thought, text, call = event["candidates"][0]["content"]["parts"]
    assert (thought["text"], text["text"]) == (placeholders[0], SECRETS[0])
    assert call["functionCall"]["args"] == {"thinking": SECRETS[1]}
