"""Every model that a request names passes the same gate, and is held for."""

import json
from pathlib import Path

import pytest

from gateway.auth.principal import Mode, Principal
from gateway.catalog.catalog import load
from gateway.config.load import read
from gateway.errors import InvalidRequest, ModelNotFound, ModelNotInPlan, UnsupportedFeature
from gateway.inference.admission import admit, read_head
from metering.learning import Learning
from providers.dialect import Operation, Target
from providers.steps import at_once
from providers.wires import WIRES

STATEMENT = {"api_keys": ["k"], "retention_days": 0, "training": False, "region": "global"}
TOKEN = 100  # micro-credits of a token at one USD a million
CHEAP, DEAR = {"input": 1, "output": 4}, {"input": 10, "output": 40}
WIRE = WIRES[Operation.ANTHROPIC_MESSAGES]


def model(name, price, *providers, **more):
    targets = [{"provider": provider, "model": f"claude-{name}-5"} for provider in providers or ("one",)]
    return {"name": name, "targets": targets, "price": price, **more}


def asked(**members):
    body = {"model": "haiku", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], **members}
    config = read(
        {
            "providers": {name: {"kind": "anthropic", "company": "c", **STATEMENT} for name in ("one", "two")},
            "tiers": {"pro": {}},
            "policy": {"server_tools": ["anthropic_advisor"]},
            "models": [
                model("haiku", CHEAP, "one", "two", max_output=1_000),
                model("sonnet", DEAR, max_output=5_000),
                model("opus", DEAR, tiers=["pro"]),
                model("elsewhere", CHEAP, "two"),
            ],
        },
        Path("gateway.toml"),
        {},
    )
    return admit(
        WIRE,
        at_once(read_head(WIRE, json.dumps(body).encode(), None, config.policy)),
        (),
        catalog=load(config),
        config=config,
        principal=Principal("s", "p", "default", Mode.CLOUD, 2**53),
        learning=Learning(),
    )


def fallbacks(*names, **more):
    return asked(fallbacks=[{"model": name, **more} for name in names])


@pytest.mark.parametrize(
    ("given", "error", "param"),
    [
        ([{"model": "opus"}], ModelNotInPlan, "fallbacks"),
        ([{"model": "sonnet"}, {"model": "opus"}], ModelNotInPlan, "fallbacks"),
        ([{"model": "claude-nobody-9"}], ModelNotFound, "fallbacks"),
        ([{"model": "sonnet"}, {"model": "elsewhere"}], UnsupportedFeature, "fallbacks"),
        ([{"model": "sonnet", "speed": "fast"}], UnsupportedFeature, "fallbacks"),
        ("default", UnsupportedFeature, "fallbacks"),
        ([{}], InvalidRequest, "fallbacks"),
        (["sonnet"], InvalidRequest, "fallbacks"),
        ([{"model": ["sonnet"]}], InvalidRequest, "fallbacks"),
        ([{"model": "sonnet"}] * 17, InvalidRequest, "fallbacks"),
        ({"model": "sonnet"}, InvalidRequest, "fallbacks"),
        (7, InvalidRequest, "fallbacks"),
    ],
)
def test_a_fallback_passes_the_same_gate_as_the_model(given, error, param):
    with pytest.raises(error) as refused:
        asked(fallbacks=given)
    assert refused.value.param == param


@pytest.mark.parametrize("given", [None, []])
def test_no_fallback_is_none(given):
    assert asked(fallbacks=given).further == {}


def test_a_tool_that_asks_a_model_names_one():
    with pytest.raises(ModelNotInPlan) as refused:
        asked(tools=[{"type": "advisor_20260301", "name": "advisor", "model": "opus"}])
    assert refused.value.param == "tools"
    schema = {"type": "object", "properties": {"model": {"type": "string"}}}
    assert asked(tools=[{"name": "choose", "input_schema": schema}]).further == {}


def test_the_hold_is_the_most_expensive_that_may_answer():
    for found, price in ((fallbacks("haiku"), CHEAP), (fallbacks("haiku", "sonnet"), DEAR)):
        cost = price["input"] * found.input_bound + price["output"] * 100
        assert found.amount == found.worst == TOKEN * cost


def test_the_longest_answer_is_that_of_whichever_model_answers():
    assert fallbacks("sonnet", max_tokens=4_000).most_output == 4_000
    assert fallbacks("sonnet", max_tokens=9_000).most_output == 5_000
    assert fallbacks("sonnet", max_tokens=10).most_output == 100


def test_only_providers_that_serve_all_of_them_are_asked():
    assert [target.provider.name for target in asked().targets] == ["one", "two"]
    assert [target.provider.name for target in fallbacks("sonnet").targets] == ["one"]
    assert [target.provider.name for target in fallbacks("elsewhere").targets] == ["two"]


def test_a_provider_reads_its_own_names():
    body = (
        b'{"model":"haiku","max_tokens":9,"messages":[],"fallbacks":[{"model":"sonnet","max_tokens":7},{"model":"x"}]}'
    )
    target = Target("claude-haiku-5", alias=True, renamed={"sonnet": "claude-sonnet-5"}, output_limit=5)
    sent = json.loads(at_once(WIRE.splice(body, at_once(WIRE.read(body, None)), target)))
    assert sent["fallbacks"] == [{"model": "claude-sonnet-5", "max_tokens": 5}, {"model": "x"}]
