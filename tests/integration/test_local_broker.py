"""The local broker as a process: what goes in, what its engine sees, what comes out."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gateway.cli.local import PASTE
from tests.local_process import (
    STREAMED_CHAT,
    BrokerProcess,
    ScriptedEngine,
    chat_chunk,
    chat_engine,
    chunks,
    clean_environment,
    models,
    ollama,
    refused_start,
    reply,
)
from tests.raw_http import PATIENCE
from tests.tools import needs

CHAT = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}
MESSAGES = {**CHAT, "max_tokens": 9}
CONTENTS = {"contents": [{"parts": [{"text": "hello"}]}]}
GENERATE = "/v1beta/models/small:generateContent"
STREAM = "/v1beta/models/small:streamGenerateContent?alt=sse"
CASES = [
    ("/v1/chat/completions", CHAT),
    ("/v1/messages", MESSAGES),
    (GENERATE, CONTENTS),
    ("/v1/chat/completions", CHAT | {"stream": True}),
    ("/v1/messages", MESSAGES | {"stream": True}),
    (STREAM, CONTENTS),
    (STREAM.removesuffix("?alt=sse"), CONTENTS),
]
PATHS = ["/v1/chat/completions", "/v1/messages", GENERATE]


def broker_of(engine, *options, **more):
    return BrokerProcess("--only-named", "--engine", engine.address, *options, **more)


@pytest.fixture(scope="module")
def shared():
    with ScriptedEngine(chat_engine("small")) as engine, broker_of(engine) as broker:
        yield engine, broker


@pytest.fixture
def engine(shared):
    shared[0].table = chat_engine("small")
    shared[0].seen.clear()
    shared[0].closed.clear()
    return shared[0]


@pytest.fixture
def broker(shared):
    return shared[1]


def said(answer):
    """The text of an answer in any dialect, streamed or not."""
    return "".join(
        json.loads(f'"{found}"') for found in re.findall(r'"(?:content|text)":\s*"([^"]*)"', answer.body.decode())
    )


@pytest.mark.parametrize(("path", "body"), CASES)
def test_every_dialect_is_served(engine, broker, path, body):
    answer = broker.send("POST", path, body)
    assert (answer.status, answer.complete, said(answer)) == (200, True, "said here")
    assert answer.headers["x-provider"] == "openai-compatible"
    assert answer.rid.startswith("req_")
    [sent] = engine.asked("POST /v1/chat/completions")
    assert json.loads(sent)["messages"] == [{"role": "user", "content": "hello"}]


def test_a_chat_request_reaches_the_engine_byte_by_byte(engine, broker):
    body = b'{ "messages" : [], "model":"small",  "unknown":[1.0]}'
    answer = broker.send("POST", "/v1/chat/completions", body)
    assert engine.asked("POST /v1/chat/completions") == [body]
    assert answer.status == 200


def test_a_tool_of_a_provider_is_taken_out_and_told(engine, broker):
    offered = [{"type": "web_search_20250305", "name": "web_search"}, {"name": "read", "input_schema": {}}]
    answer = broker.send("POST", "/v1/messages", MESSAGES | {"tools": offered})
    assert (answer.status, answer.headers["x-tools-removed"]) == (200, "anthropic_web_search")
    [sent] = engine.asked("POST /v1/chat/completions")
    assert [tool["function"]["name"] for tool in json.loads(sent)["tools"]] == ["read"]


def test_no_credential_and_no_identity_reaches_the_engine(engine, broker):
    headers = {
        "authorization": "Bearer canary-1",
        "x-api-key": "canary-2",
        "x-goog-api-key": "canary-3",
        "cookie": "canary-4",
        "user-agent": "canary-5",
        "x-stainless-os": "canary-6",
    }
    broker.send("POST", "/v1/chat/completions?key=canary-7", CHAT, headers=headers)
    assert "canary" not in str(engine.seen)


def test_models_in_each_form(engine, broker):
    assert broker.send("GET", "/v1/models").json()["data"][0]["id"] == "small"
    assert broker.send("GET", "/v1/models", headers={"anthropic-version": "2023-06-01"}).json()["first_id"] == "small"
    assert broker.send("GET", "/v1beta/models").json()["models"][0]["name"] == "models/small"
    assert broker.send("GET", "/v1/models/small").json()["id"] == "small"
    assert broker.send("GET", "/v1beta/models/small").json()["name"] == "models/small"
    assert broker.send("GET", "/v1/models/none").code == "model_not_found"


def test_an_account_has_the_members_that_it_has_in_the_cloud(broker):
    answer = broker.send("GET", "/v1/account")
    assert answer.status == 200
    shown = answer.json()
    assert (shown["mode"], shown["tier"], shown["credits"], shown["limits"]) == ("local", None, None, {})
    assert shown["policy"].keys() == {
        "regions",
        "max_retention_days",
        "models",
        "fallback_companies",
        "min_app_version",
    }


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/v1/chat/completions", CHAT | {"model": "other"}, 404, "model_not_found"),
        ("POST", "/v1/chat/completions", CHAT | {"model": "small:cloud"}, 403, "local_mode"),
        ("POST", "/v1/chat/completions", b"{", 400, "invalid_request"),
        ("POST", "/v1/responses/input_tokens", {"model": "small", "input": "x"}, 400, "unsupported_feature"),
        ("POST", "/v1/messages/count_tokens", MESSAGES, 400, "unsupported_feature"),
        ("POST", "/v1beta/models/small:countTokens", CONTENTS, 400, "unsupported_feature"),
        ("POST", "/v1/messages", MESSAGES | {"tools": [{"type": "web_search_20250305", "name": "web_search"}], "tool_choice": {"type": "any"}}, 400, "unsupported_feature"),
        ("POST", "/v1/responses", {"model": "small", "input": "x", "tools": [{"type": "mcp", "server_url": "https://x.test"}], "tool_choice": "required"}, 400, "unsupported_feature"),
        ("POST", "/v1/chat/completions", CHAT | {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.test/a"}}]}]}, 400, "unsupported_feature"),
        ("POST", "/v1/files", b"x", 400, "privacy_unsupported"),
        ("GET", "/v1/chat/completions", None, 405, "method_not_allowed"),
        ("POST", "/v1/account", b"", 405, "method_not_allowed"),
        ("GET", "/v1/requests/req_" + "0" * 32, None, 404, "not_found"),
        ("GET", "/nothing", None, 404, "not_found"),
    ],
)  # fmt: skip
def test_refusals(engine, broker, method, path, body, status, code):
    answer = broker.send(method, path, body)
    assert (answer.status, answer.code) == (status, code)
    assert not any(name.startswith("POST /v1/chat") for name, _, _ in engine.seen)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "hostile",
    [
        {"host": "evil.test:80"},
        {"headers": {"origin": "https://evil.test"}},
        {"headers": {"sec-fetch-site": "cross-site"}},
    ],
    ids=["host", "origin", "fetch"],
)
def test_web_pages_are_kept_out_before_the_body_is_read(engine, broker, path, hostile):
    data = broker.bytes_of(
        "POST", path, None, headers={**hostile.get("headers", {}), "content-length": "5000"}, host=hostile.get("host")
    )
    with broker.client() as client:
        answer = client.send(data).answer()
    assert (answer.status, answer.code) == (403, "foreign_origin")
    assert not any(name.startswith("access-control") for name in answer.headers)
    assert engine.seen == []


def test_a_preflight_gets_no_permission(engine, broker):
    answer = broker.send(
        "OPTIONS",
        "/v1/chat/completions",
        headers={"origin": "https://evil.test", "access-control-request-method": "POST"},
    )
    assert answer.status == 403
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_what_is_not_http(broker):
    with broker.client() as client:
        answer = client.send(b"GET /v1/models HTTP/9\r\ncanary\r\n\r\n").answer()
    assert answer.status == 400
    assert b"canary" not in answer.body


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_the_engine_s_errors_keep_their_status_and_sentence(engine, broker, path, status):
    engine.table["POST /v1/chat/completions"] = reply(status, {"error": {"message": "the context is too long"}})
    answer = broker.send("POST", path, CONTENTS if "models" in path else MESSAGES)
    assert (answer.status, answer.headers["x-error-origin"]) == (status, "provider")
    assert answer.json()["error"]["message"] == "the context is too long"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_goes_nowhere(engine, broker, path, status):
    engine.table["POST /v1/chat/completions"] = reply(status, headers={"location": "http://evil.test/"})
    answer = broker.send("POST", path, CONTENTS if "models" in path else MESSAGES)
    assert (answer.status, answer.code) == (502, "upstream_error")
    assert "location" not in answer.headers
    assert b"evil" not in answer.body


CUT = chunks(chat_chunk("said "), end=False)
INSIDE = chunks(chat_chunk("said "), b'data: {"choices"', end=False)
FAILED = chunks(chat_chunk("said "), b'data: {"error":{"message":"out of memory"}}\n\n', b"data: [DONE]\n\n")
STREAMED = [CASES[3], CASES[4], CASES[5], CASES[6]]


@pytest.mark.parametrize(("path", "body"), STREAMED)
@pytest.mark.parametrize("sent", [CUT, INSIDE], ids=["between events", "inside an event"])
def test_a_truncated_stream_never_looks_complete(engine, broker, path, body, sent):
    engine.table["POST /v1/chat/completions"] = lambda sock, _: sock.sendall(sent)
    with broker.client() as client:
        answer = client.send(broker.bytes_of("POST", path, body)).answer()
    assert not answer.complete
    assert not re.search(rb"message_stop|finishReason|\[DONE\]", answer.body)
    if answer.body and "streamGenerateContent" not in path and not (path.endswith("completions") and sent is INSIDE):
        assert b"upstream_error" in answer.body


@pytest.mark.parametrize(("path", "body"), STREAMED[1:])
def test_an_error_inside_a_stream_that_is_translated(engine, broker, path, body):
    engine.table["POST /v1/chat/completions"] = lambda sock, _: sock.sendall(FAILED)
    with broker.client() as client:
        answer = client.send(broker.bytes_of("POST", path, body)).answer()
    assert not answer.complete
    assert not re.search(rb"message_stop|finishReason", answer.body)


def test_an_error_inside_a_stream_of_the_same_dialect_passes(engine, broker):
    engine.table["POST /v1/chat/completions"] = lambda sock, _: sock.sendall(FAILED)
    answer = broker.send("POST", *STREAMED[0])
    assert b"out of memory" in answer.body


OPENING = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
BUSY = {"error": {"message": "loading the model", "type": "unavailable_error", "code": 503}}
NO_ANSWERS = {
    "an error for a body": (reply(200, BUSY), 503),
    "an error as the first event": (chunks(b"data: " + json.dumps(BUSY).encode() + b"\n\n"), 503),
    "an error after the opening": (chunks(OPENING, b"data: " + json.dumps(BUSY).encode() + b"\n\n"), 503),
    "an error as a string": (chunks(b'data: {"error":"loading the model"}\n\n'), 502),
    "an empty stream": (chunks(), 502),
    "an empty body": (reply(200, b""), 502),
    "a lone end": (chunks(b"data: [DONE]\n\n"), 502),
    "an opening and the end": (chunks(OPENING, b"data: [DONE]\n\n"), 502),
    "a web page": (reply(200, b"<html>loading the model</html>"), 502),
    "a labelled web page": (chunks(b"<html></html>", kind="text/html"), 502),
    "another object": (reply(200, {"detail": "loading the model"}), 502),
}


@pytest.mark.parametrize("what", NO_ANSWERS)
@pytest.mark.parametrize(("path", "body"), CASES)
def test_what_is_no_answer_becomes_an_error_status(engine, broker, path, body, what):
    sent, status = NO_ANSWERS[what]
    engine.table["POST /v1/chat/completions"] = lambda sock, _: sock.sendall(sent)
    answer = broker.send("POST", path, body)
    assert (answer.status, answer.complete) == (status, True)
    assert answer.json()["error"]
    assert (b"loading the model" in answer.body) is ("error" in what or what == "another object")


NO_ENDS = {
    "no end": chunks(chat_chunk("said ")),
    "an error": chunks(chat_chunk("said "), b'data: {"error":{"message":"out of memory"}}\n\n', b"data: [DONE]\n\n"),
    "a cut at a boundary": chunks(chat_chunk("said "), end=False),
    "a cut inside": chunks(chat_chunk("said "), b'data: {"choices"', end=False),
    "a reset": chunks(chat_chunk("said "), end=False)[:-2],
    "another object": chunks(chat_chunk("said "), b'data: {"detail":"x"}\n\n'),
    "half a call": chunks(
        chat_chunk("said "),
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f",'
        b'"arguments":"{"}}]}}]}\n\n',
    ),
}


@pytest.mark.parametrize("what", NO_ENDS)
@pytest.mark.parametrize(("path", "body"), STREAMED)
def test_a_stream_without_its_end_has_no_end(engine, broker, path, body, what):
    engine.table["POST /v1/chat/completions"] = lambda sock, _: sock.sendall(NO_ENDS[what])
    with broker.client() as client:
        answer = client.send(broker.bytes_of("POST", path, body)).answer()
    assert not answer.complete
    assert not re.search(rb'message_stop|"finishReason"|"finish_reason":\s*"', answer.body)
    if what == "an error" and answer.headers["content-type"] == "text/event-stream":
        assert b"out of memory" in answer.body


ANTHROPIC = [
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}\n\n',
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n',
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"said here"}}\n\n',
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
]  # fmt: skip
OVERLOADED = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n'


@pytest.fixture(scope="module")
def native():
    with ScriptedEngine({"GET /v1/models": models("small")}) as engine:
        engine.table["POST /v1/messages"] = reply(400, {"error": "model is required"})
        with broker_of(engine) as broker:
            broker.send("GET", "/v1/models")
            yield engine, broker


@pytest.mark.parametrize("length", range(len(ANTHROPIC) + 1))
@pytest.mark.parametrize("error", [b"", OVERLOADED])
@pytest.mark.parametrize("kind", ["text/event-stream", "text/plain"])
def test_messages_of_an_engine_s_own(native, length, error, kind):
    engine, broker = native

    def messages(sock, body):
        failing = error if length < len(ANTHROPIC) else b""
        told = chunks(*ANTHROPIC[:length], *([failing] if failing else []), kind=kind)
        sock.sendall(reply(400, {"error": "model is required"}) if body == b"{}" else told)

    engine.table["POST /v1/messages"] = messages
    with broker.client() as client:
        answer = client.send(broker.bytes_of("POST", "/v1/messages", MESSAGES | {"stream": True})).answer()
    if length == len(ANTHROPIC):
        assert (answer.status, answer.complete, said(answer)) == (200, True, "said here")
        assert answer.body == b"".join(ANTHROPIC)
    elif length < 3:
        assert (answer.status, answer.json()["type"]) == (529 if error else 502, "error")
    else:
        assert answer.status == 200
        assert b"event: error" in answer.body
        assert not answer.complete


def test_an_opening_is_held_for_a_bounded_time(engine, broker):
    """A model that thinks for long after its first event: the client gets its headers meanwhile."""
    go_on = threading.Event()

    def slow(sock, _):
        sock.sendall(chunks(OPENING, end=False))
        assert go_on.wait(PATIENCE)
        sock.sendall(STREAMED_CHAT.split(b"\r\n\r\n", 1)[1])

    engine.table["POST /v1/chat/completions"] = slow
    with broker.client() as client:
        client.send(broker.bytes_of("POST", *STREAMED[0]))
        assert client.head().status == 200
        go_on.set()
        assert b"said " in b"".join(iter(client.chunk, b""))


def choosing(sock, body, *, strings):
    """An engine that refuses a tool choice that names a tool; it answers with the name of the first tool."""
    asked = json.loads(body)
    if isinstance(asked.get("tool_choice"), dict) and strings:
        sock.sendall(reply(400, {"error": "Invalid tool_choice type: 'object'. Supported string values: none, auto"}))
        return
    call = {"id": "c", "function": {"name": asked["tools"][0]["function"]["name"], "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    sock.sendall(
        reply(200, {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}], "usage": {}})
    )


@pytest.mark.parametrize(
    ("owner", "strings", "sent"),
    [
        ("organization_owner", True, ["required"]),  # LM Studio is known to take strings only
        ("me", True, [{"type": "function", "function": {"name": "g"}}, "required", "required"]),  # found out once
        ("vllm", False, [{"type": "function", "function": {"name": "g"}}] * 2),
    ],
)
def test_a_choice_of_one_tool_is_told_as_the_engine_takes_it(owner, strings, sent):
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in ("f", "g")]
    body = MESSAGES | {"tools": tools, "tool_choice": {"type": "tool", "name": "g"}}
    table = {
        "GET /v1/models": models("small", owner=owner),
        "POST /v1/chat/completions": lambda sock, data: choosing(sock, data, strings=strings),
    }
    with ScriptedEngine(table) as engine, broker_of(engine) as broker:
        for _ in sent[: 2 if len(sent) > 1 else 1]:
            answer = broker.send("POST", "/v1/messages", body)
            assert answer.status == 200
        asked = [json.loads(data) for data in engine.asked("POST /v1/chat/completions")]
    assert [one["tool_choice"] for one in asked] == sent
    for one in asked:
        if one["tool_choice"] == "required":
            assert [tool["function"]["name"] for tool in one["tools"]] == ["g"]


def test_what_coding_agents_send(engine, broker):
    """System messages among the others, a file and a tool's name in a result, a suffix on the model's name."""
    pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}
    body = MESSAGES | {
        "model": "small[1m]",
        "system": "brief",
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "system", "content": "Skills: a"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "Read", "input": {}}]},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t",
                        "content": [pdf, {"type": "tool_reference", "tool_name": "write"}],
                    }
                ],
            },
        ],
    }
    assert broker.send("POST", "/v1/messages", body).status == 200
    [sent] = map(json.loads, engine.asked("POST /v1/chat/completions"))
    assert sent["model"] == "small"
    assert [message["role"] for message in sent["messages"]] == ["system", "user", "assistant", "tool"]
    assert sent["messages"][0]["content"] == "brief\n\nSkills: a"
    text, left_out = sent["messages"][3]["content"].split("\n\n")  # a result's files follow its text
    assert text == "Tool: write"
    assert left_out.startswith("[A file was left out here")


def test_codex_reads_the_list_of_models(engine, broker):
    assert broker.send("GET", "/v1/models?client_version=0.153.4").json()["models"] == []
    assert "models" not in broker.send("GET", "/v1/models").json()


@pytest.mark.parametrize(("path", "body"), STREAMED)
@pytest.mark.parametrize("begun", [True, False])
def test_a_client_that_goes_away_ends_the_engine_s_work(engine, broker, path, body, begun):
    def begin(sock, _):
        if begun:
            sock.sendall(chunks(chat_chunk("said "), end=False))
        engine.await_close(sock)

    engine.table["POST /v1/chat/completions"] = begin
    with broker.client() as client:
        client.send(broker.bytes_of("POST", path, body))
        if begun:
            assert client.head().status == 200
            assert client.chunk()
        else:
            while not engine.asked("POST /v1/chat/completions"):
                pass
    assert engine.closed.wait(PATIENCE)


def test_a_slow_client_pauses_the_engine(engine, broker):
    """The engine can't send what nobody reads: its own writes stop, and nothing piles up in the broker."""
    sent = []

    def flood(sock, _):
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        piece = chat_chunk("x" * 60_000)
        framed = b"%x\r\n%b\r\n" % (len(piece), piece)
        sock.settimeout(1.0)
        try:
            for _ in range(2_000):
                sock.sendall(framed)
                sent.append(len(framed))
        except TimeoutError:
            pass
        engine.closed.set()

    engine.table["POST /v1/chat/completions"] = flood
    with broker.client(receive_buffer=65_536) as client:
        client.send(broker.bytes_of("POST", "/v1/messages", MESSAGES | {"stream": True}))
        assert engine.closed.wait(60)
    status = Path(f"/proc/{broker.pid}/status")
    assert sum(sent) < 100_000_000
    if status.exists():
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmRSS")]
        assert int(line.split()[1]) < 120_000


