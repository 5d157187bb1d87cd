from __future__ import annotations

import pytest

from gateway.config.routing import RoutingConfig
from tests.gateway.config.parsing import fault, parse


def test_what_is_stated_holds() -> None:
    assert parse("").routing == RoutingConfig(20, 10)
    assert parse("[routing]\nretry_percent = 0\nretries_per_second = 0").routing == RoutingConfig(0, 0)


@pytest.mark.parametrize("key", ["retry_percent", "retries_per_second"])
@pytest.mark.parametrize("value", ["-1", "0.5", "1_000_000"])
def test_a_fault_is_named(key: str, value: str) -> None:
    assert fault(f"[routing]\n{key} = {value}").startswith(f"routing.{key}: ")
