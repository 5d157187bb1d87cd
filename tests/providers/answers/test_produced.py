"""How much a stream has produced is told by a sample of its events, the same for every cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.answers.produced import WIDEST, Produced, step
from providers.dialect import Head, Operation
from providers.wires import WIRES
from tests.strategies import cut, every_byte

HEAD = Head(model="m", stream=True)


def chat(text):
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


def argument(text):
    return {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}}]}


def response(text):
    return {"type": "response.output_text.delta", "item_id": "m", "delta": text, "logprobs": []}


def message(text):
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def gemini(text):
    return {"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}}]}


DIALECTS = {
    "chat": (Operation.OPENAI_CHAT, chat),
    "chat, arguments": (Operation.OPENAI_CHAT, argument),
    "completions": (Operation.OPENAI_COMPLETIONS, lambda text: {"choices": [{"text": text}]}),
    "responses": (Operation.OPENAI_RESPONSES, response),
    "messages": (Operation.ANTHROPIC_MESSAGES, message),
    "gemini": (Operation.GEMINI_STREAM, gemini),
}


def stream(form, texts, *, ascii_only=True):
    return b"".join(b"data: %b\n\n" % json.dumps(form(text), ensure_ascii=ascii_only).encode() for text in texts)


def estimated(operation, pieces):
    scanner = WIRES[operation].scanner(HEAD, sse=True)
    for piece in pieces:
        framed = b"%x\r\n%b\r\n" % (len(piece), piece)
        if not scanner.glance(framed, len(piece)):
            scanner.feed(piece)
    return scanner.estimated_output()


TEXTS = st.lists(
    st.sampled_from(["word", " and", "", "\n", 'a "b" \\', "全部の", "🚀", " many words at once", "x" * 90]),
    max_size=60,
)


@given(st.sampled_from(sorted(DIALECTS)), TEXTS, st.booleans(), st.data())
def test_the_estimate_does_not_depend_on_the_cut(name, texts, ascii_only, data):
    operation, form = DIALECTS[name]
    whole = stream(form, texts, ascii_only=ascii_only)
    expected = estimated(operation, [whole])
    events = [event + b"\n\n" for event in whole.split(b"\n\n")[:-1]]
    assert estimated(operation, events) == expected
    assert estimated(operation, every_byte(whole)) == expected
    places = data.draw(st.lists(st.integers(1, max(1, len(whole) - 1)), max_size=10))
    assert estimated(operation, cut(whole, places)) == expected


# Tokens are those of o200k, as a chunk each for OpenAI and in chunks of some words for the others.
PROSE = [
    " The",
    " gateway",
    " stands",
    " between",
    " an",
    " IDE",
    " and",
    " the",
    " providers",
    ".",
    " It",
    " keeps",
    " nothing",
    ".",
]
CODE = [
    "def",
    " load",
    "(path",
    ":",
    " str",
    ")",
    " ->",
    " dict",
    ":\n",
    "   ",
    " with",
    " open",
    "(path",
    ")",
    " as",
    " file",
    ":\n",
]
JSON = ['{"', "city", '":', ' "', "Paris", '",', ' "', "days", '":', " ", "5", "}"]
CJK = ["该", "网", "关", "位于", "开发", "环境", "与", "模型", "提供", "商", "之间", "。"]


@pytest.mark.parametrize("tokens", [PROSE, CODE, JSON, CJK], ids=["prose", "code", "JSON", "CJK"])
@pytest.mark.parametrize("name", ["chat", "chat, arguments", "completions", "responses"])
def test_a_token_an_event_is_a_token(name, tokens):
    operation, form = DIALECTS[name]
    for times in (1, 3, 40):
        assert estimated(operation, [stream(form, tokens * times)]) == pytest.approx(len(tokens) * times, rel=0.1)


@pytest.mark.parametrize("tokens", [PROSE, CODE, JSON, CJK], ids=["prose", "code", "JSON", "CJK"])
@pytest.mark.parametrize("name", ["chat", "responses"])
def test_several_tokens_an_event_are_as_many(name, tokens):
    operation, form = DIALECTS[name]
    several = ["".join(tokens)] * 40
    assert estimated(operation, [stream(form, several)]) == pytest.approx(len(tokens) * 40, rel=0.25)


@pytest.mark.parametrize("name", ["messages", "gemini"])
def test_other_vocabularies_are_near(name):
    operation, form = DIALECTS[name]
    texts = ["".join(PROSE[:7]), "".join(PROSE[7:])] * 50
    assert estimated(operation, [stream(form, texts)]) == pytest.approx(len(PROSE) * 50, rel=0.35)


@pytest.mark.parametrize(
    ("operation", "event"),
    [
        (Operation.OPENAI_CHAT, {"choices": [{"delta": {"role": "assistant", "content": ""}}]}),
        (Operation.OPENAI_CHAT, {"choices": [{"delta": {}, "finish_reason": "stop"}]}),
        (Operation.OPENAI_RESPONSES, {"type": "response.created", "response": {"instructions": "very long " * 99, "text": {"format": {"type": "text"}}}}),
        (Operation.OPENAI_RESPONSES, {"type": "response.output_text.done", "text": "all of it again " * 99}),
        (Operation.OPENAI_RESPONSES, {"type": "response.reasoning_summary_text.delta", "delta": "a summary"}),
        (Operation.ANTHROPIC_MESSAGES, {"type": "message_start", "message": {"content": [], "model": "m"}}),
        (Operation.ANTHROPIC_MESSAGES, {"type": "ping"}),
        (Operation.ANTHROPIC_MESSAGES, {"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "E" * 400}}),
    ],
)  # fmt: skip
def test_what_is_no_output_counts_nothing(operation, event):
    assert estimated(operation, [stream(lambda _: event, range(30))]) == 0


@pytest.mark.parametrize(
    ("operation", "event", "least"),
    [
        (Operation.OPENAI_CHAT, {"choices": [{"delta": {"tool_calls": [{"function": {"name": "f", "arguments": ""}}]}}]}, 8),
        (Operation.OPENAI_RESPONSES, {"type": "response.output_item.added", "item": {"type": "function_call", "name": "f"}}, 8),
        (Operation.ANTHROPIC_MESSAGES, {"type": "content_block_start", "content_block": {"type": "tool_use", "name": "f"}}, 30),
    ],
)  # fmt: skip
def test_a_call_has_tokens_around_it(operation, event, least):
    assert least <= estimated(operation, [stream(lambda _: event, range(1))]) <= least + 10


@given(st.lists(st.integers(0, 5_000), max_size=400))
def test_each_event_that_is_looked_at_stands_for_those_up_to_the_next(tokens):
    produced = Produced(int)
    expected = 0
    for index, count in enumerate(tokens):
        if index >= produced.next:
            produced.one(str(count).encode(), index)
            stands = count
        expected += stands
        assert produced.tokens(index + 1) == -(-expected // 1_000)


def test_the_looks_become_rare():
    steps, index = [], 0
    while index < 10_000:
        steps.append(step(index))
        index += steps[-1]
    assert steps[:16] == [1] * 16
    assert steps[16:34] == [wide for wide in (2, 4, 8, 16, 32) for _ in range(3)] + [64] * 3
    assert set(steps[34:]) == {WIDEST}


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("whole", [False, True])
def test_output_that_is_waited_for_is_told_once(name, whole):
    operation, form = DIALECTS[name]
    scanner = WIRES[operation].scanner(HEAD, sse=True)
    told = []
    scanner.at_output(300, lambda: told.append(scanner.estimated_output()))
    events = [stream(form, [" word"]) for _ in range(600)]
    for piece in [b"".join(events)] if whole else events:
        if not scanner.glance(b"%x\r\n%b\r\n" % (len(piece), piece), len(piece)):
            scanner.feed(piece)
    assert len(told) == 1
    assert whole or 300 < told[0] < 300 * 600 / 500
    scanner.at_output(300, lambda: told.append(0))
    scanner.feed(b"".join(events[:100]))
    assert len(told) == 1  # not three hundred more
    scanner.feed(b"".join(events))
    assert len(told) == 2


@given(TEXTS, st.booleans())
def test_an_array_of_gemini_is_counted_as_its_events_are(texts, ascii_only):
    scanner = WIRES[Operation.GEMINI_STREAM].scanner(HEAD, sse=False)
    elements = [json.dumps(gemini(text), ensure_ascii=ascii_only) for text in texts]
    scanner.feed(f"[{','.join(elements)}]".encode())
    assert scanner.estimated_output() == estimated(
        Operation.GEMINI_STREAM, [stream(gemini, texts, ascii_only=ascii_only)]
    )
