"""The ledger's types: reservations and their answers, touches, accounts, and its two errors."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import msgspec

from metering.usage import UsageRecord


class LedgerUnavailable(Exception):
    """The store did not answer in time, or cannot serve now.

    ``maybe_ran``: the call may still have taken effect, so a failed reserve must be voided.
    If false, it did not and never will, and there is nothing to void.
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
    """Why a request has no record to show."""

    UNKNOWN = "unknown"
    PENDING = "pending"  # reserved, not settled
    VOIDED = "voided"  # never charged
    DEAD = "dead"  # settled too late; in the dead letters, for an operator
    EXPIRED = "expired"  # settled; the record itself is past its retention


class Touched(StrEnum):
    """What a touch found."""

    HELD = "held"  # the request may go on
    CREDITS = "credits"  # the lease is extended, but the account cannot pay for a larger hold
    GONE = "gone"  # settled or voided meanwhile, or the account was erased: the request must end


class Standing(NamedTuple):
    """What a touch found, and the most that the request may cost from now on, in micro-credits (0 if it is gone)."""

    touched: Touched
    most: int


class Verdict(StrEnum):
    """The result of one settlement."""

    SETTLED = "settled"  # the record counts, now or since an earlier call
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
        amount: Micro-credits to hold, as long as the account's credit covers the ``worst`` of all its running requests.
        tokens: Estimate for the token rate.
        lease_ms: How long the hold counts as running without a touch.
        limits: The account's limits.
        orphan: The record to charge if this gateway dies before the first touch (its ``rev``,
            ``basis``, ``outcome`` and ``settled_ms`` are set by the reaper). ``None``: nothing
            would be charged.
        lane: ``<sid>:<slot>`` of an autocomplete lane, or empty. In a lane only the newest request has a hold; it does
            not count towards the concurrency limit.
        worst: The most that the request may cost, at least ``amount``; ``None`` means ``amount``.
        least: The lowest cost that the request can be limited to if less credit than ``worst`` is left; ``None`` means
            that it cannot be limited.
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
    """A running request's report to the ledger.

    Attributes:
        pid: The account.
        rid: The request.
        lease_ms: The new lease, from now.
        amount: The new hold in micro-credits; one that is not larger than the current hold changes nothing. One above
            the most that the request may cost raises that too: to ``amount``, or by the credit that is available.
        checkpoint: The record that the reaper would write (see `Reservation.orphan`).
        most: The reserve's `Reserved.most`, in case the store has lost the hold.
    """

    pid: str
    rid: str
    lease_ms: int
    amount: int = 0
    checkpoint: UsageRecord | None = None
    most: int = 0


class Window(msgspec.Struct, frozen=True):
    """The state of one limit: ``policy`` is ``requests``, ``tokens``, ``concurrency``, ``daily`` or ``monthly``.

    ``reset_ms`` is the time until it is fully available again (0 for concurrency). ``daily`` and ``monthly`` are in
    micro-credits; what running requests hold does not count as remaining.
    """

    policy: str
    limit: int
    remaining: int
    reset_ms: int


class Reserved(msgspec.Struct, frozen=True):
    """The hold was made. Money is in micro-credits.

    Attributes:
        balance: granted - spent of the account.
        held: What its other requests hold.
        hold: What this request holds.
        most: The most that this request may cost. If it is below the reservation's ``worst``, the credit does not
            cover the worst case, and the caller must limit the request to ``most``.
        windows: The account's limits.
        replaced: The rid of the request that this one replaced in its lane; the caller must end it if it still runs.
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
    (a newer request has the lane), ``voided`` (this rid has ended), ``restricted`` (the account's owner restricted
    processing) or ``unknown_account``. Money is in micro-credits: ``needed`` is the reservation's ``least``, ``held``
    the most that running requests may cost, and ``available`` the rest of the credit. For ``credits``,
    ``retry_after_ms`` is 0 if the credit will not suffice even after the running requests have ended.
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
