"""What is decided before anything is held: a table of requests and what becomes of them."""

import json
from pathlib import Path

import pytest

from gateway.auth.principal import Mode, Principal
from gateway.catalog.catalog import load
from gateway.config.load import read
from gateway.errors import GatewayError
from gateway.inference.admission import admit, read_head
from gateway.inference.holds import USUAL_OUTPUT
from metering.learning import Learning
from providers.dialect import Operation
from providers.steps import at_once
from providers.wires import WIRES

PRICE = {"input": 1, "output": 4}
STATEMENT = {"api_keys": ["k"], "retention_days": 0, "training": False, "region": "global"}


@pytest.fixture
def decide(tmp_path):
    def decide(body, operation=Operation.OPENAI_CHAT, *, tier="default", hold="learnt", path_model=None, learning=None):
        targets = [{"provider": "openai", "model": "m"}]
        config = read(
            {
                "server": {"data_dir": str(tmp_path)},
                "providers": {kind: {"kind": kind, **STATEMENT} for kind in ("openai", "anthropic")},
                "tiers": {"pro": {}},
                "billing": {"hold": hold},
                "models": [
                    {"name": "m", "targets": targets, "price": PRICE, "max_output": 10_000, "context_window": 500},
                    {"name": "pro", "targets": targets, "price": PRICE, "tiers": ["pro"]},
                ],
            },
            Path("gateway.toml"),
            {},
        )
        principal = Principal("s", "p", tier, Mode.CLOUD, 2**53)
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        return admit(
            WIRES[operation],
            at_once(read_head(WIRES[operation], text, path_model, config.policy)),
            (),
            catalog=load(config),
            config=config,
            principal=principal,
            learning=learning or Learning(),
        )

    return decide


def test_the_hold_is_the_input_and_the_smaller_of_limit_and_usual_output(decide):
    small = decide({"model": "m", "messages": [], "max_tokens": 100})
    assert (small.output_tokens, small.head.model, small.targets[0].model) == (100, "m", "m")
    assert small.amount == small.input_bound * 100 + 100 * 400  # micro-credits a token, at a cent a credit
    assert decide({"model": "m", "messages": [], "max_tokens": 9_000}).output_tokens == USUAL_OUTPUT
    assert decide({"model": "m", "messages": [], "max_tokens": 9_000}, hold="worst").output_tokens == 9_000
    assert decide({"model": "m", "messages": []}, hold="worst").output_tokens == 10_000


def test_input_is_bounded_by_the_context_window_and_choices_count(decide):
    asked = decide({"model": "m", "messages": [{"role": "user", "content": "x" * 100_000}], "n": 3, "max_tokens": 10})
    assert asked.input_bound == 500
    assert asked.tokens == 500 + 30


@pytest.mark.parametrize(
    ("body", "more", "code"),
    [
        (b"{", {}, "invalid_request"),
        ({"messages": []}, {}, "invalid_request"),
        ({"model": "unknown"}, {}, "model_not_found"),
        ({"model": "pro"}, {}, "model_not_in_plan"),
        ({"model": "m", "service_tier": "flex"}, {}, "unsupported_feature"),
        ({"model": "m", "max_tokens": 5}, {"operation": Operation.ANTHROPIC_MESSAGES}, "unsupported_feature"),
        ({"model": "m", "web_search_options": {}, "tool_choice": "required"}, {}, "privacy_unsupported"),
    ],
)
def test_what_is_refused(decide, body, more, code):
    with pytest.raises(GatewayError) as caught:
        decide(body, **more)
    assert caught.value.code == code


def test_a_tool_that_the_request_does_not_insist_on_is_taken_out(decide):
    head = decide({"model": "m", "web_search_options": {}}).head
    assert (head.server_tools, head.removed_tools) == (frozenset(), {"openai_web_search"})


def test_a_tier_that_the_model_names_may_use_it(decide):
    assert decide({"model": "pro"}, tier="pro").model.name == "pro"


def test_what_was_learnt_of_a_model_replaces_the_usual_figures(decide):
    learning = Learning()
    body = {"model": "m", "messages": [{"role": "user", "content": "some words " * 100}]}
    before = decide(body, learning=learning)
    for number in range(200):
        learning.observe("m", f"{number}", estimated=1_000, input_tokens=1_500, cached_tokens=0, output_tokens=300)
    learning.observe("m", "p", estimated=0, input_tokens=1_000, cached_tokens=800, output_tokens=300)
    after = decide(body, learning=learning)
    assert after.input.expected.tokens == pytest.approx(1.5 * before.input.expected.tokens, rel=0.05)
    assert after.input.expected.cached == after.input.expected.tokens * 8 // 10
    assert (before.output_tokens, after.output_tokens) == (USUAL_OUTPUT, learning.usual_output("m"))
    assert decide(body, learning=learning, hold="worst").output_tokens == 10_000