def test_nothing_is_written_and_nothing_is_logged(tmp_path):
    with (
        ScriptedEngine(chat_engine("small")) as engine,
        broker_of(engine, cwd=tmp_path, environment={"HOME": str(tmp_path), "PYTHONPATH": str(Path.cwd())}) as broker,
    ):
        for path, body in CASES:
            canary = json.loads(json.dumps(body).replace("hello", "canary-content"))
            assert broker.send("POST", path, canary).status == 200
        broker.send("POST", "/v1/chat/completions", {"model": "canary-model", "messages": []})
        engine.table["POST /v1/chat/completions"] = reply(500, {"error": {"message": "canary-error"}})
        broker.send("POST", *CASES[1])
    assert [line["event"] for line in broker.lines] == ["started", "stopped"]
    assert "canary" not in str(broker.lines) + broker.screen
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_its_first_screen_has_engines_models_and_lines_that_work(number):
    with ScriptedEngine(chat_engine("small", "evil';touch x;'")) as engine, broker_of(engine) as broker:
        os.kill(broker.pid, number)
        broker.stop()
    assert [line["event"] for line in broker.lines] == ["started", "stopped"]
    screen = broker.screen
    assert f"on {broker.url}\n" in screen
    assert f" on {engine.address}: small, evil??touch?x??\n" in screen
    assert "It runs on Linux and macOS" in screen
    assert re.findall(r"^# (.+)$", screen, re.MULTILINE) == [name for name, _ in PASTE]
    assert "ANTHROPIC_MODEL=small claude" in screen


