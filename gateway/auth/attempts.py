"""Limits attempts of strangers at the sign-in: user codes and started sign-ins (in the store), look-ups (in a worker).

Rules:

1. An address is never stored. The count is of its prefix (/24 of IPv4, /56 of IPv6: the size of one customer), under a
   keyed digest that changes with each window and is deleted at its end.
2. An attempt is counted before its outcome is known, so that concurrent guesses count too.
3. Nobody can lock out others. Above `everywhere`, each network still has `SCARCE` attempts a minute: an attacker with
   many networks gains little from each, and a person needs one attempt.
4. Tokens and device codes have 256 random bits and cannot be guessed, so a valid one is never refused. But a look-up
   costs a round trip, so a network that sends many wrong ones gets one look-up at a time, and each further wrong one is
   answered `REST_SECONDS` later. A valid one waits for its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from ipaddress import IPv6Address, ip_address, ip_network

from redis.exceptions import RedisError

from gateway.auth.functions import call
from gateway.auth.identity import digest
from gateway.auth.principal import Client
from gateway.errors import MeteringUnavailable, RateLimited

WINDOW_S = 60
PER_PREFIX = 10  # user codes a minute; too few to guess one of 2.56e10 codes
PER_ACCOUNT = 10  # the same for who is signed in: networks are cheaper than accounts
EVERYWHERE = 1_000
SCARCE = 3  # for each network once all together are over `EVERYWHERE`
GRANTS_PER_PREFIX = 60  # sign-ins started a minute: enough for an office behind one address
GRANTS_EVERYWHERE = 6_000  # a minute; each is held for 10 minutes
FAILED_LOOK_UPS = 120  # a minute and prefix, at one worker: then one look-up at a time
REST_SECONDS = 0.25  # before the answer to a wrong one, once there were that many
MOST_PREFIXES = 50_000
MESSAGE = "Too many attempts from this network."


def prefix_of(address: str) -> str:
    """The network that an address belongs to; a value that is not an address is one network."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return "none"
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(ip_network((found, 24 if found.version == 4 else 56), strict=False))


class UserCodeAttempts:
    """Counts over all workers, in the store; ``per_prefix`` and ``everywhere`` are attempts a minute."""

    counted = "attempts"  # keeps what one kind counts apart from another's

    def __init__(
        self, client: Client, key: bytes, *, per_prefix: int = PER_PREFIX, everywhere: int = EVERYWHERE
    ) -> None:
        self._client = client
        self._key = key
        self._per_prefix = per_prefix
        self._everywhere = everywhere

    async def admit(self, address: str, account: str = "") -> None:
        """Count an attempt; call it before a code is looked up, or a sign-in started.

        Args:
            address: Where it comes from.
            account: Who is signed in, if somebody is.

        Raises:
            RateLimited: This network or this account tried too often; ``retry_after`` says for how long.
            MeteringUnavailable: The store cannot count, so nothing may be tried.
        """
        now = time.time()
        window = int(now // WINDOW_S)
        most = self._per_prefix
        if await self._count(window, "everywhere") > self._everywhere:
            most = min(most, SCARCE)
        over = await self._count(window, prefix_of(address)) > most
        if account:
            over = await self._count(window, f"account {account}") > PER_ACCOUNT or over
        if over:
            raise RateLimited(MESSAGE, retry_after=(window + 1) * WINDOW_S - now)

    async def _count(self, window: int, text: str) -> int:
        name = f"w:{{{digest(self._key, self.counted, f'{window} {text}')[:32]}}}"
        try:
            return int(await call(self._client, "cgxa1_count", (name,), WINDOW_S * 1_000))
        except (RedisError, OSError, TimeoutError):
            raise MeteringUnavailable("The store does not answer. Try again shortly.") from None


class StartedGrants(UserCodeAttempts):
    """Sign-ins that are started: what one network may make the store hold."""

    counted = "grants"

    def __init__(
        self, client: Client, key: bytes, *, per_prefix: int = GRANTS_PER_PREFIX, everywhere: int = GRANTS_EVERYWHERE
    ) -> None:
        super().__init__(client, key, per_prefix=per_prefix, everywhere=everywhere)


class LookUps:
    """Spreads out the look-ups of tokens, or of device codes, at one worker. Refuses none."""

    def __init__(self, most: int = FAILED_LOOK_UPS) -> None:
        self._most = most
        self._window = 0
        self._failed: dict[str, int] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    @contextlib.asynccontextmanager
    async def turn(self, address: str) -> AsyncIterator[None]:
        """Look one up inside the block; if it was wrong, await `failed` after it, so that valid ones do not wait."""
        self._turn_over()
        prefix = prefix_of(address)
        if self._failed.get(prefix, 0) < self._most:
            yield
            return
        lock = self._turns.setdefault(prefix, asyncio.Lock())
        async with lock:
            yield

    async def failed(self, address: str) -> None:
        """Count a wrong one from this address. Above the limit, return `REST_SECONDS` later."""
        self._turn_over()
        prefix = prefix_of(address)
        count = self._failed.get(prefix, 0) + 1
        if count > 1 or len(self._failed) < MOST_PREFIXES:
            self._failed[prefix] = count
        if count > self._most:
            await asyncio.sleep(REST_SECONDS)

    def _turn_over(self) -> None:
        """Forget what a past window counted."""
        window = int(time.time() // WINDOW_S)
        if window != self._window:
            self._window = window
            self._failed = {}
            self._turns = {prefix: lock for prefix, lock in self._turns.items() if lock.locked()}
