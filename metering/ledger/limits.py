"""The limits of an account as they stand: how the ledger's replies tell them, and how to ask without using any."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from metering import keys
from metering.ledger.calls import Calls
from metering.ledger.types import Limits, Window


async def look(calls: Calls, pid: str, limits: Limits) -> tuple[Window, ...]:
    """Each limit that there is (not 0), as it stands for an account now. Raises `LedgerUnavailable`."""
    p = keys.partition(pid)
    t = keys.tag(p)
    reply = await calls.run(p, (
        "FCALL", "cgx1_limits", 5,
        f"{t}acct:{pid}", f"{t}holds:{pid}", f"{t}lease:{pid}", f"{t}rate:{pid}:requests", f"{t}rate:{pid}:tokens",
        *msgspec.structs.astuple(limits),
    ))  # fmt: skip
    return windows(reply, 0)


def windows(reply: Sequence[bytes], start: int) -> tuple[Window, ...]:
    """The limits in a reply, from ``start``: policy, limit, remaining, milliseconds until it is full, and so on."""
    return tuple(
        Window(reply[i].decode(), int(reply[i + 1]), int(reply[i + 2]), int(reply[i + 3]))
        for i in range(start, len(reply), 4)
    )
