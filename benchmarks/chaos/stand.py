"""What the faults strike: a gateway of two workers, its store, two providers, and the links between them."""

from __future__ import annotations

import resource
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks import launch
from benchmarks.chaos.link import Link
from benchmarks.crash.faults import Plan
from benchmarks.crash.stand import StoreServer
from benchmarks.simulator import SimulatorProcess
from benchmarks.soak.stand import CHATTING, TYPING, SoakStand

LEASE_MS = 1_500  # a dead worker's requests are ended after twice that, and not after two minutes
FIRST_BYTE_SECONDS = 1.0  # that the gateway waits for a provider's answer
SPARED = tuple(replace(model, name=f"{model.name}-spared", spare=True) for model in CHATTING)


class ChaosStand(SoakStand):
    """Use as a context manager.

    Attributes:
        provider: The first target of every model.
        well: The second one of those that are spared; nothing ever happens to it.
        store: The store's process.
        to_provider: The way to the first provider.
        to_store: The way to the store.
    """

    def __init__(self, folder: Path, users: Iterable[str]) -> None:
        super().__init__(folder, users, (*TYPING, *CHATTING, *SPARED))
        self.well = SimulatorProcess(tls=self.certificates)
        self._stack = ExitStack()
        self.store: StoreServer
        self.to_provider: Link
        self.to_store: Link

    def config(self) -> str:
        for simulator in (self.provider, self.well):
            simulator.start()
        self.store = StoreServer(self.folder / "store")
        self.to_provider = self._stack.enter_context(Link(self.provider.port))
        self.to_store = self._stack.enter_context(Link(self.store.port))
        urls = {"": f"https://127.0.0.1:{self.to_provider.port}", "well-": self.well.url}
        return (
            self.settings(first_byte_timeout=FIRST_BYTE_SECONDS)
            + f'[store]\nurl = "redis://127.0.0.1:{self.to_store.port}/0"\n'
            + self.served(urls)
        )

    def program(self) -> list[str]:
        return launch.command(Plan(lease_ms=LEASE_MS).injection)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.well.stop()
        self._stack.close()
        if hasattr(self, "store"):
            self.store.end()

    def limit_files(self, size: int | None) -> None:
        """Let no worker write beyond this size of a file, as a disk without space would; ``None`` lifts that."""
        for pid in self.workers():
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))
