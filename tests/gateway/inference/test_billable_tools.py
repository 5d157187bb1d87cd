"""Every server-side tool in every operation that knows it: allowed or not, with a price or without one."""

import json
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from gateway.auth.principal import Mode, Principal
from gateway.catalog.catalog import load
from gateway.config.load import read
from gateway.errors import GatewayError
from gateway.inference.admission import admit, read_head
from gateway.inference.holds import calls_of
from metering.learning import Learning
from metering.usage import PARTS
from providers.dialect import Family, Operation
from providers.steps import at_once
from providers.tools.catalog import SERVER_TOOLS, TOOLS_BY_ID, bills
from providers.wires import WIRES

STATEMENT = {"api_keys": ["k"], "retention_days": 0, "training": False, "region": "global"}
UNITS = ("searches", "preview_searches", "file_searches", "map_searches", "fetches", "code_runs")
USD = dict(zip(UNITS, (10_000, 25_000, 2_500, 14_000, 1_000, 30_000), strict=True))
PRICES = {"none": {}, "own": USD, "web": {"searches": USD["searches"]}}
OPERATIONS = {
    Family.OPENAI: (Operation.OPENAI_CHAT, Operation.OPENAI_RESPONSES, Operation.OPENAI_COMPACT),
    Family.ANTHROPIC: (Operation.ANTHROPIC_MESSAGES,),
    Family.GOOGLE: (Operation.GEMINI_GENERATE, Operation.GEMINI_STREAM),
}


@cache
def configured(models, tools=()):
    config = read(
        {
            "server": {"data_dir": "never-made"},
            "providers": {family.value: {"kind": family.value, **STATEMENT} for family in Family}
            | {"spare": {"kind": "openai", "company": "openai", "base_url": "http://127.0.0.1:9", **STATEMENT}},
            "policy": {"server_tools": sorted(tools), "server_tools_refuse": "refuse"},
            "models": json.loads(models, parse_float=Decimal),
        },
        Path("gateway.toml"),
        {},
    )
    return config, load(config)


def decide(configuration, operation, body, path_model=None):
    config, catalog = configuration
    return admit(
        WIRES[operation],
        at_once(read_head(WIRES[operation], json.dumps(body).encode(), path_model, config.policy)),
        (),
        catalog=catalog,
        config=config,
        principal=Principal("s", "p", "default", Mode.CLOUD, 2**53),
        learning=Learning(),
    )


def model(family, price, *, name="m", provider_model="m", more=()):
    targets = [{"provider": family.value, "model": provider_model, "price": {"input": 1, "output": 4, **price}}, *more]
    return json.dumps([{"name": name, "targets": targets, "max_output": 100, "context_window": 500}])


