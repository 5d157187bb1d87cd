"""How each model of a provider fares: one that fails is passed by while another target serves the request.

Pure state with the clock handed in: no I/O, one for each provider and worker, nothing in the store. Nothing is ever
refused because of it: it only decides which of a request's targets is tried first, so that the last one is never lost.

Rules that everything here obeys:

1. What the provider or the way to it caused is a failure: 5xx, 529, a time-out, a reset, a model that it does not
   have. What the request caused (any other 4xx) is none, and neither is what concerns a key (`gateway.upstream.keys`).
2. A failed request of an account rests the target for that account, and for no other: the account may have caused it.
3. For every account it rests as an outlier: within `WINDOW_SECONDS`, requests of at least `FEWEST_ACCOUNTS` accounts
   failed, at least `FEWEST_REQUESTS` were made, and the mean of the accounts' shares of failures is at least
   `FAILING_SHARE`. So an account counts once, however much it sends, and no single one can eject a target.
4. An attempt that failed before anything of the request was sent has no account as its cause: it counts as one of its
   own.
5. While a target rests for all, an account can prolong that once. So no single one can keep it ejected either.
6. A rest ends with an answer that arrives after it; what was counted before is forgotten then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.upstream.rest import Rest

LONGEST_TARGET_REST: Final = 60.0  # seconds
WINDOW_SECONDS: Final = 30.0
FEWEST_ACCOUNTS: Final = 3
FEWEST_REQUESTS: Final = 5
FAILING_SHARE: Final = 0.5
MOST_ACCOUNTS: Final = 512  # counted in each half of a window; the share is then that of the first ones
MOST_RESTS: Final = 4_096  # of accounts, and as many of models: the oldest ones are forgotten


@dataclass(slots=True)
class _Half:
    """Half a window: of each account, how many requests failed, and how many there were."""

    begun: float
    accounts: dict[str, list[int]] = field(default_factory=dict)
    unsent: int = 0

    def count(self, account: str, *, failed: bool) -> None:
        counts = self.accounts.get(account)
        if counts is None:
            if len(self.accounts) >= MOST_ACCOUNTS:
                return
            counts = self.accounts[account] = [0, 0]
        counts[0] += failed
        counts[1] += 1


class _Window:
    """The last `WINDOW_SECONDS`, in two halves of which the older one is dropped."""

    __slots__ = ("_before", "_half")

    def __init__(self, now: float) -> None:
        self._half = _Half(now)
        self._before = _Half(now)

    def at(self, now: float) -> _Half:
        """Where to count now."""
        age = now - self._half.begun
        if age >= WINDOW_SECONDS / 2:
            self._before = self._half if age < WINDOW_SECONDS else _Half(now)
            self._half = _Half(now)
        return self._half

    @property
    def outlier(self) -> bool:
        """Whether rule 3 holds."""
        unsent = self._half.unsent + self._before.unsent
        counts = dict(self._before.accounts)
        for account, (failed, made) in self._half.accounts.items():
            earlier = counts.get(account, (0, 0))
            counts[account] = [failed + earlier[0], made + earlier[1]]
        failing = unsent + sum(1 for failed, _ in counts.values() if failed)
        requests = unsent + sum(made for _, made in counts.values())
        if failing < FEWEST_ACCOUNTS or requests < FEWEST_REQUESTS:
            return False
        shares = unsent + sum(failed / made for failed, made in counts.values())
        return shares >= FAILING_SHARE * (unsent + len(counts))


@dataclass(slots=True)
class _Ejection(Rest):
    """A rest for every account, and which of them have prolonged it."""

    by: set[str] = field(default_factory=set)


class TargetHealth:
    """The models of one provider."""

    __slots__ = ("_ejections", "_own", "_windows")

    def __init__(self) -> None:
        self._ejections: dict[str, _Ejection] = {}
        self._own: dict[tuple[str, str], Rest] = {}
        self._windows: dict[str, _Window] = {}

    def wait(self, model: str, account: str, now: float) -> float:
        """Seconds until this account's requests should use this model here; 0 is now."""
        if not self._own and not self._ejections:
            return 0.0
        return max((rest.wait(now) for rest in self._of(model, account)), default=0.0)

    def use(self, model: str, account: str, now: float) -> None:
        """A request is sent there: if its rest is over, this is the one that tries it."""
        if self._own or self._ejections:
            for rest in self._of(model, account):
                rest.claim(now)

    def ejected(self, now: float) -> int:
        """How many models rest for every account."""
        return sum(1 for rest in self._ejections.values() if rest.until > now)

    def answered(self, model: str, account: str, now: float) -> None:
        """The target answered a request of this account, if only with what is wrong with the request."""
        self._own.pop((model, account), None)
        ejection = self._ejections.get(model)
        if ejection is not None:
            if ejection.until > now:
                return
            del self._ejections[model]
            self._windows.pop(model, None)
        self._window(model, now).at(now).count(account, failed=False)

    def failed(self, model: str, account: str, now: float, wait: float | None = None, *, sent: bool = True) -> None:
        """A request of this account failed there.

        Args:
            model: The provider's name of it.
            account: Whose request.
            now: The clock.
            wait: Seconds that the provider asks to wait, if it does.
            sent: Something of the request was sent.
        """
        own = self._own.get((model, account))
        if own is None:
            if len(self._own) >= MOST_RESTS:
                del self._own[next(iter(self._own))]
            own = self._own[model, account] = Rest(now)
        own.again(now, wait, LONGEST_TARGET_REST)
        ejection = self._ejections.get(model)
        if ejection is None:
            window = self._window(model, now)
            half = window.at(now)
            if sent:
                half.count(account, failed=True)
            else:
                half.unsent += 1
            if window.outlier:
                if len(self._ejections) >= MOST_RESTS:
                    del self._ejections[next(iter(self._ejections))]
                ejection = self._ejections[model] = _Ejection(now)
                ejection.again(now, wait, LONGEST_TARGET_REST)
                ejection.by.add(account)
        elif ejection.until <= now:
            if sent and account in ejection.by:
                ejection.tried_until = 0.0  # another account's request tries it
            else:
                ejection.by.add(account)
                ejection.again(now, wait, LONGEST_TARGET_REST)

    def _of(self, model: str, account: str) -> list[Rest]:
        found = (self._own.get((model, account)), self._ejections.get(model))
        return [rest for rest in found if rest is not None]

    def _window(self, model: str, now: float) -> _Window:
        window = self._windows.get(model)
        if window is None:
            if len(self._windows) >= MOST_RESTS:
                del self._windows[next(iter(self._windows))]
            window = self._windows[model] = _Window(now)
        return window
