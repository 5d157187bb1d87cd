"""Writes OpenTelemetry's messages (OTLP 1, protobuf). Needs the extra ``otel``: imported only to send something.

An attribute is a number, a member of an enumeration, or a name that `know` was told. Where any other text stands,
whatever the type checker was told, no span and no series is written.

The messages are written in a thread beside the event loop, one span or series at a time: the loop waits for no more.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from gateway.config import ProviderConfig
from gateway.names import is_rid
from gateway.telemetry.genai import (
    OPERATIONS,
    Distribution,
    EndedExchange,
    SeriesKey,
    Sums,
    TokenCounts,
    provider_name,
)

SCHEMA: Final = "https://opentelemetry.io/schemas/1.42.0"
SCOPE: Final = "codegrex.gateway"
_SAMPLED: Final = 0x1
_REMOTE_KNOWN, _REMOTE = 0x100, 0x200  # flags of a span: its parent is known to be, or is, of another process


class OtlpMessages:
    """Makes the messages of one process."""

    def __init__(self, version: str, resource: Iterable[tuple[str, str]], begun_ns: int) -> None:
        """Build it.

        Args:
            version: Of the gateway.
            resource: What the operator states of it.
            begun_ns: Since when metrics are summed up, in Unix time.
        """
        own = (("service.name", "codegrex-gateway"), ("service.version", version))
        instance = ("service.instance.id", secrets.token_hex(16))  # of this process: no other adds to its sums
        self._resource = Resource(attributes=[_text(name, value) for name, value in (*own, instance, *resource)])
        self._scope = InstrumentationScope(name=SCOPE, version=version)
        self._begun_ns = begun_ns
        self._names: set[str] = set()
        self._providers: dict[str, tuple[KeyValue, ...]] = {}

    def know(self, providers: Iterable[ProviderConfig], models: Iterable[str]) -> None:
        """Add what the configuration and the catalog name."""
        self._names.update(models)
        for provider in providers:
            self._names.add(provider.name)
            self._providers[provider.name] = (
                _text("gen_ai.provider.name", _value(provider_name(provider))),
                _text("server.address", provider.endpoint.host),
                _number("server.port", provider.endpoint.port),
            )

    def traces(self, ended: Iterable[EndedExchange]) -> tuple[bytes, int]:
        """The spans of exchanges, and how many: one of which a text is not known has none."""
        found = [span for one in ended if (span := self._span(one)) is not None]
        spans = ScopeSpans(scope=self._scope, spans=found, schema_url=SCHEMA)
        request = ExportTraceServiceRequest(
            resource_spans=[ResourceSpans(resource=self._resource, scope_spans=[spans], schema_url=SCHEMA)]
        )
        written: bytes = request.SerializeToString()
        return written, len(found)

    def metrics(self, sums: Sums, now_ns: int) -> bytes:
        """The sums since the beginning, without series of which a text is not known."""
        found = [
            self._metric("gen_ai.client.operation.duration", "s", sums, now_ns, "duration"),
            self._metric("gen_ai.client.operation.time_to_first_chunk", "s", sums, now_ns, "first_chunk"),
            self._metric("gen_ai.client.token.usage", "{token}", sums, now_ns, "inputs", "outputs"),
        ]
        metrics = [metric for metric in found if metric.histogram.data_points]
        scoped = ScopeMetrics(scope=self._scope, metrics=metrics, schema_url=SCHEMA)
        request = ExportMetricsServiceRequest(
            resource_metrics=[ResourceMetrics(resource=self._resource, scope_metrics=[scoped], schema_url=SCHEMA)]
        )
        written: bytes = request.SerializeToString()
        return written

    @staticmethod
    def rejected(answer: bytes, most: int) -> int:
        """How many of ``most`` spans the collector did not take, as its answer says; 0 if it cannot be read."""
        try:
            rejected: int = ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans
        except Exception:  # noqa: BLE001 - protobuf's own; its package has the name of an SDK's, which nobody may import
            return 0
        return min(max(rejected, 0), most)

    def _span(self, ended: EndedExchange) -> Span | None:
        operation, parent = OPERATIONS[ended.operation].value, ended.parent
        try:
            name = operation if ended.model is None else f"{operation} {self._closed(ended.model)}"
            attributes = list(self._attributes(ended))
        except TypeError:
            return None
        _give_way()
        span = Span(
            trace_id=bytes.fromhex(ended.rid[4:]) if parent is None else parent.trace.to_bytes(16, "big"),
            span_id=secrets.token_bytes(8),
            parent_span_id=b"" if parent is None else parent.span.to_bytes(8, "big"),
            flags=_SAMPLED | _REMOTE_KNOWN | (0 if parent is None else _REMOTE),
            name=name,
            kind=Span.SpanKind.SPAN_KIND_CLIENT,
            start_time_unix_nano=ended.end_ns - int(ended.seconds * 1e9),
            end_time_unix_nano=ended.end_ns,
            attributes=attributes,
        )
        if ended.error is not None:
            span.status.CopyFrom(Status(code=Status.StatusCode.STATUS_CODE_ERROR))
        return span

    def _attributes(self, ended: EndedExchange) -> Iterator[KeyValue]:
        yield from self._shared(
            SeriesKey(OPERATIONS[ended.operation], ended.provider, ended.model, ended.answered, ended.error)
        )
        if not is_rid(ended.rid):
            raise TypeError("rid")
        yield _text("codegrex.request_id", ended.rid)
        yield _text("codegrex.operation", ended.operation.value)
        if ended.provider is not None:
            yield _text("codegrex.provider", self._closed(ended.provider))
        if ended.translated is not None:
            yield _text("codegrex.translated_to", _value(ended.translated))
        if ended.outcome is not None:
            yield _text("codegrex.outcome", ended.outcome.value)
        yield _number("codegrex.attempts", ended.attempts)
        if ended.status:
            yield _number("http.response.status_code", ended.status)
        if ended.stream:
            yield KeyValue(key="gen_ai.request.stream", value=AnyValue(bool_value=True))
        if ended.finish:
            reasons = [AnyValue(string_value=reason.value) for reason in ended.finish]
            value = AnyValue(array_value=ArrayValue(values=reasons))
            yield KeyValue(key="gen_ai.response.finish_reasons", value=value)
        if ended.first_chunk is not None:
            yield _float("gen_ai.response.time_to_first_chunk", ended.first_chunk)
        if ended.before is not None:
            yield _float("codegrex.seconds_before_provider", ended.before)
        if ended.tokens is not None:
            yield from _counts(ended.tokens)

    def _shared(self, key: SeriesKey | None) -> Iterator[KeyValue]:
        """The attributes that spans and metrics have."""
        if key is None:
            yield KeyValue(key="otel.metric.overflow", value=AnyValue(bool_value=True))
            return
        yield _text("gen_ai.operation.name", key.operation.value)
        if key.provider is not None:
            if key.provider not in self._providers:
                raise TypeError("provider")
            yield from self._providers[key.provider]
        if key.model is not None:
            yield _text("gen_ai.request.model", self._closed(key.model))
        if key.answered is not None:
            yield _text("gen_ai.response.model", self._closed(key.answered))
        if isinstance(key.error, int):
            yield _text("error.type", str(key.error))
        elif key.error is not None:
            yield _text("error.type", self._closed(key.error))

    def _metric(self, name: str, unit: str, sums: Sums, now_ns: int, *parts: str) -> Metric:
        """A histogram of one part of each series, or of several, which ``gen_ai.token.type`` tells apart."""
        points = []
        for key, series in sums.items():
            for part in parts:
                found: Distribution = getattr(series, part)
                count = sum(found.counts)
                if not count:
                    continue
                try:
                    attributes = list(self._shared(key))
                except TypeError:  # the span of each such exchange is counted as rejected
                    continue
                _give_way()
                if len(parts) > 1:
                    attributes.append(_text("gen_ai.token.type", part.removesuffix("s")))
                points.append(
                    HistogramDataPoint(
                        attributes=attributes,
                        start_time_unix_nano=self._begun_ns,
                        time_unix_nano=now_ns,
                        count=count,
                        sum=found.total,
                        bucket_counts=found.counts,
                        explicit_bounds=found.bounds,
                    )
                )
        cumulative = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        return Metric(name=name, unit=unit, histogram=Histogram(data_points=points, aggregation_temporality=cumulative))

    def _closed(self, name: Enum | str) -> str:
        if isinstance(name, Enum):
            return str(name.value)
        if name not in self._names:
            raise TypeError("name")
        return name


def _give_way() -> None:
    """Let the event loop run if it waits: it would get the interpreter only after 5 ms otherwise."""
    time.sleep(0)


def _counts(tokens: TokenCounts) -> Iterator[KeyValue]:
    yield _number("gen_ai.usage.input_tokens", tokens.inputs)
    yield _number("gen_ai.usage.output_tokens", tokens.outputs)
    yield _number("gen_ai.usage.cache_read.input_tokens", tokens.cache_read)
    yield _number("gen_ai.usage.cache_creation.input_tokens", tokens.cache_write)
    yield _number("gen_ai.usage.cache_write.input_tokens", tokens.cache_write)  # its name since the conventions moved
    yield _number("gen_ai.usage.reasoning.output_tokens", tokens.reasoning)
    yield _number("codegrex.charge_microcredits", tokens.charge)
    yield _text("codegrex.basis", tokens.basis.value)


def _value(name: Enum | str) -> str:
    return str(name.value) if isinstance(name, Enum) else name


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _number(key: str, value: int) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(int_value=value))


def _float(key: str, value: float) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(double_value=value))
