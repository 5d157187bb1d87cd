"""A token is renewed before it ends, kept while renewals fail, and gone when it has ended."""

from __future__ import annotations

import asyncio
import json
from collections import deque

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.config import Cloud, DataHandling, Endpoint, ProviderConfig, Region, ServiceAccount
from gateway.upstream import tokens
from gateway.upstream.destination import Destination
from gateway.upstream.faults import Fault, UpstreamFault
from gateway.upstream.tokens import AccessToken, AccessTokens, TokenUnavailable, issue
from providers.dialect import Family, Operation
from providers.hosts.vertex import Vertex
from providers.steps import at_once
from providers.wires import WIRES
from tests.raw_provider import RawProvider, body

HANDLING = DataHandling(0, False, Region.EU)


def destination() -> Destination:
    return Destination(
        ProviderConfig(
            "p",
            Family.GOOGLE,
            Endpoint(True, "h.example", 443),
            (),
            HANDLING,
            "c",
            host=Vertex(Family.GOOGLE, "p", "eu"),
            cloud=Cloud.VERTEX,
            location="eu",
            account=ServiceAccount({}, ""),
        )
    )


def authorization(made: Destination) -> bytes | None:
    shape = made.shape(WIRES[Operation.GEMINI_GENERATE], "m", stream=False, query="", headers=[])
    try:
        head = at_once(made.head(shape, b"{}", key=0))
    except UpstreamFault as raised:
        return None if raised.fault is Fault.CREDENTIALS else b"?"
    return dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])[b"authorization"]


class Issuer:
    """Issues what a test says, in order; then it waits for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: AccessToken | None) -> None:
        self.answers = deque(answers)
        self.made = destination()
        self.seen: list[bytes | None] = []
        self.over = asyncio.Event()
        self.faults = 0
        self.loop = asyncio.get_running_loop()
        monkeypatch.setattr(tokens, "FIRST_PAUSE", 0.001)

    def issue(self) -> AccessToken:
        self.seen.append(authorization(self.made))
        if not self.answers:
            self.loop.call_soon_threadsafe(self.over.set)
            return AccessToken("last", 3_600.0)
        answer = self.answers.popleft()
        if answer is None:
            raise TokenUnavailable
        return answer

    def fault(self) -> None:
        self.faults += 1

    async def run(self) -> list[bytes | None]:
        """The authorization at each exchange."""
        kept = AccessTokens(self.made, self.issue, self.fault)
        kept.start()
        try:
            await kept.first()
            await asyncio.wait_for(self.over.wait(), 30)
        finally:
            await kept.close()
        return self.seen


async def test_a_token_is_renewed_before_it_ends(monkeypatch):
    issuer = Issuer(monkeypatch, AccessToken("one", 0.02), AccessToken("two", 0.02))
    assert await issuer.run() == [None, b"Bearer one", b"Bearer two"]
    assert issuer.faults == 0


async def test_the_token_is_used_while_renewals_fail_and_not_after_its_end(monkeypatch):
    issuer = Issuer(monkeypatch, None, AccessToken("one", 0.4), *[None] * 12)
    monkeypatch.setattr(tokens, "LONGEST_PAUSE", 0.05)
    seen = await issuer.run()
    assert seen[:3] == [None, None, b"Bearer one"]
    first = seen.index(None, 2)
    assert set(seen[2:first]) == {b"Bearer one"}
    assert set(seen[first:]) == {None}
    assert issuer.faults == 13


async def test_a_refused_token_is_replaced_but_not_again_and_again(monkeypatch):
    issuer = Issuer(monkeypatch, AccessToken("one", 3_600.0))
    monkeypatch.setattr(tokens, "RENEW_SECONDS", 0.0)
    kept = AccessTokens(issuer.made, issuer.issue, issuer.fault)
    kept.start()
    try:
        await kept.first()
        assert authorization(issuer.made) == b"Bearer one"
        issuer.made.renew()
        await asyncio.wait_for(issuer.over.wait(), 30)
        while authorization(issuer.made) != b"Bearer last":
            await asyncio.sleep(0)
        monkeypatch.setattr(tokens, "RENEW_SECONDS", 3_600.0)
        issuer.made.renew()
        await asyncio.sleep(0)
        assert not kept._refused.is_set()
    finally:
        await kept.close()
    assert issuer.seen == [None, b"Bearer one"]


@pytest.fixture(scope="module")
def key() -> str:
    made = rsa.generate_private_key(65_537, 2_048)
    return made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.mark.parametrize(
    "answer",
    [
        body({"error": "invalid_grant"}, status="400 Bad Request"),
        body(b"<html>", kind="text/html"),
        body({"token_type": "Bearer", "expires_in": 60}),
        body({"access_token": "", "expires_in": 60}),
        body({"access_token": "a\r\nb", "expires_in": 60}),
        body({"access_token": "t\u00f6ken", "expires_in": 60}),
        body({"access_token": 7, "expires_in": 60}),
        body({"access_token": "t"}),
        body({"access_token": "t", "expires_in": "soon"}),
        body({"access_token": "t", "expires_in": -1}),
        body({}, status="302 Found", location="http://127.0.0.1:1/"),
        b"nothing of HTTP\r\n\r\n",
    ],
)
def test_what_is_no_token(answer, key):
    with RawProvider() as place:
        place.script = answer
        info = {"client_email": "a@b", "private_key": key, "token_uri": f"{place.url}/token"}
        with pytest.raises(TokenUnavailable) as raised:
            issue(ServiceAccount(info, info["token_uri"]))
    assert raised.value.args == ()
    assert raised.value.__context__ is None or raised.value.__suppress_context__


def test_a_token_and_for_how_long(key):
    with RawProvider() as place:
        place.script = body({"access_token": "t", "expires_in": 3_600})
        info = {"client_email": "a@b", "private_key": key, "token_uri": f"{place.url}/token?x=1"}
        issued = issue(ServiceAccount(info, info["token_uri"]))
        assert place.seen[0].head.startswith(b"POST /token?x=1 HTTP/1.1")
    assert issued.token == "t"
    assert 3_500 < issued.seconds <= 3_600


def test_nobody_there(key):
    info = {"client_email": "a@b", "private_key": key, "token_uri": "http://127.0.0.1:1/token"}
    with pytest.raises(TokenUnavailable):
        issue(ServiceAccount(info, info["token_uri"]))
    with pytest.raises(TokenUnavailable):
        issue(ServiceAccount(json.loads("{}"), ""))
