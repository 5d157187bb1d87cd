"""What a running request tells the ledger, by what was seen of it and by the time that it took."""

from types import SimpleNamespace

import msgspec
import pytest

from gateway.auth.principal import Mode, Principal
from gateway.config import AbortRule
from gateway.inference.answer import Answer, Ending
from gateway.inference.meter import MORE_OUTPUT, UNSEEN_SPEED, Meter
from metering.learning import ENOUGH_SPEEDS, Learning
from metering.ledger.ledger import Reserved
from metering.usage import Outcome, Report, Usage
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


@pytest.mark.parametrize(
    ("had", "lowered", "output", "charged"),
    [
        (10**9, None, 5_000, 5_000),  # a host that counts reasoning beside the limit: it is paid for
        (10**9, None, 100, 100),
        (2_000, None, 5_000, 2_000),  # no more than the account had
        (2_000, None, 1_900, 1_900),
        (100, 50, 5_000, 50),  # beyond a lowered limit nothing
    ],
)
def test_more_output_than_was_held_for_is_charged_up_to_what_the_account_had(clock, had, lowered, output, charged):
    found = admitted(chat(max_tokens=100))
    meter, _ = running(found, most=None if lowered is None else found.costs.worst(lowered))
    of_output = 4 * TOKEN
    meter.reserved = msgspec.structs.replace(meter.reserved, balance=7 + found.costs.worst(had), held=7)
    meter._services.config = SimpleNamespace(billing=SimpleNamespace(abort=AbortRule.PRODUCED))
    meter._services.instruments = SimpleNamespace(limits_ignored=SimpleNamespace(inc=lambda _provider: None))
    report = Report(Usage(in_uncached=found.input_bound, out_visible=output))
    answer = Answer(Ending.WHOLE, 200, written=True, begun=True, report=report)
    record = meter.decide(answer, Outcome.COMPLETED, found.targets[0])
    assert record.charge == found.input_bound * TOKEN + charged * of_output
    assert (record.cost, record.out_visible) == (found.input_bound * TOKEN + output * of_output, output)
