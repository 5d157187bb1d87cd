"""Reports what one request learns about providers' keys to `gateway.upstream.keys`, the log and the metrics.

Rules:

1. A provider's explicit statement about a key counts at once. A finding from its words, or an assumption, counts only
   if another key answers the same request: a request that no key answers says nothing about keys, and no caller can
   rest a key by the content of its request.
2. An assumed refusal of the key must be confirmed by another key of the same provider, since another host may moderate
   differently. A model that is not there may only be hidden from this key's organisation: the same is required.
3. A limit on the size of a request does not rest a key, nor does an error that may quote the request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gateway.inference.rejection import Rejection
from gateway.inference.services import Signals
from gateway.telemetry.log import Event
from gateway.upstream.connection import Headers
from gateway.upstream.destination import Destination
from providers.account_codes import AccountFault
from providers.account_faults import Certainty, Finding, depends_on_size

_ORGANIZATIONS = frozenset((b"openai-organization", b"anthropic-organization-id"))


class KeyUse(NamedTuple):
    """A key of a provider, as one attempt uses it."""

    destination: Destination
    key: int
    model: str


class KeyHealth:
    """One request's."""

    __slots__ = ("_clock", "_doubts", "_signals")

    def __init__(self, signals: Signals, clock: Callable[[], float]) -> None:
        self._signals = signals
        self._clock = clock
        self._doubts: list[tuple[KeyUse, Finding]] = []

    def headed(self, use: KeyUse, headers: Headers) -> None:
        """A response head arrived: it may say whose the key is."""
        keys = use.destination.keys
        if not keys.knows(use.key):
            for name, value in headers:
                if name in _ORGANIZATIONS:
                    keys.learn(use.key, value)
                    return

    def answered(self, use: KeyUse) -> None:
        """The provider answered the request."""
        use.destination.keys.accepted(use.key, use.model)
        if not self._doubts:
            return
        now = self._clock()
        for doubted, finding in self._doubts:
            same = doubted.destination is use.destination
            if finding.certainty is Certainty.WORDED or same:
                doubted.destination.keys.refused(doubted.key, doubted.model, now, finding.fault)
        self._doubts.clear()

    def rejected(self, use: KeyUse, rejection: Rejection, finding: Finding | None, *, lacking: bool = False) -> None:
        """The provider answered with an error.

        Args:
            use: The attempt.
            rejection: The error.
            finding: What is wrong with the key, if it is about that.
            lacking: The provider does not have the model, or does not show it to this key.
        """
        keys, now = use.destination.keys, self._clock()
        if finding is None and lacking:
            self._doubts.append((use, Finding(AccountFault.ACCESS, Certainty.ASSUMED)))
            return
        if finding is not None and finding.certainty is Certainty.QUOTED:
            return
        if finding is None:
            if rejection.status == 429:
                if not depends_on_size(rejection.body or b""):
                    keys.limited(use.key, use.model, now, rejection.wait)
            elif 400 <= rejection.status < 500:
                keys.accepted(use.key, use.model)
            return
        name = use.destination.name
        self._signals.instruments.account_faults.inc(name, finding.fault.value)
        if keys.announces(use.key, finding.fault, now):
            self._signals.log.error(
                Event.PROVIDER_ACCOUNT_FAULT,
                provider=name,
                fault=finding.fault,
                status=rejection.status,
                key=use.key + 1,
            )
        if finding.fault is AccountFault.KEY:
            use.destination.renew()
        if finding.certainty is Certainty.STATED:
            keys.refused(use.key, use.model, now, finding.fault)
        else:
            self._doubts.append((use, finding))
