"""The canary hunt: markers in every place of a request and an answer, then a search of every sink."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from benchmarks.simulator import SimulatorProcess
from tests.gateway_process import model, provider
from tests.integration.conftest import SCRIPTS, prompt
from tests.privacy import sinks
from tests.privacy.canaries import Canaries
from tests.privacy.stage import STRACE, Stage
from tests.raw_http import request

pytestmark = pytest.mark.skipif(STRACE is None, reason="strace is not installed: WITHOUT IT NOTHING IS HUNTED")
KINDS = {"openai": "gpt-4o", "anthropic": "claude-x", "google": "gemini-x"}
HEADERS = ("user-agent", "cookie", "x-forwarded-for", "x-codex-turn-metadata", "baggage", "tracestate", "x-note")
# A leak's name in leaks/sitecustomize.py, and the sink that must show it.
CONTROLS = {
    "stdout": "stdout",
    "stderr": "stderr",
    "files": "files",
    "base64": "files",
    "gzip": "files",
    "utf16": "files",
    "hashed": "files",
    "spool": "spool",
    "write-calls": "write calls",
    "names": "names and arguments",
    "keys": "store keys",
    "values": "store values",
    "monitor": "MONITOR",
    "store-log": "store log",
    "mapping": "shared mappings",
    "ring": "io_uring",
    "datagram": "write calls",
}


@pytest.fixture
def stage(tmp_path, request):
    leaks = {"PYTHONPATH": str(Path(__file__).parent / "leaks")} if "leaking" in request.keywords else {}
    with (
        SimulatorProcess() as sim,
        Stage(
            tmp_path,
            {kind: provider(kind, sim.url) for kind in KINDS},
            [
                model(f"{kind}-{name}", kind, real + how)
                for kind, real in KINDS.items()
                for name, how in SCRIPTS.items()
            ],
            sim=sim,
            canaries=Canaries(),
            environment=leaks,
        ) as stage,
    ):
        yield stage


def send(stage, kind, script="plain", *, stream=True, text="", name=""):
    plant, name = stage.canaries.plant, name or f"{kind}, {script}"
    stage.sim.set_defaults(mark=plant("answer", name))
    path, body = prompt(kind, script, plant("prompt", name) + text, stream=stream)
    content = json.loads(body)
    if kind == "openai":
        content |= {"user": plant("identity: user", name), "metadata": {"a": plant("identity: metadata", name)}}
    body = json.dumps(content).encode()
    stage.canaries.note_body(body, name)
    headers = stage.auth | {header: plant(f"header: {header}", name) for header in HEADERS}
    return request("POST", path + ("&" if "?" in path else "?") + "note=" + plant("query", name), body, headers=headers)


def search(stage):
    living = list(sinks.of_the_living(stage))
    stage.finish()
    record, pieces = sinks.of_the_dead(stage)
    assert record.calls > 500
    assert record.cut == 0
    assert record.provider
    return sinks.hits(stage, record, [*living, *pieces]), {sink for sink, _, _ in pieces + living}


def traffic(stage):
    for kind in KINDS:
        for script in ("plain", "split", "gzip", "reset-mid", "cut-event", "unavailable", "refuse", "surplus"):
            for stream in (True, False):
                stage.ask(send(stage, kind, script, stream=stream))
        stage.ask(send(stage, kind, stage.canaries.plant("model", kind)))
        whole = send(stage, kind)
        stage.ask(whole.replace(b'{"', b'{,"', 1))
        stage.ask(whole.replace(stage.canaries.prefix.encode(), stage.canaries.prefix.encode() + b"\xff", 1))
        with stage.client() as client:
            client.send(send(stage, kind, "hang"))
        with stage.client() as client:
            client.send(send(stage, kind, "paced")).head()
            client.chunk()


def test_nothing_is_kept(stage):
    traffic(stage)
    found, searched = search(stage)
    assert searched >= {"stderr", "stdout", "AOF", "RDB", "store keys", "MONITOR", "write calls", "store log"}
    assert found == []


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_by_a_death(stage, number):
    with stage.client() as client:
        client.send(send(stage, "openai", "paced")).head()
        client.chunk()
        living = list(sinks.of_the_living(stage))
        os.kill(stage.process.pid, number)
    stage.process.wait(30)
    stage.finish()
    record, pieces = sinks.of_the_dead(stage)
    assert sinks.hits(stage, record, [*living, *pieces]) == []


@pytest.mark.leaking
def test_a_leak_into_any_sink_is_caught(stage):
    (stage.folder / "data/spool").mkdir(exist_ok=True)
    for name in CONTROLS:
        answer = stage.ask(send(stage, "openai", text=f" leak:{name}", name=name))
        assert (name, answer and answer.status) == (name, 200)
    found, _ = search(stage)
    unnamed = {hit.sink for hit in found if not hit.scenario}  # a mapping or a ring says not whose content it took
    caught = {hit.scenario for hit in found if CONTROLS.get(hit.scenario) == hit.sink}
    caught |= {name for name in ("mapping", "ring") if CONTROLS[name] in unnamed}
    assert caught == set(CONTROLS)
