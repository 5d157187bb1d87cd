"""Counters over several rows of shared memory, and their exposition."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.instruments import Instruments
from gateway.telemetry.metrics import CELL, Counter, Histogram, Registry, head_of


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
    os.pwrite(descriptor, block, CELL)
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


def test_a_labelled_histogram_has_its_labels_beside_the_bound():
    registry = Registry()
    histogram = registry.histogram("h_seconds", "Times.", (0.01, 0.1), provider=["a", "b"])
    registry.bind(registry.create(1), 0)
    histogram.observe(0.05, "a")
    histogram.observe(-1, "b")  # a clock that stepped
    text = lines(registry)
    assert 'h_seconds_bucket{provider="a",le="0.01"} 0' in text
    assert 'h_seconds_bucket{provider="a",le="0.1"} 1' in text
    assert 'h_seconds_sum{provider="a"} 0.050000' in text
    assert 'h_seconds_count{provider="b"} 1' in text
    assert not any('"other"' in line for line in text)
    histogram.observe(1, "a client's text")
    assert 'h_seconds_count{provider="other"} 1' in lines(registry)


def test_a_sparse_counter_shows_what_was_counted():
    registry = Registry()
    counter = registry.sparse_counter("s_total", "Counts.", ("provider", "model"), [("a", "m"), ("b", "n")])
    registry.bind(registry.create(1), 0)
    counter.inc("a", "m")
    counter.inc("a", "n")  # not a combination of the list
    assert [line for line in lines(registry) if line.startswith("s_total")] == [
        's_total{provider="a",model="m"} 1',
        's_total{provider="other",model="other"} 1',
    ]


def test_a_dead_worker_s_gauges_are_no_level_any_more(rows):
    (one, counter, _, gauge, _), _, (reader, *_) = rows
    counter.inc("red", by=3)
    one.cells[gauge.column("open")] = 5
    reader.forget(0)
    assert 'g{state="open"} 0' in lines(reader)
    assert 'c_total{colour="red"} 3' in lines(reader)


def test_time_is_kept_in_microseconds_and_shown_in_seconds():
    registry = Registry()
    clock = registry.clock("cpu_seconds_total", "Time.")
    registry.bind(registry.create(1), 0)
    clock.add(1_500_000)
    assert "cpu_seconds_total 1.500000" in lines(registry)


def test_a_reading_is_shown_once_it_is_known():
    registry = Registry()
    reading = registry.reading("r", "Known to one.", version="1")
    registry.bind(registry.create(1), 0)
    assert not any(line.startswith("r{") for line in lines(registry))
    reading.read = lambda: 0
    assert 'r{version="1"} 0' in lines(registry)


@given(st.binary(max_size=40))
def test_a_block_gives_back_what_was_written_before_it(head):
    registry, counter, *_ = declare()
    descriptor = registry.create(2, head)
    try:
        assert head_of(descriptor).startswith(head)
        registry.bind(descriptor, 1)
        counter.inc("red")
        assert registry.held_by(counter.column("red")) == 1
        assert 'c_total{colour="red"} 1' in lines(registry)
    finally:
        os.close(descriptor)


def made():
    instruments = Instruments(["openai", "anthropic"], [("openai", "gpt-4o"), ("anthropic", "claude")])
    instruments.registry.bind(instruments.registry.create(1), 0)
    return instruments


def series(instruments):
    return {line.rsplit(" ", 1)[0] for line in lines(instruments.registry) if not line.startswith("#")}


MADE = made()  # one for all examples: what an earlier one has made must count too
MOST = len(series(MADE)) + sum(
    len(family.series) * (len(family.buckets) + 3) for family in MADE.registry._families if family.labels
)
WORDS = st.sampled_from(["openai", "openai.chat", "gpt-4o", "completed", "other", "reported"]) | st.text(max_size=9)


@given(st.data())
def test_no_value_makes_a_series_that_was_not_declared(data):
    for name, family in vars(MADE).items():
        if isinstance(family, Counter | Histogram) and family._width:
            values = data.draw(st.tuples(*[WORDS] * family._width), label=name)
            family.inc(*values) if isinstance(family, Counter) else family.observe(0.1, *values)
    found = series(MADE)
    assert len(found) <= MOST
    declared = {value for family in MADE.registry._families for values, _ in family.series for value in values}
    for line in found:
        labels = line.partition("{")[2].rstrip("}").split(",")
        values = {label.partition("=")[2].strip('"') for label in labels if label and not label.startswith("le=")}
        assert values <= declared, line


def test_the_gateways_own_series_have_no_label_of_a_user():
    instruments = Instruments(["openai"])
    for family in instruments.registry._families:
        assert set(family.labels) <= {
            "operation", "outcome", "code", "provider", "fault", "status", "direction", "basis", "state", "tier", "reason", "measure", "fate", "model", "version", "python", "host", "member", "signal"
        }  # fmt: skip
