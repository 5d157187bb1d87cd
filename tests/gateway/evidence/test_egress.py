"""Every host that a configuration leads to, and no other."""

import pytest

from gateway.config import Config, Endpoint, ProviderConfig, Region, StoreConfig
from gateway.evidence.egress import egress
from providers.dialect import Family


def config(store: str) -> Config:
    def provider(name, host, port):
        return ProviderConfig(name, Family.OPENAI, Endpoint(True, host, port), ("k",), 0, False, Region.GLOBAL, name)

    providers = {"a": provider("a", "a.example", 443), "b": provider("b", "::1", 8443)}
    return Config(path=None, providers=providers, store=StoreConfig(store))


@pytest.mark.parametrize(
    ("store", "more"),
    [
        ("embedded:", []),
        ("redis://user:secret@store.example", ["store.example:6379"]),
        ("rediss+cluster://store.example:7000", ["store.example:7000"]),
        ("redis+sentinel://:secret@a.store:1,b.store/main", ["a.store:1", "b.store:26379"]),
    ],
)
def test_hosts(store, more):
    found = egress(config(store))
    assert [str(place) for place in found] == ["a.example:443", "[::1]:8443", *more]
    assert [place.prompts for place in found] == [True, True, *(False for _ in more)]
    assert [place.for_ for place in found[:2]] == ["providers.a", "providers.b"]
    assert "secret" not in repr(found)
