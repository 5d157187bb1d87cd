"""Sends the requests of one line and says what their clients saw."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp

from benchmarks.crash.stand import Account

SPACING = 400  # bytes of prompt from one request to the next: a hundred tokens of the simulator
CALLERS = 16


@dataclass(slots=True)
class Seen:
    """What one client saw. ``status`` 0: no answer's head came."""

    status: int = 0
    whole: bool = False
    seconds: float = 0.0


async def send(
    url: str,
    accounts: Sequence[Account],
    *,
    models: Sequence[str],
    abort: Callable[[], bool] = lambda: False,
    callers: int = CALLERS,
    pause: float = 0.0,
) -> list[Seen]:
    """One request for each account. ``abort`` says of each whether its client leaves early."""
    gate = asyncio.Semaphore(callers)
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=0, force_close=False)

    async def one(account: Account) -> Seen:
        async with gate:
            await asyncio.sleep(pause * random.random())
            return await _ask(session, url, account, random.choice(models), leaves=abort())

    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        return await asyncio.gather(*(one(account) for account in accounts))


async def _ask(session: aiohttp.ClientSession, url: str, account: Account, model: str, *, leaves: bool) -> Seen:
    seen, began = Seen(), time.monotonic()
    stream = model != "short" or account.number % 2 == 0
    text = "x" * (SPACING * (account.number + 1))
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}
    headers = {"authorization": f"Bearer {account.token}"}
    leave_after = random.randrange(0, 4) if leaves else -1
    try:
        async with session.post(f"{url}/v1/chat/completions", json=body, headers=headers) as answer:
            seen.status = answer.status
            seen.seconds = time.monotonic() - began
            tail, pieces = b"", 0
            async for piece in answer.content.iter_any():
                tail = (tail + piece)[-64:]
                pieces += 1
                if leave_after == pieces and answer.connection is not None:
                    answer.close()
                    return seen
            seen.whole = tail.rstrip().endswith(b"data: [DONE]" if stream else b"}")
    except (aiohttp.ClientError, TimeoutError, OSError):
        seen.seconds = seen.seconds or time.monotonic() - began
    return seen
