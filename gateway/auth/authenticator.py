"""Turns tokens into principals, with a short cache in each worker.

Rules:

1. A cached answer is at most `CACHE_SECONDS` old, so that a revocation is seen within that time even
   where its announcement is lost; `forget` drops an entry at once.
2. Definite denials are cached like principals. Errors of the store never are, and never become a 401:
   a client that is told 401 throws its token away.
3. The cache is keyed by a digest: a token is not kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import time

from redis.exceptions import RedisError

from gateway.auth.principal import Client, Denial, Principal, lookup, sid_of
from gateway.errors import GatewayError, MeteringUnavailable, TokenExpired, TokenInvalid, TokenRevoked

CACHE_SECONDS = 5.0
CACHE_ENTRIES = 100_000
STORE_TIMEOUT = 0.25  # as for every call that a request waits for

_DENIALS: dict[Denial, type[GatewayError]] = {
    Denial.TOKEN_INVALID: TokenInvalid,
    Denial.TOKEN_EXPIRED: TokenExpired,
    Denial.TOKEN_REVOKED: TokenRevoked,
}


class Authenticator:
    """Built once a worker."""

    def __init__(self, client: Client, key: bytes) -> None:
        self._client = client
        self._key = key
        self._cache: dict[bytes, tuple[float, Principal | Denial]] = {}
        self._digests: dict[str, bytes] = {}  # session id -> cache key, for `forget`

    def cached(self, token: str) -> Principal | Denial | None:
        """What is known without a round trip."""
        entry = self._cache.get(hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest())
        if entry is None or entry[0] < time.monotonic():
            return None
        return entry[1]

    async def authenticate(self, token: str | None) -> Principal:
        """The session behind ``token``.

        Raises:
            TokenInvalid, TokenExpired, TokenRevoked: A definite denial.
            MeteringUnavailable: The store can't answer.
        """
        if not token:
            raise TokenInvalid
        found = self.cached(token)
        if found is None:
            try:
                async with asyncio.timeout(STORE_TIMEOUT):
                    found = await lookup(self._client, self._key, token)
            except (RedisError, OSError, TimeoutError):
                raise MeteringUnavailable from None
            self._remember(token, found)
        if isinstance(found, Principal):
            if found.expires_ms <= time.time_ns() // 1_000_000:
                raise TokenExpired
            return found
        raise _DENIALS[found]

    def _remember(self, token: str, found: Principal | Denial) -> None:
        while len(self._cache) >= CACHE_ENTRIES:
            self._cache.pop(next(iter(self._cache)))
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        self._cache.pop(digest, None)
        self._cache[digest] = (time.monotonic() + CACHE_SECONDS, found)
        sid = sid_of(token)
        if sid is not None and isinstance(found, Principal):
            if len(self._digests) >= CACHE_ENTRIES:
                self._digests.clear()
            self._digests[sid] = digest

    def forget(self, sid: str) -> None:
        """Drop what is cached about a session (its policy changed, or it was revoked)."""
        digest = self._digests.pop(sid, None)
        if digest is not None:
            self._cache.pop(digest, None)
