"""The README's requests, run as they are printed against what `make run` starts."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import processes
from benchmarks.simulator import MARK
from metering.accounts.audit import read_audit
from metering.store.store import open_store
from tests.tools import needs

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PRINTED = "http://127.0.0.1:8080"
SNIPPETS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
pytestmark = pytest.mark.xdist_group("readme")  # one gateway for all of them
KEYS = re.compile(r"(OPENAI|ANTHROPIC|GEMINI|GOOGLE)_")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dev")


@pytest.fixture(scope="module")
def running(data: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The base URL, and the environment of a user who exported the token."""
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
        url = token = ""
        for line in process.stdout:
            if found := re.search(r"on (http://127\.0\.0\.1:\d+)$", line):
                url = found[1]
            if found := re.search(r"(cgx_at_\w+)$", line):
                token = found[1]
            if line.startswith("One line for each request follows"):
                break
        assert url
        assert token
        yield url, {**environment, "CODEGREX_TOKEN": token}
        process.terminate()
        assert process.wait(timeout=90) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_credits_of_the_development_account_are_a_noted_grant(
    running: tuple[str, dict[str, str]], data: Path
) -> None:
    async def noted() -> list[tuple[str, str]]:
        store = await open_store("embedded:", data_dir=data)
        try:
            return [(entry.actor, entry.action) async for entry in read_audit(store)]
        finally:
            await store.close()

    assert running
    assert asyncio.run(noted()) == [("cli", "granted")]


def test_there_is_a_snippet_for_each_sdk() -> None:
    assert re.findall(r"^from (\S+) import", "".join(SNIPPETS), re.MULTILINE) == ["openai", "anthropic", "google"]


@pytest.mark.parametrize("text", SNIPPETS, ids=["openai", "anthropic", "google"])
def test_the_snippet_streams_an_answer(running: tuple[str, dict[str, str]], text: str) -> None:
    url, environment = running
    assert PRINTED in text
    done = subprocess.run(
        [sys.executable, "-c", text.replace(PRINTED, url)],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert MARK in done.stdout


@needs("curl")
def test_the_curl_line_streams_an_answer(running: tuple[str, dict[str, str]]) -> None:
    url, environment = running
    (command,) = re.findall(r"^curl -N (?:.*\\\n)*.*\n", README, re.MULTILINE)
    done = subprocess.run(
        ["sh", "-c", command.replace(PRINTED, url)],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert MARK in done.stdout
    assert done.stdout.rstrip().endswith("data: [DONE]")
