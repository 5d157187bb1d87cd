"""The gateway's own series. Every label value is from a closed list that is known at start."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.errors import GatewayError
from gateway.hardening.process import Measure, Measured, observe
from gateway.telemetry.metrics import Registry
from gateway.upstream.faults import Fault
from metering.usage import Basis, Outcome
from providers.account_codes import AccountFault
from providers.dialect import Operation

_LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_ENDED = ("head_timeout", "unread", "displaced", "refused")  # the values of `gateway.http.connections.Ended`
_TOKENS = ("input", "cache_read", "cache_write", "output")


def _codes(tree: type[GatewayError] = GatewayError) -> Iterable[str]:
    yield tree.code
    for branch in tree.__subclasses__():
        yield from _codes(branch)


class Instruments:
    """Built once a process, before the registry is bound to memory."""

    def note_hardening(self) -> None:
        """Find out what holds of this process and show it; the registry must be bound to a row."""
        for measure, held in observe().items():
            self.registry.cells[self.hardened.column(measure.value)] = held is Measured.YES

    def hardening(self) -> dict[str, int]:
        """Of how many workers each measure holds."""
        return {measure.value: self.registry.total(self.hardened.column(measure.value)) for measure in Measure}

    def __init__(self, providers: Iterable[str]) -> None:
        self.registry = registry = Registry()
        operations = [operation.value for operation in Operation]
        names = sorted(providers)
        self.requests = registry.counter(
            "codegrex_requests_total",
            "Data-plane requests by how they ended.",
            operation=operations,
            outcome=[*(outcome.value for outcome in Outcome), "refused", "provider_error"],
        )
        self.refused = registry.counter(
            "codegrex_refusals_total",
            "Answers that the gateway gave itself, by code.",
            code=sorted(set(_codes())),
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
        self.account_faults = registry.counter(
            "codegrex_provider_account_faults_total",
            "Attempts that a provider refused because of the operator's key or account.",
            provider=names,
            fault=[fault.value for fault in AccountFault],
        )
        self.resting_keys = registry.gauge(
            "codegrex_provider_keys_resting",
            "Keys that workers set aside for a while, each worker by itself.",
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
            "Whole answers that nobody here could read, charged at what is expected of them; alert on any.",
            provider=names,
        )
        self.unpriced = registry.counter(
            "codegrex_unpriced_records_total",
            "Usage records whose provider stated something that has no price here, charged without it.",
            provider=names,
        )
        self.limits_ignored = registry.counter(
            "codegrex_output_limits_ignored_total",
            "Answers longer than the output limit that the gateway had lowered and sent; the rest is not charged.",
            provider=names,
        )
        self.suspect = registry.counter(
            "codegrex_suspect_usage_total",
            "Answers whose provider stated counts that contradict each other.",
            provider=names,
        )
        self.local_mode = registry.counter(
            "codegrex_local_mode_refusals_total", "Requests of local-mode sessions that reached this gateway."
        )
        self.astray = registry.counter(
            "codegrex_region_astray_total",
            "Answers whose provider says that they were made outside of the region that was promised; alert on any.",
            provider=names,
        )
        self.hardened = registry.gauge(
            "codegrex_hardened_workers",
            "Workers of which a measure holds, as the kernel says it.",
            measure=[measure.value for measure in Measure],
        )
        self.active = registry.gauge("codegrex_active_requests", "Requests in flight.")
        self.body_bytes = registry.gauge("codegrex_inflight_body_bytes", "Request body bytes held in memory.")
        self.client_connections = registry.gauge("codegrex_client_connections", "Open client connections.")
        self.clients_ended = registry.counter(
            "codegrex_client_connections_ended_total",
            "Client connections that a worker ended or refused, by why.",
            reason=_ENDED,
        )
        self.connections = registry.gauge(
            "codegrex_upstream_connections", "Open provider connections.", state=["open", "idle"]
        )
        self.unsettled = registry.gauge("codegrex_unsettled_records", "Settlements not yet acknowledged by the store.")
        self.billing_lag = registry.gauge(
            "codegrex_billing_lag_seconds",
            "Age of the oldest record that a billing service has not booked, where it is over a day.",
        )
        self.swept = registry.counter(
            "codegrex_records_deleted_total",
            "Usage records deleted by retention: by age (of them unread), and of erased accounts.",
            fate=["aged", "erased", "unread"],
        )
        self.owed = registry.gauge(
            "codegrex_spool_owed", "Settlements and voids in the spool that the store has not acknowledged."
        )
        self.spool_full = registry.gauge("codegrex_spool_full", "Workers whose spool takes no new request.")
        self.store_away = registry.gauge("codegrex_store_away", "Workers that the store does not answer.")
        self.reaped = registry.gauge(
            "codegrex_reaped_requests", "Requests of dead workers that these workers ended.", fate=["orphan", "voided"]
        )
        self.dead_letters = registry.gauge(
            "codegrex_dead_letters", "Settlements that these workers had to put aside for an operator."
        )
        self.first_byte = registry.histogram(
            "codegrex_first_byte_seconds", "From the request's head to the answer's first byte.", _LATENCY
        )
        self.reserve = registry.histogram("codegrex_reserve_seconds", "Time of one reserve call.", _LATENCY)
