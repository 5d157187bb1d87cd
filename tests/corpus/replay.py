"""Replays recordings through a gateway process and keeps what came of it.

Provider, client and their event loop live in the test's process; the gateway is a process of its own.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from providers.tools.catalog import SERVER_TOOLS
from tests.corpus.recordings import Ask, Recording
from tests.corpus.replay_server import ReplayServer, target_of
from tests.gateway_process import PRICE, GatewayProcess, provider

CLIENTS = 12
KINDS = ("openai", "anthropic", "google")
PARTS = (
    "flex",
    "priority",
    "batch",
    "provisioned",
    "other",
    *(f"standard.{part}" for part in ("fast", "us", "eu", "other")),
)
# Nothing is refused for want of a price.
PRICES = PRICE | {
    "audio_out": PRICE["output"],
    "image_out": PRICE["output"],
    "variants": "{" + ", ".join(f'"{part}" = 1' for part in PARTS) + "}",
}


@dataclass(frozen=True)
class Got:
    """An answer of the gateway."""

    status: int
    headers: dict[str, str]
    body: bytes
    cut: bool = False  # the connection ended before the body did

    @property
    def refused(self) -> bool:
        """By the gateway, before any provider was called."""
        return self.headers.get("x-error-origin") == "gateway" and self.status in {400, 404}

    @property
    def rid(self) -> str:
        return self.headers["x-request-id"]


@dataclass
class Replayed:
    """What came of all recordings."""

    recordings: dict[str, Recording] = field(default_factory=dict)
    asked: dict[str, Ask] = field(default_factory=dict)
    got: dict[str, Got] = field(default_factory=dict)
    refusals: dict[str, Got] = field(default_factory=dict)  # the recorded request was refused
    framings: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)  # by rid
    account: dict[str, int] = field(default_factory=dict)
    exit_code: int = -1

    def all(self) -> Iterator[tuple[Recording, Ask, Got]]:
        for name, recording in self.recordings.items():
            yield recording, self.asked[name], self.got[name]


class Client:
    """One keep-alive connection to the gateway, without a library that could mend an answer."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._token = token
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, ask: Ask) -> Got:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        lines = [f"POST {ask.path} HTTP/1.1", "host: gateway", f"authorization: Bearer {self._token}"]
        lines += ["content-type: application/json", f"content-length: {len(ask.body)}"]
        lines += [f"{name}: {value}" for name, value in ask.headers.items()]
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + ask.body)
        return await self._read()

    async def _read(self) -> Got:
        status_line, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        pieces: list[bytes] = []
        cut = False
        try:
            if headers.get("transfer-encoding") == "chunked":
                await self._read_chunks(pieces)
            else:
                pieces.append(await self._reader.readexactly(int(headers["content-length"])))
        except (asyncio.IncompleteReadError, ConnectionError):
            cut = True
        if cut or headers.get("connection", "").lower() == "close":
            self.close()
        return Got(int(status_line.split()[1]), headers, b"".join(pieces), cut)

    async def _read_chunks(self, pieces: list[bytes]) -> None:
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            pieces.append(await self._reader.readexactly(size))
            assert await self._reader.readexactly(2) == b"\r\n"
        assert await self._reader.readexactly(2) == b"\r\n"

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


async def _ask_all(gateway: GatewayProcess, server: ReplayServer, replayed: Replayed) -> None:
    token = gateway.session(credits_=1_000_000_000)["access_token"]
    port = int(gateway.url.rpartition(":")[2])
    waiting = iter(list(replayed.recordings.values()))

    async def work() -> None:
        client = Client(port, token)
        for recording in waiting:
            try:
                ask = recording.recorded_ask()
                got = None
                if ask is not None:
                    got = await client.post(ask)
                    if got.refused:
                        replayed.refusals[recording.name] = got
                        got = None
                if ask is None or got is None:
                    ask = recording.minimal_ask()
                    got = await client.post(ask)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                error.add_note(f"recording {recording.id}")
                raise
            replayed.asked[recording.name], replayed.got[recording.name] = ask, got
        client.close()

    async with asyncio.TaskGroup() as workers:
        for _ in range(CLIENTS):
            workers.create_task(work())
    replayed.framings, replayed.answered = server.framings, server.answered


def _further(recording: Recording) -> Iterator[str]:
    """The models that a recorded request names beside the one that it asks for (``fallbacks``, tools that ask one)."""
    asked = recording.record["request_body"]
    if recording.record["provider"] == "anthropic" and isinstance(asked, dict):
        fallbacks = asked.get("fallbacks")
        for one in [*(fallbacks if isinstance(fallbacks, list) else []), *(asked.get("tools") or [])]:
            if isinstance(one, dict) and isinstance(one.get("model"), str):
                yield one["model"]


async def replay(folder: Path, recordings: Iterable[Recording]) -> Replayed:
    """Start a gateway in ``folder`` that knows a model for each recording, ask for all, and stop it."""
    replayed = Replayed({recording.name: recording for recording in recordings})
    async with ReplayServer(replayed.recordings) as server:
        url = f"http://127.0.0.1:{server.port}"
        models: list[Mapping[str, Any]] = [
            {
                "name": name,
                "targets": [{"provider": recording.record["provider"], "model": target_of(name)}],
                "price": PRICES,
            }
            for name, recording in replayed.recordings.items()
        ]
        models += [
            {"name": name, "targets": [{"provider": "anthropic", "model": name}], "price": PRICES}
            for name in sorted({name for one in replayed.recordings.values() for name in _further(one)})
        ]
        policy = {"policy": {"server_tools": [tool.id for tool in SERVER_TOOLS]}}
        gateway = GatewayProcess(folder, {kind: provider(kind, url) for kind in KINDS}, models, policy)
        gateway.start()
        try:
            await _ask_all(gateway, server, replayed)
        finally:
            # Draining waits for every settlement, so the store is complete afterwards.
            replayed.exit_code = await asyncio.to_thread(gateway.stop)
    replayed.records = {record["rid"]: record for record in gateway.usage()}
    replayed.account = gateway.account()
    return replayed
