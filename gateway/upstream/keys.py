"""Which of a provider's keys to use: a key that the provider refused rests, and is tried again after its rest.

Pure state with the clock handed in: no I/O, one for each provider and worker, nothing in the store.

Rules that everything here obeys:

1. An account's requests stay with one key, since prompt caches and encrypted reasoning belong to an organisation. Which
   one is decided by `preference`, so that every worker chooses the same without asking, and a weight says how many
   accounts a key gets. If that key rests, the account's next one is used, of the same organisation if that is known.
2. A refusal rests the key, at most for `LONGEST_REST`: see `gateway.upstream.rest`.
3. After its rest a key is half open: one request tries it, and the others skip it until that one is answered.
4. If every key of every target rests, one key is used anyway, once for each request, so that an account works as soon
   as the operator has topped it up, and the caller gets the provider's own rate limit. It is the key whose rest ends
   first, with preference for keys that are only rate limited.
5. A rate limit rests a key for one model, since providers limit each model separately; so does a lack of access. Any
   other refusal rests it for all models. If the organisation's account is at fault, its other known keys rest too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import log
from typing import Final

from gateway.upstream.rest import Rest
from providers.account_codes import AccountFault

LONGEST_REST: Final = 900.0  # seconds
ANNOUNCE_SECONDS: Final = 60.0
MOST_TRIED: Final = 8  # keys of one provider for one request
EVERY_MODEL: Final = ""

_OF_ACCOUNTS: Final = frozenset((AccountFault.CREDIT, AccountFault.SUSPENDED))


@dataclass(slots=True)
class _KeyRest(Rest):
    """``limited``: because of a rate limit; the key as such is accepted."""

    limited: bool = False


class Keys:
    """The keys of one provider, by their position in its configuration."""

    __slots__ = ("_announced", "_organizations", "_rests", "_seed", "_weights", "count")

    def __init__(self, count: int, weights: Sequence[int] = (), seed: str = "") -> None:
        """Make the state of ``count`` keys.

        Args:
            count: How many there are.
            weights: Of each; all the same if there are none.
            seed: Another one for each provider, so that their keys are chosen independently.
        """
        self.count = count
        self._weights = tuple(weights) or (1,) * count
        self._seed = seed
        self._rests: dict[tuple[int, str], _KeyRest] = {}
        self._organizations: list[bytes] = [b""] * count
        self._announced: dict[tuple[int, AccountFault], float] = {}

    def inherit(self, before: Keys, kept: Mapping[int, int]) -> None:
        """Take over what is known of keys that were configured before: ``kept`` has their old positions by the new."""
        for key, old in kept.items():
            self._organizations[key] = before._organizations[old]
            self._rests |= {(key, scope): rest for (of, scope), rest in before._rests.items() if of == old}
            self._announced |= {(key, fault): at for (of, fault), at in before._announced.items() if of == old}

    def turn(self, model: str, account: str) -> KeyTurn:
        """The keys that one request of ``account`` for ``model`` tries, in order."""
        return KeyTurn(self, model, self.order(account))

    def order(self, account: str) -> list[int]:
        """All keys as one account prefers them."""
        if self.count == 1:
            return [0]
        order = preference(self._seed, account, self._weights)
        of_first = self._organizations[order[0]]
        if of_first:
            order.sort(key=lambda key: self._organizations[key] != of_first)
        return order

    def ready(self, model: str, now: float) -> bool:
        """Whether some key does not rest."""
        return not self._rests or any(self.wait(key, model, now) == 0.0 for key in range(self.count))

    def resting(self, now: float) -> int:
        """How many keys rest, for one model or for all."""
        return len({key for (key, _), rest in self._rests.items() if rest.until > now})

    # -- what became of a request --------------------------------------------------------------

    def accepted(self, key: int, model: str) -> None:
        """The provider answered a request with this key."""
        if self._rests:
            self._rests.pop((key, EVERY_MODEL), None)
            self._rests.pop((key, model), None)

    def limited(self, key: int, model: str, now: float, wait: float | None) -> None:
        """The provider limits the rate of this key: for ``wait`` seconds, if stated."""
        self._rest(key, model, now, wait, limited=True)

    def refused(self, key: int, model: str, now: float, fault: AccountFault) -> None:
        """The provider does not take this key, or not for this model."""
        if fault is AccountFault.ACCESS:
            self._rest(key, model, now, None)
            return
        organization = self._organizations[key]
        for other in range(self.count):
            same = fault in _OF_ACCOUNTS and organization and self._organizations[other] == organization
            if other == key or same:
                self._rest(other, EVERY_MODEL, now, None)

    def knows(self, key: int) -> bool:
        """Whether nothing is to be learnt of this key: whose it is is known, or it is the only one."""
        return self.count == 1 or bool(self._organizations[key])

    def learn(self, key: int, organization: bytes) -> None:
        """Whose key it is, as an answer's headers say."""
        self._organizations[key] = organization

    def announces(self, key: int, fault: AccountFault, now: float) -> bool:
        """Whether this fault is to be logged: not again within a minute."""
        if now < self._announced.get((key, fault), now):
            return False
        self._announced[key, fault] = now + ANNOUNCE_SECONDS
        return True

    # -- what KeyTurn asks ------------------------------------------------------------------------

    @property
    def well(self) -> bool:
        """No key rests or is half open."""
        return not self._rests

    def wait(self, key: int, model: str, now: float) -> float:
        """Seconds until this key may be used for this model; 0 is now."""
        waits = [rest.wait(now) for rest in self._of(key, model)]
        return max(waits, default=0.0)

    def promising(self, key: int, model: str, now: float) -> tuple[bool, float]:
        """Orders keys that rest: those that are only limited first, since the provider then says for how long."""
        return any(not rest.limited for rest in self._of(key, model)), self.wait(key, model, now)

    def use(self, key: int, model: str, now: float) -> None:
        """A request is sent with this key."""
        for rest in self._of(key, model):
            rest.claim(now)

    def _of(self, key: int, model: str) -> list[_KeyRest]:
        if not self._rests:
            return []
        found = (self._rests.get((key, scope)) for scope in (EVERY_MODEL, model))
        return [rest for rest in found if rest is not None]

    def _rest(self, key: int, scope: str, now: float, wait: float | None, *, limited: bool = False) -> None:
        rest = self._rests.setdefault((key, scope), _KeyRest(now))
        rest.limited = limited
        rest.again(now, wait, LONGEST_REST)


