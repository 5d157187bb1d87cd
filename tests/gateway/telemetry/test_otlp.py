"""The sender, against a collector on a real socket: one that takes, is away, is slow, is full or refuses."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.simulator import make_certificates
from gateway.config import TelemetryConfig
from gateway.names import Closed, new_rid
from gateway.telemetry import otlp
from gateway.telemetry.genai import EndedExchange, TokenCounts
from gateway.telemetry.instruments import RELEASE, Instruments
from gateway.telemetry.otlp import Telemetry
from gateway.telemetry.otlp_messages import OtlpMessages
from metering.usage import Basis, Outcome
from providers.dialect import Operation
from tests.collector import OtlpCollector, attributes_of
from tests.gateway.config.parsing import parse

MODELS = {name: Closed(name) for name in ("gpt-4o", "gpt-4o-2024")}
COUNTS = TokenCounts(inputs=70, cache_read=20, cache_write=10, outputs=30, reasoning=5, charge=99, basis=Basis.REPORTED)


def exchange(**more: Any) -> EndedExchange:
    return EndedExchange(
        **{"rid": new_rid(), "operation": Operation.OPENAI_CHAT, "seconds": 2.5, "end_ns": time.time_ns(), **more}
    )


@pytest.fixture
def instruments() -> Instruments:
    made = Instruments(["openai"])
    made.registry.bind(made.registry.create(1), 0)
    return made


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "SPAN_SECONDS", 0.01)
    monkeypatch.setattr(otlp, "LONGEST_PAUSE", 0.05)


@asynccontextmanager
async def sending(
    url: str, instruments: Instruments, *, queue: int = otlp.QUEUE, **more: Any
) -> AsyncIterator[Telemetry]:
    config = TelemetryConfig(url, **{"sample": 1.0, "metrics_seconds": 1e9, **more})
    telemetry = Telemetry(config, instruments, {"rate_limited": Closed("rate_limited")}, queue=queue)
    telemetry.know(parse("").providers.values(), MODELS)
    telemetry.start()
    try:
        yield telemetry
    finally:
        await telemetry.close()


def counted(instruments: Instruments, name: str) -> dict[str, int]:
    """The series of one counter that are not 0, by their labels."""
    lines = instruments.registry.render().decode().splitlines()
    found = dict(line.removeprefix(name).rsplit(" ", 1) for line in lines if line.startswith(f"{name}{{"))
    return {labels: int(value) for labels, value in found.items() if int(value)}


def fates(instruments: Instruments) -> dict[str, int]:
    found = counted(instruments, "codegrex_telemetry_spans_total")
    return {labels.split('"')[1]: count for labels, count in found.items()}


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.005)


async def test_a_span_and_the_sums(instruments: Instruments) -> None:
    ended = exchange(
        provider=Closed("openai"),
        model=Closed("gpt-4o"),
        answered=Closed("gpt-4o-2024"),
        outcome=Outcome.COMPLETED,
        status=200,
        attempts=1,
        stream=True,
        first_chunk=0.5,
        before=0.01,
        tokens=COUNTS,
    )
    refused = exchange(error=Closed("rate_limited"))
    with OtlpCollector() as collector:
        headers = (("authorization", "Bearer secret"),)
        resource = (("deployment.environment.name", "test"),)
        async with sending(f"{collector.url}/base", instruments, headers=headers, resource=resource) as telemetry:
            telemetry.note(ended)
            telemetry.note(refused)
        [(resource_of, span), (_, other)] = collector.spans_by_resource("/base/v1/traces")
        points = {
            (point.name, point.attributes.get("gen_ai.token.type"), point.attributes.get("error.type")): point
            for point in collector.points("/base/v1/metrics")
        }
        assert {one.headers["authorization"] for one in collector.received} == {"Bearer secret"}
        assert {one.headers["content-type"] for one in collector.received} == {"application/x-protobuf"}
    assert resource_of.pop("service.instance.id")
    assert resource_of == {
        "service.name": "codegrex-gateway",
        "service.version": RELEASE,
        "deployment.environment.name": "test",
    }
    assert (span.trace_id.hex(), span.name, span.kind) == (ended.rid[4:], "chat gpt-4o", 3)
    assert (len(span.span_id), span.parent_span_id, span.flags, span.status.code) == (8, b"", 0x101, 0)
    assert (span.end_time_unix_nano, span.start_time_unix_nano) == (ended.end_ns, ended.end_ns - 2_500_000_000)
    assert attributes_of(span.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "server.address": "api.openai.com",
        "server.port": 443,
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024",
        "gen_ai.request.stream": True,
        "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.usage.input_tokens": 70,
        "gen_ai.usage.output_tokens": 30,
        "gen_ai.usage.cache_read.input_tokens": 20,
        "gen_ai.usage.cache_creation.input_tokens": 10,
        "gen_ai.usage.cache_write.input_tokens": 10,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "http.response.status_code": 200,
        "codegrex.request_id": ended.rid,
        "codegrex.operation": "openai.chat",
        "codegrex.provider": "openai",
        "codegrex.outcome": "completed",
        "codegrex.attempts": 1,
        "codegrex.seconds_before_provider": 0.01,
        "codegrex.charge_microcredits": 99,
        "codegrex.basis": "reported",
    }
    assert (other.name, other.status.code) == ("chat", 2)
    assert attributes_of(other.attributes)["error.type"] == "rate_limited"
    assert {key: (point.count, point.sum) for key, point in points.items()} == {
        ("gen_ai.client.operation.duration", None, None): (1, 2.5),
        ("gen_ai.client.operation.duration", None, "rate_limited"): (1, 2.5),
        ("gen_ai.client.operation.time_to_first_chunk", None, None): (1, 0.5),
        ("gen_ai.client.token.usage", "input", None): (1, 70),
        ("gen_ai.client.token.usage", "output", None): (1, 30),
    }
    duration = points["gen_ai.client.operation.duration", None, None]
    assert (duration.bounds[0], duration.bounds[-1], duration.counts[8]) == (0.01, 81.92, 1)
    assert fates(instruments) == {"exported": 2}


async def test_a_span_of_a_client_s_trace(instruments: Instruments) -> None:
    header = f"00-{'ab' * 16}-{'cd' * 8}-01"
    with OtlpCollector() as collector:
        async with sending(collector.url, instruments, sample=0.0, accept_traceparent=True) as telemetry:
            telemetry.note(exchange(parent=telemetry.parent_of([header])))
            telemetry.note(exchange(parent=telemetry.parent_of([])))
        async with sending(collector.url, instruments, sample=0.0) as telemetry:
            assert telemetry.parent_of([header]) is None
        [span] = collector.spans()
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.flags) == ("ab" * 16, "cd" * 8, 0x301)


@pytest.mark.parametrize(
    "wrong", [{"model": "a text"}, {"answered": "a text"}, {"provider": "text"}, {"error": "text"}]
)
async def test_a_text_that_is_not_known_is_never_sent(instruments: Instruments, wrong: dict[str, Any]) -> None:
    with OtlpCollector() as collector:
        async with sending(collector.url, instruments) as telemetry:
            telemetry.note(exchange(**wrong))
            telemetry.note(exchange())
        assert len(collector.spans()) == len(collector.points()) == 1
        assert not any(b"text" in one.body for one in collector.received)
    assert fates(instruments) == {"exported": 1, "rejected": 1}


async def test_names_that_a_reload_adds_are_known_and_older_ones_stay(instruments: Instruments) -> None:
    with OtlpCollector() as collector:
        async with sending(collector.url, instruments, metrics=False) as telemetry:
            telemetry.know((), {"new": Closed("new")})
            telemetry.note(exchange(model=Closed("new"), answered=telemetry.answered("unknown", "new")))
            telemetry.note(exchange(model=Closed("gpt-4o"), answered=telemetry.answered("a client's text", "unknown")))
        found = [attributes_of(span.attributes) for span in collector.spans()]
    models = [(one["gen_ai.request.model"], one.get("gen_ai.response.model")) for one in found]
    assert models == [("new", "new"), ("gpt-4o", None)]


def test_only_an_id_of_the_gateway_s_own_making_is_sent() -> None:
    assert OtlpMessages("1", (), 0).traces([exchange(rid="req_x")])[1] == 0


@pytest.mark.parametrize("signals", [(True, False), (False, True), (False, False)])
async def test_each_signal_can_be_off(instruments: Instruments, signals: tuple[bool, bool]) -> None:
    traces, metrics = signals
    with OtlpCollector() as collector:
        async with sending(collector.url, instruments, traces=traces, metrics=metrics) as telemetry:
            telemetry.note(exchange())
        assert (len(collector.taken("/v1/traces")), len(collector.taken("/v1/metrics"))) == (traces, metrics)


async def test_metrics_are_sent_when_they_are_due(instruments: Instruments) -> None:
    with OtlpCollector() as collector:
        async with sending(collector.url, instruments, traces=False, metrics_seconds=60) as telemetry:
            for now in (100.0, 159.0, 160.0):
                telemetry.note(exchange())
                telemetry.tick(now)
                await asyncio.to_thread(collector.wait, lambda sent=1 + (now >= 160): len(collector.received) >= sent)
            assert len(collector.received) == 2
            [point] = collector.points()
            assert point.count == 3


async def test_what_a_collector_that_is_away_missed_is_sent_when_it_is_back(instruments: Instruments) -> None:
    with OtlpCollector() as once:
        port = once.server_port
    async with sending(f"http://127.0.0.1:{port}", instruments) as telemetry:
        for _ in range(3):
            telemetry.note(exchange())
        telemetry.tick(1.0)
        await until(lambda: telemetry.away)
        with OtlpCollector(port) as collector:
            await asyncio.to_thread(collector.wait, lambda: len(collector.spans()) == 3)
            await until(lambda: not telemetry.away)
            assert collector.points()[0].count == 3
    assert fates(instruments) == {"exported": 3}


async def test_a_collector_that_is_full_gets_the_same_again(instruments: Instruments) -> None:
    with OtlpCollector() as collector:
        collector.statuses = [503, 429]
        async with sending(collector.url, instruments, metrics=False) as telemetry:
            telemetry.note(exchange())
            await asyncio.to_thread(collector.wait, lambda: len(collector.answered) == 3)
        assert len(collector.spans()) == 1
        assert collector.answered == [503, 429, 200]
    assert fates(instruments) == {"exported": 1}


@pytest.mark.parametrize("status", [400, 401, 404, 301, 500])
async def test_what_a_collector_refuses_is_not_sent_again(instruments: Instruments, status: int) -> None:
    with OtlpCollector() as collector:
        collector.statuses = [status]
        async with sending(collector.url, instruments, metrics=False) as telemetry:
            telemetry.note(exchange())
            await until(lambda: fates(instruments) == {"rejected": 1})
            assert not telemetry.away
        assert collector.answered == [status]


async def test_spans_that_are_not_taken_are_counted(instruments: Instruments) -> None:
    with OtlpCollector() as collector:
        collector.rejected = 2
        async with sending(collector.url, instruments, metrics=False) as telemetry:
            for _ in range(3):
                telemetry.note(exchange())
    assert fates(instruments) == {"exported": 1, "rejected": 2}


async def test_a_slow_collector_holds_nobody_and_spans_are_dropped(instruments: Instruments) -> None:
    with OtlpCollector() as collector:
        collector.held.set()
        async with sending(collector.url, instruments, queue=10) as telemetry:
            telemetry.note(exchange())
            await asyncio.to_thread(collector.wait, lambda: len(collector.received) == 1)
            for _ in range(100):  # returns at once, whatever the collector does
                telemetry.note(exchange())
            assert fates(instruments) == {"dropped": 90}
            telemetry.tick(1.0)
            collector.held.clear()
            await asyncio.to_thread(collector.wait, lambda: len(collector.spans()) == 11)
        assert sum(point.count for point in collector.points()) == 101  # no measurement is lost
    assert fates(instruments) == {"dropped": 90, "exported": 11}


async def test_the_end_does_not_wait_for_a_collector_that_does_not_answer(
    instruments: Instruments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "CLOSING_SECONDS", 0.2)
    with OtlpCollector() as collector:
        collector.held.set()
        async with asyncio.timeout(30):
            async with sending(collector.url, instruments, metrics=False) as telemetry:
                telemetry.note(exchange())
        assert fates(instruments) == {"dropped": 1}


async def test_the_end_sends_what_is_left_in_batches(instruments: Instruments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "SPAN_SECONDS", 60.0)
    with OtlpCollector() as collector:
        async with sending(collector.url, instruments, metrics=False) as telemetry:
            for _ in range(otlp.BATCH + 1):
                telemetry.note(exchange())
            assert collector.received == []
        assert (len(collector.received), len(collector.spans())) == (2, otlp.BATCH + 1)
    assert "telemetry" not in {thread.name for thread in threading.enumerate()}


async def test_a_redirect_is_not_followed_and_no_proxy_is_used(
    instruments: Instruments, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OtlpCollector() as collector, OtlpCollector() as elsewhere:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "OTEL_EXPORTER_OTLP_ENDPOINT"):
            monkeypatch.setenv(name, elsewhere.url)
        collector.statuses, collector.location = [307], f"{elsewhere.url}/v1/traces"
        async with sending(collector.url, instruments, metrics=False) as telemetry:
            telemetry.note(exchange())
        assert (collector.answered, elsewhere.received) == ([307], [])


async def test_a_collector_is_asked_by_tls_if_its_certificate_is_good(instruments: Instruments, tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    with OtlpCollector() as collector:
        collector.socket = certificates.server_context().wrap_socket(collector.socket, server_side=True)
        url = collector.url.replace("http", "https")
        async with sending(url, instruments, metrics=False, ca_file=certificates.ca_file) as telemetry:
            telemetry.note(exchange())
        async with sending(url, instruments, metrics=False) as telemetry:  # the system's authorities do not know it
            telemetry.note(exchange())
            await until(lambda: telemetry.away)
        assert len(collector.spans()) == 1
    assert fates(instruments) == {"exported": 1, "dropped": 1}


def test_a_secret_is_in_no_representation() -> None:
    assert "secret" not in repr(TelemetryConfig("http://127.0.0.1:4318", headers=(("authorization", "secret"),)))
