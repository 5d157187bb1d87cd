"""How an answer ends, for every streaming form: what the client sees, what the ledger has, and who answers.

Each form is written once, as its opening, its output, its end and its own error; each ending is made of them. One
table says what must come of it.
"""

from __future__ import annotations

import gzip
import json
import threading
import time

import pytest

from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import Running
from tests.raw_http import PATIENCE, ask, request
from tests.raw_provider import RawProvider, body, cut, data_event, stream

INPUT, OUTPUT = 1_000, 50
WORDS = "some words of an answer "


def _chat(delta, finish=None, **more):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return data_event(
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    )


def _text(text, finish=None):
    choice = {"index": 0, "text": text, "finish_reason": finish, "logprobs": None}
    return data_event({"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]})


def _usage(kind):
    usage = {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}
    return data_event({"id": "c", "object": kind, "created": 1, "model": "m", "choices": [], "usage": usage})


def _message(name, **more):
    return data_event({"type": name, **more}, name)


_COUNTS = {"input_tokens": INPUT, "output_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}


def _response(name, status, **more):
    response = {"id": "r", "object": "response", "status": status, "output": [], "usage": None, "error": None, **more}
    return data_event({"type": name, "sequence_number": 1, "response": response}, name)


def _candidate(text, finish=None, **more):
    found = {"content": {"role": "model", "parts": [{"text": text}]}, **({"finishReason": finish} if finish else {})}
    return {"candidates": [found], "usageMetadata": {"promptTokenCount": INPUT}, **more}


def _line(value):
    return data_event(value)[:-1]


_GEMINI_END = _candidate("", "STOP", usageMetadata={
    "promptTokenCount": INPUT, "candidatesTokenCount": OUTPUT, "totalTokenCount": INPUT + OUTPUT})  # fmt: skip
_GEMINI_ERROR = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
DONE = b"data: [DONE]\n\n"
_TEXT_DELTA = {"item_id": "m", "output_index": 0, "content_index": 0, "delta": WORDS, "sequence_number": 2}
_ITEM = {"type": "message", "id": "m", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": WORDS, "annotations": []}]}  # fmt: skip

# form -> (path, request, opening events, one event of output, the events of the end, an error)
FORMS = {
    "chat": (
        "/v1/chat/completions",
        {"model": "openai", "messages": [{"role": "user", "content": "hi"}], "stream": True},
        [_chat({"role": "assistant", "content": ""})],
        _chat({"content": WORDS}),
        [_chat({}, "stop"), _usage("chat.completion.chunk"), DONE],
        data_event({"error": {"message": "The server is overloaded.", "type": "server_error", "code": None}}),
    ),
    "completions": (
        "/v1/completions",
        {"model": "openai", "prompt": "hi", "stream": True},
        [_text("")],
        _text(WORDS),
        [_text("", "stop"), _usage("text_completion"), DONE],
        data_event({"error": {"message": "The server is overloaded.", "type": "server_error", "code": None}}),
    ),
    "responses": (
        "/v1/responses",
        {"model": "openai", "input": "hi", "stream": True},
        [_response("response.created", "in_progress"), _response("response.in_progress", "in_progress")],
        data_event({"type": "response.output_text.delta", **_TEXT_DELTA}, "response.output_text.delta"),
        [_response("response.completed", "completed", output=[_ITEM], usage=_COUNTS)],
        _response("response.failed", "failed", error={"code": "server_error", "message": "It failed."}),
    ),
    "compact": (
        "/v1/responses/compact",
        {"model": "openai", "input": "hi", "stream": True},
        [_response("response.created", "in_progress")],
        data_event({"type": "response.output_text.delta", **_TEXT_DELTA}, "response.output_text.delta"),
        [_response("response.incomplete", "incomplete", output=[_ITEM], usage=_COUNTS)],
        _response("response.failed", "failed", error={"code": "server_error", "message": "It failed."}),
    ),
    "messages": (
        "/v1/messages",
        {"model": "anthropic", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], "stream": True},
        [
            _message("message_start", message={"id": "m", "type": "message", "role": "assistant", "content": [],
                     "model": "m", "stop_reason": None, "usage": {"input_tokens": INPUT, "output_tokens": 1}}),
            _message("ping"),
            _message("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        ],
        _message("content_block_delta", index=0, delta={"type": "text_delta", "text": WORDS}),
        [
            _message("content_block_stop", index=0),
            _message("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": OUTPUT}),
            _message("message_stop"),
        ],
        _message("error", error={"type": "overloaded_error", "message": "Overloaded"}),
    ),
    "gemini": (
        "/v1beta/models/google:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        [data_event({"usageMetadata": {"promptTokenCount": INPUT}, "candidates": []})],
        data_event(_candidate(WORDS)),
        [data_event(_GEMINI_END)],
        data_event(_GEMINI_ERROR),
    ),
    "gemini lines": (
        "/v1beta/models/google:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        [_line({"usageMetadata": {"promptTokenCount": INPUT}, "candidates": []})],
        _line(_candidate(WORDS)),
        [_line(_GEMINI_END)],
        _line(_GEMINI_ERROR),
    ),
    "gemini array": (
        "/v1beta/models/google:streamGenerateContent",
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        [],
        json.dumps(_candidate(WORDS)).encode(),
        [json.dumps(_GEMINI_END).encode()],
        json.dumps(_GEMINI_ERROR).encode(),
    ),
}  # fmt: skip
STREAMS = [form for form in FORMS if form != "gemini array"]


def events_of(form, parts):
    """The events of a form; those of an array get its brackets and commas."""
    _, _, opening, output, end, error = FORMS[form]
    events = []
    for part in parts:
        events += {"opening": opening, "output": [output] * 10, "end": end, "error": [error]}[part]
    if form != "gemini array":
        return events
    return [(b"[" if index == 0 else b",") + event for index, event in enumerate(events)] + [b"]" if events else b"[]"]


def answer_of(form, parts, *, end=True):
    return stream(
        events_of(form, parts), end=end, kind="application/json" if form == "gemini array" else "text/event-stream"
    )


FAILED_OVER = ["empty", "error first", "opening, error", "opening, cut", "HTML", "an object"]  # of `NO_ANSWER`


@pytest.fixture(scope="module")
def raw():
    with RawProvider() as provider:
        yield provider


@pytest.fixture(scope="module")
def running(raw, tmp_path_factory):
    kinds = ("openai", "anthropic", "google")
    providers = {
        f"{kind}{number}": provider(kind, f"{raw.url}/{number}", company=kind) for kind in kinds for number in (1, 2)
    }
    models = [model(kind, f"{kind}1", "m", max_output=1_000) for kind in kinds] + [
        {**model(f"{kind}-two-{number}", "", "", max_output=1_000),
         "targets": [{"provider": f"{kind}1", "model": f"m-{number}"}, {"provider": f"{kind}2", "model": "m"}]}
        for kind in kinds
        for number in range(len(FORMS) * len(FAILED_OVER))  # a target that has failed is not the first one for a while
    ]  # fmt: skip
    gateway = GatewayProcess(tmp_path_factory.mktemp("endings"), providers, models, {"server": {"idle_timeout": 5}})
    with gateway:
        session = gateway.session("user", 1_000_000)
        yield Running(gateway, None, session["access_token"], session["pid"])


def send(running, form, *, two=None):
    path, data, *_ = FORMS[form]
    headers = running.auth | {"content-type": "application/json"}
    if form == "messages":
        headers["anthropic-version"] = "2023-06-01"
    text = json.dumps(data)
    for kind in ("openai", "anthropic", "google"):
        if two is not None:
            text = text.replace(f'"model": "{kind}"', f'"model": "{kind}-two-{two}"')
            path = path.replace(f"models/{kind}:", f"models/{kind}-two-{two}:")
    return ask(running.url, request("POST", path, text.encode(), headers=headers))


def failed(running, answer):
    """The caller got an error status in its dialect, and nothing is charged."""
    assert answer.status >= 400
    assert answer.complete
    assert "error" in answer.json()
    assert running.settled(answer.rid)["status"] == "voided"


@pytest.mark.parametrize("form", FORMS)
def test_a_whole_answer_is_the_providers_and_costs_what_it_states(running, raw, form):
    raw.script = answer_of(form, ["opening", "output", "end"])
    answer = send(running, form)
    assert (answer.status, answer.complete) == (200, True)
    assert b"error" not in answer.body.replace(b'"error": null', b"")
    record = running.settled(answer.rid)
    assert (record["basis"], record["outcome"]) == ("reported", "completed")
    assert (record["in_uncached"], record["out_visible"]) == (INPUT, OUTPUT)


@pytest.mark.parametrize("form", FORMS)
def test_an_answer_without_a_word_is_whole_too(running, raw, form):
    raw.script = answer_of(form, ["opening", "end"])
    answer = send(running, form)
    assert (answer.status, answer.complete) == (200, True)
    assert running.settled(answer.rid)["basis"] == "reported"


NO_ANSWER = {
    "empty": lambda form: answer_of(form, []),
    "error first": lambda form: answer_of(form, ["error"]),
    "opening, error": lambda form: answer_of(form, ["opening", "error"]),
    "opening only": lambda form: answer_of(form, ["opening"]),
    "opening, cut": lambda form: cut(answer_of(form, ["opening"], end=False)),
    "cut at once": lambda form: cut(answer_of(form, [], end=False)),
    "empty body": lambda _: body(b""),
    "empty text": lambda _: body(b"", kind="text/event-stream"),
    "HTML": lambda _: body(b"<!DOCTYPE html><html><body>Sign in</body></html>", kind="text/html"),
    "HTML as a stream": lambda _: body(b"<html>", kind="text/event-stream"),
    "a lone DONE": lambda _: stream([DONE]),
    "comments": lambda _: stream([b": keep-alive\n\n"] * 3),
    "an object": lambda _: body({}),
    "null": lambda _: body(b"null"),
    "not JSON": lambda _: body(b"upstream connect error"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ending", NO_ANSWER)
def test_a_failure_inside_a_200_is_a_failure(running, raw, form, ending):
    raw.script = NO_ANSWER[ending](form)
    failed(running, send(running, form))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ending", FAILED_OVER)
def test_another_target_answers_in_its_place(running, raw, form, ending):
    bad, good = NO_ANSWER[ending](form), answer_of(form, ["opening", "output", "end"])

    def script(asked, sock):
        data = good if asked.path.startswith("/2") else bad
        return data(asked, sock) if callable(data) else data

    raw.script = script
    raw.seen.clear()
    number = list(FORMS).index(form) * len(FAILED_OVER) + FAILED_OVER.index(ending)
    answer = send(running, form, two=number)
    assert (answer.status, answer.complete) == (200, True)
    assert [asked.path[:2] for asked in raw.seen] == ["/1", "/2"]
    assert answer.headers["x-provider"].endswith("2")
    assert running.settled(answer.rid)["basis"] == "reported"


BROKEN = {
    "no end": lambda form: answer_of(form, ["opening", "output"]),
    "cut": lambda form: cut(answer_of(form, ["opening", "output"], end=False)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ending", BROKEN)
def test_a_stream_without_its_dialects_end_is_broken(running, raw, form, ending):
    raw.script = BROKEN[ending](form)
    answer = send(running, form)
    assert (answer.status, answer.complete) == (200, False)
    if form in STREAMS:  # an array that has begun has no place for an error: it is reset
        assert b'"error"' in answer.body[-900:]
    record = running.settled(answer.rid)
    assert (record["basis"], record["outcome"]) == ("partial", "upstream_cut")
    assert record["out_visible"] >= 10  # ten events


FORMS_OF_ERRORS = {
    "an object with other names": data_event({"detail": "It failed."}),
    "words": data_event(b"It failed.", "error"),
    "a line without a field": b'{"error": {"message": "It failed."}}\n\n',
    "a reason to stop": _chat({}, "error", error={"code": 502, "message": "It failed."}) + DONE,
}


@pytest.mark.parametrize("error", FORMS_OF_ERRORS)
def test_no_form_of_an_error_after_output_ends_well(running, raw, error):
    raw.script = stream([*events_of("chat", ["opening", "output"]), FORMS_OF_ERRORS[error]])
    answer = send(running, "chat")
    assert (answer.status, answer.complete) == (200, False)
    record = running.settled(answer.rid)
    assert (record["basis"], record["out_visible"] >= 10) == ("partial", True)
    assert record["outcome"] in {"upstream_error", "upstream_cut"}


@pytest.mark.parametrize("form", STREAMS)
def test_an_error_after_output_reaches_the_client_once(running, raw, form):
    raw.script = answer_of(form, ["opening", "output", "error"])
    answer = send(running, form)
    assert answer.status == 200
    name = b"response.failed" if form == "responses" else b'"error": {'
    assert answer.body.count(b"event: " + name if form == "responses" else name) == 1
    assert not answer.complete  # not every SDK raises on each form of an error
    record = running.settled(answer.rid)
    assert (record["basis"], record["outcome"]) == ("partial", "upstream_error")


SECRET = "organization org-aB3dE5fG7hJ9kL1m"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("framing", ["chunks", "parts", "length", "gzip"])
def test_an_error_after_output_names_no_account_of_the_operators(running, raw, form, framing):
    events = events_of(form, ["opening", "output", "error"])
    error = next(index for index, event in enumerate(events) if b'"message": "' in event and event != events[0])
    events[error] = events[error].replace(b'"message": "', f'"message": "In {SECRET}: '.encode())
    whole, kind = b"".join(events), "application/json" if form == "gemini array" else "text/event-stream"
    if framing == "chunks":
        raw.script = stream(events, kind=kind)
    elif framing == "parts":
        raw.script = stream([whole[start : start + 11] for start in range(0, len(whole), 11)], kind=kind)
    elif framing == "length":
        raw.script = body(whole, kind=kind)
    else:
        raw.script = body(gzip.compress(whole), kind=kind, content_encoding="gzip")
    answer = send(running, form)
    assert answer.status == 200
    assert answer.body.rstrip() == whole.replace(SECRET.encode(), b"organization [redacted]").rstrip()
    assert running.settled(answer.rid)["outcome"] == "upstream_error"


@pytest.mark.parametrize("form", FORMS)
def test_a_cut_behind_the_dialects_end_changes_nothing_that_is_owed(running, raw, form):
    raw.script = cut(answer_of(form, ["opening", "output", "end"], end=False))
    answer = send(running, form)
    record = running.settled(answer.rid)
    assert (record["basis"], record["outcome"], record["out_visible"]) == ("reported", "completed", OUTPUT)


@pytest.mark.parametrize("count", [10**8, 10**9, 10**12])
@pytest.mark.parametrize("form", FORMS)
def test_a_count_that_no_model_can_have_is_not_charged(running, raw, form, count):
    data = answer_of(form, ["opening", "output", "end"])
    raw.script = _recounted(data, count)
    answer = send(running, form)
    assert answer.status == 200
    record = running.settled(answer.rid)
    assert record["basis"] == "partial"
    assert 0 < record["in_uncached"] < INPUT


def _recounted(data, count):
    """The same answer with another input in each of its usage objects; its chunks are framed again."""
    head, _, body_ = data.partition(b"\r\n\r\n")
    events = []
    while not body_.startswith(b"0\r\n"):
        size, _, rest = body_.partition(b"\r\n")
        length = int(size, 16)
        event, body_ = rest[:length], rest[length + 2 :]
        event = event.replace(b": 1050", b": %d" % (count + OUTPUT)).replace(b": 1000", b": %d" % count)
        events.append(event)
    return head + b"\r\n\r\n" + b"".join(b"%x\r\n%b\r\n" % (len(e), e) for e in events) + b"0\r\n\r\n"


@pytest.mark.parametrize("form", STREAMS)
def test_twice_the_end_is_one_end(running, raw, form):
    raw.script = answer_of(form, ["opening", "output", "end", "end"])
    answer = send(running, form)
    assert answer.status == 200
    record = running.settled(answer.rid)
    assert (record["outcome"], record["in_uncached"], record["out_visible"]) == ("completed", INPUT, OUTPUT)


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        (b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "protocol"),
        (b"content-length: 99\r\n\r\n{}", "closed"),
    ],
)
def test_the_log_says_why_an_answer_was_none(running, raw, head, fault):
    def script(_asked, sock):
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + head)
        sock.close()

    running.seen = len(running.gateway.log.read_bytes())
    raw.script = script
    answer = send(running, "chat")
    assert answer.status == 502
    [line] = running.next_logged()
    assert (line["rid"], line["fault"]) == (answer.rid, fault)


@pytest.mark.parametrize("form", ["chat", "messages", "responses"])
def test_a_stream_that_opens_and_then_thinks_flows_after_a_while(running, raw, form):
    events = events_of(form, ["opening", "output", "end"])
    arrived = threading.Event()

    def script(_asked, sock):
        opening = len(FORMS[form][2])
        sock.sendall(stream(events[:opening], end=False))
        assert arrived.wait(PATIENCE)  # the client has what the provider opened with, before any output
        sock.sendall(b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events[opening:]) + b"0\r\n\r\n")

    raw.script = script
    path, data, *_ = FORMS[form]
    with running.client() as client:
        client.send(request("POST", path, json.dumps(data).encode(), headers=running.auth))
        assert client.head().status == 200
        assert client.chunk()
        arrived.set()
        while client.chunk():
            pass


@pytest.mark.parametrize("form", STREAMS)
def test_a_client_that_closes_at_its_own_end_pays_what_the_provider_states(running, raw, form):
    """Its usage comes after the client has left: the stream is read on for a moment, and nothing is kept of it."""
    events = events_of(form, ["opening", "output", "end"])
    left = threading.Event()
    last = len(FORMS[form][4])

    def script(_asked, sock):
        sock.sendall(stream(events[:-last], end=False))
        assert left.wait(PATIENCE)
        sock.sendall(b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events[-last:]) + b"0\r\n\r\n")

    raw.script = script
    path, data, *_ = FORMS[form]
    with running.client() as client:
        client.send(request("POST", path, json.dumps(data).encode(), headers=running.auth))
        answer = client.head()
        assert client.chunk()
    left.set()
    record = running.settled(answer.rid)
    assert (record["basis"], record["outcome"]) == ("reported", "completed")
    assert (record["in_uncached"], record["out_visible"]) == (INPUT, OUTPUT)


def test_a_client_that_leaves_pays_for_what_it_was_sent_only(running, raw):
    """The provider goes on and never ends: what it produced for nobody is not charged."""
    output = FORMS["messages"][3]

    def script(_asked, sock):
        sock.sendall(answer_of("messages", ["opening", "output"], end=False))
        for _ in range(400):
            time.sleep(0.01)
            sock.sendall(b"%x\r\n%b\r\n" % (len(output), output))

    raw.script = script
    path, data, *_ = FORMS["messages"]
    with running.client() as client:
        client.send(request("POST", path, json.dumps(data).encode(), headers=running.auth))
        answer = client.head()
        assert client.chunk()
    record = running.settled(answer.rid)
    assert (record["basis"], record["outcome"]) == ("partial", "client_abort")
    assert record["out_visible"] < 10 * 8 * 4  # some 10 events; 200 more came while it was read on
