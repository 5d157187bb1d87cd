from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.api.models import Offering, list_models, show_model
from gateway.auth.principal import Mode, Principal
from gateway.catalog.catalog import Catalog, CatalogTarget, Model
from gateway.config import DataHandling, Endpoint, ProviderConfig, Region
from gateway.config.load import read
from gateway.errors import InvalidRequest, ModelNotFound
from gateway.names import Closed
from metering.pricing import build
from providers.dialect import Family

PRICE = build(
    {"input": ((0, Decimal(1)),), "output": ((0, Decimal(4)),)},
    {},
    credit_usd=Decimal("0.01"),
    markup=Decimal(1),
    version="config-test",
)


TODAY = date(2026, 11, 28)
CONFIG = read({"providers": {"p": {"kind": "openai", "api_keys": ["k"], "retention_days": 0, "training": False, "region": "global"}}}, Path("g"), {})  # fmt: skip


def made(
    name: str, family: Family, tiers: frozenset[str] = frozenset(), host: str = "127.0.0.1", region: Region = Region.US
) -> Model:
    place = ProviderConfig(
        family.value,
        family,
        Endpoint(tls=False, host=host, port=1),
        ("k",),
        DataHandling(30, False, region),
        family.value,
    )
    return Model(Closed(name), (CatalogTarget(place, name, PRICE, reasons=False),), tiers)


MODELS = (
    *(made(f"claude-{index}-x", Family.ANTHROPIC) for index in range(5)),
    *(made(f"gemini-{index}", Family.GOOGLE) for index in range(3)),
    made("gpt", Family.OPENAI),
    made("gpt-pro", Family.OPENAI, frozenset({"pro"})),
    made("ada", Family.OPENAI),
    made("claude-v1", Family.ANTHROPIC),
    made("gpt-5", Family.OPENAI),
    made("claude-opus-4-5", Family.ANTHROPIC),
    made("gemini-2.5-pro", Family.GOOGLE),
    made("gpt-4", Family.OPENAI, host="elsewhere.example"),
    made("gpt-eu", Family.OPENAI, region=Region.EU),
    made("gemini-3-pro-image-preview", Family.GOOGLE),
)
CATALOG = Catalog(
    MODELS,
    {model.name: model for model in MODELS} | {"gemini-3-pro-image": MODELS[-1].named("gemini-3-pro-image")},
    price_version="config-test",
)
CALLER = Principal("s", "p", "default", Mode.CLOUD, 1)


def offering(family: Family, caller: Principal = CALLER, today: date = TODAY, **headers: str) -> Offering:
    sent = CIMultiDictProxy(CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()}))
    return Offering(CATALOG, CONFIG, caller, family, headers=sent, today=today)


def ids(family: Family, caller: Principal = CALLER, today: date = TODAY, **headers: str) -> list[str]:
    return [offer.name for offer in offering(family, caller, today, **headers).all()]


def page(family: Family, query: str = "") -> dict[str, Any]:
    return json.loads(list_models(offering(family), family, query, "req_1").body)


def test_each_list_offers_what_its_dialect_can_call_by_plan_and_as_long_as_it_is_served() -> None:
    assert page(Family.OPENAI)["object"] == "list"
    assert [model["id"] for model in page(Family.OPENAI)["data"]] == ids(Family.OPENAI)
    gpts = ["gpt", "gpt-5", "gpt-4", "gpt-eu"]  # another host than its maker's serves gpt-4
    claudes = [*(f"claude-{index}-x" for index in range(5)), "claude-opus-4-5"]
    geminis = ["gemini-0", "gemini-1", "gemini-2", "gemini-2.5-pro"]
    # Each list begins with its own; what answers with pictures is not translated.
    assert ids(Family.OPENAI) == [*gpts, *claudes[:-1], *geminis[:-1], claudes[-1], geminis[-1]]
    assert ids(Family.ANTHROPIC) == [*claudes, *geminis[:-1], *gpts[:2], geminis[-1], *gpts[2:]]
    assert ids(Family.GOOGLE) == [*geminis, "gemini-3-pro-image", *claudes[:-1], *gpts[:2], claudes[-1], *gpts[2:]]
    assert "gpt-pro" in ids(Family.OPENAI, replace(CALLER, tier="pro"))
    assert "gpt-5" not in ids(Family.OPENAI, today=date(2026, 12, 11))


