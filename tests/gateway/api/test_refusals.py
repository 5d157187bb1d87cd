"""A refused request leaves one line; of a flood the rest is counted."""

from __future__ import annotations

import json

from gateway.api.refusals import Refusals
from gateway.errors import CreditsExhausted, TokenInvalid
from gateway.http.pace import Pace
from gateway.names import new_rid
from gateway.telemetry.instruments import Instruments
from gateway.telemetry.log import Log
from providers.dialect import Operation
from providers.paths import Surface


def made(level="info", now=lambda: 0.0, per_minute=3):
    instruments = Instruments([])
    instruments.registry.bind(instruments.registry.create(1), 0)
    return Refusals(Log(level), instruments, pace=Pace(per_minute, clock=now)), instruments.registry


def lines(captured):
    return [json.loads(line) for line in captured.readouterr().err.splitlines()]


def test_a_line_says_which_request_and_why_and_nothing_else(capfdbinary):
    refusals, _ = made()
    rid = new_rid()
    refusals.note(CreditsExhausted(needed=5, held=0, available=1), rid, "POST", Operation.OPENAI_CHAT)
    refusals.note(TokenInvalid(), rid, "secret-method", Surface.MODELS)
    first, second = lines(capfdbinary)
    del first["timestamp"], second["timestamp"]
    what = {"level": "info", "event": "refused", "rid": rid}
    assert first == {**what, "status": 402, "code": "credits_exhausted", "method": "POST", "operation": "openai.chat"}
    assert second == {**what, "status": 401, "code": "token_invalid", "surface": "list_of_models"}


def test_of_a_flood_the_next_line_says_how_many_were_left_out(capfdbinary):
    now = [0.0]
    refusals, registry = made(now=lambda: now[0])
    for _ in range(10):
        refusals.note(TokenInvalid(), new_rid(), "GET", Surface.MODELS)
    now[0] = 120.0
    refusals.note(TokenInvalid(), new_rid(), "GET", Surface.MODELS)
    *before, last = lines(capfdbinary)
    assert (len(before), last["left_out"]) == (3, 7)
    text = registry.render().decode()
    assert "codegrex_refusals_not_logged_total 7" in text
    assert 'codegrex_refusals_total{code="token_invalid"} 11' in text


def test_a_level_without_requests_has_no_line_and_leaves_none_out(capfdbinary):
    refusals, registry = made("warning")
    refusals.note(TokenInvalid(), new_rid(), "GET", Surface.MODELS)
    assert lines(capfdbinary) == []
    assert 'codegrex_refusals_total{code="token_invalid"} 1' in registry.render().decode()
