from __future__ import annotations

import pytest

from gateway.config.retention import RetentionConfig
from tests.gateway.config.parsing import fault, parse


def test_the_longest_is_never_below_the_usual() -> None:
    assert parse("").retention == RetentionConfig(90, 120)
    assert parse("[retention]\ndays = 400").retention == RetentionConfig(400, 400)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[retention]\ndays = 0", "retention.days"),
        ("[retention]\ndays = 90\nlongest_days = 80", "retention.longest_days"),
    ],
)
def test_a_fault_is_named(text: str, key: str) -> None:
    assert fault(text).startswith(key + ": ")
