"""What one request finds out about providers' keys, told to `gateway.upstream.keys`, the log and the metrics.

Rules:

1. What a provider states about a key counts at once. What is only read out of its words, or assumed, counts when the
   same request is answered with another key: a request that nobody takes says nothing about a key, and no caller can
   set a key aside by what it writes.
2. A refusal that is only assumed to be about the key is confirmed by another key of the same provider; another host
   may moderate otherwise.
3. A limit that smaller requests keep to rests no key. Neither does an error that may quote the request.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.inference.rejection import Rejection
from gateway.inference.services import Services
from gateway.telemetry.log import Event
from gateway.upstream.connection import Headers
from gateway.upstream.destination import Destination
from providers.account_faults import Certainty, Finding, depends_on_size

_ORGANIZATIONS = frozenset((b"openai-organization", b"anthropic-organization-id"))


class KeyUse(NamedTuple):
    """A key of a provider, as one attempt uses it."""

    destination: Destination
    key: int
    model: str


class KeyHealth:
    """One request's."""

    __slots__ = ("_doubts", "_services")

    def __init__(self, services: Services) -> None:
        self._services = services
        self._doubts: list[tuple[KeyUse, Finding]] = []

    def headed(self, use: KeyUse, headers: Headers) -> None:
        """A response head came: it may say whose the key is."""
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
        now = self._services.loop.time()
        for doubted, finding in self._doubts:
            same = doubted.destination is use.destination
            if finding.certainty is Certainty.WORDED or same:
                doubted.destination.keys.refused(doubted.key, doubted.model, now, finding.fault)
        self._doubts.clear()

    def rejected(self, use: KeyUse, rejection: Rejection, finding: Finding | None) -> None:
        """The provider answered with an error; ``finding`` says what is wrong with the key, if it is about that."""
        keys, now = use.destination.keys, self._services.loop.time()
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
        self._services.instruments.account_faults.inc(name, finding.fault.value)
        if keys.announces(use.key, finding.fault, now):
            self._services.log.error(
                Event.PROVIDER_ACCOUNT_FAULT,
                provider=name,
                fault=finding.fault,
                status=rejection.status,
                key=use.key + 1,
            )
        if finding.certainty is Certainty.STATED:
            keys.refused(use.key, use.model, now, finding.fault)
        else:
            self._doubts.append((use, finding))
