"""One gateway process and one simulator for the tests of this folder; each test forgets the last one's traffic."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from benchmarks.simulator import SimulatorProcess
from tests.gateway_process import GatewayProcess, model, provider
from tests.raw_http import PATIENCE, Answer, RawClient, ask, request

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
GENERATE = "/v1beta/models/{}:generateContent"
STREAM = "/v1beta/models/{}:streamGenerateContent?alt=sse"
# The fault stands in the provider's name of the model (the simulator reads it there), the alias is ours.
SCRIPTS = {
    "plain": "",
    "paced": "@chunks-4000@pace-10ms",
    "hang": "@fault-hang_headers",
    "hang-mid": "@fault-hang_mid@at-3",
    "reset-mid": "@fault-reset_mid@at-3",
    "close-mid": "@fault-close_mid@at-3",
    "cut-event": "@fault-cut_event@at-3",
    "unavailable": "@fault-503",
    "refuse": "@fault-refuse",
    "reset-before": "@fault-reset_before",
    "early-hints": "@fault-early_hints",
    "no-length": "@fault-no_length",
    "http10": "@fault-http10",
    "http10-cut": "@fault-http10.close_mid@at-3",
    "surplus": "@fault-surplus",
    "huge-headers": "@fault-huge_headers",
    "gzip": "@fault-gzip",
    "big": "@fault-big",
    "flood": "@chunks-60000@size-1000",
    "split": "@fault-split",
    "object": "@length-1",
}


def models() -> list[dict[str, Any]]:
    kinds = {"openai": "gpt-4o", "anthropic": "claude-x", "google": "gemini-x"}
    return [
        model(f"{kind}-{name}", kind, actual + controls)
        for kind, actual in kinds.items()
        for name, controls in SCRIPTS.items()
    ]


def prompt(kind: str, script: str = "plain", text: str = "hello", *, stream: bool = True) -> tuple[str, bytes]:
    """The path and body of a chat request of one dialect."""
    name = f"{kind}-{script}"
    if kind == "google":
        path = (STREAM if stream else GENERATE).format(name)
        return path, json.dumps({"contents": [{"role": "user", "parts": [{"text": text}]}]}).encode()
    body: dict[str, Any] = {"model": name, "messages": [{"role": "user", "content": text}], "stream": stream}
    if kind == "anthropic":
        return MESSAGES, json.dumps({**body, "max_tokens": 100_000}).encode()
    return CHAT, json.dumps(body).encode()


@dataclass
class Running:
    """A gateway, its provider and one session."""

    gateway: GatewayProcess
    sim: SimulatorProcess
    token: str
    pid: str = ""
    seen: int = field(default=0)

    @property
    def url(self) -> str:
        return self.gateway.url

    @property
    def auth(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    def chat(self, kind: str = "openai", script: str = "plain", *, version: str = "1.1", **more: Any) -> bytes:
        headers = self.auth | more.pop("headers", {})
        path, body = prompt(kind, script, **more)
        return request("POST", path, body, headers=headers, version=version)

    def get(self, path: str) -> Answer:
        return ask(self.url, request("GET", path, headers=self.auth))

    def credits(self) -> dict[str, int]:
        return self.get("/v1/account").json()["credits"]

    def quiet(self) -> dict[str, int]:
        """The credits once nothing is held: settlements of earlier requests may be on their way."""
        return eventually(self.credits, lambda found: found["held"] == 0)

    def settled(self, rid: str) -> dict[str, Any]:
        """The record of a request, or its ``voided`` state, once it is not pending."""
        # A busy machine's store answers too late now and then, which is an error with a status of its own.
        return eventually(
            lambda: self.get(f"/v1/requests/{rid}").json(), lambda found: found["status"] not in {"pending", 503}
        )

    def logged(self) -> list[dict[str, Any]]:
        """The log's request lines since the test began."""
        lines = [json.loads(line) for line in self.gateway.log.read_bytes()[self.seen :].splitlines()]
        return [line for line in lines if line["event"] == "request"]

    def next_logged(self, count: int = 1) -> list[dict[str, Any]]:
        return eventually(self.logged, lambda lines: len(lines) >= count)

    def forget(self) -> Running:
        """Begin a test: what came before it counts no longer."""
        self.sim.reset()
        self.seen = len(self.gateway.log.read_bytes())
        return self

    def client(self, **options: Any) -> RawClient:
        return RawClient(self.url, **options)


def eventually(read: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
    """What ``read`` returns once it is ``good``; another process is asked, which can't be awaited."""
    deadline = time.monotonic() + PATIENCE
    while not good(found := read()):
        assert time.monotonic() < deadline, found
        time.sleep(0.005)
    return found


@pytest.fixture(scope="session")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(record=True) as sim:
        yield sim


@pytest.fixture(scope="session")
def misbehaving() -> Iterator[socket.socket]:
    """A listening socket that a gateway knows as the provider ``odd``; a test accepts on it itself."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(PATIENCE)
        yield sock


@pytest.fixture(scope="session")
def process(
    simulator: SimulatorProcess, misbehaving: socket.socket, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    url = simulator.url
    odd = f"http://127.0.0.1:{misbehaving.getsockname()[1]}"
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("gateway"),
        {**{kind: provider(kind, url) for kind in ("openai", "anthropic", "google")}, "odd": provider("openai", odd)},
        [*models(), model("openai-odd", "odd", "odd")],
        {"server": {"max_body_bytes": 1 << 20}},
    )
    with gateway:
        session = gateway.session("user", 100_000)
        yield Running(gateway, simulator, session["access_token"], session["pid"])


@pytest.fixture
def running(process: Running) -> Running:
    return process.forget()


@contextlib.contextmanager
def at_odd(running: Running, misbehaving: socket.socket, *, stream: bool) -> Iterator[tuple[RawClient, socket.socket]]:
    """A client whose request has reached the provider ``odd``, and that provider's end of it."""
    path, data = prompt("openai", "odd", stream=stream)
    with running.client() as client:
        client.send(request("POST", path, data, headers=running.auth))
        with misbehaving.accept()[0] as provider:
            provider.settimeout(PATIENCE)
            provider.recv(65_536)
            yield client, provider
