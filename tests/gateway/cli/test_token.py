"""The key helper as an agent calls it: a process, a real gateway, a file in a home of its own."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from benchmarks import processes
from tests.gateway.oauth.test_endpoints import approve, chat, gateway, sim  # noqa: F401 - fixtures
from tests.gateway_process import CLI
from tests.raw_http import ask


def start(gateway, path, *more):  # noqa: F811
    return processes.start(
        [*CLI, "token", "--url", gateway.url, "--file", path, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(gateway, path, *more):  # noqa: F811
    process = start(gateway, path, *more)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def expire(path):
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "expires": time.time() + 1}))


@pytest.fixture
def signed_in(gateway, tmp_path):  # noqa: F811
    path = tmp_path / "codegrex" / "sign-in.json"
    process = start(gateway, path)
    line = process.stderr.readline()
    assert approve(gateway, line.split()[-1])
    out, _ = process.communicate(timeout=60)
    assert out.startswith("cgx_at_")
    return path, out.strip()


def test_it_signs_in_once_keeps_it_and_refreshes(gateway, signed_in):  # noqa: F811
    path, first = signed_in
    assert ask(gateway.url, chat(first)).status == 200
    assert path.stat().st_mode & 0o777 == 0o600
    assert run(gateway, path) == first + "\n"  # it has enough time left

    expire(path)
    together = [start(gateway, path) for _ in range(3)]
    outs = {process.communicate(timeout=60)[0] for process in together}
    assert len(outs) == 1
    [second] = outs
    assert second.strip() != first
    assert ask(gateway.url, chat(second.strip())).status == 200

    assert run(gateway, path, "--sign-out") == ""
    assert not path.exists()
    assert ask(gateway.url, chat(second.strip())).status == 401


def test_faults_say_the_mend(gateway, tmp_path):  # noqa: F811
    path = tmp_path / "sign-in.json"
    path.write_text("no sign-in")
    process = start(gateway, path)
    assert "remove it" in process.communicate(timeout=60)[1]
    assert process.returncode == 1
