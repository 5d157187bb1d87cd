from __future__ import annotations

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
