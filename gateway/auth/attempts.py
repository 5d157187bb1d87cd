"""Limits guesses: of user codes and started sign-ins (in the store), of tokens and device codes at one worker.

Rules:

1. An address is never stored. What is counted is its prefix (/24 of IPv4, /56 of IPv6, as one customer
   has them), as a keyed digest that changes with each window and is deleted at its end.
2. An attempt is counted before its outcome is known: guesses that come at once don't slip through.
3. The bound over all addresses is what a guesser with many of them meets. It is wide enough for people.
"""

from __future__ import annotations

import time
from ipaddress import IPv6Address, ip_address, ip_network

from redis.exceptions import RedisError

from gateway.auth.functions import call
from gateway.auth.identity import digest
from gateway.auth.principal import Client
from gateway.errors import MeteringUnavailable, RateLimited

WINDOW_S = 60
PER_PREFIX = 10  # user codes a minute; of 2.56e10 codes, nobody hits a live one so
EVERYWHERE = 1_000
GRANTS_PER_PREFIX = 60  # sign-ins started a minute: an office behind one address, each of whom tries again
GRANTS_EVERYWHERE = 6_000  # a minute; each is held for 10 minutes
FAILED_TOKENS = 120  # a minute and prefix, at one worker
MOST_PREFIXES = 50_000
MESSAGE = "Too many attempts from this network."


def prefix_of(address: str) -> str:
    """The network that an address belongs to; what is no address is one network of its own."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return "none"
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(ip_network((found, 24 if found.version == 4 else 56), strict=False))


class UserCodeAttempts:
    """Counts over all workers, in the store. ``per_prefix`` and ``everywhere`` are attempts a minute."""

    counted = "attempts"  # keeps what one kind counts apart from another's

    def __init__(
        self, client: Client, key: bytes, *, per_prefix: int = PER_PREFIX, everywhere: int = EVERYWHERE
    ) -> None:
        self._client = client
        self._key = key
        self._per_prefix = per_prefix
        self._everywhere = everywhere

    async def admit(self, address: str) -> None:
        """Count an attempt; call it before a code is looked up, or a sign-in started.

        Raises:
            RateLimited: The address or all together tried too often; ``retry_after`` says for how long.
            MeteringUnavailable: The store cannot count, so nothing may be tried.
        """
        now = time.time()
        window = int(now // WINDOW_S)
        for text, most in ((prefix_of(address), self._per_prefix), ("everywhere", self._everywhere)):
            name = f"w:{{{digest(self._key, self.counted, f'{window} {text}')[:32]}}}"
            try:
                count = await call(self._client, "cgxa1_count", (name,), WINDOW_S * 1_000)
            except (RedisError, OSError, TimeoutError):
                raise MeteringUnavailable("The store does not answer. Try again shortly.") from None
            if count > most:
                raise RateLimited(MESSAGE, retry_after=(window + 1) * WINDOW_S - now)


class StartedGrants(UserCodeAttempts):
    """Sign-ins that are started: what one network may make the store hold."""

    counted = "grants"

    def __init__(
        self, client: Client, key: bytes, *, per_prefix: int = GRANTS_PER_PREFIX, everywhere: int = GRANTS_EVERYWHERE
    ) -> None:
        super().__init__(client, key, per_prefix=per_prefix, everywhere=everywhere)


class FailedTokens:
    """Counts tokens, or device codes, that were not valid, at one worker, for one window at a time."""

    def __init__(self, most: int = FAILED_TOKENS) -> None:
        self._most = most
        self._window = 0
        self._counts: dict[str, int] = {}

    def check(self, address: str) -> None:
        """Call it before a token that is not known is looked up. Raises `RateLimited`."""
        if not self._turn() or self._counts.get(prefix_of(address), 0) < self._most:
            return
        raise RateLimited(MESSAGE, retry_after=(self._window + 1) * WINDOW_S - time.time())

    def failed(self, address: str) -> None:
        """A token from this address was not valid."""
        self._turn()
        prefix = prefix_of(address)
        if prefix in self._counts or len(self._counts) < MOST_PREFIXES:
            self._counts[prefix] = self._counts.get(prefix, 0) + 1

    def _turn(self) -> bool:
        """Forget what a past window counted; whether anything is counted now."""
        window = int(time.time() // WINDOW_S)
        if window != self._window:
            self._window = window
            self._counts = {}
        return bool(self._counts)
