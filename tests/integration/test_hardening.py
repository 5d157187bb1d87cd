"""What the documents say of a running gateway's processes is so: asked of the kernel, from outside."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.launch import injection
from benchmarks.simulator import SimulatorProcess, make_certificates
from gateway import variables
from gateway.hardening import landlock, seccomp
from gateway.hardening.process import OWN
from tests.gateway_process import CLI, GatewayProcess, model, provider
from tests.integration.conftest import eventually
from tests.integration.test_workers import chat, children, sim, start  # noqa: F401 - the fixture is used by name
from tests.raw_http import ask

pytestmark = pytest.mark.skipif(
    not (landlock.abi() and seccomp.supported()), reason="this kernel has no Landlock or no seccomp filters"
)


def status(pid: int) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


def limits(pid: int) -> list[list[str]]:
    return [line.split() for line in Path(f"/proc/{pid}/limits").read_text().splitlines()]


def privacy_status(gateway) -> tuple[int, dict]:
    done = subprocess.run(
        [*CLI, "privacy", "status", "--config", str(gateway.config), "--url", gateway.internal, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def test_supervisor_workers_and_store(tmp_path, sim):  # noqa: F811
    with start(tmp_path, sim, 2) as gateway:
        token = gateway.session()["access_token"]
        workers = children(gateway.process.pid)
        os.kill(workers[0], signal.SIGKILL)
        workers = eventually(lambda: children(gateway.process.pid), lambda found: len(found) == 2 and found != workers)
        assert ask(gateway.url, chat(token)).complete
        for pid in (gateway.process.pid, *workers):
            assert (status(pid)["NoNewPrivs"], status(pid)["Seccomp"]) == ("1", "2")
            assert ["Max", "core", "file", "size", "0", "0", "bytes"] in limits(pid)
            if os.geteuid():
                assert Path(f"/proc/{pid}").stat().st_uid == 0  # root's, since it is not dumpable
        # A replaced worker counts again once it serves.
        code, found = eventually(
            lambda: privacy_status(gateway), lambda got: got[0] == 0 and got[1]["running"]["workers"] == 2
        )
        assert code == 0
        assert found["running"]["workers"] == 2
        assert {measure: found["running"]["held"][measure] for measure in OWN} == dict.fromkeys(OWN, 2)
        assert {found["here"][measure] for measure in OWN} == {"yes"}


# Code in the worker that does what somebody else wants: on a signal it writes where it is told to.
FOREIGN = """
import signal, sys
def write(*_):
    for place in {places!r}:
        try:
            open(place, "w").close()
        except OSError:
            pass
    open({done!r}, "w").close()
def install(_text):
    if "gateway.process.worker" in sys.orig_argv:
        signal.signal(signal.SIGUSR1, write)
"""
# The same, to be loaded by the interpreter: it says in which processes it ran.
PLANTED = """
import sys
with open({mark!r}, "a") as mark:
    mark.write(" ".join(sys.orig_argv) + "\\n")
