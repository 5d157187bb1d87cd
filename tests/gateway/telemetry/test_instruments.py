from __future__ import annotations

from gateway.telemetry.instruments import Instruments


def test_series_are_the_same_in_every_process() -> None:
    first, second = Instruments(["b", "a"]), Instruments(["a", "b"])
    assert first.refused.column("token_invalid") == second.refused.column("token_invalid")
    assert first.upstream_faults.column("b", "tls") == second.upstream_faults.column("b", "tls")


def test_what_is_counted_is_shown_and_a_foreign_label_is_not() -> None:
    instruments = Instruments(["openai"])
    instruments.registry.bind(instruments.registry.create(1), 0)
    instruments.requests.inc("openai.chat", "completed")
    instruments.refused.inc("a client's own words")
    text = instruments.registry.render().decode()
    assert 'codegrex_requests_total{operation="openai.chat",outcome="completed"} 1' in text
    assert 'codegrex_refusals_total{code="other"} 1' in text
    assert "own words" not in text
