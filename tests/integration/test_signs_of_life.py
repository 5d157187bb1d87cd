"""What keeps a client's connection from looking dead while a model thinks, and the ledger after it."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import Running
from tests.raw_http import PATIENCE, RawClient, request
from tests.raw_provider import RawProvider

INPUT, OUTPUT = 1_000, 50
MESSAGES = [{"role": "user", "content": "hi"}]
COMPLETION = {
    "id": "c", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT},
}  # fmt: skip
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.fixture(scope="module")
def raw():
    with RawProvider() as raw:
        yield raw


@pytest.fixture(scope="module")
def running(raw, tmp_path_factory):
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("life"),
        {"openai": provider("openai", raw.url)},
        [model("openai", "openai")],
        {"server": {"opening_timeout": 0.05}},
    )
    with gateway:
        session = gateway.session("user", 100_000)
        yield Running(gateway, None, session["access_token"], session["pid"])


def send(client: RawClient, running: Running, **more: object) -> None:
    body = json.dumps({"model": "openai", "messages": MESSAGES, **more}).encode()
    client.send(request("POST", "/v1/chat/completions", body, headers=running.auth))


class Beats:
    """A provider that sends ``kind`` and one beat, waits until the client has it, and then sends the rest."""

    def __init__(self, beat: bytes, rest: bytes, kind: bytes = b"application/json") -> None:
        self.beat, self.rest, self.kind = beat, rest, kind
        self.seen = threading.Event()

    def __call__(self, _asked: object, sock: socket.socket) -> None:
        sock.sendall(CHUNKED % self.kind + framed(self.beat))
        assert self.seen.wait(PATIENCE)
        sock.sendall(self.rest)
        sock.shutdown(socket.SHUT_RDWR)


def test_blank_lines_before_a_json_answer_reach_the_client(running, raw):
    whole = json.dumps(COMPLETION).encode()
    raw.script = beats = Beats(b"\n", framed(whole[:30]) + framed(whole[30:]) + LAST)
    with running.client() as client:
        send(client, running)
        answer = client.head()
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert client.chunk() == b"\n"
        beats.seen.set()
        assert json.loads(client.chunk()) == COMPLETION
        assert client.chunk() == b""
    assert "x-credits-charged" not in answer.headers  # it was not known when the headers were sent
    record = running.settled(answer.rid)
    assert (record["basis"], record["in_uncached"], record["out_visible"]) == ("reported", INPUT, OUTPUT)


@pytest.mark.parametrize(
    "rest",
    [
        framed(json.dumps(COMPLETION).encode()[:-1]),
        framed(json.dumps(COMPLETION).encode()[:-1]) + LAST,
        framed(b'{"error": {"message": "No.", "code": 500}}') + LAST,
        LAST,
    ],
)
def test_a_failure_after_the_blank_lines_is_a_cut_and_costs_nothing(running, raw, rest):
    raw.script = beats = Beats(b"\n", rest)
    with running.client() as client:
        send(client, running)
        answer = client.head()
        assert client.chunk() == b"\n"
        beats.seen.set()
        assert client.chunk() is None
    assert running.settled(answer.rid)["status"] == "voided"


@pytest.mark.parametrize("include_usage", [True, False])
def test_a_comment_without_a_blank_line_reaches_the_client(running, raw, include_usage):
    delta = {"index": 0, "delta": {"content": "some words"}, "finish_reason": "stop"}
    events = [
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [delta]},
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
         "usage": COMPLETION["usage"]},
    ]  # fmt: skip
    first, usage, done = (*(b"data: %b\n\n" % json.dumps(event).encode() for event in events), b"data: [DONE]\n\n")
    rest = framed(first) + framed(b": ping\n") + framed(usage) + framed(done) + LAST
    raw.script = beats = Beats(b": ping\n", rest, b"text/event-stream")
    with running.client() as client:
        send(client, running, stream=True, stream_options={"include_usage": include_usage})
        answer = client.head()
        assert client.chunk() == b": ping\n"
        beats.seen.set()
        chunks = b"".join(iter(client.chunk, b""))
    assert chunks == first + b": ping\n" + (usage if include_usage else b"") + done
    assert running.settled(answer.rid)["out_visible"] == OUTPUT
