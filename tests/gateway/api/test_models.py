from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from gateway.api.models import list_models, show_model
from gateway.auth.principal import Mode, Principal
from gateway.catalog.catalog import Catalog, CatalogTarget, Model
from gateway.config import Endpoint, ProviderConfig, Region
from gateway.errors import InvalidRequest, ModelNotFound
from metering.pricing import build
from providers.dialect import Family

PRICE = build(
    {"input": ((0, Decimal(1)),), "output": ((0, Decimal(4)),)},
    {},
    credit_usd=Decimal("0.01"),
    markup=Decimal(1),
    version="config-test",
)


def made(name: str, family: Family, tiers: frozenset[str] = frozenset()) -> Model:
    place = ProviderConfig(
        family.value,
        family,
        Endpoint(tls=False, host="127.0.0.1", port=1),
        ("k",),
        0,
        False,
        Region.GLOBAL,
        family.value,
    )
    return Model(name, (CatalogTarget(place, name, PRICE, reasons=False),), tiers)


MODELS = (
    *(made(f"claude-{index}", Family.ANTHROPIC) for index in range(5)),
    *(made(f"gemini-{index}", Family.GOOGLE) for index in range(3)),
    made("gpt", Family.OPENAI),
    made("gpt-pro", Family.OPENAI, frozenset({"pro"})),
)
CATALOG = Catalog(MODELS, {model.name: model for model in MODELS}, price_version="config-test")
CALLER = Principal("s", "p", "default", Mode.CLOUD, 1)


def page(family: Family, query: str = "") -> dict[str, Any]:
    return json.loads(list_models(CATALOG, CALLER, family, query, "req_1").body)


def test_openai_lists_everything_that_the_plan_includes() -> None:
    shown = page(Family.OPENAI)
    assert shown["object"] == "list"
    assert [model["id"] for model in shown["data"]] == [model.name for model in MODELS if model.name != "gpt-pro"]


def test_codex_finds_its_own_member_empty_and_keeps_its_list() -> None:
    assert page(Family.OPENAI, "client_version=0.153.4")["models"] == []
    assert "models" not in page(Family.OPENAI)


def test_anthropic_pages_forwards_and_backwards() -> None:
    first = page(Family.ANTHROPIC, "limit=2")
    assert ([model["id"] for model in first["data"]], first["has_more"]) == (["claude-0", "claude-1"], True)
    second = page(Family.ANTHROPIC, f"limit=10&after_id={first['last_id']}")
    assert ([model["id"] for model in second["data"]], second["has_more"]) == (
        ["claude-2", "claude-3", "claude-4"],
        False,
    )
    back = page(Family.ANTHROPIC, "limit=2&before_id=claude-3")
    assert ([model["id"] for model in back["data"]], back["has_more"]) == (["claude-1", "claude-2"], True)


def test_google_pages_by_token() -> None:
    first = page(Family.GOOGLE, "pageSize=2")
    assert [model["name"] for model in first["models"]] == ["models/gemini-0", "models/gemini-1"]
    last = page(Family.GOOGLE, f"pageSize=2&pageToken={first['nextPageToken']}")
    assert [model["name"] for model in last["models"]] == ["models/gemini-2"]
    assert "nextPageToken" not in last


@pytest.mark.parametrize(
    ("family", "query"),
    [
        (Family.ANTHROPIC, "limit=x"),
        (Family.ANTHROPIC, "limit=0"),
        (Family.ANTHROPIC, "after_id=nobody"),
        (Family.GOOGLE, "pageToken=99"),
        (Family.GOOGLE, "pageToken=x"),
    ],
)
def test_a_page_that_was_never_given_out_is_refused(family: Family, query: str) -> None:
    with pytest.raises(InvalidRequest):
        page(family, query)


def test_one_model_in_each_shape() -> None:
    shapes = {
        Family.OPENAI: ("gpt", "object", "model"),
        Family.ANTHROPIC: ("claude-1", "type", "model"),
        Family.GOOGLE: ("gemini-1", "name", "models/gemini-1"),
    }
    for family, (name, key, value) in shapes.items():
        assert json.loads(show_model(CATALOG, CALLER, family, name, "req_1").body)[key] == value


@pytest.mark.parametrize("name", ["nobody", "gpt-pro"])
def test_an_unknown_model_and_one_of_another_plan_look_the_same(name: str) -> None:
    with pytest.raises(ModelNotFound):
        show_model(CATALOG, CALLER, Family.OPENAI, name, "req_1")
