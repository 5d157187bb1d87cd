"""What an operator looks at first, made from the metrics of one gateway.

Rules:

1. It is made from the exposition text only, so that the console, ``codegrex-gateway top`` and a dashboard agree, and no
   more than numbers and the closed labels of the metrics can be in it.
2. Rates and percentiles are differences of two samples. Without an earlier sample of the same start, and for a series
   that the gateway does not have, a figure is unknown, not 0.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from metering.usage import MICRO_CREDITS

WINDOW = 10  # samples between the two that are compared, at most
LONGEST_GAP = 5.0  # seconds between two samples, after which a window begins again
UNKNOWN = "-"

_SERIES = re.compile(r"(?P<name>codegrex_\w+)(?:\{(?P<labels>[^}]*)\})? (?P<value>[0-9.e+-]+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class Figure(msgspec.Struct, frozen=True):
    """A number and how it is shown. ``value`` is in the unit of the series; ``None``: unknown. ``alarm``: look here."""

    value: float | None
    text: str
    alarm: bool = False


class OverviewRow(msgspec.Struct, frozen=True):
    name: str
    figures: tuple[Figure, ...]


class OverviewTable(msgspec.Struct, frozen=True):
    """``columns`` are those of the figures. ``drawn``: the first figure of a row is worth drawing over time."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[OverviewRow, ...]
    drawn: bool = False


class Overview(msgspec.Struct, frozen=True):
    """``seconds``: what rates and percentiles are of; ``None`` if there is no earlier sample."""

    version: str
    seconds: float | None
    tables: tuple[OverviewTable, ...]


class Sample:
    """The series of an exposition text (Prometheus text format 0.0.4)."""

    def __init__(self, text: str) -> None:
        self._series: dict[str, list[tuple[dict[str, str], float]]] = {}
        for line in text.splitlines():
            if match := _SERIES.fullmatch(line):
                labels = dict(_LABEL.findall(match["labels"] or ""))
                self._series.setdefault(match["name"], []).append((labels, float(match["value"])))

    def total(self, name: str, **labels: str) -> float | None:
        """The sum of the series that have these labels; ``None`` if there is no series of this name."""
        found = self._series.get(name)
        if not found:
            return None
        return sum(value for has, value in found if labels.items() <= has.items())

    def values(self, name: str, label: str) -> list[str]:
        """The values of a label, in their order."""
        return list(dict.fromkeys(has[label] for has, _ in self._series.get(name, ()) if label in has))


class _Between(NamedTuple):
    """Two samples of one start of a gateway."""

    before: Sample | None
    now: Sample
    seconds: float

    def gained(self, name: str, **labels: str) -> float | None:
        if self.before is None:
            return None
        after, before = self.now.total(name, **labels), self.before.total(name, **labels)
        return None if after is None or before is None else max(0, after - before)

    def rate(self, name: str, **labels: str) -> float | None:
        gained = self.gained(name, **labels)
        return None if gained is None else gained / self.seconds

    def percentile(self, share: float, name: str, **labels: str) -> float | None:
        """Of what a histogram gained, interpolated within a bucket, as Prometheus' ``histogram_quantile`` does."""
        below, lower = 0.0, 0.0
        bounds = self.now.values(name + "_bucket", "le")
        wanted = share * (self.gained(name + "_bucket", le="+Inf", **labels) or 0)
        if not wanted:
            return None
        for bound in bounds:
            upto = self.gained(name + "_bucket", le=bound, **labels) or 0
            if upto >= wanted:
                if bound == "+Inf":
                    break
                return lower + (float(bound) - lower) * (wanted - below) / (upto - below)
            below, lower = upto, float(bound)
        return lower


def overview(before: Sample | None, now: Sample, seconds: float) -> Overview:
    """What is shown of ``now`` and of the ``seconds`` since ``before``, of which there are more than 0."""
    started = "codegrex_start_time_seconds"
    if before is not None and before.total(started) != now.total(started):
        before = None  # another process answers: what it has counted began with it
    at = _Between(before, now, seconds)
    version = next(iter(now.values("codegrex_build_info", "version")), UNKNOWN)
    tables = (_now(at), _requests(at), _times(at), _usage(at), _workers(at), _store(at), _exceptions(at))
    return Overview(version, None if before is None else seconds, (*tables, _providers(at)))


