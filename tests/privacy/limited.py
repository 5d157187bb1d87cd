"""Scenarios of requests that policy, limits and the API for services refuse.

What was refused is kept as little as what was served.
"""

from __future__ import annotations

import json
from typing import Any

from gateway.auth import entitlements
from gateway.auth.announcements import Announcement, Topic, publish
from gateway.auth.entitlements import Entitlements
from metering.store.store import Store
from tests.gateway_process import run_cli
from tests.integration.conftest import eventually
from tests.privacy.stage import Stage
from tests.privacy.traffic import KINDS, send
from tests.raw_http import request

SMALL = 100_000  # bytes of bodies that a worker of this setting holds at once
SERVICE_TOKEN = "service-token-of-the-hunt-" + "x" * 16
SERVICES = {
    "port": 0,
    "tokens": {"billing": {"token": SERVICE_TOKEN, "scopes": ["accounts:read", "accounts:write", "grants:write"]}},
}
TIERS = {"default": {}, "slow": {"requests_per_minute": 1}, "single": {"concurrent": 1}}


def by_policy(stage: Stage) -> None:
    """Plan, region, app version, processing mode and retention, in each dialect."""
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
    for kind in KINDS:
        name, headers = "refused for what is kept", _bearer(stage.session("user of what is kept"))
        limited = headers | {"x-max-retention-days": "29"}
        _refused(stage, kind, "retention_unavailable", name, limited, script="kept")
        wrong = headers | {"x-max-retention-days": stage.canaries.plant("header: x-max-retention-days", name)}
        _refused(stage, kind, "invalid_request", name, wrong)
    restricted = stage.session("restricted")
    run_cli("accounts", "restrict", "--user", "restricted", config=stage.config)
    for kind in KINDS:
        _refused(stage, kind, "account_restricted", "refused by a restriction", _bearer(restricted))


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
    other = _bearer(stage.session("neighbour"))
    with stage.client() as first:
        first.send(send(stage, "openai", name=name, text="y" * (SMALL * 9 // 10))[:-5])
        for _ in range(1_000):  # until the first one's bytes are read
            stage.ask(send(stage, "openai", name=name, headers=other, text="y" * (SMALL * 2 // 3)))
            if "overloaded" in stage.answers:
                break
    assert "overloaded" in stage.answers


def by_service(stage: Stage) -> None:
    """A service that contradicts itself, or sends what it may not: its names for users and keys are its own words."""
    name, plant = "refused by the internal API", stage.canaries.plant
    account = "/internal/accounts/" + plant("identity: user", name)
    grants, stated = account + "/grants", {"version": 2, "org": plant("identity: organisation", name)}
    once = {"idempotency-key": plant("header: idempotency-key", name)}
    for method, path, body, headers, status in (
        ("PUT", account, stated, {}, 200),
        ("PUT", account, stated | {"version": 1}, {}, 409),
        ("PUT", account, stated | {"org": plant("identity: organisation", name)}, {}, 409),
        ("POST", grants, {"amount": 1}, once, 200),
        ("POST", grants, {"amount": 2}, once, 409),
        ("POST", grants, {"amount": plant("body", name)}, once, 400),
        ("POST", grants, {"amount": 1, plant("member of a body", name): 1}, once, 400),
        ("PUT", account + "/stripe", {"customer": plant("customer", name)}, {}, 400),
        ("PUT", account, stated | {"mode": plant("mode", name)}, {}, 400),
        ("GET", account + plant("identity: another user", name), None, {}, 404),
        ("GET", "/internal/" + plant("path", name), None, {}, 404),
        ("DELETE", account, None, {}, 403),
        ("GET", account, None, {"authorization": "Bearer " + plant("header: authorization", name)}, 401),
    ):
        kept = {"authorization": f"Bearer {SERVICE_TOKEN}", "user-agent": plant("header: user-agent", name)}
        data = None if body is None else json.dumps(body).encode()
        path_ = f"{path}?note={plant('query', name)}"
        answer = stage.ask(request(method, path_, data, headers=kept | headers), internal=True)
        assert answer is not None
        assert answer.status == status, (method, path, answer.body)
    assert {"conflict", "insufficient_scope"} <= stage.answers


def _bearer(session: dict[str, Any]) -> dict[str, str]:
    return {"authorization": f"Bearer {session['access_token']}"}


def _refused(stage: Stage, kind: str, code: str, name: str, headers: dict[str, str], *, script: str = "plain") -> None:
    """Until the worker has heard of a policy, and a rate is used up, requests pass."""

    def said() -> str:
        answer = stage.ask(send(stage, kind, script, name=name, headers=headers))
        return (answer.code or "") if answer else ""

    eventually(said, lambda found: found == code)


def _state(stage: Stage, pid: str, policy: dict[str, Any]) -> None:
    async def act(store: Store) -> None:
        assert await entitlements.write(store.client, pid, Entitlements(1, **policy))
        assert await publish(store.client, Announcement(Topic.POLICY_CHANGED, pid=pid))

    stage.on_store(act)
