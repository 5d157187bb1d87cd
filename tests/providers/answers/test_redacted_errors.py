"""Errors inside begun streams leave without what names the operator's account; everything else passes as it came."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.answers.events import CARRY_LIMIT, HOLD_LIMIT
from providers.dialect import Family, Head, Operation, Scanner
from providers.redaction import Redaction
from providers.wires import WIRES
from tests.providers.answers.endings import FORMS, Form, block_delta, data, delta, endings, named
from tests.strategies import cut_up, every_byte

ASKED = Head(model="m", stream=True)
NOT_ASKED = Head(model="m", stream=True, wants_usage=False)
SAID = "Rate limit reached for gpt-x in organization org-aB3dE5fG7hJ9kL1m, project proj_Zz9Yy8Xx7Ww6Vv5 (é, \\)."
SHOWN = "Rate limit reached for gpt-x in organization [redacted], project [redacted] (é, \\)."
NAMES = (b"org-aB3d", b"proj_Zz9")
REDACTION = Redaction()


def redact(error: bytes) -> bytes:
    return REDACTION(error) or b""


def scanner_of(form: Form, head: Head = ASKED) -> Scanner:
    scanner = WIRES[form.operation].scanner(head, sse=form.sse)
    scanner.redact_errors(redact)
    return scanner


def passed(scanner: Scanner, pieces: list[bytes]) -> bytes:
    shown = []
    for piece in pieces:
        glanced = scanner.glance(b"%x\r\n%b\r\n" % (len(piece), piece), len(piece))
        shown.append(piece if glanced else scanner.feed(piece))
    return b"".join(shown) + scanner.finish()


def errors(form: Form, text: str) -> list[bytes]:
    """Errors of a form that say ``text``."""
    flat: dict[str, Any] = {"code": "rate_limit_exceeded", "message": text, "param": None}
    error = {"message": text, "type": "tokens", "code": "rate_limit_exceeded"}
    if form.operation.family is Family.ANTHROPIC:
        return [named("error", error={"type": "rate_limit_error", "message": text}), b"event: error\n" + data(text)]
    if form.operation.family is Family.GOOGLE:
        value = {"error": {"code": 429, "message": text, "status": "RESOURCE_EXHAUSTED"}}
        if not form.sse:
            return [json.dumps(value, ensure_ascii=False).encode(), json.dumps(value, indent=2).encode()]
        line = "" if form.framing else "\r\n"
        return [data(value, line) + b"\r\n" * bool(form.framing), json.dumps(value, indent=1).encode() + b"\r\n\r\n"]
    if form.operation in {Operation.OPENAI_RESPONSES, Operation.OPENAI_COMPACT}:
        failed = {"object": "response", "status": "failed", "error": error, "output": [], "usage": None}
        return [
            named("error", sequence_number=7, error=error),
            named("error", **flat),
            named("response.failed", response=failed),
            named("error", error=error) + named("response.failed", response=failed),
        ]
    plain = {"id": "c", "object": "chat.completion.chunk", "choices": []}
    return [
        data({"error": error}),
        b"event: error\n" + data({"error": error}),
        b"event: error\n" + data(text),
        data({"object": "error", **error}),
        json.dumps({"error": error}).encode() + b"\n\n",
        data({**plain, "error": error}),
    ]


@pytest.mark.parametrize("form", FORMS, ids=repr)
@settings(max_examples=40)
@given(st.data())
def test_an_error_in_a_stream_leaves_without_identifiers(form: Form, data: st.DataObject):
    index = data.draw(st.integers(0, len(errors(form, SAID)) - 1))
    before = list(form.opening) + data.draw(st.lists(st.sampled_from(form.outputs), max_size=4))
    head = data.draw(st.sampled_from([ASKED, NOT_ASKED]))
    body, expected = (
        form.head + form.join.join([*before, errors(form, text)[index]]) + form.tail for text in (SAID, SHOWN)
    )
    _, pieces = data.draw(cut_up(st.just(body)))
    scanner = scanner_of(form, head)
    shown = passed(scanner, pieces)
    assert scanner.error is not None
    assert scanner.size == len(body)
    assert not [name for name in NAMES if name in shown]
    if form.framing == ".lines":  # they may come apart, which their readers don't mind
        shown, expected = (re.sub(rb"[\r\n]+", b"\n", text) for text in (shown, expected))
    assert shown == expected


def test_a_line_whose_first_byte_comes_alone_keeps_its_bytes_if_an_error_follows():
    form = next(form for form in FORMS if repr(form) == "gemini.stream.lines")
    body, expected = (b"".join([*form.opening, errors(form, text)[1]]) for text in (SAID, SHOWN))
    for line in range(1, len(form.opening)):
        at = len(b"".join(form.opening[:line]))
        shown = passed(scanner_of(form), [body[: at - 7], body[at - 7 : at], body[at : at + 1], body[at + 1 :]])
        assert re.sub(rb"[\r\n]+", b"\n", shown) == re.sub(rb"[\r\n]+", b"\n", expected)


@pytest.mark.parametrize("form", FORMS, ids=repr)
@settings(max_examples=40)
@given(st.data())
def test_no_other_byte_changes_and_no_ending_either(form: Form, data: st.DataObject):
    ending = data.draw(endings(form))
    _, pieces = data.draw(cut_up(st.just(ending.body)))
    plain, scanner = WIRES[form.operation].scanner(ASKED, sse=form.sse), scanner_of(form)
    assert passed(scanner, pieces) == ending.body
    passed(plain, pieces)
    error = None if plain.error is None else plain.error.status
    assert (scanner.begun, scanner.ended, error) == (plain.begun, plain.ended, ending.status)
    assert (scanner.events, scanner.report()) == (plain.events, plain.report())


@pytest.mark.parametrize("form", [form for form in FORMS if form.sse], ids=repr)
@settings(max_examples=40)
@given(st.data())
def test_what_is_held_back_leaves_a_boundary_behind(form: Form, data: st.DataObject):
    """Of a stream that is cut inside its error, the client has whole events, or knows that it does not."""
    body = b"".join([*form.opening, form.outputs[0], errors(form, SAID)[0]])
    begun = len(body) - len(errors(form, SAID)[0])
    end = data.draw(st.integers(begun, len(body) - 2))
    scanner = scanner_of(form)
    shown = b"".join(scanner.feed(piece) for piece in (body[:begun], body[begun:end]) if piece)
    assert not [name for name in NAMES if name in shown]
    assert body.startswith(shown)
    if len(shown) > begun:
        assert not scanner.at_boundary


def test_ordinary_events_pass_as_the_very_object_also_if_they_speak_of_errors():
    for form in FORMS:
        scanner = scanner_of(form)
        for event in (*form.opening, *form.outputs, *form.outputs) if form.sse and not form.framing else ():
            assert scanner.feed(event) is event
    chat = scanner_of(FORMS[0])
    chat.feed(data(delta(content="x")))
    quoted = data(delta(content='{"error": "in organization org-aB3dE5fG7hJ9kL1m"}'))
    assert chat.glance(b"%x\r\n%b\r\n" % (len(quoted), quoted), len(quoted))


@pytest.mark.parametrize(
    "event",
    [
        named("error", error={"type": "rate_limit_error", "message": SAID}),
        named("error", error={"type": "rate_limit_error", "message": SAID}).replace(b"}}", b"} }"),
        named("error", error={"type": "rate_limit_error", "message": SAID}).replace(b"\n", b"\r\n"),
    ],
)
def test_an_error_that_ends_like_an_ordinary_event_is_no_glance(event: bytes):
    form = next(form for form in FORMS if form.operation is Operation.ANTHROPIC_MESSAGES)
    scanner = scanner_of(form)
    end = b"\r\n" if event.endswith(b"\r\n\r\n") else b"\n"
    text = block_delta(type="text_delta", text="words").replace(b"\n", end)
    scanner.feed(text)
    scanner.feed(text)
    assert scanner.glance(b"%x\r\n%b\r\n" % (len(text), text), len(text))
    shown = passed(scanner, [event])
    assert b"[redacted]" in shown
    assert not [name for name in NAMES if name in shown]


def test_a_large_event_that_only_may_be_an_error_is_passed_on_in_time():
    form = next(form for form in FORMS if form.operation is Operation.OPENAI_RESPONSES)
    response = {
        "object": "response",
        "status": "completed",
        "error": None,
        "output": ["x" * 2 * CARRY_LIMIT],
        "usage": None,
    }
    end = named("response.completed", response=response)
    for pieces in ([end], [end[start : start + 9_000] for start in range(0, len(end), 9_000)]):
        scanner = scanner_of(form)
        scanner.feed(form.outputs[0])
        seen = held = 0
        for piece in pieces:
            seen += len(piece)
            held = max(held, seen - (seen - len(piece)) - len(scanner.feed(piece)))
        assert held <= HOLD_LIMIT
        assert scanner.ended


def test_byte_by_byte_nothing_of_an_identifier_leaves():
    for form in FORMS:
        body = form.head + form.join.join([form.outputs[0], errors(form, SAID)[0]]) + form.tail
        assert not [name for name in NAMES if name in passed(scanner_of(form), every_byte(body))]


ORGANIZATION = b"org-AbCdEf0123456789AbCdEf01"


@pytest.mark.parametrize("size", [1, 100_000, 700_000])
@pytest.mark.parametrize("piece", [7_919, 32_768])
@pytest.mark.parametrize("error", [None, {"message": f"in organization {ORGANIZATION.decode()}", "code": 500}])
def test_an_error_at_the_end_of_a_large_body_is_redacted_at_the_same_length(size, piece, error):
    body = (
        {"error": None, "choices": [{"message": {"content": "x" * size}}], "usage": None}
        if error is None
        else {"choices": [{"message": {"content": '"error": ' + "x" * size}}], "error": error}
    )
    data = json.dumps(body).encode()
    scanner = WIRES[Operation.OPENAI_CHAT].scanner(Head(model="m"), sse=False)
    scanner.redact_errors(lambda said: said.replace(ORGANIZATION, b"[redacted]"))
    shown = b"".join(scanner.feed(data[at : at + piece]) for at in range(0, len(data), piece)) + scanner.finish()
    assert len(shown) == len(data)
    assert bool(scanner.error) is (error is not None)
    if error is None or size == 1:  # a small one is judged as a whole
        assert shown == data
    else:
        assert ORGANIZATION not in shown
        assert json.loads(shown)["choices"] == body["choices"]
