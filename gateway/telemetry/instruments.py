"""The gateway's own series. Every label value is from a closed list that is known at start."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Self

import msgspec

from gateway.config import ConfigError
from gateway.errors import GatewayError
from gateway.hardening.process import Measure, Measured, observe
from gateway.telemetry.chunk_gaps import ChunkGaps
from gateway.telemetry.metrics import Registry, head_of
from gateway.upstream.faults import AttemptOutcome, Fault
from metering.usage import Basis, Outcome
from providers.account_codes import AccountFault
from providers.conversation import embeddings, filling
from providers.conversation.conversation import Dialect
from providers.conversation.counting import COUNTING
from providers.conversation.embeddings import EMBEDDING
from providers.conversation.translated_members import MEMBERS, plain
from providers.conversation.translator import DIALECTS
from providers.dialect import Operation

RELEASE = version("codegrex-gateway")
_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_TOKEN_TIMES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
_PAGE = os.sysconf("SC_PAGE_SIZE")
_STATM = Path("/proc/self/statm")
_ENDED = ("head_timeout", "unread", "displaced", "refused")  # the values of `gateway.http.connections.Ended`
_SPAN_FATES = ("exported", "rejected", "dropped")  # the values of `gateway.telemetry.otlp.SpanFate`
_SIGNALS = ("traces", "metrics")  # and of its `Signal` and `ExportOutcome`
_EXPORTED = ("sent", "refused", "unanswered")
_OTHER_VERSION = "the gateway that runs and the one that is installed have other metrics: stop the gateway and start it"
_TOKENS = ("input", "cache_read", "cache_write", "output")


def codes(tree: type[GatewayError] = GatewayError) -> Iterable[str]:
    """The code of every error of a tree."""
    yield tree.code
    for branch in tree.__subclasses__():
        yield from codes(branch)


def resident_bytes() -> int:
    """The memory that this process has in RAM; 0 if the system does not say."""
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


class _Names(msgspec.Struct, frozen=True):
    """What labels the configuration gives. Written by the process that creates the memory, read by its workers."""

    providers: tuple[str, ...]
    models: tuple[tuple[str, str], ...]
    layout: str = ""  # of the series, as the creator has them


class Instruments:
    """Built once a process, before the registry is bound to memory."""

    def create(self, workers: int) -> int:
        """Make the shared memory of a gateway; returns its descriptor, for `inherited`."""
        head = msgspec.structs.replace(self._names, layout=self.registry.layout())
        return self.registry.create(workers, msgspec.json.encode(head))

    @classmethod
    def inherited(cls, descriptor: int, row: int) -> Self:
        """A worker's: the series of whoever created the memory, bound to the worker's row.

        Raises:
            ConfigError: They are those of another version, which was installed in the place of this one.
        """
        names = msgspec.json.decode(head_of(descriptor), type=_Names)
        instruments = cls(names.providers, names.models)
        if instruments.registry.layout() != names.layout:
            raise ConfigError((_OTHER_VERSION,))
        instruments.registry.bind(descriptor, row)
        return instruments

    def note_hardening(self) -> None:
        """Find out what holds of this process and show it; the registry must be bound to a row."""
        for measure, held in observe().items():
            self.registry.cells[self.hardened.column(measure.value)] = held is Measured.YES

    def hardening(self) -> dict[str, int]:
        """Of how many workers each measure holds."""
        return {measure.value: self.registry.total(self.hardened.column(measure.value)) for measure in Measure}

    def __init__(self, providers: Iterable[str], models: Iterable[tuple[str, str]] = ()) -> None:
        """Declare the series.

        Args:
            providers: The configured ones.
            models: A pair of provider and model for each target of the catalog.
        """
        self.registry = registry = Registry()
        operations = [operation.value for operation in Operation]
        names = sorted(providers)
        self._names = _Names(tuple(names), tuple(sorted(set(models))))
        outcomes = [*(outcome.value for outcome in Outcome), "refused", "provider_error"]
        self.requests = registry.counter(
            "codegrex_requests_total",
            "Data-plane requests by outcome.",
            operation=operations,
            outcome=outcomes,
        )
        self.model_requests = registry.sparse_counter(
            "codegrex_model_requests_total",
            "Requests that a provider was called for, by the model that was asked for and the provider called last.",
            ("provider", "model", "outcome"),
            ((provider, model, outcome) for provider, model in self._names.models for outcome in outcomes),
        )
        self.refused = registry.counter(
            "codegrex_refusals_total",
            "Errors that the gateway itself answered with, by code.",
            code=sorted(set(codes())),
        )
        self.refusals_left_out = registry.counter(
            "codegrex_refusals_not_logged_total",
            "Refused requests without a log line, because there were too many.",
        )
        self.upstream_faults = registry.counter(
            "codegrex_upstream_faults_total",
            "Failed attempts at a provider.",
            provider=names,
            fault=[fault.value for fault in Fault],
        )
        self.upstream_status = registry.counter(
            "codegrex_upstream_answers_total",
            "Provider answers by status class.",
            provider=names,
            status=["2xx", "3xx", "4xx", "429", "5xx"],
        )
        self.attempts = registry.counter(
            "codegrex_attempts_total",
            "Attempts at a provider, without those whose client left first.",
            provider=names,
            outcome=[outcome.value for outcome in AttemptOutcome],
        )
        self.moved = registry.counter(
            "codegrex_requests_moved_total",
            "Requests that another target or key answered than the one that their account's requests stay with.",
            provider=names,
        )
        self.retries_refused = registry.counter(
            "codegrex_retries_refused_total",
            "Errors that were passed on although another key or target was left, because of the retry budget.",
        )
        self.account_faults = registry.counter(
            "codegrex_provider_account_faults_total",
            "Attempts that a provider refused because of the operator's key or account.",
            provider=names,
            fault=[fault.value for fault in AccountFault],
        )
        self.resting_keys = registry.gauge(
            "codegrex_provider_keys_resting",
            "Keys that are resting after a fault, summed over workers.",
            provider=names,
        )
        self.ejected_targets = registry.gauge(
            "codegrex_provider_models_ejected",
            "Models that are passed by at a provider, since they fail for several accounts, summed over workers.",
            provider=names,
        )
        self.provider_off = registry.gauge(
            "codegrex_provider_switched_off",
            "Workers that send a provider nothing, because it is switched off.",
            provider=names,
        )
        self.keys_off = registry.gauge(
            "codegrex_provider_keys_switched_off", "Keys that are switched off, summed over workers.", provider=names
        )
        self.models_off = registry.gauge(
            "codegrex_models_switched_off", "Models that are switched off, summed over workers."
        )
        self.concurrency = registry.gauge(
            "codegrex_provider_concurrency_limit",
            "Requests that providers with adaptive concurrency are given at once, summed over models and workers.",
            provider=names,
        )
        self.tokens = registry.counter("codegrex_tokens_total", "Tokens settled.", provider=names, direction=_TOKENS)
        self.charged = registry.counter("codegrex_charged_microcredits_total", "Micro-credits charged.", provider=names)
        self.records = registry.counter(
            "codegrex_usage_records_total",
            "Usage records handed to the settler.",
            basis=[b.value for b in Basis],
        )
        self.unreadable = registry.counter(
            "codegrex_unreadable_answers_total",
            "Complete answers that the gateway could not read and charged by estimate; alert on any.",
            provider=names,
        )
        self.unpriced = registry.counter(
            "codegrex_unpriced_records_total",
            "Usage records whose provider stated something without a price here, which was not charged.",
            provider=names,
        )
        self.limits_ignored = registry.counter(
            "codegrex_output_limits_ignored_total",
            "Answers longer than the lowered output limit that the gateway sent; the excess is not charged.",
            provider=names,
        )
        self.suspect = registry.counter(
            "codegrex_suspect_usage_total",
            "Answers whose provider stated counts that contradict each other.",
            provider=names,
        )
        self.reasoning_dropped = registry.counter(
            "codegrex_reasoning_dropped_total",
            "Answers that state that the provider dropped reasoning of earlier turns.",
            provider=names,
        )
        self.translated = registry.counter(
            "codegrex_translated_requests_total",
            "Requests that went on in another dialect than the caller's.",
            operation=[
                operation.value
                for operation in (*DIALECTS, *COUNTING, *sorted(EMBEDDING), Operation.OPENAI_COMPLETIONS)
            ],
            host=[dialect.value for dialect in Dialect],
        )
        self.translation_dropped = registry.counter(
            "codegrex_translation_dropped_total",
            "Members of translated requests that the provider was not told.",
            member=sorted(
                {
                    plain(name)
                    for members in (*MEMBERS.values(), embeddings.DROPPED, filling.DROPPED)
                    for name in members
                }
            ),
        )
        self.local_mode = registry.counter(
            "codegrex_local_mode_refusals_total", "Requests of local-mode sessions that reached this gateway."
        )
        self.astray = registry.counter(
            "codegrex_region_astray_total",
            "Answers whose provider states another region than the configured one; alert on any.",
            provider=names,
        )
        self.reloads = registry.counter(
            "codegrex_reloads_total",
            "Reloads of the configuration, counted in each worker.",
            outcome=["applied", "refused"],
        )
        self.hardened = registry.gauge(
            "codegrex_hardened_workers",
            "Workers in which a measure is active, as reported by the kernel.",
            measure=[measure.value for measure in Measure],
        )
        self.active = registry.gauge("codegrex_active_requests", "Requests in flight.")
        self.body_bytes = registry.gauge("codegrex_inflight_body_bytes", "Request body bytes held in memory.")
        self.client_connections = registry.gauge("codegrex_client_connections", "Open client connections.")
        self.clients_ended = registry.counter(
            "codegrex_client_connections_ended_total",
            "Client connections that a worker closed or refused, by reason.",
            reason=_ENDED,
        )
        self.connections = registry.gauge(
            "codegrex_upstream_connections", "Open provider connections.", state=["open", "idle"]
        )
        self.unsettled = registry.gauge("codegrex_unsettled_records", "Settlements not yet acknowledged by the store.")
        self.billing_lag = registry.gauge(
            "codegrex_billing_lag_seconds",
            "Age of the oldest record that a billing service has not booked, if over a day; else 0.",
        )
        self.swept = registry.counter(
            "codegrex_records_deleted_total",
            "Usage records that retention deleted: aged, of these unread, and of erased accounts.",
            fate=["aged", "erased", "unread"],
        )
        self.owed = registry.gauge(
            "codegrex_spool_owed", "Settlements and voids in the spool that the store has not acknowledged."
        )
        self.spool_full = registry.gauge(
            "codegrex_spool_full", "Workers whose spool is full, so that they refuse new requests."
        )
        self.store_away = registry.gauge("codegrex_store_away", "Workers that get no answer from the store.")
        self.reaped = registry.gauge(
            "codegrex_reaped_requests",
            "Requests of dead workers that the present workers ended.",
            fate=["orphan", "voided"],
        )
        self.dead_letters = registry.gauge(
            "codegrex_dead_letters", "Settlements that the present workers moved to the dead letters."
        )
        self.streams = registry.gauge("codegrex_active_streams", "Answers that are being streamed to clients.")
        self.overload_waits = registry.counter(
            "codegrex_overload_waits_total",
            "Requests that waited since their account asked a busy worker for most.",
        )
        self.overloaded = registry.gauge(
            "codegrex_overloaded_workers", "Workers that have more to do than they can, so that some accounts wait."
        )
        self.draining = registry.gauge("codegrex_draining_workers", "Workers that end after their running requests.")
        self.deaf = registry.gauge(
            "codegrex_announcements_away", "Workers that hear of no revocations and ask the store instead."
        )
        self.certificate_refused = registry.gauge(
            "codegrex_certificate_refused_workers",
            "Workers that go on with the old certificate, since its files changed into something that cannot serve.",
        )
        self.resident = registry.gauge("codegrex_resident_memory_bytes", "Memory of the workers that is in RAM.")
        self.tasks = registry.gauge("codegrex_tasks", "Tasks of the workers' event loops.")
        self.cpu = registry.clock("codegrex_cpu_seconds_total", "Processor time of the workers.")
        self.first_byte = registry.histogram(
            "codegrex_first_byte_seconds", "From the request's head to the answer's first byte.", _LATENCY
        )
        self.provider_first_byte = registry.histogram(
            "codegrex_provider_first_byte_seconds",
            "From handing a request to a provider's connection to the first output of its answer.",
            _LATENCY,
            provider=names,
        )
        self.gateway_time = registry.histogram(
            "codegrex_gateway_seconds",
            "From the request's head to handing it to the first provider: reading the body, admission, the reserve.",
            _LATENCY,
        )
        self.request_time = registry.histogram(
            "codegrex_request_seconds", "From the request's head to the end of its answer.", _LATENCY
        )
        self.token_time = registry.histogram(
            "codegrex_output_token_seconds",
            "Of a completed stream: its time after the first output, divided by the output tokens after the first.",
            _TOKEN_TIMES,
        )
        gaps = registry.histogram(
            "codegrex_chunk_gap_seconds", "Between two chunks of a stream, of every sixteenth stream.", _LATENCY
        )
        self.chunk_gaps = ChunkGaps(gaps.observe)
        self.reserve = registry.histogram("codegrex_reserve_seconds", "Time of one reserve call.", _LATENCY)
        self.settle = registry.histogram(
            "codegrex_settle_seconds", "From the settlement of a request to the ledger's acknowledgement.", _LATENCY
        )
        self.loop_lag = registry.histogram(
            "codegrex_loop_lag_seconds", "How late a worker's event loop ran a timer, sampled once a second.", _LATENCY
        )
        self.telemetry_spans = registry.counter(
            "codegrex_telemetry_spans_total",
            "Spans for an OpenTelemetry collector, by what became of them.",
            fate=_SPAN_FATES,
        )
        self.telemetry_exports = registry.counter(
            "codegrex_telemetry_exports_total",
            "Messages that an OpenTelemetry collector was sent.",
            signal=_SIGNALS,
            outcome=_EXPORTED,
        )
        self.workers = registry.reading("codegrex_workers", "Workers that are to run.")
        self.workers_running = registry.reading("codegrex_workers_running", "Workers that run.")
        self.worker_deaths = registry.reading(
            "codegrex_worker_deaths_total", "Workers that died and were replaced.", kind="counter"
        )
        self.certificate_expires = registry.reading(
            "codegrex_certificate_expires_seconds", "When the listener's certificate ends, in Unix time."
        )
        self.build = registry.reading(
            "codegrex_build_info", "The running version.", version=RELEASE, python=platform.python_version()
        )
        self.build.read = lambda: 1
        self.started = registry.reading("codegrex_start_time_seconds", "When the gateway started, in Unix time.")
        began = int(time.time())
        self.started.read = lambda: began
