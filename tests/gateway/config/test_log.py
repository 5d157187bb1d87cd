from __future__ import annotations

from tests.gateway.config.parsing import fault, parse


def test_the_days_that_the_log_is_kept() -> None:
    assert parse("").log.keep_days == 14
    assert parse("[log]\nkeep_days = 3\n").log.keep_days == 3
    assert fault("[log]\nkeep_days = 0\n").startswith("log.keep_days: ")
