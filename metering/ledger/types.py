"""What is said to and by the ledger: reservations, their answers, accounts, and the two errors."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from metering.usage import UsageRecord


class LedgerUnavailable(Exception):
    """The store did not answer in time, or cannot serve now.

    ``maybe_ran``: the call may have taken effect all the same, so a failed reserve must be voided.
    When false it did not and never will, and there is nothing to void.
    """

    def __init__(self, *, maybe_ran: bool) -> None:
        super().__init__("the ledger is unavailable")
        self.maybe_ran = maybe_ran


class LedgerConflict(Exception):
    """The same rid or grant id was used with other arguments, or the account was erased.

    Repeating does not help. ``reason``: ``rid`` | ``fingerprint`` | ``grant`` | ``account`` | ``argument``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("the ledger refuses these arguments")
        self.reason = reason


class State(StrEnum):
    """What the ledger knows of a request that has no record to show."""

    UNKNOWN = "unknown"
    PENDING = "pending"  # reserved, not settled
    VOIDED = "voided"  # never charged
    DEAD = "dead"  # settled too late; kept aside for an operator
    EXPIRED = "expired"  # settled; the record itself is past its retention


class Touched(StrEnum):
    """What a touch found."""

    HELD = "held"  # the request may go on
    CREDITS = "credits"  # the lease is extended, but the account cannot pay for a larger hold
    GONE = "gone"  # settled or voided meanwhile, or the account was erased: end it


class Verdict(StrEnum):
    """What became of one settlement."""

    SETTLED = "settled"  # the record counts, now or already
    AGAIN = "again"  # no answer: repeat it
    REFUSED = "refused"  # will never be accepted as it is
    DEAD = "dead"  # too old; in the dead letters
    ERASED = "erased"  # the account was erased; nothing was kept


class Limits(msgspec.Struct, frozen=True):
    """What an account may do; 0 is no limit. Daily and monthly are micro-credits of a UTC day and month."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    concurrent: int = 0
    daily: int = 0
    monthly: int = 0


class Reservation(msgspec.Struct, frozen=True):
    """What a request asks of the ledger before it may go to a provider.

    Attributes:
        rid: The request's id, drawn by the gateway.
        pid: The account.
        amount: Micro-credits to hold while the account's credit covers ``worst`` of all that it runs.
        tokens: Estimate for the token rate.
        lease_ms: How long the hold counts as running without a touch.
        limits: The account's limits.
        orphan: The record to charge if this gateway dies before the first touch (its ``rev``,
            ``basis``, ``outcome`` and ``settled_ms`` are set by the reaper). ``None``: nothing
            would be charged.
        lane: ``<sid>:<slot>`` of an autocomplete lane, or empty. Of a lane only the newest request holds; it does not
            count as running at once.
        worst: The most that the request may cost, ``amount`` at least; ``None`` is ``amount``.
        least: If less credit is left than ``worst``, the least that the request may be limited to; ``None`` is
            ``worst``: it takes no limit.
    """

    rid: str
    pid: str
    amount: int
    tokens: int
    lease_ms: int
    limits: Limits
    orphan: UsageRecord | None = None
    lane: str = ""
    worst: int | None = None
    least: int | None = None


class Touch(msgspec.Struct, frozen=True):
    """What a running request says of itself.

    Attributes:
        pid: The account.
        rid: The request.
        lease_ms: The new lease, from now.
        amount: The new hold in micro-credits; a smaller one than now held changes nothing.
        checkpoint: The record that the reaper would write (see `Reservation.orphan`).
        most: What the reserve said that the request may cost at most, should the store have lost the hold.
    """

    pid: str
    rid: str
    lease_ms: int
    amount: int = 0
    checkpoint: UsageRecord | None = None
    most: int = 0


class Window(msgspec.Struct, frozen=True):
    """One limit as it stands: ``policy`` is ``requests``, ``tokens``, ``concurrency``, ``daily`` or ``monthly``.

    ``reset_ms`` is the time until nothing of it is used any more (0 for concurrency); ``daily`` and ``monthly`` are
    micro-credits, of which those held by running requests are not remaining.
    """

    policy: str
    limit: int
    remaining: int
    reset_ms: int


class Reserved(msgspec.Struct, frozen=True):
    """The hold stands. Money is in micro-credits.

    Attributes:
        balance: granted - spent of the account.
        held: What its other requests hold.
        hold: What this request holds.
        most: What this request may cost at most. Below the reservation's ``worst``, the credit does not cover that:
            the caller must limit the request to this.
        windows: The account's limits.
        replaced: The rid whose lane this request took over, which may have ended; the caller must end it.
    """

    balance: int
    held: int
    hold: int
    most: int
    windows: tuple[Window, ...]
    replaced: str = ""


class Refused(msgspec.Struct, frozen=True):
    """Nothing was held.

    ``reason`` is ``credits``, ``requests``, ``tokens``, ``concurrency``, ``daily``, ``monthly``, ``superseded``
    (a newer request has the lane), ``voided`` (this rid has ended), ``restricted`` (its owner asked to leave it
    alone) or ``unknown_account``. Money is in micro-credits: ``needed`` is the reservation's ``least``, ``held`` what
    running requests may cost at most, and ``available`` what is left beside that. ``retry_after_ms`` of ``credits`` is
    0 if the credit does not suffice either once they have ended.
    """

    reason: str
    needed: int
    held: int
    available: int
    retry_after_ms: int
    windows: tuple[Window, ...]


class Account(msgspec.Struct, frozen=True):
    """Micro-credits of an account; ``available`` is granted - spent - held and may be negative."""

    pid: str
    granted: int
    spent: int
    held: int
    available: int
    tier: str
    restricted: bool = False
