"""What a collector gets from a gateway with two workers: spans and sums that equal the ledger's records, and no content."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ports import free_port
from benchmarks.simulator import MARK, SimulatorProcess
from gateway.names import Closed, new_rid
from gateway.telemetry.genai import EndedExchange
from gateway.telemetry.otlp_messages import OtlpMessages
from providers.dialect import Operation
from tests.collector import OtlpCollector, attributes_of
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import eventually, prompt
from tests.privacy.canaries import Canaries
from tests.raw_http import RawClient, ask, request

KINDS = ("openai", "anthropic", "google")
CHAT = "/v1/chat/completions"
INPUTS = ("in_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "cache_write_other", "tool_in", "audio_in")
OUTPUTS = ("out_visible", "out_reasoning", "audio_out", "image_out")
NAMES = {"openai": "openai", "anthropic": "anthropic", "google": "gcp.gemini"}
CALLS = {"openai": "chat", "anthropic": "chat", "google": "generate_content"}


def models() -> list[dict[str, Any]]:
    found = []
    for kind in KINDS:
        found += [
            model(f"{kind}-plain", kind, "m"),
            model(f"{kind}-cut", kind, "m@fault-reset_mid@at-3"),
            model(f"{kind}-refused", kind, "m@fault-400"),
            model(f"{kind}-paced", kind, "m@chunks-4000@pace-10ms"),
        ]
    return [*found, model("gone", "gone")]


def started(folder: Path, sim: SimulatorProcess, telemetry: dict[str, Any], workers: int = 1) -> GatewayProcess:
    more = {"server": {"abort_grace": 0}, "telemetry": {"sample": 1, **telemetry}}
    return GatewayProcess(
        folder,
        {
            **{kind: provider(kind, sim.url) for kind in KINDS},
            "gone": provider("openai", f"http://127.0.0.1:{free_port()}"),
        },
        models(),
        more,
        workers=workers,
    )


def chat(name: str, text: str = "hello", *, stream: bool = True) -> bytes:
    return json.dumps({"model": name, "messages": [{"role": "user", "content": text}], "stream": stream}).encode()


@pytest.fixture(scope="module")
def sim() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(record=True) as process:
        yield process


def test_spans_and_sums_equal_the_ledger(tmp_path: Path, sim: SimulatorProcess) -> None:
    canaries = Canaries()
    told: dict[str, tuple[str, str]] = {}  # by the request: what happened, of which kind
    with OtlpCollector() as collector:
        gateway = started(tmp_path, sim, {"otlp_endpoint": collector.url}, workers=2)
        with gateway:
            auth = {"authorization": f"Bearer {gateway.session('user', 100_000)['access_token']}"}
            poor = {"authorization": f"Bearer {gateway.session('poor', 0)['access_token']}"}
            trace = "deadbeef" * 4

            def send(what: str, kind: str, path: str, body: bytes, headers: dict[str, str] = auth) -> None:
                beside = {name: canaries.plant("header", what) for name in ("x-note", "user-agent", "tracestate")}
                beside["traceparent"] = f"00-{trace}-{'ab' * 8}-01"
                answer = ask(gateway.url, request("POST", path, body, headers={**headers, **beside}))
                told[answer.rid] = what, kind

            for kind in KINDS:
                for stream in (True, False):
                    for script in ("plain", "cut", "refused"):
                        send(script, kind, *prompt(kind, script, canaries.plant("prompt", script), stream=stream))
                if kind != "openai":
                    for script in ("plain", "cut"):
                        text = canaries.plant("prompt", "translated")
                        send(f"translated {script}", kind, CHAT, chat(f"{kind}-{script}", text))
                path, body = prompt(kind, "paced", canaries.plant("prompt", "left"))
                with RawClient(gateway.url).send(request("POST", path, body, headers=auth)) as client:
                    told[client.head().headers["x-request-id"]] = "left", kind
                    client.chunk()
            send("gone", "openai", CHAT, chat("gone", canaries.plant("prompt", "gone")))
            send("poor", "openai", CHAT, chat("openai-plain", canaries.plant("prompt", "poor")), poor)
            send("unknown", "openai", CHAT, chat(canaries.plant("model", "unknown")))
            send("unreadable", "openai", CHAT, canaries.plant("body", "unreadable").encode())
            send("stranger", "openai", CHAT, chat("openai-plain"), {"authorization": "Bearer nobody"})
            eventually(lambda: gateway.metric("codegrex_active_requests"), lambda count: count == 0)
            records = {record["rid"]: record for record in gateway.usage()}
        spans = {attributes_of(span.attributes)["codegrex.request_id"]: span for span in collector.spans()}
        by_worker = Counter(of["service.instance.id"] for of, _ in collector.spans_by_resource())
        points, bodies = collector.points(), [one.body for one in collector.received]

    assert spans.keys() == {rid for rid, (what, _) in told.items() if what != "stranger"}
    for rid, span in spans.items():
        what, kind = told[rid]
        found, record = attributes_of(span.attributes), records.get(rid)
        assert span.trace_id.hex() == rid.removeprefix("req_")
        assert found.get("gen_ai.provider.name") == (None if what in {"poor", "unknown", "unreadable"} else NAMES[kind])
        assert span.start_time_unix_nano <= span.end_time_unix_nano
        assert 0 <= found.get("codegrex.seconds_before_provider", 0.0) < 60
        if record is None:
            assert not any(name.startswith("gen_ai.usage") for name in found), what
        else:
            assert counts_of(found) == counts_in(record), what
            assert (found["codegrex.charge_microcredits"], found["codegrex.basis"]) == (
                record["charge"],
                record["basis"],
            )
            assert (found["codegrex.outcome"], found["codegrex.provider"]) == (record["outcome"], record["provider"])
            assert found["gen_ai.request.model"] == record["model"]
            assert span.end_time_unix_nano // 10**6 - record["settled_ms"] in range(-1000, 60_000)
    errors = {(what, spans[rid].status.code, attributes_of(spans[rid].attributes).get("error.type")) for rid, (what, _) in told.items() if what != "stranger"}  # fmt: skip
    assert errors == {
        ("plain", 0, None),
        ("translated plain", 0, None),
        ("left", 0, None),
        ("cut", 2, "upstream_cut"),
        ("cut", 2, "closed"),  # of an object: nothing was passed on
        ("translated cut", 2, "upstream_cut"),
        ("refused", 2, "400"),
        ("gone", 2, "connect"),
        ("poor", 2, "credits_exhausted"),
        ("unknown", 2, "model_not_found"),
        ("unreadable", 2, "invalid_request"),
    }
    translated = [
        attributes_of(spans[rid].attributes) for rid, (what, _) in told.items() if what.startswith("translated")
    ]
    assert {(one["codegrex.operation"], one["codegrex.translated_to"]) for one in translated} == {
        ("openai.chat", "messages"),
        ("openai.chat", "gemini"),
    }
    streamed = [attributes_of(span.attributes) for span in spans.values()]
    assert all("gen_ai.response.time_to_first_chunk" in one for one in streamed if one.get("codegrex.outcome") == "completed" and one.get("gen_ai.request.stream"))  # fmt: skip
    assert len(by_worker) in {1, 2}

    durations = [point for point in points if point.name == "gen_ai.client.operation.duration"]
    assert sum(point.count for point in durations) == len(spans)
    for direction, names in (("input", INPUTS), ("output", OUTPUTS)):
        usage = [point for point in points if point.attributes.get("gen_ai.token.type") == direction]
        assert sum(point.count for point in usage) == len(records)
        assert sum(point.sum for point in usage) == sum(
            sum(record[name] for name in names) for record in records.values()
        )

    for body in bodies:
        assert list(canaries.search("collector", "export", body)) == []
        assert bytes.fromhex(trace) not in body
        assert MARK.encode() not in body
        assert b"deadbeef" not in body


def counts_of(found: dict[str, Any]) -> tuple[int, ...]:
    names = (
        "input_tokens",
        "output_tokens",
        "cache_read.input_tokens",
        "cache_write.input_tokens",
        "reasoning.output_tokens",
    )
    return tuple(found[f"gen_ai.usage.{name}"] for name in names)


def counts_in(record: dict[str, Any]) -> tuple[int, ...]:
    inputs = sum(record[name] for name in (*INPUTS, "image_in"))
    written = sum(record[name] for name in INPUTS if name.startswith("cache_write"))
    outputs = sum(record[name] for name in OUTPUTS)
    return inputs, outputs, record["cache_read"], written, record["out_reasoning"]


def test_a_search_finds_what_is_exported() -> None:
    """The control: a marker that the configuration names is in a span, and is found in its bytes."""
    canaries, messages = Canaries(), OtlpMessages("1", (), 0)
    name = Closed(canaries.plant("model", "control"))
    messages.know((), [name])
    ended = EndedExchange(rid=new_rid(), operation=Operation.OPENAI_CHAT, seconds=1.0, end_ns=10**18, model=name)
    body, _ = messages.traces([ended])
    assert {hit.place for hit in canaries.search("collector", "export", body)} == {"model"}


def test_a_collector_that_is_away_costs_no_request_anything(tmp_path: Path, sim: SimulatorProcess) -> None:
    with OtlpCollector() as once:
        address = once.url
    with started(tmp_path, sim, {"otlp_endpoint": address}) as gateway:
        auth = {"authorization": f"Bearer {gateway.session('user', 100_000)['access_token']}"}
        for _ in range(20):
            assert ask(gateway.url, request("POST", *prompt("openai"), headers=auth)).complete
        eventually(gateway.log.read_text, lambda text: '"collector_away"' in text)
        assert len(gateway.usage()) == 20
        assert ask(gateway.internal, request("GET", "/readyz")).status == 200
        assert gateway.stop() == 0
    assert gateway.log.read_text().count('"collector_away"') == 1


def test_a_slow_collector_and_spans_of_the_clients_traces(tmp_path: Path, sim: SimulatorProcess) -> None:
    trace, span, other = "5ca1ab1e" * 4, "ab" * 8, "cd" * 16
    with OtlpCollector() as collector:
        collector.held.set()  # takes every export and answers none
        telemetry = {"otlp_endpoint": collector.url, "accept_traceparent": True, "sample": 0, "metrics": False}
        with started(tmp_path, sim, telemetry) as gateway:
            auth = {"authorization": f"Bearer {gateway.session('user', 100_000)['access_token']}"}
            sim.reset()
            for parent in [f"00-{trace}-{span}-01", f"00-{other}-{span}-00", "nonsense"] * 7:
                beside = {"traceparent": parent, "tracestate": "vendor=text", "baggage": "key=text"}
                answer = ask(gateway.url, request("POST", *prompt("openai"), headers={**auth, **beside}))
                assert answer.complete
                assert not {"traceparent", "tracestate", "traceresponse"} & answer.headers.keys()
            collector.wait(lambda: len(collector.received) == 1)
            collector.held.clear()
            assert gateway.stop() == 0
        sent = [name.lower() for one in sim.requests() for name, _ in one["headers"]]
        assert len(sim.requests()) == 21
        assert not {"traceparent", "tracestate", "baggage", "b3"} & set(sent)
        found = collector.spans()
    assert {(one.trace_id.hex(), one.parent_span_id.hex(), one.flags) for one in found} == {(trace, span, 0x301)}
    assert len(found) == len({one.span_id for one in found}) == 7