@needs("curl")
def test_the_line_of_the_first_screen_gets_an_answer():
    with ScriptedEngine(chat_engine("small")) as engine, broker_of(engine) as broker:
        line = dict(PASTE)["curl"].format(url=broker.url, model="small")
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert json.loads(done.stdout)["choices"]


def test_without_an_engine_the_screen_says_what_to_start():
    with BrokerProcess("--only-named") as broker:
        pass
    assert "No engine answers yet. Start one on its usual port, ollama (11434)" in broker.screen


def test_an_engine_that_stops_is_not_replaced():
    """Two engines, one model each: when the first stops, its model is an error and the second hears nothing."""
    with ScriptedEngine({**chat_engine("other")}) as second:
        with ScriptedEngine(chat_engine("small")) as first:
            broker = BrokerProcess("--only-named", "--engine", first.address, "--engine", second.address)
            broker.__enter__()
            assert broker.send("POST", "/v1/chat/completions", CHAT).status == 200
        try:
            answer = broker.send("POST", "/v1/chat/completions", CHAT)
            assert (answer.status, answer.code) in {(503, "provider_unavailable"), (404, "model_not_found")}
            assert second.asked("POST /v1/chat/completions") == []
        finally:
            broker.stop()


def test_without_an_engine_the_answer_says_what_to_do():
    with BrokerProcess("--only-named") as broker:
        answer = broker.send("POST", "/v1/chat/completions", CHAT)
        assert (answer.status, answer.code) == (503, "provider_unavailable")
        assert "Start Ollama" in answer.json()["error"]["message"]
        assert broker.send("GET", "/v1/models").json()["data"] == []


