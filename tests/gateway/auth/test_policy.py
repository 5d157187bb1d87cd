"""Whatever is stated by whomever: joining it never loosens. And the tables of modes, regions, models and versions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth import policy
from gateway.auth.choice import Choice
from gateway.auth.entitlements import NONE, Entitlements
from gateway.auth.principal import Mode, Principal
from gateway.catalog.catalog import Model
from gateway.errors import AppUpgradeRequired

SESSION = Principal("s", "p", "default", Mode.CLOUD, 2**53)
NAMES = ["a", "b", "c"]
REGIONS = ["", "global", "eu", "us", "atlantis"]
VERSIONS = ["0.9", "1.0", "1.9", "1.10", "2.0.0-beta", "2.0.0", "2.0.1"]
CATALOG = [Model(name, (), frozenset(tiers)) for name, tiers in (("a", ()), ("b", ("pro",)), ("c", ("pro", "team")))]

stated = st.builds(
    Entitlements,
    st.just(1),
    tier=st.sampled_from(["", "pro", "team", "free"]),
    models=st.frozensets(st.sampled_from(NAMES)),
    region=st.sampled_from(REGIONS),
    mode=st.sampled_from(["", "cloud", "local", "Cloud", "new"]),
    min_app=st.dictionaries(st.sampled_from(["macos", "linux"]), st.sampled_from(VERSIONS)),
    max_retention_days=st.sampled_from([None, 0, 7, 30]),
    fallback_companies=st.none() | st.frozensets(st.sampled_from(NAMES)),
)
sessions = st.builds(
    lambda mode, region, app, platform, days: replace(
        SESSION, mode=mode, region=region, app_version=app, platform=platform, max_retention_days=days
    ),
    st.sampled_from(Mode),
    st.sampled_from(REGIONS),
    st.sampled_from(["", "nonsense", *VERSIONS]),
    st.sampled_from(["", "macos", "linux"]),
    st.sampled_from([None, 0, 7, 30]),
)

chosen = st.builds(
    Choice, st.sampled_from(["", "cloud", "local"]), st.sampled_from(REGIONS), st.sampled_from([None, 0, 30])
)


def allowed(principal: Principal, asked_modes: list[str], asked_regions: list[str]) -> set[tuple[str, str, int]]:
    """Every model, region and retention that a request may use."""
    if policy.is_local(principal.mode, asked_modes) or principal.required_app:
        return set()
    regions = policy.narrow(principal.regions, asked_regions)
    limit = principal.max_retention_days
    return {
        (model.name, region, days)
        for model in CATALOG
        if policy.allows(principal, model)
        for region in ("global", "eu", "us")
        if regions is None or region in regions
        for days in (0, 7, 30, 90)
        if limit is None or days <= limit
    }


@given(sessions, stated, stated, st.lists(st.sampled_from(["cloud", "local", "?"])), st.lists(st.sampled_from(REGIONS)))
def test_no_statement_loosens_what_the_others_say(
    session: Principal, account: Entitlements, org: Entitlements, modes: list[str], regions: list[str]
) -> None:
    everything = allowed(policy.resolve(session, account, org), modes, regions)
    assert everything <= allowed(policy.resolve(session, account, org), [], [])
    assert everything <= allowed(policy.resolve(session, account, org), modes[:1], regions[:1])
    if org.tier:  # the session's own tier holds where nobody else states one
        assert everything <= allowed(policy.resolve(session, NONE, org), modes, regions)
    if account.tier:
        assert everything <= allowed(policy.resolve(session, account, NONE), modes, regions)
    free = replace(session, mode=Mode.CLOUD, region="", app_version="9", platform="", max_retention_days=None)
    assert everything <= allowed(policy.resolve(free, account, org), modes, regions)


@given(sessions, stated, stated)
def test_who_states_it_does_not_matter(session: Principal, one: Entitlements, other: Entitlements) -> None:
    assert allowed(policy.resolve(session, one, other), [], []) == allowed(policy.resolve(session, other, one), [], [])


@given(sessions, stated, stated)
def test_stating_the_same_again_changes_nothing(session: Principal, one: Entitlements, other: Entitlements) -> None:
    once = policy.resolve(session, one, other)
    assert allowed(policy.resolve(once, one, other), [], []) == allowed(once, [], [])


@pytest.mark.parametrize(
    ("of_session", "of_account", "of_org", "asked", "local"),
    [
        ("cloud", "", "", [], False),
        ("cloud", "cloud", "cloud", ["cloud"], False),
        ("local", "cloud", "cloud", ["cloud"], True),
        ("cloud", "local", "", [], True),
        ("cloud", "", "local", ["cloud"], True),
        ("cloud", "", "", ["cloud", "local"], True),
        ("cloud", "", "", ["CLOUD"], True),
        ("cloud", "", "", [""], True),
        ("cloud", "hybrid", "", [], True),
    ],
)
def test_local_wins_and_what_is_unknown_is_local(
    of_session: str, of_account: str, of_org: str, asked: list[str], local: bool
) -> None:
    session = replace(SESSION, mode=Mode(of_session))
    found = policy.resolve(session, Entitlements(1, mode=of_account), Entitlements(1, mode=of_org))
    assert policy.is_local(found.mode, asked) is local


@pytest.mark.parametrize(
    ("of_session", "of_account", "of_org", "asked", "left"),
    [
        ("", "", "", [], None),
        ("global", "", "global", [], None),
        ("", "", "", ["GLOBAL"], None),
        ("EU", "eu", "", ["Eu"], {"eu"}),
        ("", "eu", "", [], {"eu"}),
        ("eu", "eu", "", ["eu"], {"eu"}),
        ("", "", "eu", ["us"], set()),
        ("us", "eu", "", ["us"], set()),
        ("", "", "", ["eu", "us"], set()),
        ("", "", "", ["atlantis"], {"atlantis"}),
        ("eu", "", "", ["global"], {"eu"}),
    ],
)
def test_a_conflict_of_regions_leaves_none(
    of_session: str, of_account: str, of_org: str, asked: list[str], left: set[str] | None
) -> None:
    session = replace(SESSION, region=of_session)
    found = policy.resolve(session, Entitlements(1, region=of_account), Entitlements(1, region=of_org))
    assert policy.narrow(found.regions, asked) == left


@pytest.mark.parametrize(
    ("of_account", "of_org", "tiers", "names"),
    [
        ("", "", ("default",), {"a"}),
        ("pro", "", ("pro",), {"a", "b", "c"}),
        ("", "team", ("team",), {"a", "c"}),
        ("pro", "team", ("pro", "team"), {"a", "c"}),
        ("pro", "free", ("pro", "free"), {"a"}),
    ],
)
def test_a_model_must_be_in_every_plan(of_account: str, of_org: str, tiers: tuple[str, ...], names: set[str]) -> None:
    found = policy.resolve(SESSION, Entitlements(1, of_account), Entitlements(1, of_org))
    assert found.tiers == tiers
    assert {model.name for model in CATALOG if policy.allows(found, model)} == names


@pytest.mark.parametrize(
    ("of_account", "of_org", "allowed"),
    [
        (None, None, ""),
        ("ab", None, "ab"),
        (None, "ab", "ab"),
        ("ab", "bc", "b"),
        ("", "ab", ""),  # an empty list forbids all
        ("ab", "", ""),
    ],
)
def test_a_fallback_company_is_allowed_by_name(of_account: str | None, of_org: str | None, allowed: str) -> None:
    lists = (None if names is None else frozenset(names) for names in (of_account, of_org))
    account, org = (Entitlements(1, fallback_companies=names) for names in lists)
    assert policy.resolve(SESSION, account, org).fallback_companies == frozenset(allowed)


def test_models_without_one_in_common_are_none_and_not_every_one() -> None:
    one, other = Entitlements(1, "pro", frozenset("ab")), Entitlements(1, models=frozenset("bc"))
    assert policy.resolve(SESSION, one, other).models == {"b"}
    nothing = policy.resolve(SESSION, one, Entitlements(1, models=frozenset("c")))
    assert nothing.models == frozenset()
    assert not any(policy.allows(nothing, model) for model in CATALOG)


@pytest.mark.parametrize(
    ("platform", "version", "of_account", "of_org", "required"),
    [
        ("macos", "1.9", {"macos": "1.10"}, {}, "1.10"),
        ("macos", "1.10", {"macos": "1.9"}, {}, ""),
        ("macos", "1.10", {"macos": "1.9"}, {"macos": "1.11"}, "1.11"),
        ("macos", "1.2", {"macos": "1.2.0"}, {}, ""),
        ("macos", "2.0.0-beta.1", {"macos": "2.0"}, {}, "2.0"),
        ("macos", "2.0.0+7", {"macos": "2.0"}, {}, ""),
        ("macos", "", {"macos": "0.1"}, {}, "0.1"),
        ("macos", "nightly", {"macos": "0"}, {}, "0"),
        ("linux", "0.1", {"macos": "1"}, {}, ""),
        ("", "0.1", {"macos": "1"}, {}, ""),
    ],
)
def test_versions_are_compared_as_numbers(
    platform: str, version: str, of_account: dict[str, str], of_org: dict[str, str], required: str
) -> None:
    session = replace(SESSION, platform=platform, app_version=version)
    found = policy.resolve(session, Entitlements(1, min_app=of_account), Entitlements(1, min_app=of_org))
    assert found.required_app == required
    if not required:
        policy.check_app(found)
        return
    with pytest.raises(AppUpgradeRequired) as caught:
        policy.check_app(found)
    assert caught.value.headers == {"x-min-app-version": required}


def test_versions_are_in_this_order() -> None:
    assert sorted(VERSIONS, key=policy.version_key) == VERSIONS


@given(sessions, stated, stated, chosen)
def test_what_the_user_chose_only_tightens(
    session: Principal, account: Entitlements, org: Entitlements, choice: Choice
) -> None:
    left = allowed(policy.resolve(session, account, org, choice), [], [])
    assert left <= allowed(policy.resolve(session, account, org), [], [])
