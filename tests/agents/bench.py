"""What the agents run against, and one run of an agent.

A `Bench` is one gateway with the simulator behind it, and the same simulator behind a broker of local mode that offers
chat completions only. Everything is on loopback addresses, and an agent's home and project are fresh folders.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks import processes
from benchmarks.simulator import SimulatorProcess
from tests.agents.table import MODELS, Agent
from tests.gateway_process import GatewayProcess, model, provider

ROOT: Final = Path(__file__).resolve().parents[2]
INSTALLED: Final = ROOT / ".agents"
PRIVATE: Final = "private-canary"
"""Stands in the user's name, the git remote and the host's name that an agent could tell."""
LONGEST: Final = 240.0  # seconds for one run: agents wait on purpose, and machines are busy
_ANSI: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\r")


def install(agent: Agent) -> Path:
    """The folder of its commands; installs the pinned version once. Raises CalledProcessError."""
    folder = INSTALLED / agent.name
    done = folder / f".{agent.version}"
    commands = folder / ("venv/bin" if agent.python else "node_modules/.bin")
    if done.exists():
        return commands
    folder.mkdir(parents=True, exist_ok=True)
    if agent.python:
        subprocess.run(["python3", "-m", "venv", folder / "venv"], check=True)
        pip = [commands / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"{agent.package}=={agent.version}"], check=True)
    else:
        (folder / "package.json").write_text('{"private": true}\n')
        npm = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run([*npm, f"{agent.package}@{agent.version}"], check=True, cwd=folder)
    done.touch()
    return commands


@dataclass
class Run:
    """What an agent did: its output without colours, its exit code (``None``: it had to be ended), and how long."""

    output: str
    code: int | None
    seconds: float


@dataclass
class Bench:
    folder: Path
    sim: SimulatorProcess
    gateway: GatewayProcess
    homes: int = field(init=False, default=0)
    home: Path = field(init=False)
    project: Path = field(init=False)

    def fresh(self) -> None:
        """A new home and a new project."""
        self.homes += 1
        self.home = self.folder / f"home-{self.homes}"
        self.project = self.folder / f"project-{self.homes}"
        self.home.mkdir()
        self.project.mkdir()
        for arguments in (
            ["init", "--quiet"],
            ["config", "user.name", PRIVATE],
            ["config", "user.email", f"{PRIVATE}@example.com"],
            ["remote", "add", "origin", f"https://git.example.com/{PRIVATE}.git"],
            ["commit", "--quiet", "--allow-empty", "--message", "first"],
        ):
            subprocess.run(["git", "-C", self.project, *arguments], check=True)

    @contextlib.contextmanager
    def started(self, agent: Agent, prompt: str, token: str, url: str = "", model_: str = "") -> Iterator[Process]:
        """The agent at work on a prompt; ends with the block. The home and project stay until `fresh`."""
        values = {
            "url": url or self.gateway.url,
            "token": token,
            "model": model_ or agent.model,
            "folder": str(self.project),
            "home": str(self.home),
        }
        for path, text in agent.files.items():
            (self.home / path).parent.mkdir(parents=True, exist_ok=True)
            (self.home / path).write_text(text.format(**values))
        environment = {
            "HOME": str(self.home),
            "PATH": os.pathsep.join((str(install(agent)), os.environ["PATH"])),
            "USER": PRIVATE,
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "NO_COLOR": "1",
            **{name: text.format(**values) for name, text in {**agent.environment, **agent.quiet}.items()},
        }
        output = self.folder / f"output-{self.homes}.txt"
        asked = self.folder / "prompt.txt"
        asked.write_text(prompt if agent.stdin else "")
        with output.open("ab") as file, asked.open("rb") as stdin:
            start = file.tell()
            process = processes.start(
                [part.format(**values, prompt=prompt) for part in agent.command],
                cwd=self.project,
                env=environment,
                stdin=stdin,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
            made = Process(process, output, start, self.home)
            try:
                yield made
            finally:
                made.end()

    def ask(self, agent: Agent, prompt: str, token: str, url: str = "", model_: str = "") -> Run:
        """One whole run."""
        with self.started(agent, prompt, token, url, model_) as process:
            return process.run(LONGEST)

    def records(self, user: str, least: int = 0) -> list[dict[str, Any]]:
        """The user's usage records, once there are as many and nothing is open at the provider."""
        self.until(lambda: self.sim.stats()["active"] == 0)
        found: list[dict[str, Any]] = []

        def enough() -> bool:
            found[:] = self.gateway.usage(user)
            return len(found) >= least

        self.until(enough)
        return found

    def until(self, true: Callable[[], bool], seconds: float = 30.0) -> bool:
        """Whether it became true in time."""
        deadline = time.monotonic() + seconds
        while not (found := true()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found


@dataclass
class Process:
    process: subprocess.Popen[bytes]
    file: Path
    start: int
    home: Path
    begun: float = field(default_factory=time.monotonic)

    def output(self) -> str:
        return _ANSI.sub("", self.file.read_bytes()[self.start :].decode(errors="replace"))

    def run(self, seconds: float) -> Run:
        """Wait for the end; what takes longer is ended."""
        code: int | None
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
            self.end()
        return Run(self.output(), code, time.monotonic() - self.begun)

    def interrupt(self) -> None:
        """Ctrl-C, which a terminal sends to the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> None:
        """End the agent and what it started, daemons with a session of their own too."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        for pid in _at_home(self.home):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _at_home(home: Path) -> list[int]:
    """The processes that were started with this home directory."""
    found, variable = [], b"HOME=%b" % os.fsencode(home)
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it ended, or is another user's
            if variable in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


@contextlib.contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """A simulator and a gateway with a model of each API."""
    with SimulatorProcess(record=True) as sim:
        providers = {kind: provider(kind, sim.url) for kind in MODELS}
        models = [model(name, kind) for kind, name in MODELS.items()]
        models += [model(name, kind) for kind, name in FURTHER]
        with GatewayProcess(folder, providers, models, {"tiers": TIERS}) as gateway:
            yield Bench(folder, sim, gateway)


TIERS: Final = {"free": {}, "rated": {"requests_per_minute": 6}}
FURTHER: Final = (
    ("anthropic", "claude-haiku-4-5"),
    ("google", "gemini-2.5-flash"),
    ("google", "gemini-2.5-flash-lite"),
)
"""Models that agents ask for beside the one that is chosen, for titles and summaries."""


def written(text: str) -> str:
    """A JSON string, as the simulator's prompts take it."""
    return json.dumps(text)
