"""What IDEs send: completions that replace each other, chats in every API, counts, lists, and storms of aborts.

Every model of the provider states its own number of tokens, so that each record can be checked against what its answer
must have cost.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from benchmarks.load.caller import Caller
from benchmarks.load.client import Client
from benchmarks.load.payloads import DIALECTS, Payload, payload
from benchmarks.load.tally import Tally

LIMIT = 1_000  # output tokens that are asked for, above what any model says
SUPERSEDED = frozenset({"400 superseded", "truncated"})  # how a completion ends that another one replaced
BUSY = "503 metering_unavailable"  # the store answered too late, which no gateway can help on a machine that is busy
KEYSTROKES = (2, 5)  # of one burst
KEYSTROKE_SECONDS = (0.03, 0.15)
THINK_SECONDS = (0.05, 0.4)
STORM_SECONDS = (1.0, 3.0)
STORM = 16  # requests that leave at once


@dataclass(frozen=True, slots=True)
class Sold:
    """A model: its name for clients, the API of its provider, and what an answer counts.

    Attributes:
        controls: More of the simulator's, as in `benchmarks.simulator.controls`.
        spare: Whether a second provider serves it, too.
    """

    name: str
    kind: str
    tokens_in: int
    tokens_out: int
    controls: str = ""
    spare: bool = False

    @property
    def target(self) -> str:
        """The provider's name of it."""
        return f"{self.name}@chunks-{self.tokens_out}@in-{self.tokens_in}{self.controls}"


@dataclass(slots=True)
class Seen:
    """The models of answers that came whole, by request id."""

    whole: dict[str, Sold] = field(default_factory=dict)

    def note(self, client: Client, model: Sold) -> None:
        if client.ok:
            self.whole[client.header("x-request-id")] = model


class Traffic:
    """The users of one gateway. Each of them has an account of its own.

    Args:
        port: Of the gateway.
        tokens: Of the users.
        typing: The models of completions.
        chatting: Those of chats, which are asked in every API.
        tally: Where a request is counted that begins now, by the kind of request.
    """

    def __init__(
        self,
        port: int,
        tokens: Sequence[str],
        *,
        typing: Sequence[Sold],
        chatting: Sequence[Sold],
        tally: Callable[[str], Tally],
    ) -> None:
        self.seen = Seen()
        self._port = port
        self._tokens = tokens
        self._typing = typing
        self._chatting = chatting
        self._tally = tally
        self._running = True
        self._built: dict[tuple[str, ...], Payload] = {}
        self._storm = asyncio.Event()

    async def run(self, stopped: Coroutine[Any, Any, None]) -> None:
        """Send until ``stopped`` has run; then wait for the answers that are under way."""
        async with asyncio.TaskGroup() as group:
            for number, token in enumerate(self._tokens):
                group.create_task(self._type(token, number))
                group.create_task(self._talk(token))
                group.create_task(self._talk(token))
                if number % 2 == 0:
                    group.create_task(self._look(token))
            group.create_task(self._storms())
            try:
                await stopped
            finally:
                self._running = False
                self._storm.set()

    def _request(self, kind: str, token: str, dialect: str, model: str, lane: str = "") -> Payload:
        key = (kind, token, dialect, model, lane)
        if key not in self._built:
            self._built[key] = payload(
                kind,
                url=f"http://127.0.0.1:{self._port}",
                token=token,
                dialect=dialect,
                model=model,
                limit=LIMIT,
                headers=(f"X-Supersede-Key: {lane}",) if lane else (),
            )
        return self._built[key]

    async def _type(self, token: str, lane: int) -> None:
        """Bursts of keystrokes, each of which replaces the completion before it."""
        callers = [Caller(self._port) for _ in range(KEYSTROKES[1])]
        while self._running:
            model = random.choice(self._typing)
            request = self._request("stream", token, "openai", model.name, str(lane))
            last = random.randint(*KEYSTROKES) - 1
            async with asyncio.TaskGroup() as group:
                for caller in callers[:last]:
                    group.create_task(self._ask(caller, "typing", request, model))
                    await asyncio.sleep(random.uniform(*KEYSTROKE_SECONDS))
                await self._ask(callers[last], "typing", request, model)
            await asyncio.sleep(random.uniform(*THINK_SECONDS))
        for caller in callers:
            caller.close()

    async def _talk(self, token: str) -> None:
        """Chats, one after the other, in any API and with any model."""
        caller = Caller(self._port)
        while self._running:
            dialect, model = random.choice(DIALECTS), random.choice(self._chatting)
            kind = random.choice(("stream", "stream", "short"))
            what = "spared chat" if model.spare else "chat"
            await self._ask(caller, what, self._request(kind, token, dialect, model.name), model)
            await asyncio.sleep(random.uniform(*THINK_SECONDS))
        caller.close()

    async def _look(self, token: str) -> None:
        """Token counts and lists of models, which cost nothing."""
        caller = Caller(self._port)
        while self._running:
            dialect, model = random.choice(DIALECTS), random.choice(self._chatting)
            if random.random() < 0.5:
                if model.kind == "openai":  # Chat Completions, into which others are translated, does not count
                    dialect = "responses"
                await self._ask(caller, "count", self._request("count", token, dialect, model.name), None)
            else:
                await self._ask(caller, "list", self._request("list", token, dialect, ""), None)
            await asyncio.sleep(random.uniform(*THINK_SECONDS))
        caller.close()

    async def _storms(self) -> None:
        """Now and then many users leave at once: before the answer's head, or after some events."""
        while self._running:
            with suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(*STORM_SECONDS)):
                    await self._storm.wait()
            async with asyncio.TaskGroup() as group:
                for _ in range(STORM):
                    group.create_task(self._leave(random.choice(self._tokens)))

    async def _leave(self, token: str) -> None:
        caller, model = Caller(self._port), random.choice(self._chatting)
        request = self._request("stream", token, random.choice(DIALECTS), model.name)
        await self._ask(caller, "abort", request, model, leave_after=random.choice((0, 1, 2, 5)))
        caller.close()

    async def _ask(
        self, caller: Caller, what: str, request: Payload, model: Sold | None, leave_after: int = -1
    ) -> None:
        tally = self._tally(what)
        try:
            client = await caller.ask(request, tally, leave_after=leave_after)
        except OSError:
            await asyncio.sleep(0.05)
            return
        if model is not None:
            self.seen.note(client, model)


def errors_of(what: str, errors: Mapping[str, int]) -> dict[str, int]:
    """Those errors of a kind of requests that nobody provoked: which completion is the newest says the gateway."""
    expected = SUPERSEDED if what == "typing" else frozenset()
    return {name: count for name, count in errors.items() if name not in expected}
