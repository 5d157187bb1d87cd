"""Signs of life of the gateway's own: in every streaming form, before an answer, in its gaps, and before its failures.

The provider waits until the client has what it must have. Nothing here depends on how long that takes.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from gateway.auth import revocation
from gateway.auth.principal import sid_of
from gateway.inference.keep_alive import SIGNS
from providers.dialect import Family
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import Running, eventually
from tests.integration.test_endings import FORMS, INPUT, OUTPUT, WORDS, answer_of, events_of
from tests.raw_http import PATIENCE, RawClient, request
from tests.raw_provider import RawProvider, body, data_event, stream

QUIET = 0.1  # seconds after which a client gets a sign
EVENTS = [form for form in FORMS if form not in {"gemini array", "compact"}]  # compaction is not asked for as a stream
FRAMED = [form for form in EVENTS if form != "gemini lines"]  # its events have no blank lines between them
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def sign_of(form: str) -> bytes:
    if form == "messages":
        return SIGNS[Family.ANTHROPIC]
    return SIGNS[Family.GOOGLE if form.startswith("gemini") else Family.OPENAI]


def framed(*events: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events)


class Waiting:
    """A provider that sends some bytes, waits until the client has heard enough, and sends the rest."""

    def __init__(self, first: bytes, rest: bytes | None) -> None:
        self.first, self.rest = first, rest
        self.heard = threading.Event()
        self.gone = threading.Event()  # the gateway has ended the connection

    def __call__(self, _asked: object, sock: socket.socket) -> bytes | None:
        sock.sendall(self.first)
        if self.rest is None:
            sock.settimeout(PATIENCE)
            if not sock.recv(1):
                self.gone.set()
            return None
        assert self.heard.wait(PATIENCE)
        return self.rest


@pytest.fixture(scope="module")
def raw():
    with RawProvider() as raw:
        yield raw


@pytest.fixture(scope="module")
def running(raw, tmp_path_factory):
    kinds = ("openai", "anthropic", "google")
    providers = {
        f"{kind}{number}": provider(kind, f"{raw.url}/{number}", company=kind) for kind in kinds for number in (1, 2)
    }
    models = [model(kind, f"{kind}1", "m", max_output=1_000) for kind in kinds] + [
        {**model(f"{kind}-two", f"{kind}1", "m", max_output=1_000),
         "targets": [{"provider": f"{kind}{number}", "model": "m"} for number in (1, 2)]}
        for kind in kinds
    ]  # fmt: skip
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("alive"),
        providers,
        models,
        {"server": {"keep_alive_seconds": QUIET, "abort_grace": 0.1}},
    )
    with gateway:
        session = gateway.session("user", 1_000_000)
        yield Running(gateway, None, session["access_token"], session["pid"])


def send(client: RawClient, running: Running, form: str, **more: Any) -> None:
    path, data, *_ = FORMS[form]
    headers = running.auth | {"content-type": "application/json", "anthropic-version": "2023-06-01"}
    if form in {"chat", "completions"}:
        more["stream_options"] = {"include_usage": True}
    client.send(request("POST", path, json.dumps({**data, **more}).encode(), headers=headers))


def signs(client: RawClient, form: str, count: int = 2) -> None:
    """The next chunks are signs of life."""
    for _ in range(count):
        assert client.chunk() == sign_of(form)


def the_rest(client: RawClient) -> tuple[bytes, bool]:
    """What still comes, and whether it ends well."""
    chunks = []
    while chunk := client.chunk():
        chunks.append(chunk)
    return b"".join(chunks), chunk == b""


def without_signs(data: bytes, form: str) -> bytes:
    return data.replace(sign_of(form), b"")


@pytest.mark.parametrize("form", EVENTS)
def test_a_client_hears_of_the_gateway_before_its_provider_answers(running, raw, form):
    raw.script = waiting = Waiting(b"", answer_of(form, ["opening", "output", "end"]))
    with running.client() as client:
        send(client, running, form)
        head = client.head()
        assert (head.status, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert "x-provider" not in head.headers  # nobody has answered
        signs(client, form, 3)
        waiting.heard.set()
        data, complete = the_rest(client)
    assert complete
    assert without_signs(data, form) == without_signs(b"".join(events_of(form, ["opening", "output", "end"])), form)
    record = running.settled(head.rid)
    assert (record["basis"], record["outcome"]) == ("reported", "completed")
    assert (record["in_uncached"], record["out_visible"]) == (INPUT, OUTPUT)


@pytest.mark.parametrize("form", FRAMED)
def test_a_gap_between_two_events_is_filled(running, raw, form):
    events = events_of(form, ["opening", "output", "end"])
    at = len(FORMS[form][2]) + 5
    raw.script = waiting = Waiting(CHUNKED + framed(*events[:at]), framed(*events[at:]) + LAST)
    with running.client() as client:
        send(client, running, form)
        head = client.head()
        data = b""
        while data.count(sign_of(form)) < 4:  # of which one may be the provider's own
            data += client.chunk()
        waiting.heard.set()
        rest, complete = the_rest(client)
    assert complete
    assert data.startswith(b"".join(events[:at]))
    assert without_signs(data + rest, form) == without_signs(b"".join(events), form)
    assert running.settled(head.rid)["basis"] == "reported"


@pytest.mark.parametrize("form", EVENTS)
def test_nothing_comes_between_the_parts_of_an_event(running, raw, form):
    events = events_of(form, ["opening", "output", "end"])
    at = len(FORMS[form][2]) + 5
    first, rest = framed(*events[:at], events[at][:20]), framed(events[at][20:], *events[at + 1 :]) + LAST

    def script(_asked: object, sock: socket.socket) -> bytes:
        sock.sendall(CHUNKED + first)
        threading.Event().wait(QUIET * 4)  # a sign is due several times
        return rest

    raw.script = script
    with running.client() as client:
        send(client, running, form)
        answer = client.answer()
    assert answer.complete
    assert answer.body == b"".join(events)


@pytest.mark.parametrize("form", ["chat", "messages", "gemini", "gemini array"])
def test_what_is_no_event_stream_gets_no_sign(running, raw, form):
    whole = b"{}" if form != "gemini array" else b"".join(events_of(form, ["output", "end"]))
    path = FORMS[form][0].replace(":streamGenerateContent?alt=sse", ":generateContent")
    more = {} if form.startswith("gemini") else {"stream": False}

    def script(_asked: object, _sock: socket.socket) -> bytes:
        threading.Event().wait(QUIET * 4)
        return body(whole, kind="application/json")

    raw.script = script
    with running.client() as client:
        headers = running.auth | {"anthropic-version": "2023-06-01"}
        client.send(request("POST", path, json.dumps(FORMS[form][1] | more).encode(), headers=headers))
        answer = client.answer()
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.complete
    assert answer.status == (200 if form == "gemini array" else 502)
    assert answer.body.lstrip() == answer.body


FAILURES: dict[str, Callable[[str], bytes]] = {
    "a status": lambda form: body(_error_of(form), status="400 Bad Request"),
    "a status without JSON": lambda _: body(b"<html>", status="404 Not Found", kind="text/html"),
    "inside a 200": lambda form: answer_of(form, ["opening", "error"]),
    "nothing": lambda _: stream([]),
    "an object": lambda _: body({"id": "c", "choices": [{"index": 0, "message": {"content": "ok"}}]}),
}


def _error_of(form: str) -> Any:
    if form == "messages":
        return {"type": "error", "error": {"type": "invalid_request_error", "message": "It is wrong."}}
    if form.startswith("gemini"):
        return [{"error": {"code": 400, "message": "It is wrong.", "status": "INVALID_ARGUMENT"}}]
    return {"error": {"message": "It is wrong.", "type": "invalid_request_error", "param": None, "code": "bad"}}


@pytest.mark.parametrize(
    ("form", "failure"),
    [("chat", failure) for failure in FAILURES]
    + [(form, failure) for form in EVENTS for failure in list(FAILURES)[:2]],
)
def test_a_failure_after_a_sign_is_an_event_and_costs_nothing(running, raw, form, failure):
    raw.script = waiting = Waiting(b"", FAILURES[failure](form))
    with running.client() as client:
        send(client, running, form)
        head = client.head()
        signs(client, form)
        waiting.heard.set()
        data, complete = the_rest(client)
    assert not complete
    [*_, last] = [line for line in without_signs(data, form).splitlines() if line.startswith(b"data:")]
    error = json.loads(last.removeprefix(b"data:"))
    error = error.get("response", error)["error"]
    assert error["message"]
    if failure == "a status":
        assert error["message"] == "It is wrong."
    assert running.settled(head.rid)["status"] == "voided"


@pytest.mark.parametrize("form", EVENTS)
def test_another_target_answers_after_a_sign(running, raw, form):
    good, heard, asked = answer_of(form, ["opening", "output", "end"]), threading.Event(), []

    def script(request_: Any, _sock: socket.socket) -> bytes:
        asked.append(request_.path[1])
        if len(asked) > 1:
            return good
        assert heard.wait(PATIENCE)
        return body(b"{}", status="503 Service Unavailable")

    raw.script = script
    path, data, *_ = FORMS[form]
    text = json.dumps(data)
    for kind in ("openai", "anthropic", "google"):
        text, path = text.replace(f'"{kind}"', f'"{kind}-two"'), path.replace(f"{kind}:", f"{kind}-two:")
    with running.client() as client:
        headers = running.auth | {"anthropic-version": "2023-06-01"}
        client.send(request("POST", path, text.encode(), headers=headers))
        head = client.head()
        signs(client, form)
        heard.set()
        _, complete = the_rest(client)
    assert complete
    assert sorted(asked) == ["1", "2"]
    record = running.settled(head.rid)
    assert (record["outcome"], record["out_visible"], record["provider"][-1]) == ("completed", OUTPUT, asked[1])


def test_a_translated_stream_has_the_signs_of_its_clients_dialect(running, raw):
    """Also while its provider sends what has no place in that dialect."""
    events, heard = events_of("chat", ["opening", "output", "end"]), [threading.Event(), threading.Event()]

    def script(_asked: object, sock: socket.socket) -> bytes:
        assert heard[0].wait(PATIENCE)
        sock.sendall(CHUNKED + framed(*events[:5]))
        while not heard[1].wait(QUIET / 4):
            sock.sendall(framed(b": still thinking\n\n"))
        return framed(*events[5:]) + LAST

    raw.script = script
    path, data, *_ = FORMS["messages"]
    with running.client() as client:
        headers = running.auth | {"anthropic-version": "2023-06-01"}
        client.send(request("POST", path, json.dumps(data | {"model": "openai"}).encode(), headers=headers))
        head = client.head()
        signs(client, "messages")
        heard[0].set()
        data = b""
        while b"content_block_delta" not in data or not data.endswith(sign_of("messages")):
            data += client.chunk()
        heard[1].set()
        rest, complete = the_rest(client)
    assert complete
    assert (data + rest).count(WORDS.encode()) == 10
    assert b"message_stop" in rest
    assert running.settled(head.rid)["out_visible"] == OUTPUT


def test_a_client_that_leaves_after_a_sign_pays_nothing(running, raw):
    raw.script = waiting = Waiting(b"", None)
    with running.client() as client:
        send(client, running, "messages")
        head = client.head()
        signs(client, "messages")
    assert running.settled(head.rid)["status"] == "voided"
    assert waiting.gone.wait(PATIENCE)  # the provider works on for nobody


def test_a_revoked_session_hears_so_in_its_stream(running, raw):
    session = running.gateway.session("another", 1_000)
    raw.script = waiting = Waiting(b"", None)
    with running.client() as client:
        path, data, *_ = FORMS["messages"]
        headers = {"x-api-key": session["access_token"], "anthropic-version": "2023-06-01"}
        client.send(request("POST", path, json.dumps(data).encode(), headers=headers))
        head = client.head()
        signs(client, "messages")
        sid = sid_of(session["access_token"])
        assert running.gateway.on_store(lambda store: revocation.revoke(store, sid, actor="cli"))
        data, complete = the_rest(client)
    assert not complete
    assert b"token_revoked" in data
    assert head.status == 200
    assert waiting.gone.wait(PATIENCE)


# -- through the SDKs, whose own parsers are the judge -------------------------------------------------------------


def _slow(form: str) -> Callable[[Any, socket.socket], bytes]:
    """A provider that is quiet before its answer and in it, for several signs each."""
    events = events_of(form, ["opening", "output", "end"])
    at = len(FORMS[form][2]) + 5

    def script(_asked: object, sock: socket.socket) -> bytes:
        threading.Event().wait(QUIET * 3)
        sock.sendall(CHUNKED + framed(*events[:at]))
        threading.Event().wait(QUIET * 3)
        return framed(*events[at:]) + LAST

    return script


def test_openais_sdk_reads_past_the_signs(running, raw):
    client = openai.OpenAI(api_key=running.token, base_url=running.url + "/v1", max_retries=0)
    raw.script = _slow("chat")
    chunks = list(client.chat.completions.create(**FORMS["chat"][1]))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == WORDS * 10
    raw.script = _slow("responses")
    events = list(client.responses.create(**FORMS["responses"][1]))
    assert events[-1].type == "response.completed"
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == WORDS * 10
    waiting = Waiting(b"", body(_error_of("chat"), status="400 Bad Request"))
    raw.script = waiting
    threading.Timer(QUIET * 3, waiting.heard.set).start()
    with pytest.raises(openai.APIError, match=r"It is wrong\."):
        list(client.chat.completions.create(**FORMS["chat"][1]))


def test_anthropics_sdk_reads_past_the_signs(running, raw):
    client = anthropic.Anthropic(api_key=running.token, base_url=running.url, max_retries=0)
    raw.script = _slow("messages")
    request = {name: value for name, value in FORMS["messages"][1].items() if name != "stream"}
    with client.messages.stream(**request) as events:
        assert events.get_final_text() == WORDS * 10
    waiting = Waiting(b"", body(_error_of("messages"), status="400 Bad Request"))
    raw.script = waiting
    threading.Timer(QUIET * 3, waiting.heard.set).start()
    with pytest.raises(anthropic.APIError, match=r"It is wrong\."), client.messages.stream(**request) as events:
        events.get_final_text()


def test_googles_sdk_reads_past_the_signs(running, raw):
    client = genai.Client(api_key=running.token, vertexai=False, http_options=types.HttpOptions(base_url=running.url))
    raw.script = _slow("gemini")
    chunks = list(client.models.generate_content_stream(model="google", contents="hi"))
    assert "".join(chunk.text or "" for chunk in chunks) == WORDS * 10
    waiting = Waiting(b"", body(_error_of("gemini"), status="400 Bad Request"))
    raw.script = waiting
    threading.Timer(QUIET * 3, waiting.heard.set).start()
    with pytest.raises(genai.errors.APIError, match=r"It is wrong\."):
        list(client.models.generate_content_stream(model="google", contents="hi"))


def test_signs_are_no_part_of_what_is_counted(running, raw):
    """A stream that its client leaves is charged for what was delivered, and signs are not."""
    event = data_event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                        "choices": [{"index": 0, "delta": {"content": WORDS}, "finish_reason": None}]})  # fmt: skip
    raw.script = Waiting(CHUNKED + framed(event), None)
    records = []
    for count in (1, 8):
        with running.client() as client:
            send(client, running, "chat")
            head = client.head()
            data = client.chunk()
            while data.count(sign_of("chat")) < count:
                data += client.chunk()
        records.append(eventually(lambda head=head: running.settled(head.rid), lambda found: "out_visible" in found))
    assert records[0]["out_visible"] == records[1]["out_visible"] > 0