class KeyTurn:
    """The keys that one request tries at one provider, each once."""

    __slots__ = ("_keys", "_model", "_order", "_rested", "_tried")

    def __init__(self, keys: Keys, model: str, order: list[int]) -> None:
        self._keys = keys
        self._model = model
        self._order = order
        self._tried: list[int] = []
        self._rested = False  # a key that rests was tried

    @property
    def own(self) -> int:
        """The key that the account's requests stay with."""
        return self._order[0]

    @property
    def more(self) -> bool:
        """Whether there are keys that this request has not tried, resting ones included."""
        return len(self._tried) < min(self._keys.count, MOST_TRIED)

    def next(self, now: float, *, last: bool, off: Collection[int] = ()) -> int | None:
        """The position of the next key to try, or ``None`` if there is none.

        Args:
            now: The clock.
            last: Nothing else is left to try: one key that rests will do.
            off: Keys that the operator has switched off.
        """
        keys, model = self._keys, self._model
        if keys.well and not self._tried and not off:
            self._tried.append(self.own)
            return self.own
        left = [key for key in self._order if key not in self._tried and key not in off]
        if not left or len(self._tried) >= MOST_TRIED:
            return None
        key = next((key for key in left if keys.wait(key, model, now) == 0.0), None)
        if key is None:
            if self._rested or not last:
                return None
            key = min(left, key=lambda key: keys.promising(key, model, now))
            self._rested = True
        self._tried.append(key)
        keys.use(key, model, now)
        return key


def preference(seed: str, account: str, weights: Sequence[int]) -> list[int]:
    """The positions of all keys, the preferred one first: weighted rendezvous hashing.

    An account's order does not depend on other accounts, and a key that is added at the end or gets another weight only
    moves the accounts that it wins or loses. ``account`` is a random id.
    """

    def rank(key: int) -> float:
        drawn = blake2b(f"{seed}\0{account}\0{key}".encode(), digest_size=8).digest()
        return log((int.from_bytes(drawn) + 1) / 2**64) / weights[key]

    return sorted(range(len(weights)), key=rank, reverse=True)
