"""Introspection over a real socket and a real store."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.auth import sessions
from gateway.auth.principal import Scope
from gateway.config.internal import ServiceScope, ServiceToken
from gateway.internal.api import ServiceApi
from gateway.oauth import refresh
from gateway.oauth.device import Redeemed
from gateway.portal import personal
from gateway.telemetry.log import Log
from metering.ledger.ledger import LedgerUnavailable
from tests.gateway.billing_fixtures import accounts, admin, erased
from tests.ledger_fixtures import embedded_url, folder, ledger, store, store_url

__all__ = ["accounts", "admin", "embedded_url", "erased", "folder", "ledger", "store", "store_url"]

KNOWS = "service-that-asks-" + "a" * 32
OTHER = "service-that-may-not-" + "b" * 32
INACTIVE = (200, {"active": False})


class Opened:
    """Stands in for `OnDemand`: the store is open already, or cannot be opened."""

    def __init__(self, admin):
        self.admin = admin

    async def get(self):
        if self.admin is None:
            raise LedgerUnavailable(maybe_ran=False)
        return self.admin


@pytest.fixture
async def opened(admin):
    return Opened(admin)


@pytest.fixture
async def ask(opened, tmp_path):
    tokens = (
        ServiceToken("app", KNOWS, frozenset({ServiceScope.TOKENS_INTROSPECT})),
        ServiceToken("billing", OTHER, frozenset(ServiceScope) - {ServiceScope.TOKENS_INTROSPECT}),
    )
    application = web.Application()
    ServiceApi(tokens, opened, Log("debug", tmp_path / "log"), opened.get, opened.get).add_to(application)
    async with TestClient(TestServer(application)) as client:

        async def ask(token=None, *, service=KNOWS, **more):
            sent = {"data": {"token": token}} if token is not None else {}
            headers = {"authorization": f"Bearer {service}"}
            if isinstance(more.get("data"), bytes):
                headers["content-type"] = "application/x-www-form-urlencoded"
            answer = await client.post("/oauth/introspect", headers=headers, **(sent | more))
            assert answer.headers["content-type"].startswith("application/")
            return answer.status, await answer.json(content_type=None)

        yield ask


async def test_an_active_token_until_it_is_revoked(ask, admin):
    client = admin.store.client
    signed_in = await sessions.create(client, admin.key, pid="p1", tier="t", life_s=60)
    tool = await personal.create(
        admin.store, admin.key, pid="p1", name="x", scopes=[Scope.MODELS, Scope.INFERENCE], life_s=60
    )
    for issued, scope in ((signed_in, "account inference models"), (tool, "inference models")):
        status, body = await ask(issued.access_token)
        exp = body.pop("exp")
        expected = {"active": True, "scope": scope, "token_type": "Bearer", "sub": "p1", "sid": issued.sid}
        assert (status, body) == (200, expected)
        session = await sessions.get(client, issued.sid)
        assert exp == session.expires_ms // 1_000
        await sessions.revoke(client, issued.sid)
        assert await ask(issued.access_token) == INACTIVE


async def test_what_is_not_active_says_nothing_more(ask, admin):
    issued = await sessions.create(admin.store.client, admin.key, pid="p1", tier="t", life_s=-1)
    redeemed = Redeemed(pid="p1", tier="t", app_version="", platform="", scope="inference")
    tokens = await refresh.begin(admin.store.client, admin.key, redeemed, client_id="codegrex-ide")
    assert (await ask(tokens.access_token))[1]["active"] is True
    wrong = tokens.access_token[:-1] + ("0" if tokens.access_token[-1] != "0" else "1")
    for token in ("x", "\u00e9", wrong, issued.access_token, tokens.refresh_token):
        assert await ask(token) == INACTIVE


async def test_it_is_for_services_with_the_scope(ask):
    for service, status, code in (
        ("", 401, "token_invalid"),
        ("wrong", 401, "token_invalid"),
        (OTHER, 403, "insufficient_scope"),
    ):
        found, body = await ask("x", service=service)
        assert (found, body["code"]) == (status, code)


@pytest.mark.parametrize(
    "body",
    [{"data": {}}, {"data": b"token=a&token=b"}, {"data": b"\xff"}, {"json": {"token": "a"}}, {"data": {"other": "a"}}],
)
async def test_what_is_no_introspection_request(ask, body):
    status, answer = await ask(**body)
    assert (status, answer["code"]) == (400, "invalid_request")


async def test_a_store_that_is_away_does_not_make_a_token_inactive(ask, opened):
    opened.admin = None
    status, body = await ask("cgx_at_" + "0" * 20 + "_" + "0" * 43)
    assert (status, body["code"]) == (503, "metering_unavailable")
