"""Whatever a request names, and whoever limits it: no target is left that keeps it for too long or elsewhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.principal import Mode, Principal
from gateway.catalog.catalog import load
from gateway.config.load import read
from gateway.errors import (
    GatewayError,
    PrivacyUnsupported,
    RegionUnavailable,
    RetentionUnavailable,
    UnsupportedFeature,
)
from gateway.inference.admission import Admission, admit, at_provider, offered, read_head
from metering.learning import Learning
from providers.dialect import Family, Operation
from providers.steps import at_once
from providers.wires import WIRES

PROVIDERS = ("one", "two", "three")
STATEMENT = {"kind": "anthropic", "company": "c", "api_keys": ["k"], "training": False, "region": "global"}
PRICE = {"input": 1, "output": 4, "searches": 1}
PRINCIPAL = Principal("s", "p", "default", Mode.CLOUD, 2**53)
DAYS, REGIONS = (0, 7, 30), ("global", "eu", "us")
NAMES = ("haiku", "sonnet", "fable")
limits = st.sampled_from([None, *DAYS, 29])


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """Three models at up to five targets each, of which some state their own handling."""
    providers = {
        name: {**STATEMENT, "retention_days": draw(st.sampled_from(DAYS)), "base_url": "https://h.example"}
        for name in PROVIDERS
    }
    own = st.fixed_dictionaries(
        {}, optional={"retention_days": st.sampled_from(DAYS), "region": st.sampled_from(REGIONS)}
    )
    models = []
    for name in NAMES:
        at = draw(st.lists(st.tuples(st.sampled_from(PROVIDERS), own), min_size=1, max_size=5))
        targets = [{"provider": provider, "model": f"claude-{name}-5", **more} for provider, more in at]
        models.append({"name": name, "price": PRICE, "targets": targets})
    return {"providers": providers, "models": models}


def asked(
    table: dict[str, Any],
    principal: Principal = PRINCIPAL,
    days: tuple[str, ...] = (),
    operation: Operation = Operation.ANTHROPIC_MESSAGES,
    **members: Any,
) -> Admission:
    config = read(table, Path("gateway.toml"), {})
    body = {"model": "haiku", "max_tokens": 9, "messages": [], **members}
    wire = WIRES[operation]
    head = at_once(read_head(wire, json.dumps(body).encode(), None, config.policy))
    catalog = load(config)
    return admit(
        wire,
        head,
        (),
        catalog=catalog,
        config=config,
        principal=principal,
        asked_retention=days,
        learning=Learning(),
    )


@given(
    tables(), limits, limits, limits, st.sampled_from([None, "eu", "us"]), st.lists(st.sampled_from(NAMES), max_size=3)
)
def test_no_target_that_is_left_keeps_it_for_too_long_or_elsewhere(
    table: dict[str, Any],
    own: int | None,
    of_session: int | None,
    of_request: int | None,
    region: str | None,
    further: list[str],
) -> None:
    if own is not None:
        table["policy"] = {"max_retention_days": own}
    regions = None if region is None else frozenset({region})
    principal = replace(PRINCIPAL, max_retention_days=of_session, regions=regions)
    headers = () if of_request is None else (str(of_request),)
    limit = min((days for days in (own, of_session, of_request) if days is not None), default=None)
    handling = {
        model.name: [(t.provider.name, t.handling) for t in model.targets]
        for model in load(read(table, Path("g"), {})).models
    }

    def may(name: str, provider: str | None = None) -> bool:
        return any(
            (limit is None or of.retention_days <= limit) and region in (None, of.region.value)
            for at, of in handling[name]
            if provider in (None, at)
        )

    try:
        found = asked(table, principal, headers, fallbacks=[{"model": name} for name in further])
    except (RegionUnavailable, RetentionUnavailable) as error:
        named = ["haiku"] if error.param is None else further
        assert not all(may(name) for name in named)
        return
    except UnsupportedFeature:
        assert not any(all(may(name, provider) for name in ("haiku", *further)) for provider in PROVIDERS)
        return
    served = [*found.targets]
    for target in found.targets:
        served += [at_provider(found.further[name], target.provider.name) for name in further]
    for one in served:
        assert one is not None
        assert limit is None or one.handling.retention_days <= limit
        assert region in (None, one.handling.region.value)


@given(
    tables(),
    limits,
    st.sampled_from([None, "eu", "us"]),
    st.sampled_from([None, frozenset(), frozenset({"haiku"}), frozenset({"sonnet"})]),
)
def test_what_is_offered_is_what_is_let_in(
    table: dict[str, Any], limit: int | None, region: str | None, models: frozenset[str] | None
) -> None:
    regions = None if region is None else frozenset({region})
    principal = replace(PRINCIPAL, max_retention_days=limit, regions=regions, models=models)
    config = read(table, Path("gateway.toml"), {})
    model = load(config).resolve("haiku")
    assert model is not None
    try:
        let_in = asked(table, principal).targets
    except GatewayError:
        let_in = ()
    for family in Family:  # from the other dialects by translation
        assert offered(model, family, config, principal, pinned=regions, limit=limit) == let_in


def test_the_search_finds_what_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = test_no_target_that_is_left_keeps_it_for_too_long_or_elsewhere.hypothesis.inner_test  # type: ignore[attr-defined]
    for further in ([], ["opus"]):
        searched(one(0 if further else 30), None, None, 29, None, further)
    monkeypatch.setattr("gateway.auth.retention.within", lambda targets, *_: tuple(targets))
    for further in ([], ["opus"]):
        with pytest.raises(AssertionError):
            searched(one(0 if further else 30), None, None, 29, None, further)


def one(days: int = 0, **more: Any) -> dict[str, Any]:
    """One provider whose statement is ``days``, and two models of it."""
    target = {"provider": "one", "model": "claude-haiku-5"}
    opus = {"provider": "one", "model": "claude-opus-5", "retention_days": 30}
    models = [
        {"name": "haiku", "targets": [target], "price": PRICE},
        {"name": "opus", "targets": [opus], "price": PRICE},
    ]
    return {"providers": {"one": {**STATEMENT, "retention_days": days}}, "models": models, **more}


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": "opus"}, None),
        ({"fallbacks": [{"model": "opus"}]}, "fallbacks"),
        ({"tools": [{"type": "advisor_20260301", "name": "advisor", "model": "opus"}]}, "tools"),
    ],
)
def test_every_model_that_a_request_names_is_within_the_limit(members: dict[str, Any], param: str | None) -> None:
    table = one(policy={"server_tools": ["anthropic_advisor"]})
    with pytest.raises(RetentionUnavailable) as refused:
        asked(table, days=("29",), **members)
    assert (refused.value.param, refused.value.limit, refused.value.least) == (param, 29, 30)
    assert asked(table, days=("30",), **members).targets


def test_what_the_gateway_itself_states_holds_for_everybody() -> None:
    with pytest.raises(RetentionUnavailable):
        asked(one(30, policy={"max_retention_days": 29}), days=("99",))
    assert asked(one(30, policy={"max_retention_days": 30})).max_retention_days == 30


def test_nothing_kept_is_no_tool_either_that_keeps_something() -> None:
    table = one(policy={"server_tools": ["anthropic_web_search", "anthropic_code_execution"]})
    table["models"][0]["price"] = {**PRICE, "code_runs": 1}
    search = [{"type": "web_search_20250305", "name": "web_search"}]
    runs = [{"type": "code_execution_20250522", "name": "code_execution"}]  # its container stays for a while
    assert asked(table, days=("0",), tools=search).max_retention_days == 0
    assert asked(table, days=("1",), tools=runs).targets
    with pytest.raises(PrivacyUnsupported) as refused:
        asked(table, days=("0",), tools=runs)
    assert refused.value.param == "tools"


def test_nothing_kept_is_no_model_either_that_searches_by_itself() -> None:
    search = {"provider": "own", "model": "gpt-4o-search-preview"}
    openai = {**STATEMENT, "kind": "openai", "retention_days": 0}
    table = {
        "providers": {"own": openai},
        "policy": {"server_tools": ["openai_web_search"]},
        "models": [{"name": "search", "targets": [search], "price": PRICE}],
    }
    assert asked(table, days=("1",), operation=Operation.OPENAI_CHAT, model="search").targets
    with pytest.raises(PrivacyUnsupported) as refused:
        asked(table, days=("0",), operation=Operation.OPENAI_CHAT, model="search")
    assert refused.value.param == "model"
