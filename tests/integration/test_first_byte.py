"""How far a request is from its provider: the turns of the loop, and one round trip to the store."""

import json
import socket
import sys
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
STEPS = ["bytes", "handler", "called", "asked", "told", "intent", "sent"]
TO_HANDLER = 1 if sys.version_info >= (3, 12) else 2  # aiohttp starts handlers eagerly if it can
USAGE = {"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 13}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
ANSWER = json.dumps(
    {"id": "x", "object": "chat.completion", "model": "m", "choices": [CHOICE], "usage": USAGE}
).encode()


def test_a_request_is_two_turns_and_one_round_trip_from_its_provider(tmp_path):
    found = tmp_path / "data" / "turns"
    with RawProvider() as upstream:
        upstream.script = lambda _request, _sock: (
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
        )
        served = {"openai": provider("openai", upstream.url)}
        injected = [injection(COUNTER, str(found))]
        with GatewayProcess(tmp_path, served, [model("m", "openai")], injected=injected) as running:
            token = running.session()["access_token"]
            body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
            request = f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()  # arrives at once
            with socket.create_connection(("127.0.0.1", int(running.url.rpartition(":")[2])), timeout=60) as sock:
                for number in range(1, REQUESTS + 1):
                    sock.sendall(request)
                    answer = HTTPResponse(sock)
                    answer.begin()
                    assert answer.read() == ANSWER
                    # Else that is sent beside the next one's hold.
                    eventually(lambda: running.metric(SETTLED), lambda count, number=number: count == number)
    traces = [
        dict(steps)
        for steps in map(json.loads, found.read_text().splitlines())
        if [*dict(steps)] == STEPS == [name for name, _ in steps]
    ]
    assert traces, "no request was alone"
    turns = [{last: trace[last] - trace[first] for first, last in pairwise(STEPS)} for trace in traces]
    assert min(each["handler"] for each in turns) <= TO_HANDLER
    assert min(each["called"] + each["asked"] for each in turns) == 0
    assert min(each["intent"] for each in turns) == 0
    assert min(each["sent"] for each in turns) == 0
