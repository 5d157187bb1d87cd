"""Several answers in one stream: the cut does not matter, and what is cut never looks complete."""

from __future__ import annotations

import json

import pytest

from providers.conversation.conversation import Dialect
from providers.conversation.dialects import Capabilities
from providers.conversation.translator import StreamTranslator, translate, translate_request
from providers.dialect import Operation, Refusal
from providers.steps import at_once
from providers.wires import WIRES
from tests.integration.test_choices import PIECES, USAGE, candidate, chunk, delta, generated
from tests.raw_provider import data_event

CHAT = [
    *(chunk([delta(index, {"content": text})]) for index, text in PIECES),
    chunk([delta(1, {}, "stop")]),
    chunk([delta(0, {}, "stop")]),
    chunk([], usage=USAGE),
]
GEMINI = [
    *(generated(candidate(index, [{"text": text}])) for index, text in PIECES),
    generated(candidate(1, [{"text": ""}], finishReason="STOP"), candidate(0, [{"text": ""}], finishReason="STOP")),
]
WAYS = {
    "of gemini": (Operation.OPENAI_CHAT, Dialect.GEMINI, [*map(data_event, GEMINI)], b"[DONE]"),
    "of chat": (Operation.GEMINI_STREAM, Dialect.CHAT, [*map(data_event, CHAT), data_event(b"[DONE]")], b"STOP"),
}
ways = pytest.mark.parametrize("way", WAYS)


def translator(way: str) -> StreamTranslator:
    operation, host, _, _ = WAYS[way]
    if operation is Operation.OPENAI_CHAT:
        asked = {"model": "m", "n": 2, "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    else:
        asked = {"contents": [{"parts": [{"text": "hello"}]}], "generationConfig": {"candidateCount": 2}}
    body = json.dumps(asked).encode()
    head = at_once(WIRES[operation].read(body, "m"))
    made = translate_request(
        operation, host, body, head, target="m", rid="req_1", sse=True, capabilities=Capabilities(1_000)
    )
    return made.without_body().stream()


def by_choice(data: bytes) -> dict[int, list[str]]:
    """The events of each answer; those of different answers may come in any order."""
    found: dict[int, list[str]] = {}
    for line in data.decode().splitlines():
        said = line.removeprefix("data: ")
        if said.startswith("{"):
            event = json.loads(said)
            for one in event.get("choices") or event.get("candidates"):
                found.setdefault(one["index"], []).append(said)
    return found


@ways
@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_the_cut_does_not_matter(way: str, size: int) -> None:
    whole, cut = translator(way), translator(way)
    data = b"".join(WAYS[way][2])
    expected = whole.feed(data) + whole.finish()
    pieces = [cut.feed(data[at : at + size]) for at in range(0, len(data), size)]
    assert by_choice(b"".join(pieces) + cut.finish()) == by_choice(expected)
    assert expected.count(WAYS[way][3]) == (1 if way == "of gemini" else 2)
    assert (cut.begun, cut.ended, cut.error) == (True, True, None)


@ways
def test_what_is_cut_has_no_end(way: str) -> None:
    events = WAYS[way][2]
    for number in range(len(events) - (1 if way == "of gemini" else 2)):
        cut = translator(way)
        out = b"".join(map(cut.feed, events[:number])) + cut.finish()
        assert not cut.ended
        assert cut.error is not None
        assert b"[DONE]" not in out


@ways
def test_an_error_of_the_provider_is_that_of_all(way: str) -> None:
    failed = translator(way)
    error = {"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE", "type": "server_error"}}
    out = failed.feed(WAYS[way][2][0]) + failed.feed(data_event(error)) + failed.finish()
    assert failed.error is not None
    assert not failed.ended
    assert b"[DONE]" not in out


def test_an_engine_on_the_users_machine_gives_one() -> None:
    body = json.dumps({"contents": [], "generationConfig": {"candidateCount": 2}}).encode()
    with pytest.raises(Refusal) as caught:
        translate(Operation.GEMINI_GENERATE, body, model="m", target="m", identity="i", sse=False)
    assert (caught.value.code, caught.value.param) == ("unsupported_feature", "candidateCount")
