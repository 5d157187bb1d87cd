"""What billing or an administrator states holds from the next request on, on every worker, through failover too."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from benchmarks.simulator import SimulatorProcess
from gateway.auth import entitlements
from gateway.auth.announcements import Announcement, Topic, publish
from gateway.auth.entitlements import Entitlements
from gateway.auth.principal import session_key, sid_of
from metering.store.store import Store
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import CHAT, eventually
from tests.raw_http import Answer, ask, request

WORKERS = 2
TOKEN = "service-token-of-the-test-" + "x" * 16
ORG = entitlements.org_digest(b"k" * 32, "acme")
VERSIONS = itertools.count(1)


@pytest.fixture(scope="module")
def sim():
    with SimulatorProcess() as sim:
        yield sim


@pytest.fixture(scope="module")
def gateway(sim, tmp_path_factory):
    def target(name: str, of: str) -> dict[str, str]:
        return {"provider": name, "model": of}

    gateway = GatewayProcess(
        tmp_path_factory.mktemp("gateway"),
        {
            "anywhere": provider("openai", sim.url, company="openai"),
            "europe": provider("openai", sim.url, company="openai", region="eu"),
            "elsewhere": provider("openai", sim.url, company="acme"),
        },
        [
            {**model("both", ""), "targets": [target("anywhere", "gpt-4o"), target("europe", "gpt-4o")]},
            {**model("fails", ""), "targets": [target("europe", "gpt-4o@fault-503"), target("anywhere", "gpt-4o")]},
            {
                **model("refused", ""),
                "targets": [target("anywhere", "m@fault-503"), target("elsewhere", "m@fault-400")],
            },
            {**model("down", ""), "targets": [target("elsewhere", "gpt-4o"), target("anywhere", "gpt-4o")]},
            {**model("fallback", ""), "targets": [target("anywhere", "n@fault-503"), target("elsewhere", "gpt-4o")]},
            {**model("global", ""), "targets": [target("anywhere", "gpt-4o")]},
            {**model("pro", ""), "targets": [target("anywhere", "gpt-4o")], "tiers": ["pro"]},
        ],
        {
            "tiers": {
                "default": {},
                "pro": {"requests_per_minute": 2},
                "small": {"daily_credits": 1, "monthly_credits": 2_000},
            },
            "internal": {
                "port": 0,
                "tokens": {"billing": {"token": TOKEN, "scopes": ["accounts:write", "switches:write"]}},
            },
        },
        workers=WORKERS,
    )
    with gateway:
        yield gateway


def state(gateway: GatewayProcess, pid: str, **stated: Any) -> None:
    """Billing writes an account's entitlements and announces them."""

    async def act(store: Store) -> None:
        assert await entitlements.write(store.client, pid, Entitlements(next(VERSIONS), **stated))
        assert await publish(store.client, Announcement(Topic.POLICY_CHANGED, pid=pid))

    gateway.on_store(act)


def state_org(gateway: GatewayProcess, **stated: Any) -> None:
    async def act(store: Store) -> None:
        assert await entitlements.write_org(store.client, ORG, Entitlements(next(VERSIONS), **stated))
        assert await publish(store.client, Announcement(Topic.POLICY_CHANGED, org=ORG))

    gateway.on_store(act)


def labelled(gateway: GatewayProcess, user: str, **labels: str) -> dict[str, Any]:
    """A session that says of itself what a sign-in records: region, app, platform."""
    session = gateway.session(user)
    name = session_key(sid_of(session["access_token"]) or "")
    gateway.on_store(lambda store: store.client.hset(name, mapping=labels))
    return session


