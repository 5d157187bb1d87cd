"""What a running request tells the ledger, by what was seen of it and by the time that it took."""

from types import SimpleNamespace

import pytest

from gateway.auth.principal import Mode, Principal
from gateway.inference.meter import MORE_OUTPUT, UNSEEN_SPEED, Meter
from metering.learning import ENOUGH_SPEEDS, Learning
from metering.ledger.ledger import Reserved
from tests.gateway.inference.test_holds import TOKEN, admitted, chat


@pytest.fixture
def clock(monkeypatch):
    """The meter's time, in milliseconds."""
    clock = SimpleNamespace(now=1_000_000)
    monkeypatch.setattr("gateway.inference.meter.now_ms", lambda: clock.now)
    return clock


def running(found, *, most=None, learning=None):
    """A meter after its reserve, and the output that is seen of its request."""
    principal = Principal("s", "p", "default", Mode.CLOUD, 2**53)
    config = SimpleNamespace(billing=SimpleNamespace(abort=None))
    services = SimpleNamespace(catalog=None, config=config, learning=learning or Learning())
    meter = Meter(services, "r", principal, found)
    seen = SimpleNamespace(output=0)
    meter._request = SimpleNamespace(progress=lambda: (found.targets[0], seen.output))
    granted = found.worst if most is None else most
    meter.reserved = Reserved(granted, 0, found.amount, granted, ())
    if granted < found.worst:
        meter.cap(found.limit(granted))
    return meter, seen


def held(meter):
    """What the next touch asks for, which the ledger grants."""
    touch = meter.touch()
    meter.raised()
    return touch.amount


def test_an_answer_that_is_seen_is_held_with_half_again(clock):
    found = admitted(chat(), max_output=50_000)
    meter, seen = running(found)
    seen.output = 2_000
    assert held(meter) == 0  # within what is usual
    seen.output = 10_000
    assert held(meter) == TOKEN * (found.input_bound + 4 * (15_000 + MORE_OUTPUT))
    seen.output = 45_000
    assert held(meter) == found.worst
    assert meter.touch().most == found.worst


def test_an_answer_that_is_not_seen_is_held_by_its_time(clock):
    found = admitted(chat(), max_output=50_000)
    meter, _ = running(found)
    clock.now += 15_000
    assert held(meter) == 0  # 3,000 tokens at most
    clock.now += 45_000
    assert held(meter) == TOKEN * (found.input_bound + 4 * (60 * UNSEEN_SPEED + MORE_OUTPUT))
    clock.now += 3_600_000
    assert held(meter) == found.worst


def test_what_was_thought_before_the_first_word_counts_beside_what_is_seen(clock):
    found = admitted(chat(), max_output=50_000)
    meter, seen = running(found)
    clock.now += 30_000
    held(meter)
    seen.output = 4_000
    clock.now += 600_000
    assert held(meter) == TOKEN * (found.input_bound + 4 * (30 * UNSEEN_SPEED + 6_000 + MORE_OUTPUT))


def test_a_learnt_speed_replaces_the_stated_one(clock):
    learning = Learning()
    for number in range(ENOUGH_SPEEDS):
        learning.observe_reasoning("m", f"{number}", tokens=5_000, milliseconds=100_000)
    found = admitted(chat(), max_output=50_000)
    meter, _ = running(found, learning=learning)
    clock.now += 100_000
    usual = TOKEN * (found.input_bound + 4 * (2 * learning.reasoning_speed("m") * 100 + MORE_OUTPUT))
    assert held(meter) == usual


def test_a_limit_that_was_lowered_is_all_that_is_held_unless_more_is_seen(clock):
    found = admitted(chat(), max_output=50_000)
    meter, seen = running(found, most=found.costs.worst(5_000))
    assert meter.output_limit == 5_000
    clock.now += 3_600_000
    assert held(meter) == 0
    seen.output = 5_000
    assert held(meter) == 0
    seen.output = 5_001
    assert held(meter) == found.costs.worst(5_001 + MORE_OUTPUT) > meter.reserved.most


def test_several_choices_share_what_is_seen(clock):
    found = admitted(chat(n=4), max_output=50_000)
    meter, seen = running(found)
    seen.output = 40_000
    assert held(meter) == TOKEN * (found.input_bound + 4 * 4 * (15_000 + MORE_OUTPUT))
