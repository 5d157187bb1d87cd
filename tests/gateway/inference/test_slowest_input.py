"""Searches for the input that costs the most processor time a KiB, on its way to a provider and on the way back.

Inputs are a start, a unit that is repeated, and an end; what made one slow is kept and changed further. The search has a
fixed seed and a budget; ``SLOWEST_SECONDS`` gives it more (``make slowest``). A failure prints the unit to keep as a case
of its own.
"""

from __future__ import annotations

import gc
import gzip
import os
import random
import time
from base64 import b32encode
from collections.abc import Callable, Iterator
from hashlib import sha256

import pytest

from gateway.config import PolicyConfig, SecretsRule
from gateway.http.request import _decode, body_budget
from gateway.inference.detection import Search
from gateway.inference.encoded import Bounded
from gateway.inference.secrets import make_secrets
from gateway.upstream.connection import RECV_BYTES
from providers.dialect import Head, Operation, Refusal, Target
from providers.masking.masking import NAME_LENGTH, TooMany, Vault, masking
from providers.masking.places import REQUESTS
from providers.wires import WIRES
from tests.slowness import TRIES, slowness

SECONDS = float(os.environ.get("SLOWEST_SECONDS", "5"))
SEED = 20
KIB = 1024
# On the machine of `tests.slowness`.
LONGEST_STEP = 0.020
A_KIB = {"request": 0.003, "masking": 0.010, "answer": 0.003}

