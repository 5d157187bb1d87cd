"""What a contender keeps of the requests that it answered, when it is killed in the middle of them.

Each request is a little longer than the one before, and the simulator bills a token for four bytes of body: so the
number of input tokens, which the answer states and a record holds, tells requests apart.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from benchmarks.compare.contenders import Contender

RATE = 200.0  # requests a second
SECONDS = 12.0  # until the kill: more than twice the five seconds after which some write their records
CALLERS = 64
_FIRST = 400  # bytes of the shortest prompt
_STEP = 4  # bytes that the simulator bills as one token


@dataclass(slots=True)
class Killed:
    """What became of a contender's requests.

    Attributes:
        answered: Those whose answers came whole, as its records name them.
        refused: Answers other than 200.
        lost: Of the answered ones, those that its records lack.
        estimated: Of the answered ones, those whose records have estimates in place of the provider's counts.
    """

    answered: set[str] = field(default_factory=set)
    refused: int = 0
    lost: int = 0
    estimated: int = 0

    def as_dict(self) -> dict[str, int]:
        counts = {"refused": self.refused, "lost": self.lost, "estimated": self.estimated}
        return {"answered": len(self.answered)} | counts


async def load(contender: Contender, kill: Callable[[], None], *, rate: float, seconds: float) -> Killed:
    """Send requests of growing length, call ``kill`` after some seconds, and say which were answered whole."""
    route = contender.routes[False]
    seen = Killed()
    numbers = itertools.count()
    tokens = route.token.split(",")
    headers = dict(line.split(": ", 1) for line in route.headers)
    loop = asyncio.get_running_loop()
    began = loop.time()
    running = True

    async def ask(number: int) -> None:
        text = "x" * (_FIRST + _STEP * number)
        body = {"model": route.model, "messages": [{"role": "user", "content": text}]}
        own = headers | {"Authorization": f"Bearer {tokens[number % len(tokens)]}"}
        async with session.post(f"{route.url}/v1/chat/completions", json=body, headers=own) as answer:
            if answer.status != 200:
                seen.refused += 1
                return
            whole: Any = await answer.json(content_type=None)
            seen.answered.add(contender.identity(answer.headers, whole["usage"]["prompt_tokens"]))

    async def caller() -> None:
        while running:
            number = next(numbers)
            await asyncio.sleep(began + number / rate - loop.time())
            try:
                await ask(number)
            except (aiohttp.ClientError, OSError, ValueError):
                continue  # the kill cut it

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(caller())
        await asyncio.sleep(seconds)
        kill()
        running = False
    return seen


def kept_after_kill(contender: Contender, *, rate: float = RATE, seconds: float = SECONDS) -> Killed | None:
    """Kill a contender that keeps records, start it again, and compare. ``None`` where it keeps none.

    Raises:
        Unavailable: It does not start, before or after, or its records cannot be read.
    """
    contender.prepare()
    if contender.kept() is None:
        return None
    contender.start()
    seen = asyncio.run(load(contender, contender.kill, rate=rate, seconds=seconds))
    contender.start()
    deadline = time.monotonic() + contender.recovery_seconds
    while True:
        kept = contender.kept() or {}
        seen.lost = len(seen.answered - kept.keys())
        seen.estimated = sum(not kept.get(one, True) for one in seen.answered)
        if not seen.lost or time.monotonic() > deadline:
            return seen
        time.sleep(1.0)
