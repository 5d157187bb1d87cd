"""How ``serve`` begins and ends, on real processes: every store, every signal, every moment, and a lost supervisor."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import processes
from benchmarks.simulator import SimulatorProcess
from gateway import variables
from gateway.evidence.statement import WELL_KNOWN
from gateway.process.stopping import SAME_SECONDS
from tests.contracts.servers import Server, until
from tests.contracts.stores import FORMS, store_of
from tests.gateway_process import CLI, GatewayProcess, model, provider, run_cli
from tests.integration.conftest import CHAT
from tests.raw_http import PATIENCE, RawClient, ask, request

BODY = b'{"model": "%b", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
WORKERS = pytest.mark.parametrize("workers", [1, 2])


@pytest.fixture(scope="module")
def sim():
    with SimulatorProcess() as sim:
        yield sim


def gateway_of(folder, sim, workers=1, url="embedded:", **server):
    return GatewayProcess(
        folder,
        {"openai": provider("openai", sim.url)},
        [model("plain", "openai", "gpt-4o"), model("paced", "openai", "gpt-4o@chunks-2000@pace-10ms")],
        {"server": {"drain_timeout": 20, **server}, "store": {"url": url}},
        workers=workers,
        afresh=True,
    )


def chat(token, name="plain"):
    return request("POST", CHAT, BODY % name.encode(), headers={"authorization": f"Bearer {token}"})


@contextmanager
def serving(gateway):
    """``serve`` without waiting until it serves."""
    with gateway.log.open("ab") as log:
        command = [*CLI, "serve", "--config", str(gateway.config), "--workers", str(gateway.workers)]
        process = processes.start(command, stdout=log, stderr=log, env=variables.for_child())
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def events(gateway):
    lines = gateway.log.read_text().splitlines() if gateway.log.exists() else []
    return [json.loads(line)["event"] for line in lines if line.startswith("{")]


def named(folder):
    """The processes that are told about a folder: the gateway, its workers, the embedded store and its keeper."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(os.fsencode(folder) in part for part in command):
            found[int(path.name)] = command
    return found


def all_gone(folder):
    until(lambda: not named(folder), f"the end of {named(folder)}", PATIENCE)


def accepts(url):
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


# -- every store ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_store_is_checked_served_and_drained(form, tmp_path, sim):
    with store_of(form, tmp_path / "store" if form == "embedded" else made(tmp_path / "store")) as url:
        gateway = gateway_of(made(tmp_path / "gateway"), sim, url=url)
        [found] = run_cli("check", config=gateway.config)
        hosts = [place["host"] for place in found["egress"] if place["for"] == "store"]
        assert len(hosts) == (0 if form == "embedded" else url.count("127.0.0.1"))
        with gateway:
            statement = ask(gateway.url, request("GET", WELL_KNOWN)).json()["document"]["egress"]
            named = [place["host"] for place in statement if place["for"] == "store: named by it"]
            assert len(named) == (2 if form == "redis+cluster" else 1 if "sentinel" in form else 0)
            session = gateway.session()
            assert ask(gateway.url, chat(session["access_token"])).complete
            streaming = RawClient(gateway.url).send(chat(session["access_token"], "paced"))
            assert streaming.head().status == 200
            assert streaming.chunk()
            # The announcement reaches the worker: without, a second revocation would be needed to end the stream at once.
            run_cli("sessions", "revoke", "--user", "user", config=gateway.config)
            while streaming.chunk():
                pass
            assert gateway.stop() == 0
        assert len(gateway.usage()) == 2
    all_gone(tmp_path / "gateway")


def made(folder):
    folder.mkdir()
    return folder


# -- a start that fails -----------------------------------------------------------------------


def away(port):
    return {
        "redis": f"redis://127.0.0.1:{port}",
        "cluster": f"redis+cluster://127.0.0.1:{port}",
        "sentinels": f"redis+sentinel://127.0.0.1:{port},127.0.0.1:{port}/main",
    }


@pytest.mark.parametrize(("workers", "form"), [(1, "redis"), (1, "cluster"), (1, "sentinels"), (2, "redis")])
def test_a_store_that_is_away_is_said_and_logged_and_ends_serve(workers, form, tmp_path, sim, unused_tcp_port):
    gateway = gateway_of(tmp_path, sim, workers, away(unused_tcp_port)[form])
    with serving(gateway) as process:
        assert process.wait(60) == 1
    said = gateway.log.read_text()
    assert f"error: the store at 127.0.0.1:{unused_tcp_port}" in said
    assert " cannot be used (" in said
    assert "check store.url" in said
    assert events(gateway).count("start_failed") >= 1
    assert "Traceback" not in said
    all_gone(tmp_path)


