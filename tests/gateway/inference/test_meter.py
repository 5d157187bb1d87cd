"""What a running request tells the ledger, by what was seen of it and by the time that it took."""

from types import SimpleNamespace

import msgspec
import pytest

from gateway.auth.principal import Mode, Principal
from gateway.config import AbortRule
from gateway.inference.answer import Answer, Ending
from gateway.inference.belief import TOLERANCE
from gateway.inference.meter import MORE_OUTPUT, UNSEEN_SPEED, Meter
from metering.learning import ENOUGH_SPEEDS, Learning
from metering.ledger.ledger import Reserved, Standing, Touched
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
    books = SimpleNamespace(abort=AbortRule.PRODUCED, learning=learning or Learning())
    instruments = SimpleNamespace(limits_ignored=SimpleNamespace(inc=lambda _provider: None))
    meter = Meter(
        books, instruments, SimpleNamespace(price_of=lambda *_: None), rid="r", principal=principal, admissions=[found]
    )
    seen = SimpleNamespace(output=0, watched=None)
    meter._request = SimpleNamespace(
        progress=lambda: (found.targets[0], seen.output),
        at_output=lambda output, _call: setattr(seen, "watched", output),
    )
    granted = found.worst if most is None else most
    meter.reserved = Reserved(granted, 0, found.amount, granted, ())
    meter._granted = granted
    if granted < found.worst:
        meter.cap(found.limit(granted))
    return meter, seen


def held(meter):
    """What the next touch asks for, which the ledger grants."""
    touch = meter.touch()
    meter.granted(Standing(Touched.HELD, max(touch.amount, touch.most)))
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
    seen.output = meter.most_seen
    assert meter.most_seen == 8 * 5_000 + MORE_OUTPUT
    assert held(meter) == 0
    seen.output += 1
    assert held(meter) == found.costs.worst(seen.output + seen.output // 8) > meter.reserved.most
    assert meter.output_limit == 5_000
    assert meter.most_seen == seen.output + seen.output // 8  # no tolerance any more
    assert seen.watched == meter.most_seen - seen.output > MORE_OUTPUT


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
        (2_000, None, 5_000, 2_000),  # no more than the account has beside its other requests
        (2_000, None, 1_900, 1_900),
        (0, None, 5_000, 100),
        (100, 50, 5_000, 50),  # beyond a lowered limit nothing
    ],
)
@pytest.mark.parametrize("stated", [True, False])
async def test_more_output_than_was_held_for_is_charged_up_to_what_the_ledger_grants(
    clock, had, lowered, output, charged, stated
):
    found = admitted(chat(max_tokens=100))
    meter, _ = running(found, most=None if lowered is None else found.costs.worst(lowered))
    of_output = 4 * TOKEN
    asked = []

    async def touch_each(touches):
        asked.extend(touches)
        (touch,) = touches
        most = max(touch.most, min(touch.amount, found.costs.worst(had)))
        return [Standing(Touched.HELD if most >= touch.amount else Touched.CREDITS, most)]

    meter._books.ledger = SimpleNamespace(touch_each=touch_each)
    report = Report(Usage(in_uncached=found.input_bound, out_visible=output if stated else None))
    answer = Answer(Ending.WHOLE, 200, written=True, begun=True, report=report, output=output)
    meter.decide(answer, Outcome.CLIENT_ABORT, found.targets[0])
    await meter.cover()
    assert len(asked) == (lowered is None and output > 100)  # within the limit it costs no call
    record = meter.record
    assert record.charge == found.input_bound * TOKEN + charged * of_output
    assert (record.cost, record.out_visible) == (found.input_bound * TOKEN + output * of_output, output)


def test_a_request_that_goes_on_elsewhere_is_limited_by_what_it_pays_there(clock):
    found = admitted(chat(), max_output=50_000)
    meter, _ = running(found)
    dear = msgspec.structs.replace(found, worst=3 * found.worst, costs=Dear(found.costs))
    assert meter.move(dear) == meter.output_limit == dear.limit(found.worst) < found.most_output
    assert meter.move(found) is None
    assert (meter.output_limit, meter.most_seen) == (None, (found.most_output * TOLERANCE + MORE_OUTPUT))


class Dear:
    """Costs three times as much."""

    def __init__(self, costs):
        self.costs = costs

    def output(self, amount, most):
        return self.costs.output(amount // 3, most)
