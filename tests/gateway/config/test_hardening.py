from __future__ import annotations

from gateway.config import HardeningMode
from tests.gateway.config.parsing import parse


def test_a_process_is_hardened_unless_the_operator_says_otherwise() -> None:
    assert parse("").hardening.mode is HardeningMode.ENFORCE
    assert parse('[hardening]\nmode = "off"\n').hardening.mode is HardeningMode.OFF
