"""Scenarios of requests that policy and limits refuse: what was refused is kept as little as what was served."""

from __future__ import annotations

from typing import Any

from gateway.auth import entitlements
from gateway.auth.announcements import Announcement, Kind, publish
from gateway.auth.entitlements import Entitlements
from metering.store import Store
from tests.integration.conftest import eventually
from tests.privacy.stage import Stage
from tests.privacy.traffic import KINDS, send

SMALL = 100_000  # bytes of bodies that a worker of this setting holds at once
TIERS = {"default": {}, "slow": {"requests_per_minute": 1}, "single": {"concurrent": 1}}


def by_policy(stage: Stage) -> None:
    """Plan, region, app version and processing mode, in each dialect."""
    stated: tuple[tuple[str, dict[str, Any], dict[str, str]], ...] = (
        ("model_not_in_plan", {"models": frozenset({"another"})}, {}),
        ("app_upgrade_required", {"min_app": {"": "9.0"}}, {}),
        ("region_unavailable", {}, {"x-processing-region": "ch"}),
        ("local_mode", {}, {"x-processing-mode": "local"}),
    )
    for code, policy, headers in stated:
        name = f"refused by policy ({code})"
        session = stage.session(f"user of {code}")
        _state(stage, session["pid"], policy)
        for kind in KINDS:
            _refused(stage, kind, code, name, _bearer(session) | headers)


def by_limits(stage: Stage) -> None:
    """A rate, one request at a time, and the bytes that a worker holds."""
    slow = stage.session("slow", tier="slow")
    for kind in KINDS:
        _refused(stage, kind, "rate_limited", "refused by a rate", _bearer(slow))
    name = "refused by concurrency"
    headers = _bearer(stage.session("single", tier="single"))
    with stage.client() as open_stream:
        open_stream.send(send(stage, "openai", "paced", name=name, headers=headers)).head()
        for kind in KINDS:
            _refused(stage, kind, "concurrency_limited", name, headers)
    name = "refused for memory"
    with stage.client() as first, stage.client() as second:
        for client in (first, second):
            client.send(send(stage, "openai", name=name, text="y" * (SMALL * 2 // 3))[: SMALL // 2 + 5_000])
        stage.see(second.answer())
    assert "overloaded" in stage.answers


def _bearer(session: dict[str, Any]) -> dict[str, str]:
    return {"authorization": f"Bearer {session['access_token']}"}


def _refused(stage: Stage, kind: str, code: str, name: str, headers: dict[str, str]) -> None:
    """Until the worker has heard of a policy, and a rate is used up, requests pass."""

    def said() -> str:
        answer = stage.ask(send(stage, kind, name=name, headers=headers))
        return (answer.code or "") if answer else ""

    eventually(said, lambda found: found == code)


def _state(stage: Stage, pid: str, policy: dict[str, Any]) -> None:
    async def act(store: Store) -> None:
        assert await entitlements.write(store.client, pid, Entitlements(1, **policy))
        assert await publish(store.client, Announcement(Kind.POLICY_CHANGED, pid=pid))

    stage.on_store(act)
