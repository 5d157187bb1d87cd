from __future__ import annotations

from metering.ledger.ledger import Ledger, Limits, Window
from metering.ledger.limits import look, windows


def test_windows_in_a_reply() -> None:
    reply = [b"ok", b"90", b"requests", b"60", b"59", b"1000", b"daily", b"9007199254740991", b"0", b"5"]
    assert windows(reply, 2) == (Window("requests", 60, 59, 1000), Window("daily", 2**53 - 1, 0, 5))
    assert windows(reply[:2], 2) == ()


async def test_an_account_that_is_not_there_has_used_nothing(ledger: Ledger) -> None:
    assert await look(ledger.calls, "pnobody", Limits(60, 0, 2)) == (
        Window("concurrency", 2, 2, 0),
        Window("requests", 60, 60, 0),
    )
