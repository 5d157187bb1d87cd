"""The real command, as a process, on an embedded store in a folder of its own; no server runs."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gateway import variables
from gateway.auth.identity import load_key
from gateway.auth.principal import Denial, Principal, lookup
from gateway.config.load import load
from metering.accounts.audit import read_audit
from metering.ledger.ledger import Limits, Reservation
from metering.store.store import Store, open_store
from metering.usage import UsageRecord
from tests import fork_server
from tests.ledger_fixtures import RaisingLedger, usage_record

CONFIG = """
[providers.openai]
kind = "openai"
api_keys = ["env:CLI_TEST_KEY"]
retention_days = 30
training = false
region = "us"
[tiers.pro]
concurrent = 4
[[models]]
name = "m"
targets = [{provider = "openai", model = "gpt-x"}]
price = {input = 1, output = 2}
"""
KEY = "sk-test-of-the-command-line"

Result = TypeVar("Result")


@dataclass(frozen=True)
class Command:
    """Runs ``codegrex-gateway`` with the configuration of a folder; ``program`` runs it in another way."""

    folder: Path

    def __call__(self, *arguments: str, env: dict[str, str] | None = None, program: str = "") -> Done:
        arguments = (*arguments, "--config", str(self.folder / "gateway.toml"))
        full = {**variables.for_child(), "CLI_TEST_KEY": KEY, "TZ": "UTC", **(env or {})}
        if program:
            command = [sys.executable, *variables.ISOLATED, "-c", program, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=full, timeout=60)
        else:
            live = "--live" in arguments and {*(env or ())} == {
                "LIVE"
            }  # else one of an SDK that reads more as it is imported
            done = fork_server.run(arguments, full, fork_server.ASKING if live else fork_server.WORKING)
        assert "Traceback" not in done.stderr, done.stderr
        assert KEY not in done.stdout + done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def configure(self, text: str) -> None:
        (self.folder / "gateway.toml").write_text(text)


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """Standard output as JSON lines; the command must have succeeded quietly."""
        assert (self.code, self.err) == (0, "")
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    made = Command(tmp_path)
    made.configure(CONFIG)
    return made


def on_store(command: Command, work: Callable[[Store], Awaitable[Result]]) -> Result:
    async def opened() -> Result:
        store = await open_store("embedded:", data_dir=command.folder / "data")
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(opened())


def noted(command: Command) -> list[tuple[str, str, str]]:
    """Actor, action and account of each entry of the audit stream."""

    async def work(store: Store) -> list[tuple[str, str, str]]:
        return [(entry.actor, entry.action, entry.pid) async for entry in read_audit(store)]

    return on_store(command, work)


def hold(command: Command, pid: str, amount: int) -> None:
    async def work(store: Store) -> None:
        ledger = RaisingLedger(store, timeout=5)
        await ledger.load()
        await ledger.reserve(Reservation("held", pid, amount, 10, 60_000, Limits()))
        await ledger.close()

    on_store(command, work)


def settle(command: Command, *records: UsageRecord) -> None:
    async def work(store: Store) -> None:
        ledger = RaisingLedger(store, timeout=5)
        await ledger.load()
        for one in records:
            await ledger.reserve(Reservation(one.rid, one.pid, one.charge, 10, 60_000, Limits()))
            await ledger.settle([one])
        await ledger.close()

    on_store(command, work)


def record(pid: str, rid: str, charge: int) -> UsageRecord:
    stated = {"model": "m", "price_version": "config-00000000", "in_uncached": 7, "out_visible": 5}
    return usage_record(rid, pid, charge=charge, cost=charge, **stated)


def token_opens(command: Command, token: str) -> Principal | Denial:
    config = load(command.folder / "gateway.toml", {}, need_keys=False)
    return on_store(command, lambda store: lookup(store.client, load_key(config), token))
