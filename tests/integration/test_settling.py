"""To settle a whole answer takes few calls: what is between the end of the relay and the ledger can be read at once."""

import json
import threading
from http.client import HTTPConnection
from pathlib import Path

import pytest

from benchmarks.launch import injection
from tests.gateway_process import GatewayProcess, model, provider
from tests.raw_provider import RawProvider

COUNTER = Path(__file__).parent / "call_counter.py"
MOST = 20  # fewer than that
REQUESTS = 4  # a timer of the worker may run between, and adds its calls to one of them
USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}


def event(**more):
    return (
        b"data: " + json.dumps({"id": "x", "object": "chat.completion.chunk", "model": "m", **more}).encode() + b"\n\n"
    )


def choice(delta, reason=None):
    return [{"index": 0, "delta": delta, "finish_reason": reason}]


BEGIN = event(choices=choice({"role": "assistant", "content": "Hello"}))
END = event(choices=choice({}, "stop")) + event(choices=[], usage=USAGE) + b"data: [DONE]\n\n"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(BEGIN + END)


@pytest.fixture
def gateway(tmp_path):
    seen = threading.Event()

    def script(_request, sock):
        sock.sendall(HEAD + BEGIN)
        assert seen.wait(60)
        seen.clear()
        return END

    found = tmp_path / "data" / "calls"
    with RawProvider() as upstream:
        upstream.script = script
        served = {"openai": provider("openai", upstream.url)}
        with GatewayProcess(
            tmp_path, served, [model("m", "openai")], injected=[injection(COUNTER, str(found))]
        ) as running:
            yield running, seen, found


def test_to_settle_a_whole_answer_is_less_than_20_calls(gateway):
    running, seen, found = gateway
    token = running.session()["access_token"]
    body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    connection = HTTPConnection(running.url.removeprefix("http://"), timeout=60)
    for _ in range(REQUESTS):
        connection.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        assert answer.read1(5)
        seen.set()  # the relay flows: its end is what the exchange waits for
        assert answer.read().endswith(b"[DONE]\n\n")
    connection.close()
    calls = min(map(json.loads, found.read_text().splitlines()), key=len)
    assert "Settler.submit" in calls
    assert len(calls) < MOST, calls
