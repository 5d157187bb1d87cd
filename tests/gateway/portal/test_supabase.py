"""A real JWKS server on a real socket signs people in; every forged, foreign or stale token stays outside."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from gateway.config.supabase import Assurance
from gateway.portal.supabase import (
    LIFE_SECONDS,
    REFETCH_SECONDS,
    AnonymousUser,
    AssuranceTooLow,
    IssuerAway,
    NotSignedIn,
    Policy,
    PublicKeyVerifier,
    SharedSecretVerifier,
)

ISSUER = "https://project.example/auth/v1"
AUDIENCE = "authenticated"
SECRET = b"s" * 40
EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)


def public(key: Any, kid: str) -> dict[str, Any]:
    algorithm = ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else RSAAlgorithm
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "user-1", "role": "authenticated", "exp": now + 60, "iat": now}
    return {name: value for name, value in {**usual, **more}.items() if value is not None}


def signed(key: Any = EC, algorithm: str = "ES256", kid: str | None = "one", **more: Any) -> str:
    return jwt.encode(claims(**more), key, algorithm=algorithm, headers={} if kid is None else {"kid": kid})


class Issuer:
    """The JWKS server, and what it is to answer next."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = [public(EC, "one"), public(RSA, "two")]
        self.status = 200
        self.fetched = 0
        self.url = ""
        self.now = 1_000.0

    async def answer(self, _request: web.BaseRequest) -> web.Response:
        self.fetched += 1
        return web.json_response({"keys": self.keys}, status=self.status)

    def verifier(self) -> PublicKeyVerifier:
        return PublicKeyVerifier(ISSUER, AUDIENCE, self.url, clock=lambda: self.now)


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    found = Issuer()
    runner = web.ServerRunner(web.Server(found.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks.json"
    yield found
    await runner.cleanup()


async def test_both_kinds_of_key_sign_in_with_one_fetch(issuer: Issuer) -> None:
    verifier = issuer.verifier()
    assert await verifier.verify(signed()) == "user-1"
    assert await verifier.verify(signed(RSA, "RS256", "two", sub="user-2")) == "user-2"
    assert issuer.fetched == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"exp": 1},
        {"exp": None},
        {"aud": "other"},
        {"aud": None},
        {"iss": "https://other.example/auth/v1"},
        {"iss": None},
        {"role": "anon"},
        {"role": "service_role"},
        {"role": None},
        {"sub": ""},
        {"sub": None},
        {"sub": "u" * 300},
        {"nbf": 2**40},
    ],
    ids=str,
)
async def test_a_wrong_claim_is_refused(issuer: Issuer, wrong: dict[str, Any]) -> None:
    with pytest.raises(NotSignedIn):
        await issuer.verifier().verify(signed(**wrong))


def forged_hs256(key: Any, kid: str) -> str:
    """HS256 with the public key's PEM as the secret: what a library that trusts ``alg`` would take."""
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    head = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': kid})}.{part(claims())}"
    mac = hmac.digest(pem, head.encode(), hashlib.sha256)
    return f"{head}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


async def test_algorithm_confusion_is_impossible(issuer: Issuer) -> None:
    none = jwt.encode(claims(), None, algorithm="none", headers={"kid": "one"})  # type: ignore[arg-type]
    shared = SharedSecretVerifier(ISSUER, AUDIENCE, SECRET)
    hs256 = signed(SECRET, "HS256", "one")
    assert await shared.verify(hs256) == "user-1"
    tokens = [none, none.rstrip(".") + ".x", forged_hs256(EC, "one"), forged_hs256(RSA, "two"), hs256]
    tokens += [
        signed(RSA, "RS256", "one"),
        signed(EC, "ES256", "two"),
        signed(RSA, "PS256", "two"),
        "",
        "a.b.c",
        "x" * 20_000,
    ]
    verifier = issuer.verifier()
    for token in tokens:
        with pytest.raises(NotSignedIn):
            await verifier.verify(token)
    for token in (none, signed(), signed(RSA, "RS256", "two"), signed(SECRET, "HS512"), signed(b"t" * 40, "HS256")):
        with pytest.raises(NotSignedIn):
            await shared.verify(token)


