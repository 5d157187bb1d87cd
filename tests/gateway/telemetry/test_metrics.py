"""Counters over several rows of shared memory, and their exposition."""

import os

import pytest

from gateway.telemetry.instruments import Instruments
from gateway.telemetry.metrics import Registry


def declare():
    registry = Registry()
    counter = registry.counter("c_total", "Counts.", colour=["red", "blue"])
    plain = registry.counter("p_total", "Plain.")
    gauge = registry.gauge("g", "Level.", state=["open"])
    histogram = registry.histogram("h_seconds", "Times.", (0.01, 0.1, 1))
    return registry, counter, plain, gauge, histogram


@pytest.fixture
def rows():
    """Two workers and a reader on one block."""
    made = [declare() for _ in range(3)]
    descriptor = made[0][0].create(2)
    for number, (registry, *_) in enumerate(made):
        registry.bind(descriptor, number if number < 2 else None)
    yield made
    os.close(descriptor)


def lines(registry):
    return registry.render().decode().splitlines()


def test_workers_add_up(rows):
    (_, red, plain, _, _), (_, blue, other, _, _), (reader, *_) = rows
    red.inc("red")
    blue.inc("red", by=4)
    blue.inc("blue")
    plain.add(2)
    other.add(3)
    text = lines(reader)
    assert 'c_total{colour="red"} 5' in text
    assert 'c_total{colour="blue"} 1' in text
    assert "p_total 5" in text


def test_a_value_outside_the_closed_list_is_counted_and_never_shown(rows):
    (registry, counter, *_), *_ = rows
    counter.inc("a client's text")
    text = "\n".join(lines(registry))
    assert "client" not in text
    assert 'c_total{colour="other"} 1' in text


def test_a_replaced_worker_goes_on_counting_and_starts_its_gauges_anew(rows):
    (registry, counter, _, gauge, _), *_ = rows
    counter.inc("red", by=7)
    registry.cells[gauge.column("open")] = 9
    again, counter, _, _, _ = declare()
    descriptor = registry.create(2)
    block = bytes(registry._block)
    os.pwrite(descriptor, block, 0)
    again.bind(descriptor, 0)
    counter.inc("red")
    text = lines(again)
    assert 'c_total{colour="red"} 8' in text
    assert 'g{state="open"} 0' in text
    os.close(descriptor)


def test_histograms_are_cumulative(rows):
    (registry, *_, histogram), *_ = rows
    for seconds in (0.005, 0.01, 0.05, 5):
        histogram.observe(seconds)
    text = lines(registry)
    assert 'h_seconds_bucket{le="0.01"} 2' in text
    assert 'h_seconds_bucket{le="0.1"} 3' in text
    assert 'h_seconds_bucket{le="1"} 3' in text
    assert 'h_seconds_bucket{le="+Inf"} 4' in text
    assert "h_seconds_count 4" in text
    assert "h_seconds_sum 5.065000" in text


def test_every_line_is_well_formed(rows):
    for line in lines(rows[0][0]):
        assert line.startswith("# ") or line.rsplit(" ", 1)[1].replace(".", "").isdigit()


def test_the_gateways_own_series_have_no_label_of_a_user():
    instruments = Instruments(["openai"])
    for family in instruments.registry._families:
        assert set(family.labels) <= {
            "operation", "outcome", "code", "provider", "fault", "status", "direction", "basis", "state", "tier", "reason", "measure", "fate"
        }  # fmt: skip
