from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.answers.closing import Closing
from providers.dialect import Head, Operation
from providers.wires import WIRES

PLAIN = b"}\n\n"


def closing(*events: bytes) -> bytes:
    found = Closing(PLAIN)
    for event in events:
        found.learn(event)
    return found.bytes


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":null}]}\n\n', b'":null}]}\n\n'),
        (b'data: {"delta":{"type":"text_delta","text":"a"}}\n\n', b'"}}\n\n'),
        (b'data: {"delta":"a","obfuscation":"xyz"}\n\n', b'"}\n\n'),
        (b'data: {"delta":"a","sequence_number":12}\n\n', PLAIN),
        (b'data: {"delta":"a"                           }\n\n', PLAIN),
        (b"data: {}\n\n", PLAIN),
    ],
)
def test_what_events_of_one_form_end_with(event: bytes, expected: bytes):
    assert closing() == PLAIN
    assert closing(event) == expected
    assert closing(event, event, event.replace(b'"a"', b'"words"')) == expected


def test_a_few_other_events_are_borne_and_more_are_not():
    event, other = b'{"a":"a"}\n\n', b'{"index":[null]}\n\n'
    assert closing(event, *[other] * 4) == b'"}\n\n'
    assert closing(event, *[other] * 5) == PLAIN
    assert closing(event, *[other] * 5, event) == PLAIN


FORMS = {
    "null": '{"choices":[{"delta":{"content":%s},"finish_reason":null}]}',
    "usage": '{"choices":[{"delta":{"content":%s},"finish_reason":null}],"usage":null}',
    "obfuscation": '{"choices":[{"delta":{"content":%s}}],"obfuscation":"%s"}',
    "number": '{"choices":[{"delta":{"content":%s}}],"created":17%s}',
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("line", ["\n", "\r\n"])
@given(st.data())
def test_a_stream_of_any_form_tells_its_error_from_its_words(form: str, line: str, data):
    texts = data.draw(st.lists(st.text(max_size=8), max_size=12))
    events = [
        f"data: {FORMS[form].replace('%s', json.dumps(text), 1).replace('%s', str(n))}{line * 2}".encode()
        for n, text in enumerate(["first", *texts])
    ]
    error = f'data: {{"error":{{"message":"m","code":503}}}}{line * 2}'.encode()
    failed = data.draw(st.booleans())
    if failed:
        events.insert(data.draw(st.integers(1, len(events))), error)
    scanner = WIRES[Operation.OPENAI_CHAT].scanner(Head(model="m", stream=True), sse=True)
    glanced = 0
    for event in events:
        taken = scanner.glance(b"%x\r\n%b\r\n" % (len(event), event), len(event))
        glanced += taken
        if not taken:
            assert scanner.feed(event) is event
    assert (scanner.error is not None) == failed
    if form != "number":  # there the closings differ, until none is compared
        before = events.index(error) if failed else len(events)  # after an error, every event is read
        assert glanced >= before - 2 - line.count("\r")
    assert scanner.events == len(events)