def test_a_model_that_embeds_is_offered_in_the_apis_with_embeddings() -> None:
    models = (made("embed-1", Family.OPENAI), made("embed-2", Family.GOOGLE), made("instruct", Family.OPENAI))
    catalog = Catalog(models, {model.name: model for model in models}, price_version="config-test")
    found = {
        family: {
            offer.name
            for offer in Offering(
                catalog, CONFIG, CALLER, family, headers=CIMultiDictProxy(CIMultiDict()), today=TODAY
            ).all()
        }
        for family in Family
    }
    assert found[Family.OPENAI] == {"embed-1", "embed-2", "instruct"}
    assert found[Family.GOOGLE] == {"embed-1", "embed-2"}
    assert found[Family.ANTHROPIC] == set()


def test_a_list_offers_what_region_retention_and_models_of_the_caller_leave() -> None:
    assert ids(Family.OPENAI, replace(CALLER, regions=frozenset({"eu"}))) == ["gpt-eu"]
    assert ids(Family.OPENAI, x_processing_region="eu") == ["gpt-eu"]
    assert ids(Family.OPENAI, replace(CALLER, regions=frozenset({"us"})), x_processing_region="eu") == []
    assert ids(Family.OPENAI, replace(CALLER, max_retention_days=29)) == []
    assert ids(Family.OPENAI, x_max_retention_days="0") == []
    assert ids(Family.OPENAI, replace(CALLER, models=frozenset({"gpt"}))) == ["gpt"]
    with pytest.raises(InvalidRequest):
        ids(Family.OPENAI, x_max_retention_days="soon")


def test_what_is_deprecated_says_so_with_its_end() -> None:
    ends = {model["id"]: model["shutdown_date"] for model in page(Family.OPENAI)["data"]}
    assert (ends["gpt-5"], ends["gpt"]) == ("2026-12-11", None)
    shown = {model["id"]: model for model in page(Family.ANTHROPIC)["data"]}
    assert shown["claude-opus-4-5"]["lifecycle"] == "deprecated"
    assert shown["claude-opus-4-5"]["retires_at"] == "2027-01-22T00:00:00Z"
    assert (shown["claude-0-x"]["lifecycle"], shown["claude-0-x"]["retires_at"]) == ("active", None)
    told = {model["name"]: model.get("description") for model in page(Family.GOOGLE)["models"]}
    assert told["models/gemini-2.5-pro"] == "Deprecated; its maker switches it off on 2026-12-01."
    assert told["models/gemini-0"] is None


def test_codex_finds_its_own_member_empty_and_keeps_its_list() -> None:
    assert page(Family.OPENAI, "client_version=0.153.4")["models"] == []
    assert "models" not in page(Family.OPENAI)


def test_anthropic_pages_forwards_and_backwards() -> None:
    first = page(Family.ANTHROPIC, "limit=2")
    assert ([model["id"] for model in first["data"]], first["has_more"]) == (["claude-0-x", "claude-1-x"], True)
    second = page(Family.ANTHROPIC, f"limit=4&after_id={first['last_id']}")
    assert ([model["id"] for model in second["data"]], second["has_more"]) == (
        ["claude-2-x", "claude-3-x", "claude-4-x", "claude-opus-4-5"],
        True,
    )
    last = page(Family.ANTHROPIC, f"limit=10&after_id={second['last_id']}")
    assert ([model["id"] for model in last["data"]][-1], last["has_more"]) == ("gpt-eu", False)
    back = page(Family.ANTHROPIC, "limit=2&before_id=claude-3-x")
    assert ([model["id"] for model in back["data"]], back["has_more"]) == (["claude-1-x", "claude-2-x"], True)


def test_google_pages_by_token() -> None:
    first = page(Family.GOOGLE, "pageSize=2")
    assert [model["name"] for model in first["models"]] == ["models/gemini-0", "models/gemini-1"]
    last = page(Family.GOOGLE, f"pageSize=3&pageToken={first['nextPageToken']}")
    assert [model["name"] for model in last["models"]] == [
        "models/gemini-2",
        "models/gemini-2.5-pro",
        "models/gemini-3-pro-image",
    ]
    assert "nextPageToken" not in page(Family.GOOGLE, "pageSize=100&pageToken=5")


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
        Family.ANTHROPIC: ("claude-1-x", "type", "model"),
        Family.GOOGLE: ("gemini-1", "name", "models/gemini-1"),
    }
    for family, (name, key, value) in shapes.items():
        assert json.loads(show_model(offering(family), family, name, "req_1").body)[key] == value


@pytest.mark.parametrize("name", ["nobody", "gpt-pro", "ada", "gemini-3-pro-image"])
def test_what_the_caller_cannot_call_looks_unknown(name: str) -> None:
    with pytest.raises(ModelNotFound):
        show_model(offering(Family.OPENAI), Family.OPENAI, name, "req_1")
