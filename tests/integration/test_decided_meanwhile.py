"""What is decided about a session while its request's body still comes holds for that request: no provider is called."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest

from benchmarks.simulator import SimulatorProcess
from gateway.auth import choice, entitlements
from gateway.auth.authenticator import CACHE_SECONDS
from gateway.auth.entitlements import Entitlements
from gateway.auth.principal import session_key, sid_of
from metering.store.store import Store
from tests.gateway_process import GatewayProcess, model, provider, run_cli
from tests.integration.conftest import CHAT
from tests.integration.test_session_policy import ORG, VERSIONS, labelled, state, state_org
from tests.raw_http import Answer, RawClient, ask, request

BODY = b'{"model": "plain", "messages": [{"role": "user", "content": "hi"}]}'
COUNT = b'{"model": "claude", "messages": [{"role": "user", "content": "hi"}]}'
EXPECT = {"expect": "100-continue"}  # the gateway says when it has checked what came before the body
USERS = itertools.count()


@pytest.fixture(scope="module")
def sim():
    with SimulatorProcess(record=True) as sim:
        yield sim


@pytest.fixture(scope="module")
def gateway(sim, tmp_path_factory):
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("gateway"),
        {kind: provider(kind, sim.url) for kind in ("openai", "anthropic")},
        [model("plain", "openai", "gpt-4o"), model("claude", "anthropic", "claude-x")],
    )
    with gateway:
        yield gateway


@pytest.fixture
def caller(gateway: GatewayProcess) -> Caller:
    user = f"user-{next(USERS)}"
    made = labelled(gateway, user, platform="linux", app="1.0.0")
    return Caller(gateway, user, made["pid"], made["access_token"])


class Caller:
    """A user with a request under way."""

    def __init__(self, gateway: GatewayProcess, user: str, pid: str, token: str) -> None:
        self.gateway = gateway
        self.user = user
        self.pid = pid
        self.token = token

    def sends(self, decide: Callable[[Caller], None], path: str = CHAT, body: bytes = BODY) -> Answer:
        """The answer of a request during whose body something is decided."""
        auth = {"authorization": f"Bearer {self.token}"}
        assert ask(self.gateway.url, request("GET", "/v1/models", headers=auth)).status == 200  # it is cached now
        whole = request("POST", path, body, headers=auth | EXPECT)
        with RawClient(self.gateway.url) as client:
            client.send(whole[:-20])
            assert client.head().status == 100  # the head has been read, whose checks all passed
            decide(self)
            client.send(whole[-20:])
            return client.answer()


def local_by_the_person(caller: Caller) -> None:
    caller.gateway.on_store(lambda store: choice.write(store, caller.pid, choice.Choice("local", "")))


def region_by_the_person(caller: Caller) -> None:
    caller.gateway.on_store(lambda store: choice.write(store, caller.pid, choice.Choice("", "eu")))


def local_by_the_organisation(caller: Caller) -> None:
    state(caller.gateway, caller.pid, org=ORG)
    state_org(caller.gateway, mode="local")


def revoked(caller: Caller) -> None:
    run_cli("sessions", "revoke", "--user", caller.user, config=caller.gateway.config)


def restricted(caller: Caller) -> None:
    run_cli("accounts", "restrict", "--user", caller.user, config=caller.gateway.config)


def erased(caller: Caller) -> None:
    run_cli("accounts", "erase", "--user", caller.user, "--yes", config=caller.gateway.config)


def unannounced(caller: Caller) -> None:
    """Written behind the gateway's back: what it has cached holds for as long as it may, and no longer."""

    async def write(store: Store) -> None:
        entitled = Entitlements(next(VERSIONS), mode="local")
        assert await entitlements.write(store.client, caller.pid, entitled)

    caller.gateway.on_store(write)
    time.sleep(CACHE_SECONDS + 0.5)


def scopes_cut(caller: Caller) -> None:
    async def write(store: Store) -> None:
        await store.client.hset(session_key(sid_of(caller.token) or ""), "scopes", "models")

    caller.gateway.on_store(write)
    state(caller.gateway, caller.pid)  # the announcement


DECISIONS: dict[Callable[[Caller], None], tuple[int, set[str]]] = {
    local_by_the_person: (403, {"local_mode"}),
    local_by_the_organisation: (403, {"local_mode"}),
    region_by_the_person: (403, {"region_unavailable"}),
    lambda caller: state(caller.gateway, caller.pid, mode="local"): (403, {"local_mode"}),
    lambda caller: state(caller.gateway, caller.pid, region="us"): (403, {"region_unavailable"}),
    lambda caller: state(caller.gateway, caller.pid, models=frozenset({"other"})): (403, {"model_not_in_plan"}),
    lambda caller: state(caller.gateway, caller.pid, min_app={"linux": "2.0"}): (403, {"app_upgrade_required"}),
    scopes_cut: (403, {"insufficient_scope"}),
    revoked: (401, {"token_revoked"}),
    restricted: (403, {"account_restricted"}),
    erased: (401, {"token_revoked", "token_invalid"}),
    unannounced: (403, {"local_mode"}),
}


@pytest.mark.parametrize("decide", DECISIONS, ids=lambda decide: decide.__name__)
@pytest.mark.parametrize(("path", "body"), [(CHAT, BODY), ("/v1/messages/count_tokens", COUNT)])
def test_it_holds_for_a_request_whose_body_still_comes(caller, sim, decide, path, body):
    sim.reset()
    answer = caller.sends(decide, path, body)
    status, codes = DECISIONS[decide]
    assert answer.status == status, answer.body
    assert answer.code in codes
    assert sim.requests() == []


def test_what_changes_nothing_does_not_hold_a_request_up(caller, sim):
    sim.reset()
    assert caller.sends(lambda caller: state(caller.gateway, caller.pid, tier="default")).status == 200
    assert len(sim.requests()) == 1


def test_another_token_beside_the_revoked_one_does_not_take_over(caller, gateway, sim):
    """A request belongs to the session that it began with."""
    other = gateway.session(caller.user)["access_token"]
    sim.reset()
    tokens = [("authorization", f"Bearer {caller.token}"), ("x-api-key", other)]
    whole = request("POST", CHAT, BODY, headers=[*tokens, *EXPECT.items()])
    with RawClient(gateway.url) as client:
        client.send(whole[:-20])
        assert client.head().status == 100
        sid = sid_of(caller.token)
        run_cli("sessions", "revoke", str(sid), config=gateway.config)
        client.send(whole[-20:])
        answer = client.answer()
    assert (answer.status, answer.code) == (401, "token_revoked")
    assert sim.requests() == []