def test_ollama_is_asked_before_every_prompt_and_its_native_messages_are_used():
    told = reply(
        200,
        {
            "type": "message",
            "content": [],
            "role": "assistant",
            "id": "m",
            "model": "x",
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 1, "output_tokens": 1},
        },
    )

    def messages(sock, body):
        sock.sendall(reply(400, {"error": "model is required"}) if body == b"{}" else told)

    table = ollama(None, {"name": "small:latest"}) | {"POST /v1/messages": messages}
    with ScriptedEngine(table) as engine, broker_of(engine) as broker:
        assert broker.send("POST", "/v1/messages", MESSAGES, headers={"anthropic-version": "2023-06-01"}).status == 200
        assert [json.loads(body).get("model") for body in engine.asked("POST /v1/messages")] == [None, "small:latest"]
        engine.table["POST /api/show"] = reply(200, {"details": {}, "remote_host": "https://cloud.test"})
        assert broker.send("POST", "/v1/messages", MESSAGES).code == "local_mode"
        assert len(engine.asked("POST /v1/messages")) == 2


def test_a_unix_socket_and_ipv6(tmp_path):
    with (
        ScriptedEngine(chat_engine("one"), path=tmp_path / "e.sock") as unix,
        ScriptedEngine(
            {"GET /v1/models": models("two"), "POST /v1/chat/completions": lambda sock, _: sock.sendall(STREAMED_CHAT)},
            "::1",
        ) as ipv6,
        BrokerProcess("--only-named", "--engine", unix.address, "--engine", ipv6.address) as broker,
    ):
        for model in ("one", "two"):
            assert said(broker.send("POST", "/v1/messages", MESSAGES | {"model": model, "stream": True})) == "said here"