TOKENS = [
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b'\\"', b"\\u0061", b"\\ud83d\\ude00", b" ", b"\n", b"\r\n", b"0",
    b"-1.5e3", b"null", b"true", b'""', b'"a"', b"\xc3\xa9", b"\xf0\x9f\x98\x80", b"{}", b"[]", b'"a":1,', b"data: ",
    b"\n\n", b": ", b'"content":', b'"type":"text"', b'"parts":[{"text":"a"}]', b'{"content":[{}]},', b'{"file":{}},',
    b'"tool_calls":[{}]', b'"source":{"type":"x"}', b'"image_url":{"url":"data:image/png;base64,AAAA"}',
    b'"functionResponse":{"parts":[{}]}', b'{"index":0},', b'"usage":{"prompt_tokens":1}', b'"finish_reason":"stop"',
    b'"usageMetadata":{"promptTokenCount":1}', b'"delta":{"content":"a"}', b"event: error", b'"error":{}', b"[DONE]",
    b"+14155550100 ", b"4111111111111111 ", b"DE89370400440532013000 ", b"a@b.example ", b"sk-", b"AKIA", b"://", b"@",
]  # fmt: skip
REQUEST_SHAPES = {
    Operation.OPENAI_CHAT: [
        (b'{"model":"m","messages":[', b'{"role":"user","content":[{}]},', b"{}]}"),
        (b'{"model":"m","messages":[{"content":[', b'{"file":{}},', b"{}]}]}"),
        (b'{"model":"m","messages":[{"content":"', b"a\\n", b'"}]}'),
        (b'{"model":"m","messages":[{"content":[', b'{"prompt_cache_breakpoint":{}},', b"{}]}]}"),
        (b'{"model":"m","messages":[],"tools":[', b'{"type":"function"},', b"{}]}"),
        (b'{"model":"m","messages":[{"content":[', b'{"image_url":"h%74tp"},', b"{}]}]}"),
        (b'{"model":"m",', b'"a":"b",', b'"messages":[]}'),
    ],
    Operation.OPENAI_RESPONSES: [(b'{"model":"m","input":[', b'{"content":[{}]},', b"{}]}")],
    Operation.ANTHROPIC_MESSAGES: [
        (b'{"model":"m","max_tokens":1,"messages":[', b'{"content":[{"content":[{}]}]},', b"{}]}"),
        (b'{"model":"m","max_tokens":1,"messages":[],"fallbacks":[', b'{"model":"a"},', b"{}]}"),
        (b'{"model":"m","max_tokens":1,"messages":[{"content":[', b'{"cache_control":{}},', b"{}]}]}"),
    ],
    Operation.GEMINI_GENERATE: [
        (b'{"contents":[', b'{"parts":[{"partMetadata":{}}]},', b"{}]}"),
        (b'{"contents":[],"tools":[', b'{"a":1},', b"{}]}"),
    ],
    Operation.OPENAI_EMBEDDINGS: [(b'{"model":"m","input":[', b'"a",', b'""]}')],
}
ANSWER_SHAPES = {
    Operation.OPENAI_CHAT: [
        (b'{"choices":[', b'{"index":0},', b"{}]}"),
        (b"", b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n', b"data: [DONE]\n\n"),
        (b"", b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n', b""),
        (b'data: {"choices":[', b'{"index":0},', b"{}]}\n\n"),
    ],
    Operation.OPENAI_RESPONSES: [(b'{"object":"response","status":"completed","output":[', b'{"type":"a"},', b"{}]}")],
    Operation.ANTHROPIC_MESSAGES: [
        (b"", b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":1}}\n\n', b""),
        (b'{"type":"message","usage":{"iterations":[', b'{"type":"compaction","input_tokens":1},', b"{}]}}"),
    ],
    Operation.GEMINI_STREAM: [
        (b"[", b'{"candidates":[{"content":{"parts":[{"text":"a"}]}}]},', b"{}]"),
        (b"", b'data: {"usageMetadata":{"promptTokenCount":1}}\n\n', b""),
    ],
}


def timed(steps: Iterator[object]) -> Iterator[float]:
    """The processor time of each step; what is refused is done."""
    while True:
        begun = time.thread_time()
        try:
            next(steps)
        except (StopIteration, Refusal, TooMany):
            yield time.thread_time() - begun
            return
        yield time.thread_time() - begun


def reading(operation: Operation, body: bytes) -> Iterator[None]:
    """What is done with a request's body: unpacked, read, weighed, edited."""
    with body_budget(1 << 30).hold("a") as share:
        plain = yield from _decode(gzip.compress(body, 1), ("gzip",), 1 << 25, share)
    wire = WIRES[operation]
    yield
    head = yield from wire.read(plain, "m")
    yield
    yield from wire.splice(plain, head, Target("n", alias=True, pseudonym="p", output_limit=16, uncached=True))


def watching(operation: Operation, body: bytes) -> Iterator[None]:
    """What is done with a provider's answer, as it is read from the socket."""
    head = Head(model="m", stream=True, wants_usage=False)
    scanner = Bounded(WIRES[operation].scanner(head, sse=None))
    begun = False
    for start in range(0, len(body), RECV_BYTES):
        scanner.feed(body[start : start + RECV_BYTES])
        begun = begun or scanner.begun or scanner.error is not None
        yield
    scanner.finish()
    yield
    scanner.ended, scanner.report(), scanner.estimated_output()


def changed(unit: bytes, draw: random.Random) -> bytes:
    at, token = draw.randrange(len(unit) + 1), draw.choice(TOKENS)
    match draw.randrange(5):
        case 0:
            return unit[:at] + token + unit[at:]
        case 1:
            return unit[:at] + token + unit[at + len(token) :]
        case 2:
            return unit[:at] + unit[at + 1 + draw.randrange(8) :]
        case 3:
            return unit + unit[:at]
    return unit[:at] + token * draw.randrange(1, 40) + unit[at:]


def search(
    shapes: list[tuple[bytes, bytes, bytes]], run: Callable[[bytes], Iterator[object]], seconds: float, seed: int
) -> tuple[float, float, bytes, bytes]:
    """The longest step and the most time a KiB that were found, with their units."""
    draw = random.Random(seed)
    longest = most = 0.0
    slow = costly = b""
    best = [(0.0, shape) for shape in shapes]
    # Collecting what other tests left is no work of a step.
    gc.collect()
    gc.freeze()
    until = time.monotonic() + seconds
    tries = 0
    while tries < 2 * len(shapes) or time.monotonic() < until:
        _, (start, unit, end) = best[tries % len(best)] if tries < len(shapes) else draw.choice(best)
        if tries >= len(shapes):
            unit = changed(unit, draw)[:2_000] or b" "
        tries += 1
        body = start + unit * (draw.choice((30, 60, 120)) * KIB // len(unit)) + end
        costs = list(timed(run(body)))
        score = sum(costs) / (len(body) / KIB)
        step = max(costs)
        if score > most or step > longest:
            # Again: what took long for another reason, such as a neighbour of this machine, does not do so each time.
            for _ in range(TRIES):
                costs = list(timed(run(body)))
                score, step = min(score, sum(costs) / (len(body) / KIB)), min(step, max(costs))
                if score <= most and step <= longest:
                    break
            if score > most:
                most, costly = score, unit
            if step > longest:
                longest, slow = step, unit
        best.append((score, (start, unit, end)))
        best = sorted(best, key=lambda found: -found[0])[:8]
    gc.unfreeze()
    return longest, most, slow, costly


@pytest.mark.parametrize("operation", REQUEST_SHAPES, ids=lambda operation: operation.value)
def test_no_request_is_slow(operation):
    share = SECONDS * 0.5 / len(REQUEST_SHAPES)
    longest, most, slow, costly = search(REQUEST_SHAPES[operation], lambda body: reading(operation, body), share, SEED)
    scale = slowness()
    assert longest < LONGEST_STEP * scale, slow
    assert most < A_KIB["request"] * scale, costly


@pytest.mark.parametrize("operation", ANSWER_SHAPES, ids=lambda operation: operation.value)
def test_no_answer_is_slow(operation):
    share = SECONDS * 0.35 / len(ANSWER_SHAPES)
    longest, most, slow, costly = search(ANSWER_SHAPES[operation], lambda body: watching(operation, body), share, SEED)
    scale = slowness()
    assert longest < LONGEST_STEP * scale, slow
    assert most < A_KIB["answer"] * scale, costly


def test_no_text_is_slow_to_search_for_secrets():
    pytest.importorskip("re2")
    secrets = make_secrets(PolicyConfig(secrets=SecretsRule.MASK), b"k" * 32)
    assert secrets is not None
    operation = Operation.OPENAI_CHAT

    def run(body: bytes) -> Iterator[object]:
        vault = Vault(lambda secret: b32encode(sha256(secret.encode()).digest()).decode()[:NAME_LENGTH])
        return masking(body, Search(secrets.detector), vault, REQUESTS[operation.family])

    shapes = [(b'{"messages":[{"content":"', unit, b'"}]}') for unit in (b"+14155550100 ", b"a@b.example ", b"sk-")]
    longest, most, slow, costly = search(shapes, run, SECONDS * 0.15, SEED)
    scale = slowness()
    assert longest < LONGEST_STEP * scale, slow
    assert most < A_KIB["masking"] * scale, costly