"""


def test_a_worker_that_does_what_somebody_else_wants_writes_nowhere(tmp_path, sim):  # noqa: F811
    data, code = tmp_path / "data", tmp_path / "code"
    outside = [tmp_path / "outside", Path("/tmp") / f"outside-{os.getpid()}", Path("/dev/shm") / f"out-{os.getpid()}"]
    code.mkdir()
    places = [str(place) for place in (*outside, data / "inside")]
    (code / "foreign.py").write_text(FOREIGN.format(places=places, done=str(data / "done")))
    gateway = start(tmp_path, sim, 2)
    gateway.injected = [injection(code / "foreign.py")]
    with gateway:
        os.kill(children(gateway.process.pid)[0], signal.SIGUSR1)
        eventually((data / "done").exists, bool)
        assert ask(gateway.url, chat(gateway.session()["access_token"])).complete
    assert (data / "inside").exists()
    assert [place for place in outside if place.exists()] == []


def test_a_data_directory_with_a_long_path(tmp_path, sim):  # noqa: F811
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    gateway = start(folder, sim, 2)
    recorded = folder / "data" / "store" / "socket"
    for _ in range(2):  # the second takes over the folder that the first may not remove
        with gateway:
            assert ask(gateway.url, chat(gateway.session()["access_token"])).complete
            socket = Path(recorded.read_text())
            assert socket.is_socket()
        assert gateway.process.returncode == 0
    assert not socket.exists()
    if socket.parent.exists():
        socket.parent.rmdir()


def test_nothing_of_the_environment_has_an_effect(tmp_path, sim, monkeypatch):  # noqa: F811
    """As an operator starts it: by its command, not isolated, with what a unit file forgot."""
    keys, mark, code = tmp_path / "keys", tmp_path / "mark", tmp_path / "code"
    code.mkdir()
    for name in ("sitecustomize.py", "usercustomize.py"):
        (code / name).write_text(PLANTED.format(mark=str(mark)))
    switches = {"SSLKEYLOGFILE": str(keys), "PYTHONDEVMODE": "1", "PYTHONASYNCIODEBUG": "1", "PYTHONTRACEMALLOC": "9"}
    switches |= {"PYTHONPATH": str(code), "PYTHONSTARTUP": str(code / "sitecustomize.py"), "LD_PRELOAD": ""}
    switches |= {"SSL_CERT_FILE": str(keys), "OPENSSL_CONF": str(keys), "HTTPS_PROXY": "http://127.0.0.1:9"}
    gateway = start(tmp_path, sim, 2)
    gateway.environment = {**switches, "UNHEARD_OF": "1", "GATEWAY_TEST_KEY": "sk-named"}
    gateway.config.write_text(gateway.config.read_text().replace('"provider-key"', '"env:GATEWAY_TEST_KEY"'))
    monkeypatch.setenv("GATEWAY_TEST_KEY", "sk-named")  # for the commands that read the same file
    monkeypatch.setattr("tests.gateway_process.CLI", [sys.executable, "-m", "gateway"])
    with gateway:
        monkeypatch.undo()
        assert ask(gateway.url, chat(gateway.session()["access_token"])).complete
        _, found = privacy_status(gateway)
        pids = [gateway.process.pid, *children(gateway.process.pid)]
        honoured = [environment_of(pid) for pid in pids]
    assert {found["running"]["held"][name] for name in ("debug_modes_off", "environment_closed")} == {2}
    told = found["running"]["variables_dropped"]
    assert set(told["switches"]) == switches.keys() & variables.SWITCHES
    assert told["count"] == len(switches) + 1
    kept = variables.for_child().keys() | {"GATEWAY_TEST_KEY"}
    assert all(names <= kept for names in honoured)
    assert all("GATEWAY_TEST_KEY" in names for names in honoured if names)
    assert not keys.exists()
    assert len(mark.read_text().splitlines()) == 1  # the interpreter that the operator started, before it went on
    lines = gateway.log.read_text().splitlines()
    assert all(line.startswith("{") for line in lines), lines


def environment_of(pid: int) -> set[str]:
    """The names that a process was started with, as the kernel has them; nothing where only root may look."""
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:
        return set()
    return {part.partition(b"=")[0].decode() for part in text.split(b"\0") if part}


@pytest.mark.parametrize("folder", ["", "missing/"])
def test_a_key_log_is_neither_begun_nor_a_reason_to_fail(folder, tmp_path):
    keys = tmp_path / f"{folder}keys"
    certificates = make_certificates(tmp_path / "certificates")
    with SimulatorProcess(tls=certificates) as secure:
        openai = provider("openai", secure.url, ca_file=str(certificates.ca_file))
        gateway = GatewayProcess(tmp_path, {"openai": openai}, [model("m", "openai", "gpt-4o")])
        gateway.environment = {"SSLKEYLOGFILE": str(keys)}
        with gateway:
            answer = ask(gateway.url, chat(gateway.session()["access_token"], "m"))
            assert (answer.status, answer.complete) == (200, True)
    assert not keys.exists()


def test_development_may_switch_it_off(tmp_path, sim):  # noqa: F811
    gateway = start(tmp_path, sim, 1)
    gateway.config.write_text(gateway.config.read_text() + '\n[hardening]\nmode = "off"\n')
    with gateway:
        assert status(gateway.process.pid)["NoNewPrivs"] == "0"
        code, found = privacy_status(gateway)
        assert code == 1
        assert found["running"]["held"]["writes_confined"] == 0
