"""The README's requests, run as they are printed against what `make run` starts."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks import processes
from benchmarks.simulator.content import PROSE
from gateway.catalog import published
from gateway.cli.dev import MODELS, PASTE, READY
from metering.accounts.audit import read_audit
from metering.store.store import open_store
from tests.contracts.servers import until
from tests.integration.test_start_and_stop import named
from tests.tools import needs

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PRINTED = "http://127.0.0.1:8080"
SNIPPETS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
SAID = PROSE[:40]
KEYS = re.compile(r"(OPENAI|ANTHROPIC|GEMINI|GOOGLE)_")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dev")


@dataclass(frozen=True)
class Running:
    url: str
    environment: dict[str, str]  # of a user who exported the token
    screen: str  # what a person reads first

    def shell(self, command: str) -> str:
        """What a line that a person pastes prints."""
        done = subprocess.run(
            ["sh", "-c", command], check=False, capture_output=True, text=True, env=self.environment, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def running(data: Path) -> Iterator[Running]:
    environment = {name: value for name, value in os.environ.items() if not KEYS.match(name)}
    process = processes.start(
        [sys.executable, "-m", "gateway", "dev", "--port", "0", "--data-dir", str(data)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        url = token = screen = ""
        for line in process.stdout:
            screen += line
            if found := re.search(r"on (http://127\.0\.0\.1:\d+)$", line):
                url = found[1]
            if found := re.search(r"(cgx_at_\w+)$", line):
                token = found[1]
            if line.startswith(READY):
                break
        assert url
        assert token
        yield Running(url, {**environment, "CODEGREX_TOKEN": token}, screen)
        process.send_signal(signal.SIGHUP)  # as a terminal that is closed does
        assert process.wait(timeout=90) == 0
        until(lambda: not named(data), "the end of the embedded store")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def noted(data: Path) -> list[tuple[str, str]]:
    store = await open_store("embedded:", data_dir=data)
    try:
        return [(entry.actor, entry.action) async for entry in read_audit(store)]
    finally:
        await store.close()


def test_the_credits_of_the_development_account_are_a_noted_grant(running: Running, data: Path) -> None:
    assert running
    assert asyncio.run(noted(data)) == [("cli", "granted")]


def test_there_is_a_snippet_for_each_sdk() -> None:
    assert re.findall(r"^from (\S+) import", "".join(SNIPPETS), re.MULTILINE) == ["openai", "anthropic", "google"]


@pytest.mark.parametrize("text", SNIPPETS, ids=["openai", "anthropic", "google"])
def test_the_snippet_streams_an_answer(running: Running, text: str) -> None:
    assert PRINTED in text
    assert any(model in text for model in MODELS.values())
    assert SAID in running.shell(f"{sys.executable} -c {shlex.quote(text.replace(PRINTED, running.url))}")


@needs("curl")
def test_the_curl_line_streams_an_answer(running: Running) -> None:
    (command,) = re.findall(r"^curl -N (?:.*\\\n)*.*\n", README, re.MULTILINE)
    out = running.shell(command.replace(PRINTED, running.url))
    assert " simulator" in out
    assert out.rstrip().endswith("data: [DONE]")


# -- the first screen -------------------------------------------------------------------------


def test_the_first_screen_says_where_things_are_and_what_is_simulated(running: Running) -> None:
    screen = running.screen
    assert f"{running.url}/account" in screen
    assert "simulated: the environment has no provider key" in screen
    assert "{" not in screen.partition("Paste")[0]  # no JSON before what is pasted
    health = re.search(r"http://127\.0\.0\.1:\d+/readyz", screen)
    assert health is not None
    with urllib.request.urlopen(health[0]) as answer:
        assert answer.status == 200
    with urllib.request.urlopen(running.url) as answer:
        assert f'href="{health[0]}"' in answer.read().decode()
    names = re.findall(r"^# (.+)\n\S", screen, re.MULTILINE)
    assert names == [name for name, *_ in PASTE]


@needs("curl")
@pytest.mark.parametrize("name", ["curl", "OpenAI's Python SDK", "Anthropic's Python SDK", "Google's Python SDK"])
def test_a_line_of_the_first_screen_streams_an_answer(running: Running, name: str) -> None:
    _, _, rest = running.screen.partition(f"# {name}\n")
    out = running.shell(rest.partition("\n")[0])
    assert (" simulator" if name == "curl" else SAID) in out


def test_the_lines_for_agents_hold_settings_that_these_can_read(running: Running) -> None:
    claude, codex, opencode = (
        shlex.split(running.screen.partition(f"# {name}\n")[2].partition("\n")[0])
        for name in ("Claude Code", "Codex", "opencode")
    )
    assert claude[:2] == [
        f"ANTHROPIC_BASE_URL={running.url}",
        f"ANTHROPIC_AUTH_TOKEN={running.environment['CODEGREX_TOKEN']}",
    ]
    override = tomllib.loads(codex[-1])["model_providers"]["codegrex"]
    assert (override["base_url"], override["env_key"]) == (f"{running.url}/v1", "CODEGREX_TOKEN")
    settings = json.loads(opencode[0].partition("=")[2])["provider"]["codegrex"]
    assert settings["options"]["baseURL"] == f"{running.url}/v1"
    assert opencode[-1] == "codegrex/" + next(iter(settings["models"]))


def test_the_simulator_serves_every_model_of_the_price_list(running: Running, data: Path) -> None:
    headers = {
        "Authorization": f"Bearer {running.environment['CODEGREX_TOKEN']}",
        "Content-Type": "application/json",
    }
    served: set[str] = set()
    for path, more in (  # each list has what can be called in its dialect
        ("/v1/models", {}),
        ("/v1/models?limit=1000", {"anthropic-version": "2023-06-01"}),
        ("/v1beta/models?pageSize=1000", {}),
    ):
        asked = urllib.request.Request(running.url + path, headers=headers | more)
        with urllib.request.urlopen(asked) as answer:
            page = json.load(answer)
        served |= {row.get("id") or row["name"].removeprefix("models/") for row in page.get("data") or page["models"]}
    priced = [model for model in published.read(published.list_path(data)).models if model.row is not None]
    listed = {name for model in priced for name in model.names}
    assert len(served) > 40
    assert served >= set(MODELS.values())
    assert served <= listed
    for model in ("gpt-4.1-mini", "gpt-6-sol-2026-09-01"):  # a listed one, and a dated name of one
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}]}).encode()
        request = urllib.request.Request(f"{running.url}/v1/chat/completions", body, headers)
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["choices"][0]["message"]["content"] == PROSE


def test_a_second_start_on_the_same_data_is_refused(running: Running, data: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "dev", "--port", "0", "--data-dir", str(data)],
        check=False,
        capture_output=True,
        text=True,
        env=running.environment,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: --data-dir: another gateway runs on {data}; ")
    assert asyncio.run(noted(data)) == [("cli", "granted")]  # only by the first


def test_a_start_on_a_port_that_is_taken_says_how_to_choose_another(running: Running, tmp_path: Path) -> None:
    port = running.url.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "dev", "--port", port, "--data-dir", str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        env=running.environment,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 1
    assert (
        done.stderr
        == f"error: port {port} is in use; choose another one: codegrex-gateway dev --port N, or make run PORT=N\n"
    )
