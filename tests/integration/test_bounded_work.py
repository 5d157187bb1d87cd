"""Nothing that a user or a provider sends holds a worker's loop: measured by a watchdog in the worker.

The bound is scaled to the machine: it is what a loop of known length takes on it now, in processor time.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.launch import injection
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import CHAT, GENERATE, MESSAGES, eventually
from tests.raw_http import RawClient, request
from tests.raw_provider import RawProvider
from tests.slowness import TRIES, slowness

MIB = 1 << 20
ALLOWED = 0.020  # seconds, on the machine of `tests.slowness`
WATCHDOG = Path(__file__).parent / "watchdog.py"
RESPONSES = "/v1/responses"
COMPLETIONS = "/v1/completions"


def allowed() -> float:
    """Seconds that the loop may be held: no less than `ALLOWED`, more on a machine that is slow or busy now."""
    return ALLOWED * slowness()


@dataclass
class Watched:
    gateway: GatewayProcess
    provider: RawProvider
    found: Path
    auth: dict[str, str]

    def longest(self, send):
        """What ``send`` returns, and the longest that the loop was held meanwhile."""
        self.found.unlink(missing_ok=True)
        eventually(self.found.exists, bool)
        answer = send()
        return answer, float(eventually(self.found.read_text, bool))

    def least(self, send):
        """The same of the try that held the loop least: a neighbour of this machine may have made others slow."""
        tries = []
        while len(tries) < TRIES and (not tries or tries[-1][1] >= ALLOWED):
            tries.append(self.longest(send))
        return min(tries, key=lambda found: found[1])

    def post(self, path, body, headers=None):
        with RawClient(self.gateway.url) as client:
            client.send(request("POST", path, body, headers=self.auth | (headers or {})))
            return client.answer()


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched")
    found = folder / "data" / "longest"
    kinds = ("openai", "anthropic", "google")
    with RawProvider() as upstream:
        models = [model(f"{kind}-m", kind) for kind in kinds]
        gateway = GatewayProcess(
            folder,
            {kind: provider(kind, upstream.url) for kind in kinds},
            models,
            {"server": {"abort_grace": 0}},
            injected=[injection(WATCHDOG, str(found))],
        )
        with gateway:
            session = gateway.session("user", 1_000_000)
            yield Watched(gateway, upstream, found, {"authorization": f"Bearer {session['access_token']}"})


def fill(start: bytes, unit: bytes, end: bytes, size: int) -> bytes:
    return start + unit * (size // len(unit)) + end


CHAT_M, MESSAGES_M = b'{"model":"openai-m",', b'{"model":"anthropic-m","max_tokens":5,'
GENERATE_M = GENERATE.format("google-m")
SMALL, LARGE = 4 * MIB - 300, 10 * MIB
DENSE = {
    "messages of {}": (CHAT, CHAT_M + b'"messages":[', b"{},", b"{}]}", SMALL),
    "messages with empty content": (CHAT, CHAT_M + b'"messages":[', b'{"content":[]},', b"{}]}", SMALL),
    "parts {}": (CHAT, CHAT_M + b'"messages":[{"content":[', b"{},", b"{}]}]}", SMALL),
    "tools": (CHAT, CHAT_M + b'"messages":[],"tools":[', b'{"type":"a"},', b"{}]}", SMALL),
    "numbers": (CHAT, CHAT_M + b'"messages":[', b"0,", b"0]}", LARGE),
    "sparse messages": (CHAT, CHAT_M + b'"messages":[', b'{"content":[]' + b" " * 60 + b"},", b"{}]}", LARGE),
    "a long name": (CHAT, CHAT_M + b'"', b"n", b'":1}', LARGE),
    "a long escaped name": (CHAT, CHAT_M + b'"', b"\\u0061", b'":1}', LARGE),
    "blanks": (CHAT, CHAT_M + b'"messages":', b"  \n ", b"[]}", LARGE),
    "members": (CHAT, CHAT_M, b'"a":1,', b'"b":1}', SMALL),
    "depth": (CHAT, CHAT_M + b'"messages":', b"[", b"", SMALL),
    "items": (RESPONSES, CHAT_M + b'"input":[', b'{"content":[{}]},', b"{}]}", SMALL),
    "blocks": (MESSAGES, MESSAGES_M + b'"messages":[', b'{"content":[{"content":[{}]}]},', b"{}]}", SMALL),
    "prompts": (COMPLETIONS, CHAT_M + b'"prompt":[', b'"",', b'""]}', SMALL),
    "contents": (GENERATE_M, b'{"contents":[', b'{"parts":[{}]},', b"{}]}", SMALL),
    "Gemini's tools": (GENERATE_M, b'{"contents":[],"tools":[', b'{"a":1},', b"{}]}", SMALL),
}
PACKED = ("Gemini's tools", "sparse messages", "a long escaped name")


@pytest.mark.parametrize(("kind", "packed"), [*((kind, False) for kind in DENSE), *((kind, True) for kind in PACKED)])
def test_a_dense_body_is_refused_and_holds_nobody(watched, kind, packed):
    path, *parts = DENSE[kind]
    body = fill(*parts)
    headers = {}
    if packed:
        body, headers = gzip.compress(body, 1), {"content-encoding": "gzip"}
    answer, held = watched.least(lambda: watched.post(path, body, headers))

    assert (answer.status, answer.code) == (400, "invalid_request")
    assert held < allowed()


WITHIN = {
    "messages": (CHAT, CHAT_M + b'"messages":[', b'{"content":[]},', b"{}]}", 20_000),
    "blocks": (MESSAGES, MESSAGES_M + b'"messages":[', b'{"content":[{"content":[{}]}]},', b"{}]}", 16_000),
    "contents": (GENERATE_M, b'{"contents":[', b'{"parts":[{}]},', b"{}]}", 20_000),
    "text": (CHAT, CHAT_M + b'"messages":[{"content":"', b"words, and more words\\n", b'"}]}', 400_000),
    "a string": (CHAT, CHAT_M + b'"messages":[{"content":"', b"a" * 1_000, b'"}]}', 24_000),
}


@pytest.mark.parametrize("kind", WITHIN)
def test_a_large_body_within_the_bounds_holds_nobody_either(watched, kind):
    path, start, unit, end, count = WITHIN[kind]
    watched.provider.script = b"HTTP/1.1 503 no\r\ncontent-length: 2\r\n\r\n{}"
    answer, held = watched.least(lambda: watched.post(path, start + unit * count + end))

    assert answer.status in {429, 502, 503}  # the provider's, not the gateway's
    assert held < 5 * allowed()  # one pass of a decoder over one string cannot be cut in two


def event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


USAGE = b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
CHOICE = b'{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"x"}}'
JSON, SSE = b"application/json", b"text/event-stream"
ANSWERS = {
    "500,000 choices": (JSON, b'{"object":"chat.completion","choices":[' + b'{"index":0},' * 500_000 + CHOICE + b"]}"),
    "choices of a held body": (JSON, b'{"choices":[' + b'{"error":1},' * 20_000 + CHOICE + b"]}"),
    "members": (JSON, b"{" + b",".join(b'"k%d":1' % number for number in range(300_000)) + b"}"),
    "depth": (JSON, b'{"choices":' + b"[" * 500_000 + b"]" * 500_000 + b"}"),
    "escapes": (JSON, b'{"x":"' + b"\\n" * MIB + b'","choices":[' + CHOICE + b"]}"),
    "usage in each event": (SSE, event(USAGE) * 15_000),
    "opening events": (SSE, event(b'{"choices":[{"index":0,"delta":{"role":"assistant"}}]}') * 15_000),
    "tiny events": (SSE, event(b"1") * 100_000),
    "comments": (SSE, b":\n\n" * 200_000),
    "blank lines": (SSE, b"\n" * MIB),
    "an event of choices": (SSE, event(b'{"choices":[' + b'{"index":0},' * 200_000 + b"{}]}")),
}
PACKED_ANSWERS = ("500,000 choices", "usage in each event", "opening events", "blank lines")


@pytest.mark.parametrize(
    ("kind", "packed"), [*((kind, False) for kind in ANSWERS), *((kind, True) for kind in PACKED_ANSWERS)]
)
def test_no_answer_of_a_hostile_provider_holds_anybody(watched, kind, packed):
    form, body = ANSWERS[kind]
    more = b""
    if packed:
        body, more = gzip.compress(body, 1), b"content-encoding: gzip\r\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n%bcontent-length: %d\r\n\r\n" % (form, more, len(body))
    watched.provider.script = head + body
    asked = {"model": "openai-m", "stream": form == SSE, "messages": [{"role": "user", "content": "q"}]}

    def send():
        try:
            return watched.post(CHAT, json.dumps(asked).encode())
        except (EOFError, ConnectionError):
            return None  # the answer was cut, and no clean end was made of it

    _, held = watched.longest(send)
    assert held < allowed()
