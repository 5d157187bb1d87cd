"""The ledger's calls: credits, holds, rates and records, each one function call on the store.

The rules about money are in ``ledger.lua``; this module gives the calls types and sends them.

1. A call that gets no answer in time raises `LedgerUnavailable`; nothing here retries.
2. Every call is idempotent by ``rid`` (a grant by its id), so callers may repeat any call.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

import msgspec

from metering import keys
from metering.ledger import records
from metering.ledger.calls import Calls
from metering.ledger.types import (
    Account,
    LedgerConflict,
    LedgerUnavailable,
    Limits,
    Refused,
    Reservation,
    Reserved,
    Standing,
    State,
    Touch,
    Touched,
    Verdict,
    Window,
)
from metering.store.link import Command, StoreError
from metering.store.store import Store, Unconfirmed
from metering.usage import UsageRecord

__all__ = [
    "Account",
    "Ledger",
    "LedgerConflict",
    "LedgerUnavailable",
    "Limits",
    "Refused",
    "Reservation",
    "Reserved",
    "Standing",
    "State",
    "Touch",
    "Touched",
    "Verdict",
    "Window",
]


class Ledger:
    """One process's access to the ledger. Call `load` before anything else and `close` at the end.

    ``timeout`` bounds each call, in seconds. ``home`` is the id of this host's spool, if there is
    one: the reaper asks that spool whether a request whose gateway died was ever sent.

    Attributes:
        reserving: How many calls of `reserve` have no reply yet.
    """

    def __init__(self, store: Store, *, timeout: float = 0.25, home: str = "") -> None:
        self.calls = Calls(store, timeout=timeout)
        self._store = store
        self._home = home
        self.reserving = 0

    async def load(self) -> None:
        """Load the function library on each primary that lacks it. Raises `LedgerUnavailable`."""
        await self.calls.load()

    async def reserve(self, r: Reservation) -> Reserved | Refused:
        """Check rates, concurrency and credits, and hold: all or nothing, in one call.

        Raises:
            LedgerUnavailable: No answer in time. If ``maybe_ran``, hand the rid to `Settler.void`.
            LedgerConflict: This rid was reserved with other arguments.
        """
        p = keys.partition(r.pid)
        t, pid, rid, limits = keys.tag(p), r.pid, r.rid, r.limits
        lane = (f"{t}lane:{pid}:{r.lane}",) if r.lane else ()
        worst = r.amount if r.worst is None else r.worst
        command: Command = (
            "FCALL", "cgx2_reserve", 7 + len(lane),
            f"{t}acct:{pid}", f"{t}holds:{pid}", f"{t}lease:{pid}", f"{t}due", f"{t}req:{rid}",
            f"{t}rate:{pid}:requests", f"{t}rate:{pid}:tokens", *lane,
            rid, pid, r.amount, worst, worst if r.least is None else r.least, r.tokens, r.lease_ms,
            limits.requests_per_minute, limits.tokens_per_minute, limits.concurrent, limits.daily, limits.monthly,
            self._home,
        )  # fmt: skip
        if r.orphan is not None:
            command = (*command, records.encode(r.orphan))
        self.reserving += 1
        try:
            reply = await self.calls.run(p, command, urgent=True)
        finally:
            self.reserving -= 1
        if reply[0] == b"ok":
            return _reserved(reply, 5)
        if reply[0] == b"took":
            return _reserved(reply, 6, reply[5].decode())
        return Refused(
            reply[1].decode(), int(reply[2]), int(reply[3]), int(reply[4]), int(reply[5]), _windows(reply, 6)
        )

    async def touch_each(self, touches: Sequence[Touch]) -> list[Standing | None]:
        """Say that requests still run, in one pipeline: extend their leases, raise their holds, note how far they are.

        ``None`` for each without an answer: the request goes on, and the next touch repeats it all. Raises nothing.
        """
        calls = [self._touch(touch) for touch in touches]
        sent = [self.calls.send(*call) for call in calls]
        found: list[Standing | None] = []
        for call, touch, future in zip(calls, touches, sent, strict=True):
            try:
                found.append(_standing(await self.calls.reply(*call, future), touch))
            except (LedgerUnavailable, LedgerConflict, StoreError):
                found.append(None)
        return found

    async def replace(self, record: UsageRecord) -> bool:
        """Write a record in place of a lower ``rev``; false if the ledger holds this ``rev`` or a higher one.

        False may also be the answer to a repetition of what was written.

        Raises:
            LedgerUnavailable: No answer; repeat it.
            LedgerConflict: It will never be accepted.
        """
        call = self._settlement(record)
        if call is None:
            raise LedgerConflict("argument")
        reply = await self.calls.run(*call)
        if _VERDICTS.get(reply) is not Verdict.SETTLED:
            raise LedgerConflict("rid")
        return bool(reply != b"same")

    async def settle_each(self, settled: Sequence[UsageRecord]) -> list[Verdict]:
        """Write the records and charge them, in one pipeline: the fate of each. A higher ``rev`` replaces a lower one.

        Raises nothing.
        """
        calls = [self._settlement(record) for record in settled]
        sent = [None if call is None else self.calls.send(*call) for call in calls]
        return [
            Verdict.REFUSED if call is None or future is None else await _verdict(self.calls.reply(*call, future))
            for call, future in zip(calls, sent, strict=True)
        ]

    async def void_each(self, voids: Sequence[tuple[str, str]]) -> list[Verdict]:
        """Give the holds of these ``(pid, rid)`` back uncharged, in one pipeline. A settled request stays settled.

        An unknown rid is barred, so that a late reserve finds that out. Raises nothing.
        """
        calls = [_void(pid, rid) for pid, rid in voids]
        sent = [self.calls.send(*call) for call in calls]
        return [await _verdict(self.calls.reply(*call, future)) for call, future in zip(calls, sent, strict=True)]

    async def bury(self, record: UsageRecord) -> bool:
        """Move a settlement that the ledger will never accept to the dead letters; false if there was no answer.

        A record that cannot be encoded is dropped, and counts as moved.
        """
        p = keys.partition(record.pid)
        try:
            lines = records.encode(record)
        except ValueError:
            return True
        command = ("XADD", f"{keys.tag(p)}dead", "*", "why", "refused", *lines.split("\n")[:-1])
        try:
            await self.calls.run(p, command)
        except LedgerUnavailable:
            return False
        return True

    async def grant(self, pid: str, amount: int, grant_id: str) -> Account:
        """Add ``amount`` micro-credits once for each ``grant_id`` (remembered 400 days).

        Raises:
            LedgerUnavailable: No answer; repeat with the same id.
            LedgerConflict: The id was used with another amount, or the account was erased.
        """
        p = keys.partition(pid)
        t = keys.tag(p)
        digest = keys.grant_digest(grant_id)
        reply = await self.calls.run(p, (
            "FCALL", "cgx2_grant", 4,
            f"{t}acct:{pid}", f"{t}holds:{pid}", f"{t}grant:{pid}:{digest}", f"{t}grants:{pid}",
            pid, amount, digest,
        ))  # fmt: skip
        await self._confirm(t)
        return _account(pid, reply)

    async def set_tier(self, pid: str, tier: str) -> Account:
        """Set the account's tier, a closed id of the configuration. Raises as `grant` does."""
        p = keys.partition(pid)
        t = keys.tag(p)
        command = ("FCALL", "cgx2_set_tier", 2, f"{t}acct:{pid}", f"{t}holds:{pid}", tier)
        return _account(pid, await self.calls.run(p, command))

    async def restrict(self, pid: str, *, restricted: bool) -> Account | None:
        """Refuse new requests of the account, or accept them again. Raises as `grant` does."""
        p = keys.partition(pid)
        t = keys.tag(p)
        command = ("FCALL", "cgx2_restrict", 2, f"{t}acct:{pid}", f"{t}holds:{pid}", int(restricted))
        reply = await self.calls.run(p, command)
        return _account(pid, reply) if reply else None

    async def account(self, pid: str) -> Account | None:
        """The account's current sums, or ``None`` if it does not exist. Raises `LedgerUnavailable`."""
        p = keys.partition(pid)
        t = keys.tag(p)
        reply = await self.calls.run(p, ("FCALL", "cgx2_account", 2, f"{t}acct:{pid}", f"{t}holds:{pid}"))
        return _account(pid, reply) if reply else None

    async def limits(self, pid: str, limits: Limits) -> tuple[Window, ...]:
        """The current state of an account's limits, without using any of them. Raises `LedgerUnavailable`."""
        p = keys.partition(pid)
        t = keys.tag(p)
        reply = await self.calls.run(p, (
            "FCALL", "cgx2_limits", 5,
            f"{t}acct:{pid}", f"{t}holds:{pid}", f"{t}lease:{pid}", f"{t}rate:{pid}:requests", f"{t}rate:{pid}:tokens",
            *msgspec.structs.astuple(limits),
        ))  # fmt: skip
        return _windows(reply, 0)

    async def record(self, pid: str, rid: str) -> UsageRecord | State:
        """The record of a request of this account, or why there is none. Raises `LedgerUnavailable`."""
        p = keys.partition(pid)
        t = keys.tag(p)
        reply = await self.calls.run(p, ("FCALL", "cgx2_record", 2, f"{t}req:{rid}", f"{t}usage", pid))
        if len(reply) > 1:
            return records.decode(records.pairs(reply[1:]))
        return _STATES[reply[0]] if reply else State.UNKNOWN

    async def close(self) -> None:
        """Close the ledger's connections (the store itself stays open)."""
        await self.calls.close()

    async def _confirm(self, tag: str) -> None:
        try:
            await self._store.confirm(tag)
        except Unconfirmed:
            raise LedgerUnavailable(maybe_ran=True) from None

    def _touch(self, touch: Touch) -> tuple[int, Command]:
        pid, rid, checkpoint = touch.pid, touch.rid, touch.checkpoint
        p = keys.partition(pid)
        t = keys.tag(p)
        return p, (
            "FCALL", "cgx2_touch", 5,
            f"{t}acct:{pid}", f"{t}holds:{pid}", f"{t}lease:{pid}", f"{t}due", f"{t}req:{rid}",
            rid, pid, touch.lease_ms, touch.amount, touch.most, self._home,
            "" if checkpoint is None else records.encode(checkpoint),
        )  # fmt: skip

    def _settlement(self, record: UsageRecord) -> tuple[int, Command] | None:
        pid, rid = record.pid, record.rid
        p = keys.partition(pid)
        t = keys.tag(p)
        try:
            lines = records.encode(record)
        except ValueError:
            return None
        return p, (
            "FCALL", "cgx2_settle", 11, *keys.of_settlement(t, pid, rid),
            rid, pid, record.rev, record.charge, records.tokens(record), record.started_ms, lines,
        )  # fmt: skip


