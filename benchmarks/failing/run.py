"""Of a model's two targets one fails: what callers feel of it, on real processes.

Each line has a provider that no other line uses, since a worker remembers how its targets fared. The failing target is
the first of its model, so that every request would go there.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.caller import PATIENCE, Caller
from benchmarks.load.payloads import Payload, payload
from benchmarks.load.tally import Tally
from benchmarks.simulator import SimulatorProcess
from benchmarks.stand import GatewayStand

SHARES = (1, 10, 100)  # of the failing target's requests, in percent
FIRST_BYTE_SECONDS = 3.0  # that the gateway waits for an answer
KINDS = {  # how it fails -> the simulator's controls
    "refuses": "fault-refuse",
    "hangs": "fault-hang_headers",
    "resets": "fault-reset_before",
    "slows": "first-300",
    "429": "fault-429",
    "529": "fault-529",
    "inside": "fault-error_early",  # after the opening events of a 200
    "cut": "fault-close_mid@at-0",
    "down": "",  # nothing listens
}
_STATED = 'api_keys = ["k"]\nretention_days = 0\ntraining = false\nregion = "local"\ncompany = "acme"\n'
_PRICE = "price = { input = 1, output = 4, cache_read = 0.1, cache_write = 1.25 }"
_DOWN = "http://127.0.0.1:1"


@dataclass(frozen=True, slots=True)
class Line:
    """One way to fail, at one share of the requests; share 0 is a target that does not fail."""

    kind: str
    share: int

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.share}"

    @property
    def target(self) -> str:
        """The failing provider's name of the model."""
        return f"claude@share-{self.share}@{KINDS[self.kind]}" if KINDS.get(self.kind) else "claude"


@dataclass(frozen=True, slots=True)
class FailingResult:
    """What callers felt; times are milliseconds.

    Attributes:
        errors: By kind; empty is what is promised.
        attempts: Requests that the providers got, for each of the callers'.
        p50: Of the time to the first byte.
        p99: The same.
    """

    line: Line
    requests: int
    errors: dict[str, int]
    attempts: float
    p50: float
    p99: float


def lines_of(kinds: Iterable[str], shares: Iterable[int]) -> list[Line]:
    """Every combination; what is down is down for all requests."""
    return [Line(kind, share) for kind in kinds for share in shares if kind != "down" or share == 100]


class FailingStand(GatewayStand):
    """Two providers, one of which fails, and a gateway."""

    def __init__(self, folder: Path, users: Sequence[str], lines: Sequence[Line]) -> None:
        super().__init__(folder, users)
        self.sick, self.well = SimulatorProcess(chunks=5), SimulatorProcess(chunks=5)
        self._stack = ExitStack()
        self._lines = lines

    def config(self) -> str:
        for simulator in (self.sick, self.well):
            self._stack.enter_context(simulator)
        url = {line: _DOWN if line.kind == "down" else self.sick.url for line in self._lines}
        parts = [
            '[server]\nhost = "127.0.0.1"\nport = 0\nworkers = 1\ndrain_timeout = 1\n',
            f'first_byte_timeout = {FIRST_BYTE_SECONDS}\ndata_dir = "{self.folder}/data"\n[internal]\nport = 0\n',
            f'[providers.well]\nkind = "anthropic"\nbase_url = "{self.well.url}"\n{_STATED}',
        ]
        lines = (
            f'[providers.{line.name}]\nkind = "anthropic"\nbase_url = "{url[line]}"\n{_STATED}'
            f'[[models]]\nname = "{line.name}"\n{_PRICE}\ntargets = ['
            f'{{ provider = "{line.name}", model = "{line.target}" }}, {{ provider = "well", model = "claude" }}]\n'
            for line in self._lines
        )
        return "".join((*parts, *lines))

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._stack.close()

    def seen(self) -> int:
        """Requests that the providers got."""
        return self.sick.stats()["requests"] + self.well.stats()["requests"]

    def request(self, user: str, line: Line) -> Payload:
        return payload(
            "stream",
            url=f"http://127.0.0.1:{self.port}",
            token=self.tokens[user],
            dialect="anthropic",
            model=line.name,
            limit=100,
        )


def campaign(lines: Sequence[Line], *, users: int, requests: int) -> list[FailingResult]:
    """What callers felt of a target that does not fail, and then of each line.

    Args:
        lines: How the first target fails.
        users: Callers at once, each with an account of its own.
        requests: That each caller sends, one after the other.
    """
    names = [f"user{number}" for number in range(users)]
    every = [Line("healthy", 0), *lines]
    with tempfile.TemporaryDirectory(prefix="failing-") as folder, FailingStand(Path(folder), names, every) as stand:
        asyncio.run(_measure(stand, every[0], names, 2))  # what is done once is not part of a line
        return [asyncio.run(_measure(stand, line, names, requests)) for line in every]


async def _measure(stand: FailingStand, line: Line, users: Sequence[str], requests: int) -> FailingResult:
    tally, before = Tally(), stand.seen()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        for user in users:
            group.create_task(_call(stand, stand.request(user, line), requests, tally))
    sent = len(users) * requests
    first = tally.first.summary()
    attempts = round((stand.seen() - before) / sent, 2)
    return FailingResult(line, sent, dict(tally.errors), attempts, first.get("p50", 0.0), first.get("p99", 0.0))


async def _call(stand: FailingStand, request: Payload, requests: int, tally: Tally) -> None:
    """One caller's requests."""
    caller = Caller(stand.port)
    for _ in range(requests):
        await caller.ask(request, tally)
    caller.close()


def run(kinds: Sequence[str], shares: Sequence[int], *, users: int, requests: int, out: Path | None) -> bool:
    """Run the campaign and print it; whether no caller got an error."""
    found = campaign(lines_of(kinds or KINDS, shares or SHARES), users=users, requests=requests)
    healthy, *others = found
    print(f"healthy: first byte p50 {healthy.p50:.1f} ms, p99 {healthy.p99:.1f} ms; each line adds to that")
    print(f"{'fails':<9}{'share':>6}{'requests':>10}{'errors':>8}{'attempts':>10}{'p50 adds':>11}{'p99 adds':>11}")
    for one in others:
        print(
            f"{one.line.kind:<9}{one.line.share:>5}%{one.requests:>10}{sum(one.errors.values()):>8}{one.attempts:>10.2f}"
            f"{one.p50 - healthy.p50:>8.1f} ms{one.p99 - healthy.p99:>8.1f} ms   {one.errors or ''}"
        )
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            {
                "kind": one.line.kind,
                "share": one.line.share,
                "requests": one.requests,
                "errors": one.errors,
                "attempts": one.attempts,
                "p50": one.p50,
                "p99": one.p99,
            }
            for one in found
        ]
        out.write_text(json.dumps(rows, indent=2) + "\n")
    return not any(one.errors for one in found)