async def test_keys_that_a_token_brings_along_are_not_used(issuer: Issuer) -> None:
    own = ec.generate_private_key(ec.SECP256R1())
    head = {"kid": "one", "jwk": public(own, "one"), "jku": "http://127.0.0.1:9/"}
    with pytest.raises(NotSignedIn):
        await issuer.verifier().verify(jwt.encode(claims(), own, algorithm="ES256", headers=head))


async def test_a_rotated_key_is_fetched_once_and_invented_ones_are_no_hammer(issuer: Issuer) -> None:
    verifier = issuer.verifier()
    await verifier.verify(signed())
    new = ec.generate_private_key(ec.SECP256R1())
    issuer.keys = [public(new, "three")]
    issuer.now += REFETCH_SECONDS
    assert await verifier.verify(signed(new, kid="three")) == "user-1"
    assert issuer.fetched == 2
    for number in range(20):
        with pytest.raises(NotSignedIn):
            await verifier.verify(signed(kid=f"invented-{number}"))
    assert issuer.fetched == 2
    with pytest.raises(NotSignedIn):  # the old key is out
        await verifier.verify(signed())


async def test_an_issuer_that_is_away_is_no_denial_and_known_keys_stay(issuer: Issuer) -> None:
    issuer.status = 500
    verifier = issuer.verifier()
    with pytest.raises(IssuerAway):
        await verifier.verify(signed())
    issuer.status = 200
    issuer.now += REFETCH_SECONDS
    assert await verifier.verify(signed()) == "user-1"
    issuer.status = 500
    issuer.now += LIFE_SECONDS
    assert await verifier.verify(signed()) == "user-1"
    assert issuer.fetched == 3


async def test_keys_of_another_use_or_kind_are_passed_over(issuer: Issuer) -> None:
    issuer.keys = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "one"},
        {**public(EC, "two"), "use": "enc"},
        {"kty": "EC", "kid": "broken"},
        {**public(RSA, "three"), "alg": "HS256"},
        public(EC, "good"),
    ]
    verifier = issuer.verifier()
    assert await verifier.verify(signed(kid="good")) == "user-1"
    for kid in ("one", "two", "broken", "three"):
        with pytest.raises(NotSignedIn):
            await verifier.verify(signed(kid=kid))


ANONYMOUS = [{"is_anonymous": True}, {"is_anonymous": "false"}, {"is_anonymous": 0}, {"is_anonymous": []}]
LOW = [{}, {"aal": "aal1"}, {"aal": "aal3"}, {"aal": "AAL2"}, {"aal": ["aal2"]}]
HIGH = [{"aal": "aal2"}, {"aal": "aal2", "is_anonymous": False}]


@pytest.fixture(params=["published keys", "shared secret"])
def verifies(request: pytest.FixtureRequest, issuer: Issuer) -> Callable[[Policy | None, dict[str, Any]], Any]:
    """Either kind of verifier, with a policy or as it is by itself."""

    def verify(policy: Policy | None, more: dict[str, Any]) -> Any:
        given = () if policy is None else (policy,)
        if request.param == "shared secret":
            return SharedSecretVerifier(ISSUER, AUDIENCE, SECRET, *given).verify(signed(SECRET, "HS256", **more))
        return PublicKeyVerifier(ISSUER, AUDIENCE, issuer.url, *given).verify(signed(**more))

    return verify


@pytest.mark.parametrize("stated", ANONYMOUS, ids=str)
async def test_an_anonymous_user_is_let_in_only_by_the_policy(verifies: Any, stated: dict[str, Any]) -> None:
    with pytest.raises(AnonymousUser):
        await verifies(None, stated)
    assert await verifies(Policy(allow_anonymous=True), stated) == "user-1"
    with pytest.raises(AssuranceTooLow):
        await verifies(Policy(allow_anonymous=True, min_aal=Assurance.AAL2), stated)


@pytest.mark.parametrize("stated", LOW, ids=str)
async def test_a_second_factor_is_asked_for_only_by_the_policy(verifies: Any, stated: dict[str, Any]) -> None:
    assert await verifies(None, stated) == "user-1"
    with pytest.raises(AssuranceTooLow):
        await verifies(Policy(min_aal=Assurance.AAL2), stated)


@pytest.mark.parametrize("stated", HIGH, ids=str)
async def test_who_has_a_second_factor_is_let_in(verifies: Any, stated: dict[str, Any]) -> None:
    assert await verifies(None, stated) == "user-1"
    assert await verifies(Policy(min_aal=Assurance.AAL2), stated) == "user-1"
