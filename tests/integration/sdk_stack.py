"""One simulator and one gateway a test process, and the ledger's records set against the provider's bills.

The fixtures are in ``sdk_fixtures``.
"""

from __future__ import annotations

import inspect
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import redis

from benchmarks.simulator import SimulatorProcess
from metering import keys
from metering.ledger import records
from tests.gateway_process import GatewayProcess, model, provider

KINDS = ("openai", "anthropic", "google")
# Of which no maker has said an end, so that lists have them on any day.
SPOKEN = "gpt-in-responses"  # served by a host that has the Responses API
FILLING = "codestral"  # by one that has an endpoint of its own for fill-in-the-middle
LASTING = {"openai": "gpt-6.1-terra", "anthropic": "claude-haiku-4-5", "google": "gemini-3.8-flash"}
BASES = {
    "openai": ("gpt-4o", "gpt-5", "gpt-3.5-turbo-instruct", "text-embedding-3-small", LASTING["openai"]),
    "anthropic": (LASTING["anthropic"],),
    "google": ("gemini-2.5-flash", "gemini-embedding-001", LASTING["google"]),
}
FAULTS = (
    *("400", "401", "402", "403", "404", "413", "429", "quota", "500", "503", "529"),
    *("reset_before", "hang_headers", "error_mid", "close_mid", "reset_mid", "cut_event", "hang_mid"),
)
# Micro-credits a token: `gateway_process.PRICE` in USD per million tokens, at a cent a credit.
RATES = {"input": 100, "output": 400, "cache_read": 10, "cache_write": 125}
INPUTS = (
    *("in_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "cache_write_other"),
    *("tool_in", "audio_in", "image_in"),
)
OUTPUTS = ("out_visible", "out_reasoning", "audio_out", "image_out")
COMPARED = ("input", "output", "reasoning", "cache_read", "cache_write")
UNBILLED = frozenset(("countTokens", "/messages/count_tokens", "/responses/input_tokens"))
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def catalog() -> list[dict[str, Any]]:
    """The models of the gateway under test: ``{kind}-{fault}`` has that fault."""
    models = [model(name, kind) for kind in KINDS for name in BASES[kind]]
    for kind in KINDS:
        base = BASES[kind][0]
        models += [model(f"{kind}-{fault}", kind, f"{base}@chunks-6@at-3@fault-{fault}") for fault in FAULTS]
        models.append(model(f"{kind}-away", f"{kind}-away", base))
        models.append(model(f"{kind}-slow", kind, f"{base}@chunks-400@pace-50ms"))
        models.append(model(f"{kind}-pro", kind, base, tiers=["pro"]))
        models.append(model(f"{kind}-alias", kind, f"{base}@chunks-3"))
    models.append(model(SPOKEN, "openai-responses", "gpt-5"))
    models.append(model(FILLING, "mistral", "gpt-4o"))
    return models


def providers(url: str) -> dict[str, Any]:
    """The simulator three times, and three providers that nobody can reach: nothing listens on port 1."""
    return (
        {kind: provider(kind, url) for kind in KINDS}
        | {f"{kind}-away": provider(kind, "http://127.0.0.1:1") for kind in KINDS}
        | {"openai-responses": provider("openai", url, responses=True)}
        | {"mistral": provider("openai", url, profile="mistral")}
    )


@dataclass
class Account:
    """The token of a session and the account's part of the usage stream."""

    token: str
    pid: str
    store: redis.Redis
    since: str = ""  # the record read last; empty: the newest that there is

    def __post_init__(self) -> None:
        self.stream = keys.usage_stream(keys.partition(self.pid))
        if not self.since:
            self.skip()

    def skip(self) -> None:
        """Forget the records so far."""
        newest: Any = self.store.xrevrange(self.stream, count=1)
        self.since = newest[0][0].decode() if newest else "0-0"

    def records(self, count: int) -> list[dict[str, Any]]:
        """The next ``count`` records, as soon as the ledger has them; there may be no more."""
        found: list[dict[str, Any]] = []
        while True:
            answer: Any = self.store.xread({self.stream: self.since}, block=5000 if len(found) < count else None)
            if not answer:
                break
            for identity, fields in answer[0][1]:
                self.since = identity.decode()
                found.append(msgspec.structs.asdict(records.decode(fields)))
        assert len(found) == count, f"{len(found)} records, not {count}"
        return found

    def let_go(self) -> None:
        """Wait until nothing is held: settlements and voids are sent after the answer, and no event tells of a void."""
        deadline = time.monotonic() + 5
        while self.held():
            assert time.monotonic() < deadline, "a hold was not given back"
            time.sleep(0.005)

    def held(self) -> int:
        """How many holds the account has now."""
        count: Any = self.store.hlen(f"{keys.tag(keys.partition(self.pid))}holds:{self.pid}")
        return int(count)


@dataclass
class Stack:
    """A running gateway in front of a running simulator."""

    sim: SimulatorProcess
    gateway: GatewayProcess
    store: redis.Redis
    account: Account

    @property
    def url(self) -> str:
        return self.gateway.url

    @property
    def token(self) -> str:
        return self.account.token

    def settled(self, count: int = 1) -> list[dict[str, Any]]:
        """The records since the test began: exactly ``count``, each as the simulator billed it, in its order."""
        found = self.account.records(count)
        stated = [{name: bill[name] for name in COMPARED} for bill in self.billed()]
        ordered = sorted(found, key=lambda record: record["started_ms"])
        kept = [as_bill(record) for record in ordered]
        assert kept == stated, f"the ledger has {kept}, the provider billed {stated}"
        for record in found:
            assert (record["basis"], record["outcome"]) == ("reported", "completed"), record
            assert record["charge"] == record["cost"] == price_of(record), record
            assert record["charge"] > 0
        self.account.let_go()
        return ordered

    def billed(self) -> list[dict[str, Any]]:
        """What the simulator billed since the test began; token counting is free."""
        return [bill for bill in self.sim.bills() if bill["operation"] not in UNBILLED and bill["status"] == 200]

    def uncharged(self) -> None:
        """No record since the test began and nothing held."""
        self.account.let_go()
        self.account.records(0)

    def last_request(self) -> dict[str, Any]:
        """The body of the last request as the provider received it."""
        found: dict[str, Any] = json.loads(self.sim.requests()[-1]["body"])
        return found


def as_bill(record: dict[str, Any]) -> dict[str, int]:
    """A usage record in the simulator's terms."""
    return {
        "input": sum(record[name] for name in INPUTS),
        "output": sum(record[name] for name in OUTPUTS),
        "reasoning": record["out_reasoning"],
        "cache_read": record["cache_read"],
        "cache_write": record["cache_write_5m"] + record["cache_write_1h"] + record["cache_write_other"],
    }


def price_of(record: dict[str, Any]) -> int:
    """What a record costs by the configured prices, in micro-credits, counted a second way."""
    bill = as_bill(record)
    fresh = bill["input"] - bill["cache_read"] - bill["cache_write"]
    cached = bill["cache_read"] * RATES["cache_read"] + bill["cache_write"] * RATES["cache_write"]
    return fresh * RATES["input"] + cached + bill["output"] * RATES["output"]


async def done(value: Any) -> Any:
    """What a synchronous client returned, or an asynchronous one will."""
    return await value if inspect.isawaitable(value) else value


async def gathered(stream: Any) -> list[Any]:
    """All parts of a stream, whichever of the two clients made it."""
    stream = await done(stream)
    return [part async for part in stream] if hasattr(stream, "__aiter__") else list(stream)


def open_store(gateway: GatewayProcess) -> redis.Redis:
    """The gateway's embedded store, as one more client of its socket."""
    folder = gateway.folder / "data" / "store"
    recorded = folder / "socket"  # where the folder's own path is too long for a socket
    path = recorded.read_text() if recorded.exists() else str(folder / "store.sock")
    return redis.Redis(unix_socket_path=path)


def make_gateway(folder: Path, sim: SimulatorProcess) -> GatewayProcess:
    more = {
        "server": {"first_byte_timeout": 0.5, "idle_timeout": 0.5, "max_body_bytes": 200_000},
        "tiers": {
            "default": {},
            "pro": {},
            "rated": {"requests_per_minute": 1},
            "single": {"concurrent": 1},
        },
    }
    return GatewayProcess(folder, providers(sim.url), catalog(), more)
