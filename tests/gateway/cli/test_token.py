"""The key helper as an agent calls it: a process, a real gateway, a file in a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest

from benchmarks import processes
from tests.gateway.oauth.test_endpoints import approve, chat, form, gateway, sign_in, sim  # noqa: F401 - fixtures
from tests.gateway_process import CLI
from tests.raw_http import ask


def start(gateway, path, *more, stderr=subprocess.PIPE):  # noqa: F811
    return processes.start(
        [*CLI, "token", "--url", gateway.url, "--file", path, *more],
        stdout=subprocess.PIPE,
        stderr=stderr,
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
    person, terminal = os.openpty()
    process = start(gateway, path, stderr=terminal)
    os.close(terminal)
    with os.fdopen(person) as screen:
        line = screen.readline()
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


def test_a_revoked_token_is_not_printed_and_nobody_waits_for_a_browser_unseen(gateway, tmp_path):  # noqa: F811
    tokens = sign_in(gateway)
    first, path = tokens["access_token"], tmp_path / "sign-in.json"
    path.write_text(json.dumps({**tokens, "url": gateway.url, "expires": time.time() + tokens["expires_in"]}))
    assert run(gateway, path) == first + "\n"
    form(gateway, "/oauth/revoke", token=first)
    assert ask(gateway.url, chat(first)).status == 401
    process = start(gateway, path)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert err.startswith("error: not signed in")
    assert err.count("\n") == 1
    assert f"codegrex-gateway token --url {gateway.url} --file {path}" in err


def test_without_a_terminal_a_first_sign_in_fails_at_once(gateway, tmp_path):  # noqa: F811
    process = start(gateway, tmp_path / "sign-in.json")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "in a terminal" in err


def test_faults_say_the_fix(gateway, tmp_path):  # noqa: F811
    path = tmp_path / "sign-in.json"
    path.write_text("no sign-in")
    process = start(gateway, path)
    assert "remove it" in process.communicate(timeout=60)[1]
    assert process.returncode == 1
