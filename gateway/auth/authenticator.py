"""Turns tokens into principals, with a short cache in each worker.

Rules:

1. A cached answer is at most `CACHE_SECONDS` old, so that a revocation or a changed policy takes effect within that
   time even if its announcement is lost. `forget` drops an entry at once, also one that is being loaded.
2. Definite denials are cached like principals. Errors of the store are not cached and never become a 401, on which a
   client would discard its token.
3. The cache is keyed by a digest of the token; the token is not kept.
4. A session, its account's entitlements and existence, and its organisation's entitlements are read in one round trip
   if the account and organisation are already known; the first time needs one more round trip for each.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, replace
from typing import Any

from redis.exceptions import RedisError

from gateway.auth import choice, entitlements, policy
from gateway.auth.principal import Client, Denial, Principal, judge, session_key, sid_of, texts
from gateway.errors import GatewayError, MeteringUnavailable, TokenExpired, TokenInvalid, TokenRevoked
from metering.accounts import living
from metering.clock import now_ms

CACHE_SECONDS = 5.0
CACHE_ENTRIES = 100_000
STALE = 0.0  # the expiry of an entry that was forgotten: it still says which keys to read
STORE_TIMEOUT = 0.25  # as for every call that a request waits for

_DENIALS: dict[Denial, type[GatewayError]] = {
    Denial.TOKEN_INVALID: TokenInvalid,
    Denial.TOKEN_EXPIRED: TokenExpired,
    Denial.TOKEN_REVOKED: TokenRevoked,
}


@dataclass(frozen=True, slots=True)
class _Read:
    """Hashes of the store, empty if none was asked for, and whether the account was erased."""

    session: Any
    account: Any
    gone: bool
    organisation: Any


class Authenticator:
    """Built once a worker."""

    def __init__(self, client: Client, key: bytes) -> None:
        self._client = client
        self._key = key
        self._cache: dict[bytes, tuple[float, Principal | Denial]] = {}
        self._asking: dict[str, asyncio.Task[Principal | Denial | None]] = {}  # for the moment of a round trip
        self._named: dict[str, set[bytes]] = {}  # session, account or organisation -> cache keys, for `forget`
        self._forgotten = 0

    def cached(self, token: str) -> Principal | Denial | None:
        """What is known without a round trip."""
        entry = self._cache.get(_cache_key(token))
        if entry is None or entry[0] < time.monotonic():
            return None
        return entry[1]

    def known(self, token: str) -> Principal | None:
        """The session behind ``token``, if that is known without a round trip. Raises TokenExpired."""
        found = self.cached(token)
        return _unexpired(found) if isinstance(found, Principal) else None

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
            found = await self._find(token)
        if isinstance(found, Principal):
            return _unexpired(found)
        raise _DENIALS[found]

    async def _find(self, token: str) -> Principal | Denial:
        """Ask the store, once for all requests that come with this token meanwhile."""
        asking = self._asking.get(token)
        if asking is None:
            asking = self._asking[token] = asyncio.get_running_loop().create_task(self._ask(token))
        found = await asyncio.shield(asking)
        if found is None:
            raise MeteringUnavailable
        return found

    async def _ask(self, token: str) -> Principal | Denial | None:
        forgotten = self._forgotten
        try:
            async with asyncio.timeout(STORE_TIMEOUT):
                found = await self._load(token)
                if forgotten != self._forgotten:
                    # Revoked after it was read: its requests would begin after the announcement that ends them.
                    forgotten = self._forgotten
                    found = await self._load(token)
        except (RedisError, OSError, TimeoutError):
            return None
        finally:
            del self._asking[token]
        self._remember(token, found, good=forgotten == self._forgotten)
        return found

    def forget(self, name: str) -> None:
        """Drop what is cached about a session, an account or an organisation (by its digest): it changed."""
        self._forgotten += 1
        for key in self._named.get(name, ()):
            entry = self._cache.get(key)
            if entry is not None:
                self._cache[key] = (STALE, entry[1])

    def forget_all(self) -> None:
        """Drop everything: announcements may have been missed."""
        self._forgotten += 1
        self._cache.clear()
        self._named.clear()

    async def _load(self, token: str) -> Principal | Denial:
        sid = sid_of(token)
        if sid is None:
            return Denial.TOKEN_INVALID
        entry = self._cache.get(_cache_key(token))
        before = entry[1] if entry is not None and isinstance(entry[1], Principal) else None
        pid, org = (before.pid, before.org) if before is not None else ("", "")
        read = await self._read(sid, pid, org)
        found = judge(texts(read.session), self._key, token)
        if isinstance(found, Denial):
            return found
        if found.pid != pid:
            read = await self._read("", found.pid, org)
        if read.gone:
            return Denial.TOKEN_INVALID
        own = entitlements.decode(read.account)
        if own.org and own.org != org:
            read = replace(read, organisation=(await self._read("", "", own.org)).organisation)
        organisation = entitlements.decode(read.organisation) if own.org else entitlements.NONE
        return policy.resolve(found, own, organisation, choice.decode(read.account))

    async def _read(self, sid: str, pid: str, org: str) -> _Read:
        """What is named, in one round trip (on a Cluster, one to each node)."""
        pipeline: Any = self._client.pipeline(transaction=False)
        if sid:
            pipeline.hgetall(session_key(sid))
        if pid:
            pipeline.hgetall(entitlements.account_key(pid))
            pipeline.hexists(living.marked_key(pid), living.MARK)
        if org:
            pipeline.hgetall(entitlements.org_key(org))
        replies = iter(await pipeline.execute())
        return _Read(
            session=next(replies) if sid else {},
            account=next(replies) if pid else {},
            gone=bool(next(replies)) if pid else False,
            organisation=next(replies) if org else {},
        )

    def _remember(self, token: str, found: Principal | Denial, *, good: bool) -> None:
        while len(self._cache) >= CACHE_ENTRIES:
            self._drop(next(iter(self._cache)))
        key = _cache_key(token)
        self._drop(key)
        # What was forgotten while it was loaded may be what was just read: use it once.
        self._cache[key] = (time.monotonic() + CACHE_SECONDS if good else STALE, found)
        for name in _names(found):
            self._named.setdefault(name, set()).add(key)

    def _drop(self, key: bytes) -> None:
        entry = self._cache.pop(key, None)
        for name in _names(entry[1]) if entry is not None else ():
            keys = self._named.get(name)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self._named[name]


def _unexpired(principal: Principal) -> Principal:
    if principal.expires_ms <= now_ms():
        raise TokenExpired
    return principal


def _names(found: Principal | Denial) -> tuple[str, ...]:
    """By what an entry can be forgotten; the three kinds of ids differ in form."""
    if isinstance(found, Denial):
        return ()
    return (found.sid, found.pid, found.org) if found.org else (found.sid, found.pid)


def _cache_key(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
