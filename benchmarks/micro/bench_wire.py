"""What one request costs in pure code: reading its head, splicing its body, watching its answer."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.micro.traffic import request_body, stream_events
from providers.dialect import Operation, Target
from providers.steps import at_once
from providers.wires import WIRES

OPERATIONS = {
    "openai": Operation.OPENAI_CHAT,
    "responses": Operation.OPENAI_RESPONSES,
    "anthropic": Operation.ANTHROPIC_MESSAGES,
    "google": Operation.GEMINI_STREAM,
}
SIZES = (2_000, 100_000, 1_000_000)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dialect", OPERATIONS)
def test_read_head(benchmark: BenchmarkFixture, dialect: str, size: int) -> None:
    body = request_body(dialect, size)
    read = WIRES[OPERATIONS[dialect]].read
    head = benchmark(lambda: at_once(read(body, "bench")))
    assert head.model == "bench"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dialect", OPERATIONS)
def test_splice(benchmark: BenchmarkFixture, dialect: str, size: int) -> None:
    body = request_body(dialect, size)
    wire = WIRES[OPERATIONS[dialect]]
    head = at_once(wire.read(body, "bench"))
    target = Target(model="another", alias=True, pseudonym="p" * 22)
    spliced = benchmark(lambda: at_once(wire.splice(body, head, target)))
    assert len(spliced) >= size


@pytest.mark.parametrize("dialect", OPERATIONS)
def test_scan_a_stream_of_200_chunks(benchmark: BenchmarkFixture, dialect: str) -> None:
    body = request_body(dialect)
    wire = WIRES[OPERATIONS[dialect]]
    head = at_once(wire.read(body, "bench"))
    events = [(event, b"%x\r\n%b\r\n" % (len(event), event)) for event in stream_events(dialect)]

    def scan() -> int:
        scanner = wire.scanner(head, sse=True)
        for event, framed in events:  # as `gateway.upstream.frames` does
            if not scanner.glance(framed, len(event)):
                scanner.feed(event)
        scanner.finish()
        return scanner.events

    assert benchmark(scan) >= 200