def selecting(tool, operation):
    """Requests of the operation that select the tool, by each of its types and members."""
    known = TOOLS_BY_ID[tool]
    chat = operation is Operation.OPENAI_CHAT
    base = {"model": "m", "max_tokens": 9, "messages": []} if chat or known.family is Family.ANTHROPIC else {}
    base |= {"model": "m"} if known.family is not Family.GOOGLE else {"contents": []}
    for name in known.types:
        if known.family is Family.GOOGLE:
            yield base | {"tools": [{name: {}}]}
            continue
        yield base | {"tools": [{"type": name, "name": "n"}]}
        if known.dated:
            yield base | {"tools": [{"type": name + "_20260318", "name": "n"}]}
    if known.id == "openai_shell" and not chat:
        yield base | {"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]}
    for name in known.members if chat or known.family is Family.ANTHROPIC else ():
        yield base | {name: [{"on": True}]}


CASES = [
    (tool.id, operation, number, body)
    for tool in SERVER_TOOLS
    for operation in OPERATIONS[tool.family]
    for number, body in enumerate(selecting(tool.id, operation))
]


def test_every_tool_is_selected_somewhere():
    assert {tool for tool, *_ in CASES} == set(TOOLS_BY_ID)


@pytest.mark.parametrize("price", PRICES)
@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize(("tool", "operation", "number", "body"), CASES)
def test_a_tool_is_served_only_if_it_is_allowed_counted_and_priced(tool, operation, number, body, allowed, price):
    known, path_model = TOOLS_BY_ID[tool], "m" if operation.family is Family.GOOGLE else None
    config = configured(model(known.family, PRICES[price]), tools=(tool,) if allowed else ())
    own = known.unit in PRICES[price]
    borrowed = PARTS.get(known.unit) in PRICES[price]  # stated by the operator for every search
    serves = allowed and bills(tool, operation) and (known.unit is None or own or borrowed)
    if not serves:
        with pytest.raises(GatewayError) as refused:
            decide(config, operation, body, path_model)
        assert (refused.value.code, refused.value.param) == ("privacy_unsupported", "tools")
        assert tool in refused.value.message or (allowed and bills(tool, operation))
        return
    admitted = decide(config, operation, body, path_model)
    assert calls_of(admitted.targets[0], admitted.head) == ((known.unit,) if known.unit else ())
    usd = USD[known.unit if own else PARTS[known.unit]] if known.unit else 0
    assert admitted.amount == admitted.input_bound * 100 + admitted.output_tokens * 400 + usd * 100


# Models that search by themselves.

SEARCHING = ("gpt-4o-mini-search-preview", "gpt-4o-search-preview-2025-03-11", "gpt-5-search-api")


@pytest.mark.parametrize(
    "options", [{}, {"web_search_options": {}}, {"web_search_options": {"search_context_size": "low"}}]
)
@pytest.mark.parametrize("provider_model", SEARCHING)
@pytest.mark.parametrize("price", ["own", "none"])
@pytest.mark.parametrize("allowed", [True, False])
def test_a_model_that_searches_by_itself_is_the_tool_web_search(provider_model, options, price, allowed):
    config = configured(
        model(Family.OPENAI, PRICES[price], provider_model=provider_model),
        tools=("openai_web_search",) if allowed else (),
    )
    body = {"model": "m", "messages": [], "max_tokens": 9, **options}
    if allowed and price == "own":
        admitted = decide(config, Operation.OPENAI_CHAT, body)
        assert admitted.amount == admitted.input_bound * 100 + 9 * 400 + USD["searches"] * 100
        return
    with pytest.raises(GatewayError) as refused:
        decide(config, Operation.OPENAI_CHAT, body)
    assert refused.value.code == "privacy_unsupported"


def test_the_options_of_a_search_make_no_other_model_search():
    config = configured(model(Family.OPENAI, USD), tools=("openai_web_search",))
    with pytest.raises(GatewayError) as refused:
        decide(config, Operation.OPENAI_CHAT, {"model": "m", "messages": [], "web_search_options": {}})
    assert "openai_web_search" in refused.value.message


def test_counting_tokens_bills_no_tool():
    config = configured(model(Family.ANTHROPIC, {}), tools=("anthropic_web_search",))
    body = {"model": "m", "messages": [], "tools": [{"type": "web_search_20250305", "name": "web_search"}]}
    assert decide(config, Operation.ANTHROPIC_COUNT_TOKENS, body).amount == 0


# Every target of a failover.


@pytest.mark.parametrize(
    ("asked", "stated", "others", "left"),
    [
        ({"tools": [{"type": "web_search"}]}, {"searches": 1}, {}, ["openai"]),
        ({"tools": [{"type": "web_search"}]}, {"searches": 1}, {"searches": 2}, ["openai", "spare"]),
        ({"tools": [{"type": "web_search"}]}, {}, {"searches": 2}, None),
        ({"service_tier": "flex"}, {"variants": {"flex": 0.5}}, {}, ["openai"]),
        ({"service_tier": "flex"}, {}, {"variants": {"flex": 0.5}}, None),
        ({}, {}, {}, ["openai", "spare"]),
    ],
)
def test_a_target_at_which_something_has_no_price_is_no_fallback(asked, stated, others, left):
    spare = {"provider": "spare", "model": "m", "price": {"input": 1, "output": 4, **others}}
    config = configured(model(Family.OPENAI, stated, more=[spare]), tools=("openai_web_search",))
    body = {"model": "m", "input": "x", **asked}
    if left is None:
        with pytest.raises(GatewayError):
            decide(config, Operation.OPENAI_RESPONSES, body)
        return
    admitted = decide(config, Operation.OPENAI_RESPONSES, body)
    assert [target.provider.name for target in admitted.targets] == left


# Output that is no text.

SPOKEN, DRAWN = {"audio_out": 20}, {"image_out": 40}


@pytest.mark.parametrize(
    ("asked", "needed"),
    [
        (None, {}),
        (["text"], {}),
        (["TEXT"], {}),
        ([], {}),
        ("text", {}),
        (["text", "audio"], SPOKEN),
        (["AUDIO"], SPOKEN),
        ("audio", SPOKEN),
        (["image", "text"], DRAWN),
        (["TEXT", "IMAGE", "AUDIO"], SPOKEN | DRAWN),
        ([1, 3], SPOKEN),
        ([{}], {}),  # the provider's to refuse
    ],
)
@pytest.mark.parametrize("operation", [Operation.OPENAI_CHAT, Operation.GEMINI_GENERATE, Operation.GEMINI_STREAM])
def test_audio_and_images_are_asked_for_where_they_have_a_price(operation, asked, needed):
    family = operation.family
    body = {"model": "m", "messages": []} if family is Family.OPENAI else {"contents": []}
    if asked is not None:
        body |= (
            {"modalities": asked} if family is Family.OPENAI else {"generationConfig": {"responseModalities": asked}}
        )
    named = None if family is Family.OPENAI else "m"
    for prices in ({}, SPOKEN, DRAWN, SPOKEN | DRAWN):
        config = configured(model(family, prices))
        if needed.keys() <= prices.keys():
            assert decide(config, operation, body, named).targets
            continue
        with pytest.raises(GatewayError) as refused:
            decide(config, operation, body, named)
        assert refused.value.code == "unsupported_feature"
        assert "no price of their own" in refused.value.message
