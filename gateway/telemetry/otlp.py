"""Sends what has ended to an OpenTelemetry collector, by OTLP over HTTP, from a thread of its own.

Rules:

1. The event loop only appends to a bounded queue, and adds to sums. It never waits for the thread or for the collector,
   and takes no lock. If the queue is full, a span is dropped and counted.
2. A collector that is away, slow or full costs nothing but spans: what it did not take is sent again after a growing
   pause. That it is away is logged once, and so is that it is back.
3. Metrics are sums since the process began, so that an export that was lost is made good by the next one.
4. The thread knows one address, of the configuration: no proxy, no redirect, no variable of the environment.
5. `close` sends what is left, for a bounded time. The thread keeps no process from ending.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from enum import StrEnum
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from gateway.config import ProviderConfig, TelemetryConfig
from gateway.names import Closed
from gateway.telemetry.genai import EndedExchange, Measurements, Sums, TraceParent, is_sampled, trace_parent
from gateway.telemetry.instruments import RELEASE, Instruments
from gateway.upstream.origin import tls_context
from metering.numbers import whole_number

QUEUE: Final = 4_096  # spans that wait
BATCH: Final = 128  # of one export: it is put together in one go, for which the event loop waits
SPAN_SECONDS: Final = 1.0  # for which spans are gathered
LONGEST_PAUSE: Final = 30.0
TIMEOUT_SECONDS: Final = 10.0  # of connecting, and of each read and write
CLOSING_SECONDS: Final = 5.0
_LONGEST_ANSWER: Final = 1 << 16
_RETRIED: Final = frozenset((429, 502, 503, 504))  # as OTLP says: https://opentelemetry.io/docs/specs/otlp/#failures-1


class Signal(StrEnum):
    TRACES = "traces"
    METRICS = "metrics"


class ExportOutcome(StrEnum):
    SENT = "sent"
    REFUSED = "refused"  # the collector will not take it: it is not sent again
    UNANSWERED = "unanswered"  # it is sent again


class SpanFate(StrEnum):
    EXPORTED = "exported"
    REJECTED = "rejected"  # by the collector, or here: not of closed names alone
    DROPPED = "dropped"  # because too many waited, or the process ended


class Answered(NamedTuple):
    """What became of an export; ``wait``: the seconds after which the collector will take it, if it states them."""

    outcome: ExportOutcome
    wait: float = 0.0
    body: bytes = b""


class Collector:
    """The connection of one thread to an OTLP receiver."""

    def __init__(self, config: TelemetryConfig) -> None:
        parts = urlsplit(config.otlp_endpoint)
        self._host, self._port = parts.hostname or "", parts.port
        self._path = parts.path
        self._tls = tls_context(config.ca_file) if parts.scheme == "https" else None
        self._headers = {"content-type": "application/x-protobuf", **dict(config.headers)}
        self._connection: HTTPConnection | None = None

    def post(self, signal: Signal, body: bytes, timeout: float) -> Answered:
        """Send a message and wait for the answer. Blocks; ``timeout`` bounds each step of it, in seconds."""
        reused = self._connection is not None
        answer = self._exchange(signal, body, timeout)
        if answer is None and reused:  # the connection was idle, and may have been closed meanwhile
            answer = self._exchange(signal, body, timeout)
        return answer or Answered(ExportOutcome.UNANSWERED)

    def _exchange(self, signal: Signal, body: bytes, timeout: float) -> Answered | None:
        try:
            connection = self._open(timeout)
            connection.request("POST", f"{self._path}/v1/{signal}", body, self._headers)
            response = connection.getresponse()
            answer = response.read(_LONGEST_ANSWER)
            if not response.isclosed():
                self.close()
        except (OSError, HTTPException, ValueError):
            self.close()
            return None
        if 200 <= response.status < 300:
            return Answered(ExportOutcome.SENT, body=answer)
        if response.status in _RETRIED:
            return Answered(ExportOutcome.UNANSWERED, float(whole_number(response.headers.get("retry-after", "")) or 0))
        return Answered(ExportOutcome.REFUSED)

    def _open(self, timeout: float) -> HTTPConnection:
        connection = self._connection
        if connection is None:
            if self._tls is None:
                connection = HTTPConnection(self._host, self._port, timeout=timeout)
            else:
                connection = HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)
            self._connection = connection
        elif connection.sock is not None:
            connection.sock.settimeout(timeout)
        return connection

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class Telemetry:
    """One process's spans and sums. Everything but the thread's own methods is for the event loop.

    Attributes:
        away: The collector did not take the last export.
        codes: The codes of the gateway's errors.
    """

    def __init__(
        self, config: TelemetryConfig, instruments: Instruments, codes: Mapping[str, Closed], *, queue: int = QUEUE
    ) -> None:
        """Build it.

        Args:
            config: Where to, and what.
            instruments: The worker's: they count what was sent.
            codes: As the attribute.
            queue: How many spans may wait.
        """
        from gateway.telemetry.otlp_messages import OtlpMessages  # noqa: PLC0415 - an extra, loaded only where it is used

        self.away = False
        self.codes = codes
        self._config = config
        self._messages = OtlpMessages(RELEASE, config.resource, time.time_ns())
        self._messages.know((), codes)
        self._collector = Collector(config)
        self._models: dict[str, Closed] = {}
        self._measurements = Measurements()
        self._queue: deque[EndedExchange] = deque()
        self._limit = queue
        self._sums: deque[tuple[Sums, int]] = deque(maxlen=1)  # what the thread is to send, and of when it is
        self._newest: tuple[Sums, int] | None = None  # the thread's: what of them is not sent yet
        self._batch: list[EndedExchange] = []  # the same of the spans
        self._due = 0.0
        self._stop = threading.Event()
        self._deadline = float("inf")
        self._spans, self._exports = instruments.telemetry_spans, instruments.telemetry_exports
        self._thread = threading.Thread(target=self._work, name="telemetry", daemon=True)

    def know(self, providers: Iterable[ProviderConfig], models: Mapping[str, Closed]) -> None:
        """Add what may be named: the configuration's providers, and the catalog's models and their names there."""
        self._models.update(models)
        self._messages.know(providers, models)

    def start(self) -> None:
        self._thread.start()

    def parent_of(self, headers: Iterable[str]) -> TraceParent | None:
        """The span that a request belongs to, by its ``traceparent`` headers, if the configuration accepts them."""
        return trace_parent(tuple(headers)) if self._config.accept_traceparent else None

    def answered(self, stated: str | None, asked: str) -> Closed | None:
        """The name of the model that answered: as the provider states it, else as it was asked for; ``None`` if that is
        not a name of the catalog's.
        """
        found = None if stated is None else self._models.get(stated)
        return found or self._models.get(asked)

    def note(self, ended: EndedExchange) -> None:
        """Take an exchange that has ended."""
        if self._config.metrics:
            self._measurements.add(ended)
        if self._config.traces and is_sampled(ended.rid, ended.parent, self._config.sample):
            if len(self._queue) < self._limit:
                self._queue.append(ended)
            else:
                self._spans.inc(SpanFate.DROPPED.value)

    def tick(self, now: float) -> None:
        """Have metrics sent when they are due. Call it about once a second, with the loop's clock."""
        if self._config.metrics and now >= self._due:
            self._due = now + self._config.metrics_seconds
            self._sums.append((self._measurements.copy(), time.time_ns()))

    async def close(self) -> None:
        """Send what is left, for `CLOSING_SECONDS` at most. Spans that are left then are counted as dropped."""
        self._due = 0.0
        self.tick(0.0)
        self._deadline = time.monotonic() + CLOSING_SECONDS
        self._stop.set()
        await asyncio.to_thread(self._thread.join, CLOSING_SECONDS)
        self._spans.inc(SpanFate.DROPPED.value, by=len(self._queue) + len(self._batch))

    # -- the thread ----------------------------------------------------------------------------

    def _work(self) -> None:
        wait = pause = SPAN_SECONDS
        while True:
            stopping = self._stop.wait(wait)
            answer = self._send()
            self.away = answer.outcome is ExportOutcome.UNANSWERED
            pause = min(pause * 2, LONGEST_PAUSE) if self.away else SPAN_SECONDS
            wait = min(max(pause, answer.wait), LONGEST_PAUSE)
            if stopping:
                self._collector.close()
                return

    def _send(self) -> Answered:
        """Send what waits. The answer to the last export: nothing is sent after one that was not answered."""
        answer = Answered(ExportOutcome.SENT)
        if self._sums:
            self._newest = self._sums.pop()
        if self._newest is not None:
            answer = self._export(Signal.METRICS, self._messages.metrics(*self._newest))
            if answer.outcome is ExportOutcome.UNANSWERED:
                return answer
            self._newest = None
        while self._batch or self._queue:
            if not self._batch:
                self._batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            body, taken = self._messages.traces(self._batch)
            if taken:
                answer = self._export(Signal.TRACES, body)
                if answer.outcome is ExportOutcome.UNANSWERED:
                    return answer
                sent = answer.outcome is ExportOutcome.SENT
                taken -= self._messages.rejected(answer.body, taken) if sent else taken
            self._spans.inc(SpanFate.EXPORTED.value, by=taken)
            self._spans.inc(SpanFate.REJECTED.value, by=len(self._batch) - taken)
            self._batch = []
        return answer

    def _export(self, signal: Signal, body: bytes) -> Answered:
        timeout = min(TIMEOUT_SECONDS, self._deadline - time.monotonic())
        answer = self._collector.post(signal, body, timeout) if timeout > 0 else Answered(ExportOutcome.UNANSWERED)
        self._exports.inc(signal.value, answer.outcome.value)
        return answer
