"""The generic cell rate algorithm as the ledger runs it: pure, in whole microseconds, with the clock handed in.

The store's own copy (``gcra`` in ``ledger.lua``) decides; this one says what it must decide, and is what it is tested
against. The state of one limit is one number, the theoretical arrival time: when all that was used is refilled.

- One minute's worth may be used at once, then the limit refills evenly.
- A request larger than the whole limit passes where nothing is used, and is paid by waiting.
"""

from __future__ import annotations

from dataclasses import dataclass

MINUTE = 60_000_000


@dataclass(frozen=True, slots=True)
class Decision:
    """Times are microseconds.

    Attributes:
        wait: How long until the same request passes; 0 is now.
        arrival: The state to keep: moved where it passes, else as it was (never in the past).
    """

    wait: int
    arrival: int


def decide(arrival: int, limit: int, cost: int, now: int) -> Decision:
    """Whether a request passes.

    Args:
        arrival: The state, 0 where there is none.
        limit: What one minute allows, above 0.
        cost: What the request uses of it.
        now: The clock.
    """
    before = max(arrival, now)
    weight = min(cost, limit) * MINUTE // limit
    wait = max(0, before + weight - MINUTE - now)
    return Decision(wait, before if wait else before + cost * MINUTE // limit)


def remaining(arrival: int, limit: int, now: int) -> int:
    """What may be used at once; below 0 where a correction took more than there was."""
    return (now + MINUTE - max(arrival, now)) * limit // MINUTE


def correct(arrival: int, limit: int, estimate: int, actual: int, now: int) -> int:
    """The state once a request's real use is known in place of its estimate."""
    return max(arrival, now) + (actual - estimate) * MINUTE // limit
