"""Which of a provider's keys to use: a key that it refused rests, and is tried again when its rest is over.

Pure state with the clock handed in: no I/O, one for each provider and worker, nothing in the store.

Rules that everything here obeys:

1. Keys take turns. One that rests is passed over as long as another does not.
2. A refusal rests the key for as long as the provider says, else for `FIRST_REST` and twice as long each time it is
   refused again, at most `LONGEST_REST`. What fails while a key rests began before, and makes the rest no longer.
3. A rest that is over is half open: one request tries the key, the others pass it over until that one is answered.
   If it is not (its client left), the next one tries after `PROBE_SECONDS`.
4. If every key of every target rests, one is used all the same, once for each request: no operator waits for a clock
   after having topped up an account, and a rate limit is the provider's to tell. It is the one that is due first, of
   those that are only limited if there are any.
5. A rate limit rests a key for one model, since providers limit models one by one; so does a lack of access. Any other
   refusal rests it for all, and with it the keys that are known to be the same organisation's, if its account is at
   fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from providers.account_codes import AccountFault

SHORTEST_REST: Final = 1.0  # seconds
FIRST_REST: Final = 2.0
LONGEST_REST: Final = 900.0
PROBE_SECONDS: Final = 60.0
ANNOUNCE_SECONDS: Final = 60.0
MOST_TRIED: Final = 8  # keys of one provider for one request
EVERY_MODEL: Final = ""

_OF_ACCOUNTS: Final = frozenset((AccountFault.CREDIT, AccountFault.SUSPENDED))


@dataclass(slots=True)
class _Rest:
    until: float
    limited: bool = False  # by a rate limit: the key as such is taken
    times: int = 0
    tried_until: float = 0.0  # a request that tries the key again is waited for until then

    def wait(self, now: float) -> float:
        return max(self.until - now, self.tried_until - now, 0.0)


class Keys:
    """The keys of one provider, by their position in its configuration."""

    __slots__ = ("_announced", "_next", "_organizations", "_rests", "count")

    def __init__(self, count: int) -> None:
        self.count = count
        self._next = 0
        self._rests: dict[tuple[int, str], _Rest] = {}
        self._organizations: list[bytes] = [b""] * count
        self._announced: dict[tuple[int, AccountFault], float] = {}

    def turn(self, model: str) -> KeyTurn:
        """The keys that one request for ``model`` tries, in order."""
        return KeyTurn(self, model)

    def ready(self, model: str, now: float) -> bool:
        """Whether some key does not rest."""
        return not self._rests or any(self.wait(key, model, now) == 0.0 for key in range(self.count))

    def resting(self, now: float) -> int:
        """How many keys rest, for one model or for all."""
        return len({key for (key, _), rest in self._rests.items() if rest.until > now})

    # -- what became of a request --------------------------------------------------------------

    def accepted(self, key: int, model: str) -> None:
        """The provider answered a request that came with this key."""
        if self._rests:
            self._rests.pop((key, EVERY_MODEL), None)
            self._rests.pop((key, model), None)

    def limited(self, key: int, model: str, now: float, wait: float | None) -> None:
        """The provider limits the rate of this key: for ``wait`` seconds, if it says so."""
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

    def first(self) -> int:
        """The key whose turn it is, and then the next one's."""
        key = self._next
        self._next = (key + 1) % self.count
        return key

    def in_turn(self) -> list[int]:
        """All keys, the one whose turn it is first."""
        return [(self._next + step) % self.count for step in range(self.count)]

    def wait(self, key: int, model: str, now: float) -> float:
        """Seconds until this key may be used for this model; 0 is now."""
        waits = [rest.wait(now) for rest in self._of(key, model)]
        return max(waits, default=0.0)

    def promising(self, key: int, model: str, now: float) -> tuple[bool, float]:
        """Orders keys that rest: those that are only limited first, since the provider then says for how long."""
        return any(not rest.limited for rest in self._of(key, model)), self.wait(key, model, now)

    def half_open(self, key: int, model: str, now: float) -> bool:
        """Whether this key's rest is over, and nobody has found out yet whether it is taken again."""
        rests = self._of(key, model)
        return bool(rests) and all(rest.wait(now) == 0.0 for rest in rests)

    def use(self, key: int, model: str, now: float) -> None:
        """A request is sent with this key."""
        self._next = (key + 1) % self.count
        for rest in self._of(key, model):
            if rest.until <= now:
                rest.tried_until = now + PROBE_SECONDS

    def _of(self, key: int, model: str) -> list[_Rest]:
        if not self._rests:
            return []
        found = (self._rests.get((key, scope)) for scope in (EVERY_MODEL, model))
        return [rest for rest in found if rest is not None]

    def _rest(self, key: int, scope: str, now: float, wait: float | None, *, limited: bool = False) -> None:
        rest = self._rests.setdefault((key, scope), _Rest(now))
        rest.limited = limited
        stated = None if wait is None else now + min(max(wait, SHORTEST_REST), LONGEST_REST)
        if now < rest.until:  # refused together with others
            rest.until = max(rest.until, stated or 0.0)
            return
        rest.until = stated or now + min(FIRST_REST * 2**rest.times, LONGEST_REST)
        rest.times = min(rest.times + 1, 16)
        rest.tried_until = 0.0


class KeyTurn:
    """The keys that one request tries at one provider, each once."""

    __slots__ = ("_keys", "_model", "_rested", "_tried")

    def __init__(self, keys: Keys, model: str) -> None:
        self._keys = keys
        self._model = model
        self._tried: list[int] = []
        self._rested = False  # a key that rests was tried

    def next(self, now: float, *, last: bool) -> int | None:
        """The position of the next key to try, or ``None`` if there is none.

        Args:
            now: The clock.
            last: Nothing else is left to try: one key that rests will do.
        """
        keys, model = self._keys, self._model
        if keys.well and not self._tried:
            first = keys.first()
            self._tried.append(first)
            return first
        left = [key for key in keys.in_turn() if key not in self._tried] if len(self._tried) < MOST_TRIED else []
        if not left:
            return None
        # Half open first: as long as another key answers, nobody would find out that this one is taken again.
        key = next((key for key in left if keys.half_open(key, model, now)), None)
        if key is None:
            key = min(left, key=lambda key: (keys.wait(key, model, now) > 0.0, keys.promising(key, model, now)))
            if keys.wait(key, model, now) > 0.0:
                if self._rested or not last:
                    return None
                self._rested = True
        self._tried.append(key)
        keys.use(key, model, now)
        return key
