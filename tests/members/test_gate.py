"""No member that an installed SDK knows is without a decision, and the page says what the tables say."""

from __future__ import annotations

import typing

from typing_extensions import TypedDict

from providers.dialect import Operation
from tests.members import gate, sdk


def test_every_member_of_the_installed_sdks_is_decided():
    members = set(gate.known())
    assert len(members) > 3_000
    assert gate.undecided(members) == []


def test_every_beta_kind_event_and_count_is_decided():
    assert gate.undecided_betas(sdk.betas()) == []
    assert gate.undecided_values() == []


class Inner(TypedDict, total=False):
    text: str
    quietly_kept: str


class MadeUp(TypedDict, total=False):
    model: str
    telemetry_sink: str
    inner: typing.Iterable[Inner]


def test_a_member_that_nobody_has_seen_is_found(monkeypatch):
    monkeypatch.setitem(sdk.ROOTS, Operation.OPENAI_CHAT, (MadeUp,))
    assert gate.undecided(sdk.members_of(Operation.OPENAI_CHAT)) == [
        "openai.chat Inner.quietly_kept",
        "openai.chat MadeUp.inner",
        "openai.chat MadeUp.telemetry_sink",
    ]
    assert gate.undecided_betas(["brand-new-2026-12-01", "context-1m-2026-12-01"]) == ["brand-new-2026-12-01"]


def test_the_page_is_what_the_tables_say():
    assert gate.PAGE.read_text() == gate.page()
