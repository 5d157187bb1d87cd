from __future__ import annotations

import pytest

from tests.gateway.config.parsing import fault, parse


@pytest.mark.parametrize(
    "url",
    [
        "embedded:",
        "redis://h",
        "rediss://:p@h:1/2",
        "redis+cluster://h:1",
        "rediss+cluster://h",
        "redis+sentinel://h:1,i:2/main",
    ],
)
def test_addresses_of_stores(url: str) -> None:
    assert parse(f'[store]\nurl = "{url}"').store.url == url


@pytest.mark.parametrize(
    "url", ["embedded", "redis:", "redis://", "http://h", "redis://[x", "redis+sentinel://h:1,i:2", "redis://h:x"]
)
def test_what_is_not_the_address_of_a_store(url: str) -> None:
    assert fault(f'[store]\nurl = "{url}"').startswith("store.url: ")


def test_replicas_that_must_hold_a_grant_are_of_a_store_of_one_s_own() -> None:
    assert parse('[store]\nurl = "redis://h"\nreplicas = 1').store.replicas == 1
    assert fault("[store]\nreplicas = 1").startswith("store.replicas: ")
    assert fault('[store]\nurl = "redis://h"\nreplicas = 6').startswith("store.replicas: ")
