"""How an answer ended, in every form that streams, whatever the cut; what is no answer at all; bodies that are none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.usage import Report, Usage
from providers.dialect import Family, Head, Operation, Scanner
from providers.wires import WIRES
from tests.providers.answers.endings import COUNTED, FORMS, INPUT_ONLY, Form, endings
from tests.strategies import cut_up

ASKED = Head(model="m", stream=True)
NOT_ASKED = Head(model="m", stream=True, wants_usage=False)


def facts(scanner: Scanner) -> tuple[bool, bool, int | None]:
    ended, error = scanner.ended, scanner.error  # these read the last event although its blank line is missing
    return scanner.begun, ended, error.status if error is not None else None


def passed(scanner: Scanner, pieces: list[bytes]) -> bytes:
    """Pass an answer on as the relay does: at a glance where that is taken."""
    shown = []
    for piece in pieces:
        glanced = scanner.glance(b"%x\r\n%b\r\n" % (len(piece), piece), len(piece))
        shown.append(piece if glanced else scanner.feed(piece))
    return b"".join(shown) + scanner.finish()


@pytest.mark.parametrize("form", FORMS, ids=repr)
@given(st.data())
def test_every_ending_of_every_form(form: Form, data):
    ending = data.draw(endings(form))
    _, pieces = data.draw(cut_up(st.just(ending.body)))
    head = data.draw(st.sampled_from([ASKED, NOT_ASKED]))
    bare = form.sse and ending.body.startswith((b"{", b"["))  # without a label that is a body
    label = True if bare else data.draw(st.sampled_from([form.sse, None]))
    scanner = WIRES[form.operation].scanner(head, sse=label)
    shown = passed(scanner, pieces)
    assert facts(scanner) == (ending.begun, ending.ended, ending.status)
    assert scanner.size == len(ending.body)
    assert scanner.sse == (form.sse and (bool(ending.body) or label is True))
    usage = scanner.report().usage
    if ending.stated:
        assert usage == COUNTED
    elif form.input_first:
        assert usage == INPUT_ONLY or (ending.cut and usage is None)
    assert not scanner.report().suspect
    assert not scanner.report().unpriced
    if head is ASKED or form.operation not in {Operation.OPENAI_CHAT, Operation.OPENAI_COMPLETIONS}:
        assert shown == ending.body
    else:
        assert shown == ending.body.replace(form.closing[form.counts], b"")


@pytest.mark.parametrize("form", FORMS, ids=repr)
@given(st.data())
def test_what_is_asked_on_the_way_changes_nothing(form: Form, data):
    ending = data.draw(endings(form))
    _, pieces = data.draw(cut_up(st.just(ending.body)))
    scanner = WIRES[form.operation].scanner(ASKED, sse=form.sse)
    was = (False, None)
    for piece in pieces:
        scanner.feed(piece)
        begun, ended, status = facts(scanner)
        assert begun >= was[0]  # neither an output nor an error is ever taken back
        assert was[1] in {None, status}
        assert begun or not ended
        assert not (ended and status)
        scanner.report()
        was = (begun, status)
    scanner.finish()
    assert facts(scanner) == (ending.begun, ending.ended, ending.status)


@pytest.mark.parametrize("form", FORMS, ids=repr)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n\n \r\n",
        b"data: [DONE]\n\n",
        b"data: [DONE]",
        b": ping\n\n: ping\n\n",
        b"event: ping\n\n",
        b"data:\n\n",
        b"<!DOCTYPE html>\n<html><body>Sign in\n\n<p>now</p></body></html>",
        b"upstream connect error or disconnect/reset before headers",
        b"null",
        b"{}",
        b"[]",
        b'"fine"',
        b"data: {}\n\n",
        b"data: null\n\n",
        b"data: []\n\n",
        b"data: 7\n\n",
        b"data: {broken\n\n",
    ],
)
def test_what_is_no_answer(form: Form, body: bytes):
    for label in (form.sse, None):
        for pieces in ([body], [body[index : index + 1] for index in range(len(body))]):
            scanner = WIRES[form.operation].scanner(ASKED, sse=label)
            passed(scanner, [piece for piece in pieces if piece])
            assert facts(scanner) == (False, False, None)
            assert scanner.report().usage is None


@pytest.mark.parametrize("form", FORMS, ids=repr)
def test_a_prompt_of_no_tokens_stands_at_the_end_and_is_suspect(form: Form):
    """Before the end it is a placeholder, as of hosts that count at the end only."""

    def scanned(*events: bytes) -> Report:
        body = form.head + form.join.join(events) + form.tail
        scanner = WIRES[form.operation].scanner(ASKED, sse=form.sse)
        passed(scanner, [body.replace(b"1007", b"0").replace(b"1210", b"203").replace(b"1157", b"150")])
        return scanner.report()

    begun = (*form.opening, form.outputs[0])
    whole = scanned(*begun, *form.closing)
    assert (whole.usage.in_uncached, whole.usage.out_visible, whole.suspect) == (0, 203, True)
    before = form.closing[form.counts : form.counts + 1] if form.counts >= form.ends else ()
    report = scanned(*begun, *before)
    assert report.usage is None or report.usage.in_uncached is None
    assert not report.suspect


ERRORS = {
    Family.OPENAI: {"message": "m", "type": "server_error", "param": None, "code": "server_is_overloaded"},
    Family.ANTHROPIC: {"type": "overloaded_error", "message": "m"},
    Family.GOOGLE: {"code": 503, "message": "m", "status": "UNAVAILABLE"},
}
STATUSES = {Family.OPENAI: 503, Family.ANTHROPIC: 529, Family.GOOGLE: 503}


@pytest.mark.parametrize("operation", list(Operation))
def test_an_error_body_with_a_good_status(operation: Operation):
    error = ERRORS[operation.family]
    nulls = {"choices": None, "candidates": None, "content": None, "output": None, "usage": None, "data": None}
    for body in ({"error": error}, {"error": error, **nulls}, {**nulls, "error": error}, [{"error": error}]):
        for label in (False, None):
            scanner = WIRES[operation].scanner(ASKED, sse=label)
            passed(scanner, [json.dumps(body, indent=2).encode()])
            assert facts(scanner) == (False, False, STATUSES[operation.family])
            assert json.loads(scanner.error.body)["error"] == error
    for body in ({"error": "m"}, {"error": {"message": "m"}}):
        scanner = WIRES[operation].scanner(ASKED, sse=False)
        passed(scanner, [json.dumps(body).encode()])
        assert facts(scanner) == (False, False, 502)
        assert json.loads(scanner.error.body)["error"]["message"] == "m"


WHOLE = {
    Operation.OPENAI_CHAT: {
        "choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1007, "completion_tokens": 203},
    },
    Operation.OPENAI_COMPLETIONS: {
        "choices": [{"text": "x", "finish_reason": "length"}],
        "usage": {"prompt_tokens": 1007, "completion_tokens": 203},
    },
    Operation.OPENAI_EMBEDDINGS: {"data": [{"embedding": [0.1]}], "usage": {"prompt_tokens": 1007}},
    Operation.OPENAI_RESPONSES: {
        "status": "completed",
        "output": [],
        "error": None,
        "usage": {"input_tokens": 1007, "output_tokens": 203},
    },
    Operation.OPENAI_COMPACT: {
        "object": "response.compaction",
        "output": [{"type": "compaction"}],
        "usage": {"input_tokens": 1007, "output_tokens": 203},
    },
    Operation.OPENAI_INPUT_TOKENS: {"object": "response.input_tokens", "input_tokens": 1007},
    Operation.ANTHROPIC_MESSAGES: {
        "type": "message",
        "content": [{"type": "text", "text": "x"}],
        "usage": {"input_tokens": 1007, "output_tokens": 203},
    },
    Operation.ANTHROPIC_COUNT_TOKENS: {"input_tokens": 1007},
    Operation.GEMINI_GENERATE: {
        "candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1007, "candidatesTokenCount": 203},
    },
    Operation.GEMINI_COUNT_TOKENS: {"totalTokens": 1007},
    Operation.GEMINI_EMBED: {"embedding": {"values": [0.1]}, "usageMetadata": {"promptTokenCount": 1007}},
    Operation.GEMINI_BATCH_EMBED: {"embeddings": [{"values": [0.1]}], "usageMetadata": {"promptTokenCount": 1007}},
}


@pytest.mark.parametrize("operation", WHOLE)
@pytest.mark.parametrize("padding", [0, 300_000])
def test_a_whole_body_and_one_that_was_cut(operation: Operation, padding: int):
    """``padding``: the body is too large to be kept."""
    body = json.dumps({"padding": "x" * padding, **WHOLE[operation]}).encode()
    for label in (False, None):
        scanner = WIRES[operation].scanner(Head(model="m"), sse=label)
        passed(scanner, [body[start : start + 9999] for start in range(0, len(body), 9999)])
        assert facts(scanner) == (True, True, None)
        assert scanner.report().usage in [COUNTED, INPUT_ONLY, Usage(in_uncached=1007, out_visible=0)]
    cut = WIRES[operation].scanner(Head(model="m"), sse=False)
    passed(cut, [body[:-1]])
    assert not cut.ended
    longer = WIRES[operation].scanner(Head(model="m"), sse=False)
    passed(longer, [body, b"x"])
    assert not longer.ended


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (Operation.OPENAI_CHAT, {"choices": []}),
        (Operation.OPENAI_CHAT, {"usage": {"prompt_tokens": 5}}),
        (Operation.OPENAI_CHAT, {"object": "list", "data": []}),
        (Operation.OPENAI_RESPONSES, {"status": "queued", "output": []}),
        (Operation.OPENAI_RESPONSES, {"id": "r"}),
        (Operation.OPENAI_RESPONSES, {"status": "in_progress", "output": []}),
        (Operation.ANTHROPIC_MESSAGES, {"completion": "x"}),
        (Operation.GEMINI_GENERATE, {"candidates": []}),
        (Operation.GEMINI_GENERATE, {"modelVersion": "m"}),
        (Operation.OPENAI_EMBEDDINGS, {"usage": {"prompt_tokens": 5}}),
        (Operation.GEMINI_EMBED, {"usageMetadata": {"promptTokenCount": 5}}),
        (Operation.GEMINI_COUNT_TOKENS, {"cachedContentTokenCount": 5}),
    ],
)
def test_a_body_of_another_shape_is_no_answer(operation: Operation, body: dict):
    scanner = WIRES[operation].scanner(Head(model="m"), sse=False)
    passed(scanner, [json.dumps(body).encode()])
    assert facts(scanner) == (False, False, None)


def test_a_blocked_prompt_is_an_answer():
    body = json.dumps({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 5}}).encode()
    for operation, sse, answer in (
        (Operation.GEMINI_GENERATE, False, body),
        (Operation.GEMINI_STREAM, False, b"[" + body + b"]"),
        (Operation.GEMINI_STREAM, True, b"data: " + body + b"\r\n\r\n"),
    ):
        scanner = WIRES[operation].scanner(ASKED, sse=sse)
        passed(scanner, [answer])
        assert facts(scanner) == (True, True, None)
