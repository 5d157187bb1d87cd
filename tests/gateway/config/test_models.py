from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from gateway.config.models import VARIANTS
from tests.gateway.config.parsing import ELSEWHERE, PROVIDER, fault, faults, model, parse


def test_a_model_with_stated_prices_to_the_last_digit() -> None:
    config = parse(
        """
[tiers.pro]
[[models]]
name = "fast"
aliases = ["quick", "vendor/fast:latest"]
targets = [{provider = "openai", model = "gpt-x"}, {provider = "openai", model = "gpt-y", price = {input = 9, output = 9}}]
tiers = ["pro"]
reasoning = true
max_output = 1000
context_window = 200_000
[models.price]
input = 0.10
output = 0.4
cache_read = 0.0125
searches = 10_000
long_context = [{above = 200_000, input = 0.2}, {above = 400_000, input = 0.4, output = 1}]
[models.price.variants]
priority = 1.75
"standard.fast" = {input = 1, output = 2, long_context = [{above = 5, output = 3}]}
"""
    )
    (fast,) = config.models
    assert fast.aliases == ("quick", "vendor/fast:latest")
    assert fast.tiers == {"pro"}
    assert (fast.reasoning, fast.max_output, fast.context_window) == (True, 1000, 200_000)
    first, second = fast.targets
    assert first.price is not None
    assert first.price.row["input"] == (
        (0, Decimal("0.10")),
        (200_000, Decimal("0.2")),
        (400_000, Decimal("0.4")),
    )
    assert first.price.row["output"] == ((0, Decimal("0.4")), (400_000, Decimal(1)))
    assert first.price.row["cache_read"] == ((0, Decimal("0.0125")),)
    assert first.price.variants["priority"] == Fraction(7, 4)
    assert first.price.variants["standard.fast"] == {
        "input": ((0, Decimal(1)),),
        "output": ((0, Decimal(2)), (5, Decimal(3))),
    }
    assert second.price is not None
    assert second.price.row["input"] == ((0, Decimal(9)),)


def test_a_published_price_holds_only_at_its_maker() -> None:
    assert parse(model(price="")).models[0].targets[0].price is None
    line = fault(model(price=""), provider=ELSEWHERE)
    assert line.startswith("models[0].targets[0].price: is missing")


def test_without_models_a_maker_must_be_among_the_providers() -> None:
    assert fault("", provider=ELSEWHERE).startswith("models: ")


@pytest.mark.parametrize(
    ("price", "key"),
    [
        ("{input = 1}", "models[0].price.output"),
        ("{input = -1, output = 1}", "models[0].price.input"),
        ("{input = 1, output = inf}", "models[0].price.output"),
        ('{input = "1", output = 1}', "models[0].price.input"),
        ("{input = true, output = 1}", "models[0].price.input"),
        ("{input = 1, output = 1, inputs = 1}", "models[0].price.inputs"),
        ("{input = 1, output = 1, in_uncached = 1}", "models[0].price.in_uncached"),
        ("{input = 1, output = 1, variants = {turbo = 2}}", "models[0].price.variants.turbo"),
        ("{input = 1, output = 1, variants = {standard = 2}}", "models[0].price.variants.standard"),
        ("{input = 1, output = 1, variants = {flex = 101}}", "models[0].price.variants.flex"),
        ("{input = 1, output = 1, variants = {flex = -1}}", "models[0].price.variants.flex"),
        ("{input = 1, output = 1, variants = 2}", "models[0].price.variants"),
        ("{input = 1, output = 1, variants = {flex = {inpt = 1}}}", "models[0].price.variants.flex.inpt"),
        ("{input = 1, output = 1, long_context = 5}", "models[0].price.long_context"),
        (
            "{input = 1, output = 1, long_context = [{input = 1}]}",
            "models[0].price.long_context[0].above",
        ),
        (
            "{input = 1, output = 1, long_context = [{above = 5, cache_read = 1}]}",
            "models[0].price.long_context[0].cache_read",
        ),
        (
            "{input = 1, output = 1, long_context = [{above = 5, input = 1}, {above = 5, input = 2}]}",
            "models[0].price.long_context[1].above",
        ),
        ("5", "models[0].price"),
    ],
)
def test_prices_that_cannot_be_priced_with(price: str, key: str) -> None:
    lines = faults(model(price=f"price = {price}"))
    assert key in [line.split(": ", 1)[0] for line in lines]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (model('aliases = ["m"]'), "models[0].aliases"),
        (model() + model(), "models[1].name"),
        (model('tiers = ["gold"]'), "models[0].tiers"),
        (model("max_output = 0"), "models[0].max_output"),
        (model("reasoning = 1"), "models[0].reasoning"),
        (model('colour = "red"'), "models[0].colour"),
        (model().replace('"m"', '"has space"'), "models[0].name"),
        (model().replace('name = "m"', ""), "models[0].name"),
        (model().replace('provider = "openai"', 'provider = "nobody"'), "models[0].targets[0].provider"),
        (model().replace('provider = "openai", ', ""), "models[0].targets[0].provider"),
        (model().replace(', model = "x"', ""), "models[0].targets[0].model"),
        ('[[models]]\nname = "m"\n', "models[0].targets"),
        ('[[models]]\nname = "m"\ntargets = "openai"\n', "models[0].targets"),
        ("[models]\n", "models"),
    ],
)
def test_models_that_cannot_be_served(text: str, key: str) -> None:
    assert key in [line.split(": ", 1)[0] for line in faults(text)]


def test_a_fault_of_a_provider_is_not_blamed_on_its_models() -> None:
    lines = faults(model(), provider=PROVIDER.replace('kind = "openai"', 'kind = "opena"'))
    assert [line.split(": ", 1)[0] for line in lines] == ["providers.openai.kind"]


def test_variants_are_the_forms_of_records() -> None:
    assert {"priority", "flex", "standard.fast", "standard.us", "priority.fast.eu"} <= VARIANTS
    assert "standard" not in VARIANTS