def chat(gateway: GatewayProcess, token: str, name: str, **headers: str) -> Answer:
    body = json.dumps({"model": name, "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}).encode()
    return ask(gateway.url, request("POST", CHAT, body, headers={"authorization": f"Bearer {token}", **headers}))


def everywhere(gateway: GatewayProcess, token: str, name: str) -> set[tuple[int, str]]:
    """Status and code (or provider) of ten requests, each on a connection of its own: over both workers."""
    answers = [chat(gateway, token, name) for _ in range(10)]
    return {(a.status, a.headers.get("x-error-code") or a.headers.get("x-provider", "")) for a in answers}


def expect(gateway: GatewayProcess, token: str, name: str, status: int, said: str) -> None:
    eventually(lambda: everywhere(gateway, token, name), lambda found: found == {(status, said)})


def test_each_change_holds_on_every_worker(gateway):
    session = labelled(gateway, "changing", platform="macos", app="1.9.0")
    token, pid = session["access_token"], session["pid"]
    expect(gateway, token, "both", 200, "anywhere")
    state(gateway, pid, region="eu")
    expect(gateway, token, "both", 200, "europe")
    expect(gateway, token, "global", 403, "region_unavailable")
    state(gateway, pid, mode="local")
    expect(gateway, token, "both", 403, "local_mode")
    state(gateway, pid, models=frozenset({"global"}))
    expect(gateway, token, "both", 403, "model_not_in_plan")
    expect(gateway, token, "global", 200, "anywhere")
    state(gateway, pid, min_app={"macos": "1.10"})
    expect(gateway, token, "both", 403, "app_upgrade_required")
    assert chat(gateway, token, "both").headers["x-min-app-version"] == "1.10"
    state(gateway, pid, min_app={"macos": "1.9", "linux": "9"}, org=ORG)
    expect(gateway, token, "both", 200, "anywhere")
    state_org(gateway, region="ch")
    expect(gateway, token, "both", 403, "region_unavailable")
    state_org(gateway, region="global")
    expect(gateway, token, "both", 200, "anywhere")


def test_what_a_service_states_of_an_organisation_holds_for_its_accounts(gateway):
    token = gateway.session("employee")["access_token"]
    expect(gateway, token, "both", 200, "anywhere")
    service(gateway, "accounts/employee", org="globex")
    service(gateway, "organisations/globex", region="eu")
    expect(gateway, token, "both", 200, "europe")
    service(gateway, "organisations/globex", mode="local")
    expect(gateway, token, "both", 403, "local_mode")
    service(gateway, "organisations/globex")
    expect(gateway, token, "both", 200, "anywhere")


def service(gateway: GatewayProcess, path: str, **stated: Any) -> None:
    body = json.dumps({"version": next(VERSIONS), **stated}).encode()
    sent = request("PUT", f"/internal/{path}", body, headers={"authorization": f"Bearer {TOKEN}"})
    assert ask(gateway.internal, sent).status == 200


def test_a_failover_stays_in_the_region(gateway, sim):
    session = labelled(gateway, "pinned", region="eu")
    sim.reset()
    pinned = chat(gateway, session["access_token"], "fails")
    assert (pinned.status, pinned.headers["x-provider"]) == (503, "europe")
    assert sim.stats()["requests"] == 1
    free = gateway.session("free")["access_token"]
    assert chat(gateway, free, "fails").headers["x-provider"] == "anywhere"


def test_another_company_answers_if_it_is_allowed_by_name(gateway):
    session = gateway.session("careful")
    token, pid = session["access_token"], session["pid"]
    expect(gateway, token, "fallback", 503, "anywhere")
    state(gateway, pid, fallback_companies=frozenset({"openai"}))
    expect(gateway, token, "fallback", 503, "anywhere")
    service(gateway, "accounts/careful", fallback_companies=["acme"])
    expect(gateway, token, "fallback", 200, "elsewhere")
    assert get(gateway, token, "/v1/account")["policy"]["fallback_companies"] == ["acme"]
    expect(gateway, token, "both", 200, "anywhere")
    expect(gateway, token, "down", 200, "elsewhere")
    # Its refusal is not the caller's to fix: the selected company's failure is what is told.
    refused = chat(gateway, token, "refused")
    assert (refused.status, refused.code, refused.headers["x-attempts"]) == (502, "upstream_error", "2")
    service(gateway, "accounts/careful", fallback_companies=["acme"], region="eu")
    expect(gateway, token, "fallback", 403, "region_unavailable")


def switch(gateway: GatewayProcess, path: str, *, off: bool) -> None:
    sent = request(
        "PUT",
        f"/internal/switches/{path}",
        json.dumps({"off": off}).encode(),
        headers={"authorization": f"Bearer {TOKEN}"},
    )
    assert ask(gateway.internal, sent).status == 200


def test_what_is_switched_off_gets_no_request_on_any_worker(gateway, sim):
    session = gateway.session("switched")
    token = session["access_token"]
    expect(gateway, token, "both", 200, "anywhere")
    switch(gateway, "provider/anywhere", off=True)
    expect(gateway, token, "both", 200, "europe")
    expect(gateway, token, "global", 503, "provider_unavailable")
    switch(gateway, "model/both", off=True)
    expect(gateway, token, "both", 503, "provider_unavailable")
    sim.reset()
    refused = chat(gateway, token, "both")
    assert "switched off" in refused.json()["error"]["message"]
    assert int(refused.headers["retry-after"]) > 0
    switch(gateway, "provider/anywhere", off=False)
    switch(gateway, "model/both", off=False)
    switch(gateway, "key/anywhere:1", off=True)
    expect(gateway, token, "both", 200, "europe")
    expect(gateway, token, "global", 503, "provider_unavailable")
    switch(gateway, "key/anywhere:1", off=False)
    expect(gateway, token, "both", 200, "anywhere")
    eventually(lambda: get(gateway, token, "/v1/account")["credits"]["held"], lambda held: held == 0)


def test_a_request_can_tighten_and_never_loosen(gateway):
    token = gateway.session("free")["access_token"]
    assert chat(gateway, token, "both", **{"x-processing-region": "eu"}).headers["x-provider"] == "europe"
    assert chat(gateway, token, "global", **{"x-processing-region": "eu"}).code == "region_unavailable"
    assert chat(gateway, token, "both", **{"x-processing-region": "nowhere"}).code == "region_unavailable"
    assert chat(gateway, token, "both", **{"x-processing-mode": "local"}).code == "local_mode"
    pinned = labelled(gateway, "pinned", region="eu")["access_token"]
    for asked in ("global", "us"):
        answer = chat(gateway, pinned, "global", **{"x-processing-region": asked, "x-processing-mode": "cloud"})
        assert answer.code == "region_unavailable"


def test_a_new_plan_opens_its_models_and_its_limits_are_told(gateway):
    session = gateway.session("upgrading")
    token, pid = session["access_token"], session["pid"]
    expect(gateway, token, "pro", 403, "model_not_in_plan")
    assert "pro" not in {shown["id"] for shown in get(gateway, token, "/v1/models")["data"]}
    state(gateway, pid, tier="pro")
    shown = eventually(lambda: get(gateway, token, "/v1/account"), lambda found: found["tier"] == "pro")
    assert shown["limits"]["requests_per_minute"]["limit"] == 2
    answers = [eventually(lambda: chat(gateway, token, "pro"), lambda a: a.status != 403) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"requests";q=2;w=60'
    assert answers[0].headers["ratelimit"].startswith('"requests";r=1;t=')
    assert 0 < int(answers[2].headers["retry-after"]) <= 30
    limit = get(gateway, token, "/v1/account")["limits"]["requests_per_minute"]
    assert (limit["remaining"], limit["unit"], limit["evenly"]) == (0, "requests", True)


def test_the_day_s_credits_end_and_say_when_they_come_back(gateway):
    session = gateway.session("frugal", tier="small")
    token = session["access_token"]
    assert chat(gateway, token, "both").status == 200
    spent = eventually(lambda: get(gateway, token, "/v1/account"), lambda found: found["credits"]["held"] == 0)
    used = spent["credits"]["spent"]
    assert used > 0
    assert [spent["limits"][name]["remaining"] for name in ("daily_credits", "monthly_credits")] == [
        1_000_000 - used,
        2_000_000_000 - used,
    ]
    body = json.dumps({"model": "both", "messages": [{"role": "user", "content": "word " * 3_000_000}]}).encode()
    over = ask(gateway.url, request("POST", CHAT, body, headers={"authorization": f"Bearer {token}"}))
    assert (over.status, over.code) == (429, "rate_limited")
    assert "one day" in over.json()["error"]["message"]
    wait = int(over.headers["retry-after"])
    refilled = spent["limits"]["daily_credits"]["refilled_ms"]
    assert (refilled + 5_000) % 86_400_000 < 10_000  # midnight, UTC
    assert 0 < wait <= 86_400
    assert over.headers.get("x-should-retry") == ("false" if wait > 30 else None)
    assert '"daily";q=1000000;w=86400' in over.headers["ratelimit-policy"]


def get(gateway: GatewayProcess, token: str, path: str) -> Any:
    return ask(gateway.url, request("GET", path, headers={"authorization": f"Bearer {token}"})).json()