class SlidingOverview:
    """The overview of the last seconds, from one sample after another."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Sample]] = deque(maxlen=WINDOW + 1)

    def add(self, text: str, at: float) -> Overview:
        """Take a sample of the moment ``at``, in seconds of a monotonic clock."""
        if self._samples and not 0 < at - self._samples[-1][0] <= LONGEST_GAP:
            self._samples.clear()
        now = Sample(text)
        self._samples.append((at, now))
        begun, before = self._samples[0]
        return overview(None if before is now else before, now, at - begun)


def _count(value: float | None, *, alarm: bool = False) -> Figure:
    return Figure(value, UNKNOWN if value is None else f"{value:,.0f}", alarm=alarm)


def _alarming(value: float | None) -> Figure:
    return _count(value, alarm=bool(value))


def _rate(value: float | None, *, alarm: bool = False) -> Figure:
    text = UNKNOWN if value is None else f"{value:,.0f}" if value >= 100 or not value else f"{value:.1f}"
    return Figure(value, "<0.1" if text == "0.0" else text, alarm=alarm)


def _time(value: float | None) -> Figure:
    if value is None:
        return Figure(None, UNKNOWN)
    return Figure(value, f"{value * 1000:,.1f} ms" if value < 1 else f"{value:,.1f} s")


def _size(value: float | None) -> Figure:
    return Figure(value, UNKNOWN if value is None else f"{value / 2**20:,.1f} MiB")


def _credits(value: float | None) -> Figure:
    return Figure(value, UNKNOWN if value is None else f"{value / MICRO_CREDITS:,.4f}")


def _table(
    title: str, columns: Iterable[str], rows: Mapping[str, Iterable[Figure]], *, drawn: bool = False
) -> OverviewTable:
    return OverviewTable(
        title, tuple(columns), tuple(OverviewRow(name, tuple(row)) for name, row in rows.items()), drawn
    )


def _now(at: _Between) -> OverviewTable:
    total = at.now.total
    rows = {
        "live streams": (_count(total("codegrex_active_streams")),),
        "requests in flight": (_count(total("codegrex_active_requests")),),
        "request bodies": (_size(total("codegrex_inflight_body_bytes")),),
        "client connections": (_count(total("codegrex_client_connections")),),
        "models switched off (x workers)": (_alarming(total("codegrex_models_switched_off")),),
        "provider connections": (_count(total("codegrex_upstream_connections", state="open")),),
    }
    return _table("now", ("now",), rows, drawn=True)


def _requests(at: _Between) -> OverviewTable:
    name, refusals = "codegrex_requests_total", "codegrex_refusals_total"
    rows = {
        outcome: (_rate(at.rate(name, outcome=outcome)), _count(at.now.total(name, outcome=outcome)))
        for outcome in at.now.values(name, "outcome")
    }
    rows["errors of the gateway"] = _rate(at.rate(refusals)), _count(at.now.total(refusals))
    return _table("requests by outcome", ("per s", "since start"), rows, drawn=True)


def _times(at: _Between) -> OverviewTable:
    names = {
        "first byte": "codegrex_first_byte_seconds",
        "gateway's own": "codegrex_gateway_seconds",
        "provider's first output": "codegrex_provider_first_byte_seconds",
        "whole request": "codegrex_request_seconds",
        "reserve (store)": "codegrex_reserve_seconds",
        "settle": "codegrex_settle_seconds",
        "event loop late by": "codegrex_loop_lag_seconds",
    }
    rows = {shown: (_time(at.percentile(0.5, name)), _time(at.percentile(0.99, name))) for shown, name in names.items()}
    return _table("times", ("p50", "p99"), rows, drawn=True)


def _usage(at: _Between) -> OverviewTable:
    name, charged = "codegrex_tokens_total", "codegrex_charged_microcredits_total"
    rows = {
        f"{direction.replace('_', ' ')} tokens": (
            _rate(at.rate(name, direction=direction)),
            _count(at.now.total(name, direction=direction)),
        )
        for direction in at.now.values(name, "direction")
        if direction != "other"
    }
    rows["credits"] = _credits(at.rate(charged)), _credits(at.now.total(charged))
    return _table("settled usage", ("per s", "since start"), rows, drawn=True)


def _workers(at: _Between) -> OverviewTable:
    total = at.now.total
    wanted, running = total("codegrex_workers"), total("codegrex_workers_running")
    fewer = wanted is not None and running is not None and running < wanted
    rows = {
        "running": (_count(running, alarm=fewer),),
        "to run": (_count(wanted),),
        "draining": (_count(total("codegrex_draining_workers")),),
        "died": (_alarming(total("codegrex_worker_deaths_total")),),
        "with an old certificate": (_alarming(total("codegrex_certificate_refused_workers")),),
        "processors in use": (_rate(at.rate("codegrex_cpu_seconds_total")),),
        "memory": (_size(total("codegrex_resident_memory_bytes")),),
    }
    return _table("workers", ("now",), rows)


def _store(at: _Between) -> OverviewTable:
    total = at.now.total
    rows = {
        "workers without the store": (_alarming(total("codegrex_store_away")),),
        "workers without announcements": (_alarming(total("codegrex_announcements_away")),),
        "settlements on their way": (_count(total("codegrex_unsettled_records")),),
        "owed in the spool": (_count(total("codegrex_spool_owed")),),
        "workers with a full spool": (_alarming(total("codegrex_spool_full")),),
        "billing lag in s": (_alarming(total("codegrex_billing_lag_seconds")),),
    }
    return _table("store and spool", ("now",), rows)


def _exceptions(at: _Between) -> OverviewTable:
    def row(name: str, *, alarm: bool = False, **labels: str) -> tuple[Figure, Figure]:
        total = at.now.total(name, **labels)
        return _rate(at.rate(name, **labels)), _count(total, alarm=alarm and bool(total))

    rows = {
        "partial": row("codegrex_usage_records_total", basis="partial"),
        "orphan": row("codegrex_reaped_requests", fate="orphan"),
        "unpriced": row("codegrex_unpriced_records_total", alarm=True),
        "unreadable": row("codegrex_unreadable_answers_total", alarm=True),
        "contradicting": row("codegrex_suspect_usage_total"),
        "dead letters": row("codegrex_dead_letters", alarm=True),
        "of another region": row("codegrex_region_astray_total", alarm=True),
    }
    return _table("exceptions", ("per s", "since start"), rows)


_FAILED = ("failed", "fault", "key", "no_model")  # outcomes of attempts that are a provider's or the operator's


def _providers(at: _Between) -> OverviewTable:
    attempts, first = "codegrex_attempts_total", "codegrex_provider_first_byte_seconds"
    outcomes = [outcome for outcome in at.now.values(attempts, "outcome") if outcome != "other"]

    def attempt(provider: str, outcome: str) -> Figure:
        rate = at.rate(attempts, provider=provider, outcome=outcome)
        return _rate(rate, alarm=outcome in _FAILED and bool(rate))

    def switched(provider: str) -> Figure:
        off = at.now.total("codegrex_provider_switched_off", provider=provider)
        return Figure(off, UNKNOWN if off is None else "off" if off else "on", alarm=bool(off))

    rows = {
        provider: (
            *(attempt(provider, outcome) for outcome in outcomes),
            _time(at.percentile(0.5, first, provider=provider)),
            _time(at.percentile(0.99, first, provider=provider)),
            _alarming(at.now.total("codegrex_provider_keys_resting", provider=provider)),
            _alarming(at.now.total("codegrex_provider_models_ejected", provider=provider)),
            switched(provider),
            _alarming(at.now.total("codegrex_provider_keys_switched_off", provider=provider)),
        )
        for provider in at.now.values(attempts, "provider")
        if provider != "other"
    }
    columns = (
        *(f"{outcome.replace('_', ' ')}/s" for outcome in outcomes),
        "p50", "p99", "keys resting", "models ejected", "switch", "keys off",
    )  # fmt: skip
    return _table("providers", columns, rows, drawn=True)
