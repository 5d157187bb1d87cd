from __future__ import annotations

import os

from gateway.telemetry.instruments import Instruments


def test_series_are_the_same_in_every_process() -> None:
    first, second = Instruments(["b", "a"]), Instruments(["a", "b"])
    assert first.refused.column("token_invalid") == second.refused.column("token_invalid")
    assert first.upstream_faults.column("b", "tls") == second.upstream_faults.column("b", "tls")


def test_a_worker_has_the_series_of_whoever_created_the_memory() -> None:
    """Also if its own configuration has changed in the meantime."""
    first = Instruments(["b", "a"], [("a", "m"), ("b", "n")])
    descriptor = first.create(2)
    first.registry.bind(descriptor, None)
    worker = Instruments.inherited(descriptor, 1)
    worker.model_requests.inc("b", "n", "completed")
    worker.tokens.inc("c", "input", by=3)  # a provider that came later
    assert worker.registry.names() == first.registry.names()
    text = first.registry.render().decode()
    assert 'codegrex_model_requests_total{provider="b",model="n",outcome="completed"} 1' in text
    assert 'codegrex_tokens_total{provider="other",direction="other"} 3' in text
    os.close(descriptor)


def test_what_is_counted_is_shown_and_a_foreign_label_is_not() -> None:
    instruments = Instruments(["openai"])
    instruments.registry.bind(instruments.registry.create(1), 0)
    instruments.requests.inc("openai.chat", "completed")
    instruments.refused.inc("a client's own words")
    text = instruments.registry.render().decode()
    assert 'codegrex_requests_total{operation="openai.chat",outcome="completed"} 1' in text
    assert 'codegrex_refusals_total{code="other"} 1' in text
    assert "own words" not in text