def test_a_second_gateway_on_a_data_directory_is_refused_until_the_first_one_ends(tmp_path, sim):
    first = gateway_of(made(tmp_path / "first"), sim)
    data = str(tmp_path / "first/data")
    second = gateway_of(made(tmp_path / "second"), sim, workers=2, data_dir=data)  # all but the data is its own
    with first:
        token = first.session()["access_token"]
        done = subprocess.run(
            [*CLI, "serve", "--config", str(second.config)], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 1
        assert done.stderr == (
            f"error: server.data_dir: another gateway runs on {data}; "
            "end that gateway, or choose another folder for this one\n"
        )
        assert ask(first.url, chat(token)).complete
        first.process.kill()  # its lock goes with it
        first.process.wait()
        with second:
            assert ask(second.url, chat(token)).complete
    all_gone(tmp_path)


FAULTS = [  # where it fails in the start of a worker: before, between and after what runs beside the requests
    "gateway.accounts.opening:Store.check",
    "gateway.process.app:Listener.start",
    "gateway.process.app:Leases",
    "gateway.process.app:Evidence",
    "gateway.process.app:Dispatcher",
    "gateway.process.app:Upkeep",
    "gateway.process.worker:settle_memory",
    "gateway.process.supervisor:start_internal",
]
FAILING = """
import sys
from importlib import import_module
module, _, names = sys.argv.pop(1).partition(":")
*owners, name = names.split(".")
at = import_module(module)
for owner in owners:
    at = getattr(at, owner)

def fail(*_arguments, **_named):
    raise ValueError("a secret that must not be printed")

setattr(at, name, fail)
import gateway.cli.serve
gateway.cli.serve.restart_clean = lambda *_arguments, **_named: None  # the new program would not have the fault
from gateway.cli import main
main(["serve", *sys.argv[1:]])
"""


@pytest.mark.parametrize("fault", FAULTS)
def test_any_exception_at_the_start_is_logged_by_its_type_and_ends_the_process(fault, tmp_path, sim):
    gateway = gateway_of(tmp_path, sim)
    command = [sys.executable, "-c", FAILING, fault, "--config", str(gateway.config), "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1, done.stderr
    [line] = [json.loads(line) for line in done.stderr.splitlines() if "start_failed" in line or "crashed" in line]
    assert (line["error"], line["level"]) == ("ValueError", "error")
    assert "secret" not in done.stdout + done.stderr
    all_gone(tmp_path)


# -- signals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("workers", "number"), [(1, signal.SIGINT), (2, signal.SIGINT)])
def test_each_signal_drains(workers, number, tmp_path, sim):
    with gateway_of(tmp_path, sim, workers) as gateway:
        token = gateway.session()["access_token"]
        busy = RawClient(gateway.url).send(chat(token))
        assert busy.head().status == 200
        gateway.process.send_signal(number)
        assert None not in list(iter(busy.chunk, b""))
        assert gateway.process.wait(60) == 0
    all_gone(tmp_path)


def test_a_hang_up_that_the_parent_ignores_ends_nothing(tmp_path, sim):
    gateway = gateway_of(tmp_path, sim)
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        gateway.start()
    finally:
        signal.signal(signal.SIGHUP, previous)
    gateway.process.send_signal(signal.SIGHUP)
    token = gateway.session()["access_token"]
    assert ask(gateway.url, chat(token)).complete
    assert gateway.stop() == 0


@WORKERS
def test_the_signal_ends_serve_while_it_waits_for_a_store_that_is_silent(workers, tmp_path, sim):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and says nothing
        port = silent.getsockname()[1]
        gateway = gateway_of(tmp_path, sim, workers, f"redis://127.0.0.1:{port}")
        with serving(gateway) as process:
            silent.settimeout(PATIENCE)
            with silent.accept()[0]:
                process.send_signal(signal.SIGTERM)
                assert process.wait(60) == 0
    assert "start_failed" not in events(gateway)  # as it would have been said after waiting for the store
    all_gone(tmp_path)


def told(folder, part):
    """Whether a process runs that is told about a folder, a part of whose command this is."""
    return any(part in b" ".join(command) for command in named(folder).values())


MOMENTS = {  # between the interpreter's start and the first request
    "its folder is made": lambda folder: (folder / "data").exists(),
    "its store starts": lambda folder: told(folder, b"valkey-server"),
    "a worker starts": lambda folder: told(folder, b"gateway.process.worker"),
}


@pytest.mark.parametrize(
    ("workers", "moment"),
    [(1, "its folder is made"), (1, "its store starts"), (2, "its store starts"), (2, "a worker starts")],
)
def test_the_signal_ends_serve_whenever_it_comes(workers, moment, tmp_path, sim):
    gateway = gateway_of(tmp_path, sim, workers)
    with serving(gateway) as process:
        until(lambda: MOMENTS[moment](tmp_path), moment)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in {0, -signal.SIGTERM}  # the latter: before the gateway's own code ran
    all_gone(tmp_path)


@WORKERS
def test_the_signal_ends_serve_while_the_store_is_away(workers, tmp_path, sim):
    server = Server(tmp_path / "server", "appendonly yes", "appendfsync always")
    try:
        gateway = gateway_of(
            made(tmp_path / "gateway"), sim, workers, f"redis://127.0.0.1:{server.port}", drain_timeout=1
        )
        with gateway:
            token = gateway.session()["access_token"]
            streaming = RawClient(gateway.url).send(chat(token, "paced"))
            assert streaming.head().status == 200
            assert streaming.chunk()
            server.kill()
            gateway.process.send_signal(signal.SIGTERM)
            assert gateway.process.wait(60) == 1  # something is owed: the spool has it
        all_gone(tmp_path / "gateway")
        server.start()
        with gateway:  # and pays it
            until(gateway.usage, "the settlement")
    finally:
        server.kill()


@WORKERS
def test_a_second_signal_ends_what_still_runs(workers, tmp_path, sim):
    with gateway_of(tmp_path, sim, workers, drain_timeout=600) as gateway:
        token = gateway.session()["access_token"]
        streaming = RawClient(gateway.url).send(chat(token, "paced"))
        assert streaming.head().status == 200
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.send_signal(signal.SIGTERM)  # at once: the same wish
        until(lambda: "draining" in events(gateway), "the drain")
        assert streaming.chunk()
        time.sleep(SAME_SECONDS + 0.2)  # a later one is another
        assert gateway.process.poll() is None
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.wait(60)
    all_gone(tmp_path)


# -- a supervisor that is gone ----------------------------------------------------------------


def test_workers_without_a_supervisor_finish_what_runs_and_end(tmp_path, sim):
    with gateway_of(tmp_path, sim, 2) as gateway:
        token = gateway.session()["access_token"]
        streaming = RawClient(gateway.url).send(chat(token))
        assert streaming.head().status == 200
        gateway.process.kill()
        gateway.process.wait()
        assert None not in list(iter(streaming.chunk, b""))
        until(lambda: not accepts(gateway.url), "the port to be free")
        all_gone(tmp_path)
        assert events(gateway).count("drained") == 2
    assert [record["outcome"] for record in gateway.usage()] == ["completed"]
    before = gateway.url
    text = gateway.config.read_text()
    gateway.config.write_text(text.replace("port = 0", f"port = {before.rpartition(':')[2]}", 1))
    with gateway:  # on the same port, with the same store
        assert gateway.url == before
        assert ask(gateway.url, chat(token)).complete
    all_gone(tmp_path)


@pytest.mark.parametrize("moment", ["its store starts", "a worker starts"])
def test_a_supervisor_that_is_killed_while_workers_start_leaves_none(moment, tmp_path, sim):
    with serving(gateway_of(tmp_path, sim, 2)) as process:
        until(lambda: MOMENTS[moment](tmp_path), moment)
        process.kill()
    all_gone(tmp_path)


def test_a_killed_gateway_of_one_process_leaves_no_store(tmp_path, sim):
    with gateway_of(tmp_path, sim) as gateway:
        token = gateway.session()["access_token"]
        assert ask(gateway.url, chat(token)).complete
        gateway.process.kill()
        gateway.process.wait()
        all_gone(tmp_path)
    with gateway:
        assert ask(gateway.url, chat(token)).complete
        assert gateway.usage()


ABANDONED = """
import os, sys
from pathlib import Path
from benchmarks.simulator import SimulatorProcess
from tests.integration.test_start_and_stop import gateway_of
sim = SimulatorProcess()
sim.start()
gateway_of(Path(sys.argv[1]), sim, int(sys.argv[2])).start()
os.kill(os.getpid(), 9)
"""


def test_a_test_run_that_is_killed_leaves_no_process(tmp_path):
    done = subprocess.run([sys.executable, "-c", ABANDONED, tmp_path, "2"], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    all_gone(tmp_path)
