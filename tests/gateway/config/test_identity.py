from __future__ import annotations

from tests.gateway.config.parsing import fault, parse


def test_a_key_of_the_operator() -> None:
    assert parse('[identity]\nkey = "env:LONG"\n').identity.key == b"k" * 32


def test_a_short_identity_key() -> None:
    assert fault('[identity]\nkey = "short"').startswith("identity.key: is too short")
