"""An OpenTelemetry collector for tests: takes OTLP over HTTP and shows what it was sent, message by message."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Received(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Point:
    """One histogram point of the newest export of a process."""

    name: str
    attributes: dict[str, Any]
    count: int
    sum: float
    counts: list[int]
    bounds: list[float]


class OtlpCollector(ThreadingHTTPServer):
    """Use as a context manager.

    Attributes:
        statuses: With which exports are answered, one each; 200 after them. Only what is answered with 200 is noted.
        answered: With which they were answered.
        location: Of a redirect.
        rejected: Spans that each answer says were not taken.
        held: While it is set, exports are read and not answered.
        received: Everything that came.
    """

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Export)
        self.statuses: list[int] = []
        self.answered: list[int] = []
        self.location = ""
        self.rejected = 0
        self.held = threading.Event()
        self.received: list[Received] = []
        self.changed = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.held.clear()
        self.shutdown()
        self.server_close()

    def taken(self, path: str) -> list[bytes]:
        with self.changed:
            return [one.body for one in self.received if one.path == path]

    def wait(self, enough: Callable[[], bool], seconds: float = 30.0) -> None:
        """Until something is true of what came; generous, since it is for an event and not for a time."""
        with self.changed:
            assert self.changed.wait_for(enough, seconds), [one.path for one in self.received]

    def spans(self) -> list[Span]:
        return [span for _, span in self.spans_by_resource()]

    def spans_by_resource(self, path: str = "/v1/traces") -> list[tuple[dict[str, Any], Span]]:
        return [
            (attributes_of(part.resource.attributes), span)
            for body in self.taken(path)
            for part in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in part.scope_spans
            for span in scope.spans
        ]

    def points(self, path: str = "/v1/metrics") -> list[Point]:
        """The points of the last export of each process: metrics are sums since its beginning."""
        newest: dict[str, list[Point]] = {}
        for body in self.taken(path):
            for part in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                instance = attributes_of(part.resource.attributes)["service.instance.id"]
                newest[instance] = [
                    Point(
                        metric.name,
                        attributes_of(point.attributes),
                        point.count,
                        point.sum,
                        list(point.bucket_counts),
                        list(point.explicit_bounds),
                    )
                    for scope in part.scope_metrics
                    for metric in scope.metrics
                    for point in metric.histogram.data_points
                ]
        return [point for points in newest.values() for point in points]


class _Export(BaseHTTPRequestHandler):
    server: OtlpCollector
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        body = self.rfile.read(int(self.headers["content-length"]))
        with server.changed:
            status = server.statuses.pop(0) if server.statuses else 200
            if status == 200:
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.received.append(Received(self.path, headers, body))
            server.changed.notify_all()
        while server.held.is_set():
            time.sleep(0.005)
        said = ExportTraceServiceResponse()
        if server.rejected:
            said.partial_success.CopyFrom(ExportTracePartialSuccess(rejected_spans=server.rejected))
        answer = said.SerializeToString()
        with server.changed:
            server.answered.append(status)
            server.changed.notify_all()
        with contextlib.suppress(OSError):  # the sender has left
            self.send_response(status)
            if server.location:
                self.send_header("location", server.location)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    def log_message(self, *_arguments: Any) -> None: ...


def attributes_of(found: Any) -> dict[str, Any]:
    return {one.key: value_of(one.value) for one in found}


def value_of(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(one) for one in value.array_value.values]
    return getattr(value, kind)
