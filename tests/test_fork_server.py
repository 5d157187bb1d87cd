"""A forked process is the gateway's program with what it was given, and nothing of its server's."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from gateway import variables
from tests import fork_server
from tests.contracts.servers import until
from tests.gateway_process import GatewayProcess, model, provider

CHECK = ["check", "--config", "gateway.toml"]


@pytest.fixture
def gateway(tmp_path):
    return GatewayProcess(tmp_path, {"one": provider("openai", "http://127.0.0.1:9")}, [model("m", "one")])


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_says_what_the_same_command_of_an_interpreter_of_its_own_says(gateway, monkeypatch):
    monkeypatch.chdir(gateway.folder)
    broken = gateway.folder / "broken.toml"
    broken.write_text("[server]\nprot = 1\n")
    for arguments in (
        CHECK,
        [*CHECK, "--json"],
        ["check", "--config", str(broken)],
        ["check", "--nonsense"],
        ["usage"],
    ):
        alone = subprocess.run(
            [*variables.python("gateway"), *arguments],
            env=variables.for_child(),
            capture_output=True,
            text=True,
            check=False,
        )
        forked = fork_server.run(arguments, variables.for_child())
        assert (forked.returncode, forked.stdout, forked.stderr) == (alone.returncode, alone.stdout, alone.stderr)


def test_its_environment_is_what_it_was_given(gateway):
    gateway.config.write_text(gateway.config.read_text().replace('"provider-key"', '"env:FORKED_KEY"'))
    arguments = ["check", "--config", str(gateway.config)]
    assert fork_server.run(arguments, {**variables.for_child(), "FORKED_KEY": "sk-one"}).returncode == 0
    assert "FORKED_KEY" in fork_server.run(arguments, variables.for_child()).stderr


def test_it_has_the_same_descriptors_as_one_in_an_interpreter_of_its_own(gateway):
    found = []
    for gateway.afresh in (False, True):
        with gateway:
            folder = Path(f"/proc/{gateway.process.pid}/fd")
            found.append(sorted(str(path.readlink().parent) for path in folder.iterdir()))  # of a socket: "."
    assert found[0] == found[1]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_tells_how_it_ended(gateway, number):
    gateway.start()
    assert gateway.process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        gateway.process.wait(0.01)
    gateway.process.send_signal(number)
    assert gateway.process.wait(60) == (-9 if number == signal.SIGKILL else 0)
    assert gateway.process.poll() == gateway.process.returncode
    gateway.process.kill()  # of what has ended, nothing


def test_it_ends_with_its_server(gateway):
    own = fork_server.ForkServer(fork_server.SERVING)
    with gateway.log.open("ab") as log, Path(os.devnull).open() as nothing:
        streams = [file.fileno() for file in (nothing, log, log)]
        serving = own.start(["serve", "--config", str(gateway.config)], streams, variables.for_child())
    until(lambda: '"event":"started"' in gateway.log.read_text(), "a gateway that serves")
    own.end()
    until(lambda: not lives(serving.pid), "the end of what the server forked")
