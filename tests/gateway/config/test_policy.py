from __future__ import annotations

import pytest

from gateway.config import CacheIsolation
from tests.gateway.config.parsing import ELSEWHERE, PROVIDER, fault, model, parse


def test_accounts_are_kept_apart_in_a_cache_where_there_is_a_key_for_it() -> None:
    isolated = '[policy]\ncache_isolation = "account"\n'
    assert parse(isolated).policy.cache_isolation is CacheIsolation.ACCOUNT
    assert parse("").policy.cache_isolation is CacheIsolation.SHARED
    for kind in ("anthropic", "google"):
        line = fault(isolated, provider=PROVIDER.replace('"openai"', f'"{kind}"'))
        assert line.startswith("policy.cache_isolation: ")
        assert f"({kind})" in line
    assert fault(model() + isolated, provider=ELSEWHERE).startswith("policy.cache_isolation: ")


def test_nothing_is_cached_where_providers_can_be_told_so() -> None:
    uncached = '[policy]\ncache_isolation = "none"\n'
    for kind in ("openai", "anthropic"):
        stated = parse(uncached, provider=PROVIDER.replace('"openai"', f'"{kind}"'))
        assert stated.policy.cache_isolation is CacheIsolation.NONE
    line = fault(uncached, provider=PROVIDER.replace('"openai"', '"google"'))
    assert line.startswith("policy.cache_isolation: ")
    assert "always caches prompts; remove that provider" in line
    assert fault(model() + uncached, provider=ELSEWHERE).startswith("policy.cache_isolation: ")


@pytest.mark.parametrize(
    ("stated", "limit"), [("", None), ("max_retention_days = 0", 0), ("max_retention_days = 30", 30)]
)
def test_a_limit_of_retention_is_stated_or_there_is_none(stated: str, limit: int | None) -> None:
    assert parse(f"[policy]\n{stated}\n").policy.max_retention_days == limit


@pytest.mark.parametrize("stated", ["-1", "36501", '"30"', "true", "1.5"])
def test_a_limit_of_retention_is_a_whole_number_of_days(stated: str) -> None:
    assert fault(f"[policy]\nmax_retention_days = {stated}\n").startswith("policy.max_retention_days: is ")
