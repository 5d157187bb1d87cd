"""``--isolate``: a broker and its engine in a namespace with nothing but a loopback, and how it is reached."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.local_process import BrokerProcess, ScriptedEngine, chat_engine, clean_environment, refused_start
from tests.raw_http import PATIENCE

CHAT = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}
PROBE = "from gateway.local.isolation import isolate; isolate()"


@pytest.fixture(scope="module", autouse=True)
def _namespaces() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("NO NAMESPACES HERE, so --isolate is not tested: " + done.stderr.splitlines()[-1])


def inside(script: str) -> str:
    """What a script prints in the namespace."""
    done = subprocess.run(
        [sys.executable, "-c", f"{PROBE}\nimport os, socket\n{script}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_there_is_a_loopback_and_nothing_else() -> None:
    assert inside("from gateway.local.isolation import interfaces; print(interfaces())") == "{'lo'}"
    assert (
        inside(
            "s = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(s.getsockname()); print('met')"
        )
        == "met"
    )


def test_there_is_no_way_out() -> None:
    script = "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ntry:\n s.connect(('198.51.100.1', 9)); print('out')\nexcept OSError as e:\n print(e.errno)"
    assert inside(script) == "101"  # ENETUNREACH: there is no route


def test_the_user_stays_the_user() -> None:
    assert inside("print(os.geteuid(), os.getegid())") == f"{os.geteuid()} {os.getegid()}"


def test_a_port_of_this_machine_is_not_in_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert inside(f"s = socket.socket(); print(s.connect_ex(('127.0.0.1', {port})))") == "111"  # ECONNREFUSED


def test_an_isolated_broker_is_reached_and_reaches_an_engine_s_unix_socket(tmp_path: Path) -> None:
    with (
        ScriptedEngine(chat_engine("small"), path=tmp_path / "e.sock") as engine,
        BrokerProcess("--only-named", "--isolate", "--engine", engine.address) as broker,
    ):
        assert broker.send("POST", "/v1/chat/completions", CHAT).status == 200
        assert Path(f"/proc/{broker.pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()


ENGINE = """
import json, socket, sys, time
sys.path.insert(0, {root!r})
from tests.local_process import ScriptedEngine, chat_engine
with ScriptedEngine(chat_engine("small"), port={port}):
    print("secret output", flush=True)
    time.sleep(600)
"""


def test_an_engine_is_started_inside_and_ends_with_the_broker(tmp_path: Path) -> None:
    script = tmp_path / "engine.py"
    script.write_text(ENGINE.format(root=str(Path.cwd()), port=18_765))
    command = f"{sys.executable} {script}"
    with BrokerProcess(
        "--only-named", "--isolate", "--engine", "127.0.0.1:18765", "--engine-command", command
    ) as broker:
        deadline = time.monotonic() + PATIENCE
        while (answer := broker.send("POST", "/v1/chat/completions", CHAT)).status != 200:
            assert time.monotonic() < deadline, answer.body
        [engine] = [int(pid) for pid in Path(f"/proc/{broker.pid}/task/{broker.pid}/children").read_text().split()]
        own = Path(f"/proc/{broker.pid}/ns/net").readlink()
        assert Path(f"/proc/{engine}/ns/net").readlink() == own
        # It has none of the broker's sockets: the listening one leads to the machine's own loopback.
        listening = {str(entry.readlink()) for entry in Path(f"/proc/{broker.pid}/fd").iterdir() if entry.exists()}
        theirs = {str(entry.readlink()) for entry in Path(f"/proc/{engine}/fd").iterdir()}
        assert not {one for one in listening & theirs if one.startswith("socket:")}
        assert socket.socket().connect_ex(("127.0.0.1", 18_765)) != 0  # from outside it is not there
    assert not Path(f"/proc/{engine}").exists()
    assert "secret output" not in json.dumps(broker.lines)


def test_an_engine_that_can_t_be_started() -> None:
    [line] = refused_start("--isolate", "--engine-command", "/nowhere/engine")
    assert "can't be started" in line


def test_where_the_kernel_refuses_it_does_not_start_without() -> None:
    """No falling back: a broker that was told to isolate itself does so or ends."""
    script = (
        "import ctypes, os, gateway.local.isolation as isolation\n"
        "class Kernel:\n def unshare(self, flags): ctypes.set_errno(1); return -1\n"
        "isolation.ctypes.CDLL = lambda *a, **k: Kernel()\n"
        "from gateway.cli import cli\n"
        "cli.main(['local', '--port', '0', '--isolate', '--engine-command', 'true'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: The kernel refuses a network namespace (Operation not permitted)")
