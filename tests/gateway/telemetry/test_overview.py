"""The overview of two hand-made samples."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.telemetry import overview as overview_module
from gateway.telemetry.instruments import Instruments
from gateway.telemetry.overview import Figure, Overview, Sample, SlidingOverview, overview

BEFORE = """\
# TYPE codegrex_requests_total counter
codegrex_requests_total{operation="openai.chat",outcome="completed"} 10
codegrex_requests_total{operation="openai.chat",outcome="refused"} 1
codegrex_requests_total{operation="anthropic.messages",outcome="completed"} 0
codegrex_active_streams 3
codegrex_first_byte_seconds_bucket{le="0.1"} 5
codegrex_first_byte_seconds_bucket{le="0.2"} 5
codegrex_first_byte_seconds_bucket{le="1"} 5
codegrex_first_byte_seconds_bucket{le="+Inf"} 5
codegrex_attempts_total{provider="openai",outcome="answered"} 10
codegrex_attempts_total{provider="openai",outcome="failed"} 0
codegrex_attempts_total{provider="openai",outcome="other"} 0
codegrex_provider_keys_resting{provider="openai"} 0
codegrex_provider_switched_off{provider="openai"} 0
codegrex_unreadable_answers_total{provider="openai"} 0
codegrex_tokens_total{provider="openai",direction="output"} 1000
codegrex_charged_microcredits_total{provider="openai"} 1000000
codegrex_workers 2
codegrex_workers_running 2
codegrex_start_time_seconds 1700000000
codegrex_build_info{version="1.2.3",python="3.11"} 1
"""
CHANGES = {
    'anthropic.messages",outcome="completed"} 0': 'anthropic.messages",outcome="completed"} 15',
    "codegrex_active_streams 3": "codegrex_active_streams 1234",
    '{le="0.1"} 5': '{le="0.1"} 5',
    '{le="0.2"} 5': '{le="0.2"} 13',
    '{le="1"} 5': '{le="1"} 14',
    '{le="+Inf"} 5': '{le="+Inf"} 15',
    'outcome="failed"} 0': 'outcome="failed"} 1',
    'resting{provider="openai"} 0': 'resting{provider="openai"} 2',
    'switched_off{provider="openai"} 0': 'switched_off{provider="openai"} 1',
    'unreadable_answers_total{provider="openai"} 0': 'unreadable_answers_total{provider="openai"} 1',
    'direction="output"} 1000': 'direction="output"} 1500',
    'microcredits_total{provider="openai"} 1000000': 'microcredits_total{provider="openai"} 1500000',
    "workers_running 2": "workers_running 1",
}
AFTER = BEFORE
for old, new in CHANGES.items():
    assert AFTER.count(old) == 1, old
    AFTER = AFTER.replace(old, new)


def cells(found: Overview) -> dict[str, dict[str, dict[str, Figure]]]:
    return {
        table.title: {row.name: dict(zip(table.columns, row.figures, strict=True)) for row in table.rows}
        for table in found.tables
    }


def test_two_samples_make_rates_percentiles_and_alarms() -> None:
    found = overview(Sample(BEFORE), Sample(AFTER), 5.0)
    assert (found.version, found.seconds) == ("1.2.3", 5.0)
    at = cells(found)
    assert at["now"]["live streams"]["now"] == Figure(1234, "1,234")
    outcomes = at["requests by outcome"]
    assert outcomes["completed"] == {"per s": Figure(3, "3.0"), "since start": Figure(25, "25")}
    assert outcomes["refused"] == {"per s": Figure(0, "0"), "since start": Figure(1, "1")}
    times = at["times"]["first byte"]
    assert times["p50"].value == pytest.approx(0.1 + 0.1 * 5 / 8)
    assert times["p50"].text == "162.5 ms"
    assert times["p99"].text == "1.0 s"  # above the last bound
    assert at["settled usage"]["output tokens"]["per s"].value == 100
    assert at["settled usage"]["credits"] == {
        "per s": Figure(100_000, "0.1000"),
        "since start": Figure(1_500_000, "1.5000"),
    }
    assert at["workers"]["running"]["now"] == Figure(1, "1", alarm=True)
    assert at["exceptions"]["unreadable"]["since start"] == Figure(1, "1", alarm=True)
    provider = at["providers"]["openai"]
    assert list(provider)[:2] == ["answered/s", "failed/s"]
    assert provider["failed/s"] == Figure(0.2, "0.2", alarm=True)
    assert provider["keys resting"] == Figure(2, "2", alarm=True)
    assert provider["switch"] == Figure(1, "off", alarm=True)


def test_without_an_earlier_sample_of_this_start_what_changes_is_unknown() -> None:
    restarted = BEFORE.replace("1700000000", "1700000099")
    for before in (None, Sample(restarted)):
        found = overview(before, Sample(AFTER), 5.0)
        assert found.seconds is None
        at = cells(found)
        assert at["requests by outcome"]["completed"]["per s"] == Figure(None, "-")
        assert at["requests by outcome"]["completed"]["since start"].value == 25
        assert at["times"]["first byte"]["p50"] == Figure(None, "-")


def test_what_the_gateway_does_not_have_is_unknown() -> None:
    at = cells(overview(Sample(BEFORE), Sample(BEFORE), 1.0))
    assert at["times"]["first byte"]["p50"] == Figure(None, "-")  # nobody asked
    assert at["workers"]["died"]["now"] == Figure(None, "-")
    assert at["store and spool"]["owed in the spool"]["now"] == Figure(None, "-")
    assert cells(overview(None, Sample(""), 1.0))["providers"] == {}


def test_rates_are_of_a_window_that_a_gap_begins_again() -> None:
    sliding = SlidingOverview()
    seconds = [sliding.add(BEFORE, float(at)).seconds for at in range(14)]
    assert seconds == [None, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10, 10]
    assert sliding.add(BEFORE, 100.0).seconds is None
    assert sliding.add(BEFORE, 101.0).seconds == 1


def test_every_series_of_the_overview_exists() -> None:
    text = Path(overview_module.__file__).read_text()
    assert set(re.findall(r'"(codegrex_\w+)"', text)) <= set(Instruments([]).registry.names())