@pytest.mark.parametrize(
    ("options", "environment", "told"),
    [
        ((), {"OPENAI_API_KEY": "sk-canary"}, "OPENAI_API_KEY"),
        ((), {"ANTHROPIC_API_KEY": "sk-canary", "GEMINI_API_KEY": "sk-canary"}, "GEMINI_API_KEY"),
        (("--engine", "localhost:11434"), {}, "localhost"),
        (("--engine", "https://127.0.0.1:443"), {}, "loopback"),
        (("--engine-command", "true"), {}, "--isolate"),
        (("--isolate",), {}, "Unix socket"),
        (("--config", "nowhere.toml"), {}, "settings file"),
    ],
)
def test_what_it_does_not_start_with(options, environment, told):
    text = " ".join(refused_start(*options, environment=environment))
    assert told in text
    assert "canary" not in text


def test_a_configuration_of_the_hosted_gateway_is_refused(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text('[providers.openai]\nkind = "openai"\napi_keys = ["sk-canary"]\n')
    [line] = refused_start("--config", str(path))
    assert "providers" in line
    assert "canary" not in line


def test_a_settings_file_and_an_origin_that_it_allows(tmp_path):
    origin = {"origin": "vscode-webview://x"}
    with ScriptedEngine(chat_engine("small")) as engine:
        path = tmp_path / "local.toml"
        path.write_text(f'engines = ["{engine.address}"]\nusual_ports = false\norigins = ["vscode-webview://x"]\n')
        with BrokerProcess("--config", str(path)) as broker:
            asked = {**origin, "access-control-request-headers": "authorization"}
            preflight = broker.send("OPTIONS", "/v1/messages", headers=asked)
            assert (preflight.status, preflight.headers["access-control-allow-headers"]) == (204, "authorization")
            for route, body in CASES:
                answer = broker.send("POST", route, body, headers=origin)
                assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, origin["origin"])
            for answer in (
                broker.send("GET", "/v1/models", headers=origin),
                broker.send("POST", "/v1/messages", MESSAGES | {"model": "none"}, headers=origin),
            ):
                assert answer.headers["access-control-allow-origin"] == origin["origin"]
            assert "access-control-allow-origin" not in broker.send("GET", "/v1/models").headers
            assert broker.send("GET", "/v1/models", headers={"origin": "https://evil.test"}).code == "foreign_origin"


def test_a_port_that_is_taken(broker):
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "local", "--port", str(broker.port)],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "error: The port is in use: choose another one with --port.\n")


def test_it_listens_on_loopback_alone(broker):
    if not Path(f"/proc/{broker.pid}/net/tcp").exists():
        pytest.skip("no /proc: what a process listens on is not known")
    inodes = {str(entry.readlink()) for entry in Path(f"/proc/{broker.pid}/fd").iterdir()}
    listening = []
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/{broker.pid}/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                listening.append(fields[1])
    assert listening == [f"0100007F:{broker.port:04X}"]
