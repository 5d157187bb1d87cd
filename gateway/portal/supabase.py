"""Who a portal user is: verifies access tokens that Supabase Auth signed.

Rules:

1. A verifier has one kind of key and a fixed list of algorithms: the token's own ``alg`` chooses
   nothing. No verifier accepts ``none`` or an HMAC made with a public key.
2. The keys come only from the issuer's JWKS, never from a header of the token (``jku``, ``jwk``).
3. An unknown ``kid`` fetches the set once more, at most once in `REFETCH_SECONDS`, so that
   invented ones cannot cause many fetches. If a fetch fails, the known keys stay.
4. No message contains a part of a token.
5. The operator's `Policy` decides which users are accepted. An unknown claim counts as the weaker value: a user is
   anonymous unless ``is_anonymous`` is false or missing, and an unknown ``aal`` is not a second factor.

Claims: https://supabase.com/docs/guides/auth/jwt-fields; keys: https://supabase.com/docs/guides/auth/signing-keys
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import aiohttp
import jwt
import orjson
from jwt.exceptions import PyJWKError, PyJWTError

from gateway.config.supabase import Assurance

ALGORITHMS: Final = {"EC": "ES256", "RSA": "RS256"}
ROLE: Final = "authenticated"  # `anon` and `service_role` are not people
MOST_TOKEN: Final = 16_384  # characters
MOST_JWKS: Final = 262_144  # bytes
LIFE_SECONDS: Final = 600.0
REFETCH_SECONDS: Final = 30.0
FETCH_SECONDS: Final = 5.0
LEEWAY_SECONDS: Final = 10
_CLAIMS: Final = ["exp", "iss", "aud", "sub"]


class NotSignedIn(Exception):
    """The token is not a valid access token of a user of this issuer."""


class NotAllowed(NotSignedIn):
    """The token is valid, and the operator's policy does not let its user in. ``code`` says why."""

    code = ""


class AnonymousUser(NotAllowed):
    code = "anonymous_not_allowed"


class AssuranceTooLow(NotAllowed):
    code = "assurance_too_low"


@dataclass(frozen=True, slots=True)
class Policy:
    """Which of an issuer's users are accepted; as in `gateway.config.supabase.SupabaseConfig`."""

    allow_anonymous: bool = False
    min_aal: Assurance = Assurance.AAL1

    def check(self, claims: Mapping[str, Any]) -> None:
        """Raises `AnonymousUser`, `AssuranceTooLow`."""
        if not self.allow_anonymous and claims.get("is_anonymous", False) is not False:
            raise AnonymousUser
        if self.min_aal is Assurance.AAL2 and claims.get("aal") != Assurance.AAL2:
            raise AssuranceTooLow


class IssuerAway(Exception):
    """The issuer's keys can't be had, which says nothing about the token."""


class Verifier(Protocol):
    async def verify(self, token: str) -> str:
        """The user's id (``sub``). Raises `NotSignedIn`, of which `NotAllowed` is one, and `IssuerAway`."""


class PublicKeyVerifier:
    """ES256 and RS256, by the issuer's published keys. One a worker; it holds no socket.

    Args:
        issuer: What ``iss`` must be.
        audience: What ``aud`` must be.
        jwks_url: Where the keys are.
        policy: Which users are accepted.
        clock: Monotonic seconds, for tests.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        jwks_url: str,
        policy: Policy = Policy(),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._policy = policy
        self._url = jwks_url
        self._clock = clock
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._good_until = 0.0
        self._next_fetch = 0.0
        self._lock = asyncio.Lock()

    async def verify(self, token: str) -> str:
        header = _header(token)
        kid = header.get("kid")
        if not isinstance(kid, str) or header.get("alg") not in ALGORITHMS.values():
            raise NotSignedIn
        key = await self._key(kid)
        return _subject(token, key.key, key.algorithm_name, self._issuer, self._audience, self._policy)

    async def _key(self, kid: str) -> jwt.PyJWK:
        if kid not in self._keys or self._clock() >= self._good_until:
            async with self._lock:
                now = self._clock()
                stale = kid not in self._keys or now >= self._good_until
                if stale and now >= self._next_fetch:
                    self._next_fetch = now + REFETCH_SECONDS
                    await self._fetch(now)
        key = self._keys.get(kid)
        if key is not None:
            return key
        if not self._keys:
            raise IssuerAway
        raise NotSignedIn

    async def _fetch(self, now: float) -> None:
        try:
            timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
            async with (
                aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as client,
                client.get(self._url, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    return
                body = await answer.content.read(MOST_JWKS)
            keys = _public_keys(body)
        except (aiohttp.ClientError, OSError, ValueError):
            return
        self._keys, self._good_until = keys, now + LIFE_SECONDS


class SharedSecretVerifier:
    """Legacy HS256: only the project's shared secret. Built only if one is configured."""

    def __init__(self, issuer: str, audience: str, secret: bytes, policy: Policy = Policy()) -> None:
        self._issuer = issuer
        self._audience = audience
        self._secret = secret
        self._policy = policy

    async def verify(self, token: str) -> str:
        if _header(token).get("alg") != "HS256":
            raise NotSignedIn
        return _subject(token, self._secret, "HS256", self._issuer, self._audience, self._policy)


def _header(token: str) -> dict[str, Any]:
    """The token's header, not verified. Raises `NotSignedIn` if it is not a token."""
    if len(token) > MOST_TOKEN:
        raise NotSignedIn
    try:
        header: dict[str, Any] = jwt.get_unverified_header(token)
    except (PyJWTError, ValueError):
        raise NotSignedIn from None
    return header


def _subject(  # noqa: PLR0917 - each caller passes its own, in the order of its attributes
    token: str, key: Any, algorithm: str, issuer: str, audience: str, policy: Policy
) -> str:
    """Check the signature with this one algorithm, the claims and the policy."""
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=issuer,
            audience=audience,
            leeway=LEEWAY_SECONDS,
            options={"require": _CLAIMS},
        )
    except (PyJWTError, ValueError, TypeError):
        raise NotSignedIn from None
    subject = claims["sub"]
    if claims.get("role") != ROLE or not isinstance(subject, str) or not 0 < len(subject) <= 256:
        raise NotSignedIn
    policy.check(claims)
    return subject


def _public_keys(body: bytes) -> dict[str, jwt.PyJWK]:
    """The signing keys of a JWKS (RFC 7517) that are of a kind we take; others are passed over.

    Raises ValueError if it is not a JWKS.
    """
    document = orjson.loads(body)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a JWKS")  # noqa: TRY004 - what came from outside is wrong, not a caller
    found: dict[str, jwt.PyJWK] = {}
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid"), str):
            continue
        algorithm = ALGORITHMS.get(str(entry.get("kty")))
        if algorithm is None or entry.get("alg", algorithm) != algorithm:
            continue
        try:
            found[entry["kid"]] = jwt.PyJWK(entry, algorithm=algorithm)
        except (PyJWKError, PyJWTError, ValueError, TypeError):
            continue
    return found