def _void(pid: str, rid: str) -> tuple[int, Command]:
    p = keys.partition(pid)
    t = keys.tag(p)
    return p, (
        "FCALL", "cgx2_void", 5,
        f"{t}holds:{pid}", f"{t}lease:{pid}", f"{t}due", f"{t}req:{rid}", f"{t}rate:{pid}:tokens",
        rid, pid,
    )  # fmt: skip


def _standing(reply: list[bytes], touch: Touch) -> Standing:
    """What a reply says. A library of before says nothing of the most, but grants all that was asked for or nothing."""
    touched = _TOUCHED[reply[0]]
    if len(reply) > 2:
        return Standing(touched, int(reply[2]))
    return Standing(touched, max(touch.most, touch.amount) if touched is Touched.HELD else touch.most)


_TOUCHED = {b"ok": Touched.HELD, b"no": Touched.CREDITS, b"gone": Touched.GONE}
_STATES = {b"h": State.PENDING, b"v": State.VOIDED, b"x": State.DEAD, b"e": State.UNKNOWN, b"d": State.EXPIRED}
_VERDICTS = {
    b"done": Verdict.SETTLED,
    b"same": Verdict.SETTLED,
    b"dead": Verdict.DEAD,
    b"erased": Verdict.ERASED,
}


async def _verdict(call: Coroutine[Any, Any, Any]) -> Verdict:
    try:
        reply = await call
    except LedgerUnavailable:
        return Verdict.AGAIN
    except (LedgerConflict, StoreError):
        return Verdict.REFUSED
    return _VERDICTS.get(reply, Verdict.SETTLED)


def _account(pid: str, reply: Sequence[bytes]) -> Account:
    granted, spent, held = (int(number) for number in reply[:3])
    available = granted - spent - held
    return Account(pid, granted, spent, held, available, reply[3].decode(), restricted=reply[4] == b"1")


def _reserved(reply: Sequence[bytes], start: int, replaced: str = "") -> Reserved:
    return Reserved(int(reply[1]), int(reply[2]), int(reply[3]), int(reply[4]), _windows(reply, start), replaced)


def _windows(reply: Sequence[bytes], start: int) -> tuple[Window, ...]:
    """The limits in a reply, from ``start``: policy, limit, remaining, milliseconds until it is full, and so on."""
    return tuple(
        Window(reply[i].decode(), int(reply[i + 1]), int(reply[i + 2]), int(reply[i + 3]))
        for i in range(start, len(reply), 4)
    )
