import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering import learning as module
from metering.learning import (
    ENOUGH_INPUTS,
    ENOUGH_OUTPUTS,
    ENOUGH_SPEEDS,
    LEAST_FACTOR,
    LEAST_OUTPUT,
    MOST_FACTOR,
    MOST_MODELS,
    MOST_OF_ONE,
    MOST_SHARES,
    SHARE_SECONDS,
    SHORTEST_INPUT,
    WINDOW_SECONDS,
    Learning,
)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def observe(learning, account="a", *, estimated=1_000, input_tokens=1_000, cached=0, output=10, model="m"):
    learning.observe(
        model, account, estimated=estimated, input_tokens=input_tokens, cached_tokens=cached, output_tokens=output
    )


def taught(count, **figures):
    """By as many accounts as requests."""
    learning = Learning(Clock())
    for number in range(count):
        observe(learning, f"account {number}", **figures)
    return learning


def test_nothing_is_learnt_from_a_few_requests():
    learning = taught(ENOUGH_INPUTS - 1)
    assert learning.input_factor("m") is None
    assert learning.usual_output("m") is None
    assert learning.usual_output("unknown") is None
    assert learning.reasoning_speed("m") is None
    assert learning.cached_share("m", "nobody") == 0


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.5])
def test_the_factor_is_the_usual_one(factor):
    learning = taught(ENOUGH_INPUTS, input_tokens=int(1_000 * factor))
    assert learning.input_factor("m") == pytest.approx(1_000 * factor, rel=0.05)


def test_short_inputs_media_and_noise_teach_no_factor():
    learning = Learning(Clock())
    for number in range(1_000):
        observe(learning, f"{number}", input_tokens=SHORTEST_INPUT - 1)
        observe(learning, f"{number}", estimated=0)
        observe(learning, f"{number}", input_tokens=100_000)
        observe(learning, f"{number}", input_tokens=100)
    assert learning.input_factor("m") is None


def test_the_usual_output_is_what_nearly_all_answers_do_not_exceed():
    learning = taught(2_000, output=1_000)
    assert 1_000 <= learning.usual_output("m") <= 1_200
    for number in range(100):
        observe(learning, f"long {number}", output=20_000)
    assert 20_000 <= learning.usual_output("m") <= 24_000
    assert taught(ENOUGH_OUTPUTS, output=1).usual_output("m") == LEAST_OUTPUT
    assert taught(ENOUGH_OUTPUTS, output=10**9).usual_output("m") == 2**21


FIGURES = st.tuples(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 10**6))


@given(st.lists(FIGURES, max_size=60), st.integers(0, 3))
def test_no_account_moves_what_others_taught(figures, windows):
    clock = Clock()
    learning = Learning(clock)
    for number in range(ENOUGH_OUTPUTS):
        observe(learning, f"{number}", output=1_000)
    for number in range(ENOUGH_SPEEDS):
        learning.observe_reasoning("m", f"{number}", tokens=1_000, milliseconds=10_000)
    before = learning.input_factor("m"), learning.usual_output("m"), learning.reasoning_speed("m")
    for _ in range(windows + 1):
        for estimated, input_tokens, output in figures * 3:
            observe(learning, "attacker", estimated=estimated, input_tokens=input_tokens, output=output)
            learning.observe_reasoning("m", "attacker", tokens=output, milliseconds=input_tokens)
        clock.now += WINDOW_SECONDS
    assert (learning.input_factor("m"), learning.usual_output("m"), learning.reasoning_speed("m")) == before


def test_one_account_teaches_nothing_however_much_it_asks():
    clock = Clock()
    learning = Learning(clock)
    for _ in range(50):
        for _ in range(100):
            observe(learning, output=1)
            learning.observe_reasoning("m", "a", tokens=1_000, milliseconds=1_000)
        clock.now += WINDOW_SECONDS
    assert learning.usual_output("m") is None
    assert learning.input_factor("m") is None
    assert learning.reasoning_speed("m") is None


def test_old_traffic_fades():
    clock = Clock()
    learning = Learning(clock)
    for window in range(4):
        for number in range(ENOUGH_OUTPUTS):
            observe(learning, f"{number}", output=50_000 if window < 2 else 1_000)
        clock.now += WINDOW_SECONDS
    observe(learning, "next")
    assert learning.usual_output("m") <= 1_200


def test_the_reasoning_speed_is_the_usual_one():
    learning = Learning(Clock())
    for number in range(ENOUGH_SPEEDS):
        learning.observe_reasoning("m", f"{number}", tokens=2_000 + number, milliseconds=20_000)
        learning.observe_reasoning("m", f"{number}", tokens=3, milliseconds=2)
        learning.observe_reasoning("m", f"{number}", tokens=10**7, milliseconds=2)
        learning.observe_reasoning("m", f"{number}", tokens=2_000, milliseconds=0)
    assert learning.reasoning_speed("m") == pytest.approx(100, rel=0.1)


def test_the_cached_share_is_the_account_s_own_last_one():
    clock = Clock()
    learning = Learning(clock)
    observe(learning, cached=900)
    observe(learning, "b", cached=100)
    assert (learning.cached_share("m", "a"), learning.cached_share("m", "b")) == (900, 100)
    observe(learning, cached=500)
    assert learning.cached_share("m", "a") == 500
    assert learning.cached_share("other", "a") == 0
    clock.now = SHARE_SECONDS + 1
    assert learning.cached_share("m", "a") == 0


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MOST_ACCOUNTS", 500)
    learning = Learning(Clock())
    for number in range(MOST_MODELS + 10):
        observe(learning, "a", model=f"m{number}")
    for number in range(MOST_SHARES + 10):
        observe(learning, f"{number}")
    assert len(learning._models) == MOST_MODELS
    assert len(learning._shares) == MOST_SHARES
    assert learning._accounts == 500
    remembered = sum(len(one._accounts) for m in learning._models.values() for one in (m.inputs, m.outputs, m.speeds))
    assert remembered == 500


def test_accounts_are_forgotten_with_their_window():
    clock = Clock()
    learning = Learning(clock)
    for _ in range(5):
        for number in range(ENOUGH_OUTPUTS):
            for _ in range(MOST_OF_ONE + 1):
                observe(learning, f"{number}")
        clock.now += WINDOW_SECONDS
    remembered = sum(len(one._accounts) for m in learning._models.values() for one in (m.inputs, m.outputs, m.speeds))
    assert learning._accounts == remembered <= 2 * ENOUGH_OUTPUTS


def test_factors_stay_within_what_vocabularies_do():
    for factor in (LEAST_FACTOR, MOST_FACTOR):
        assert LEAST_FACTOR <= taught(ENOUGH_INPUTS, input_tokens=factor).input_factor("m") <= MOST_FACTOR * 1.05
