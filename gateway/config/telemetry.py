"""``[telemetry]``: the OpenTelemetry collector that traces and metrics are sent to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final

from gateway.config.reader import EXTRA, Section, check_url, is_installed, read_ca_file

PACKAGE: Final = "opentelemetry.proto"  # of the extra
_HEADER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_ATTRIBUTE: Final = re.compile(r"[a-z][a-z0-9_.]{0,63}")
_OWN: Final = ("content-type", "content-length", "host", "connection", "transfer-encoding")


@dataclass(frozen=True, slots=True)
class TelemetryConfig:
    """Where OpenTelemetry's signals are sent, and which.

    Attributes:
        otlp_endpoint: The base address of the collector's OTLP/HTTP receiver; ``/v1/traces`` and ``/v1/metrics`` are
            appended.
        sample: The share of exchanges that have a span, from 0 to 1.
        accept_traceparent: Spans continue the trace that a client names, and follow its decision to sample.
        metrics_seconds: How often metrics are sent.
        ca_file: The certificate authorities of the collector; ``None`` for the system's.
        headers: Sent with each export.
        resource: Attributes of this gateway, such as ``deployment.environment.name``.
    """

    otlp_endpoint: str
    traces: bool = True
    metrics: bool = True
    sample: float = 0.1
    accept_traceparent: bool = False
    metrics_seconds: float = 60.0
    ca_file: Path | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    resource: tuple[tuple[str, str], ...] = ()


def read_telemetry(root: Section, *, needed: bool) -> TelemetryConfig | None:
    """The table, or ``None``: nothing is sent without an address. ``needed``: the process may send something."""
    section = root.table("telemetry")
    usual = TelemetryConfig("")
    endpoint = section.string("otlp_endpoint")
    sample = section.decimal("sample", Decimal(str(usual.sample)))
    if not 0 <= sample <= 1:
        section.fault("sample", "is out of range", "write a number from 0 to 1")
        sample = Decimal(0)
    config = TelemetryConfig(
        otlp_endpoint=endpoint.rstrip("/"),
        traces=section.boolean("traces", usual.traces),
        metrics=section.boolean("metrics", usual.metrics),
        sample=float(sample),
        accept_traceparent=section.boolean("accept_traceparent", usual.accept_traceparent),
        metrics_seconds=section.seconds("metrics_seconds", usual.metrics_seconds),
        ca_file=read_ca_file(section),
        headers=_headers(section, needed=needed),
        resource=_resource(section),
    )
    section.close()
    if not endpoint:
        if section.keys:
            section.fault("otlp_endpoint", "is missing", "write the address of the collector, or remove the table")
        return None
    if check_url(section, "otlp_endpoint", endpoint) and "?" in endpoint:
        section.fault("otlp_endpoint", "has a query", "write the base address only, such as http://127.0.0.1:4318")
    if needed and not is_installed(PACKAGE):
        package = "opentelemetry-proto"
        section.fault("otlp_endpoint", f"needs the package {package}, which is not installed", EXTRA.format("otel"))
    return config


def _headers(section: Section, *, needed: bool) -> tuple[tuple[str, str], ...]:
    inner = section.table("headers")
    for name in inner.keys:
        if not _HEADER.fullmatch(name) or name.lower() in _OWN:
            inner.fault(name, "is not a header that can be added", "use letters, digits and -, such as authorization")
    return tuple((name, value) for name in inner.keys if (value := inner.secret(name, needed=needed)))


def _resource(section: Section) -> tuple[tuple[str, str], ...]:
    inner = section.table("resource")
    for name in inner.keys:
        if not _ATTRIBUTE.fullmatch(name) or name.startswith("service."):
            inner.fault(name, "is not an attribute that can be added", "write one such as deployment.environment.name")
    return tuple((name, inner.string(name)) for name in inner.keys)
