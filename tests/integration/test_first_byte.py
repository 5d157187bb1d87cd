"""How far a request is from its provider and its answer from the caller: the turns of the loop, and one round trip."""

import json
import socket
import sys
import threading
from http.client import HTTPResponse
from itertools import pairwise
from pathlib import Path

from benchmarks.launch import injection
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import eventually
from tests.raw_provider import RawProvider

COUNTER = Path(__file__).parent / "turn_counter.py"
REQUESTS = 12  # what runs for another request or for upkeep adds turns to some
SETTLED = "codegrex_settle_seconds_count"
ASKING = ["bytes", "handler", "called", "asked", "told", "intent", "sent"]
BEGINNING = ["sent", "answered", "opened"]
TO_HANDLER = 1 if sys.version_info >= (3, 12) else 2  # aiohttp starts handlers eagerly if it can
USAGE = {"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 13}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
ANSWER = json.dumps(
    {"id": "x", "object": "chat.completion", "model": "m", "choices": [CHOICE], "usage": USAGE}
).encode()
EVENTS = [
    {"choices": [{"index": 0, "delta": {"content": "hello"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": USAGE},
]
STREAM = [
    b"data: %b\n\n" % json.dumps({"id": "x", "object": "chat.completion.chunk", "model": "m"} | event).encode()
    for event in EVENTS
] + [b"data: [DONE]\n\n"]
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
STREAMED = [b"%x\r\n%b\r\n" % (len(event), event) for event in STREAM] + [b"0\r\n\r\n"]
STREAMED[0] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" + STREAMED[0]


def turns_of(folder, first, rest, steps, **members):
    """The turns between each two of these steps, of each request during which nothing else happened."""
    found, begun = folder / "data" / "turns", threading.Semaphore(0)

    def answers(_request, sock):
        sock.sendall(first)
        assert begun.acquire(timeout=60)
        return rest

    with RawProvider() as upstream:
        upstream.script = answers
        served = {"openai": provider("openai", upstream.url)}
        injected = [injection(COUNTER, str(found))]
        with GatewayProcess(folder, served, [model("m", "openai")], injected=injected) as running:
            token = running.session()["access_token"]
            body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **members})
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
            request = f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()  # arrives at once
            with socket.create_connection(("127.0.0.1", int(running.url.rpartition(":")[2])), timeout=60) as sock:
                for number in range(1, REQUESTS + 1):
                    sock.sendall(request)
                    answer = HTTPResponse(sock)
                    answer.begin()
                    assert b"hello" in answer.readline()
                    begun.release()
                    answer.read()
                    # Else that is sent beside the next one's hold.
                    eventually(lambda: running.metric(SETTLED), lambda count, number=number: count == number)
    traces = [
        dict(trace) for trace in map(json.loads, found.read_text().splitlines()) if steps == [name for name, _ in trace]
    ]
    assert traces, "no request was alone"
    return [{last: trace[last] - trace[first] for first, last in pairwise(steps)} for trace in traces]


def test_a_request_is_two_turns_and_one_round_trip_from_its_provider(tmp_path):
    turns = turns_of(tmp_path, WHOLE, b"", ASKING)
    assert min(each["handler"] for each in turns) <= TO_HANDLER
    assert min(each["called"] + each["asked"] for each in turns) == 0
    assert min(each["intent"] for each in turns) == 0
    assert min(each["sent"] for each in turns) == 0


def test_a_stream_begins_for_its_client_in_the_callback_that_reads_its_first_output(tmp_path):
    turns = turns_of(tmp_path, STREAMED[0], b"".join(STREAMED[1:]), BEGINNING, stream=True)
    assert min(each["opened"] for each in turns) == 0
