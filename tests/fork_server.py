"""Processes of the gateway that need not import it: a server that has done so forks one for each.

Importing the gateway costs a second of processor time, and tests start it some hundred times. `start` and `run` give a
process of its own all the same, with its own arguments, environment, folder and streams, which goes on as
``python -m gateway`` does once its modules are imported.

Rules:

1. The server imports and forks; it reads nothing of its environment, opens nothing and starts no thread.
2. A child ends with the server, and the server with the process that asked for it (`benchmarks.processes`).
3. What the kernel keeps from the start of an interpreter (``/proc/PID/cmdline`` and ``environ``) is the server's. A
   test that looks at it, or at what an interpreter does when it starts, starts ``python -m gateway`` itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

COMMANDS = ("sessions", "usage", "accounts", "check", "export", "privacy", "doctor", "init")
SERVING = ("gateway.cli.serve", "gateway.process.supervisor")  # as `serve` imports them, and nothing else
WORKING = tuple(f"gateway.cli.{name}" for name in COMMANDS)
ASKING = (*WORKING, "openai", "anthropic", "google.genai")  # `check --live`
_PR_SET_PDEATHSIG = 1  # prctl(2)


class Forked:
    """A forked process, to be used as a `subprocess.Popen` is."""

    def __init__(self, status: socket.socket, arguments: Sequence[str]) -> None:
        self.args = list(arguments)
        self.returncode: int | None = None
        self._status = status
        self.pid = int(self._line())

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            byte = self._status.recv(1)
            if not byte:
                raise RuntimeError("the fork server ended")
            line += byte
        return line

    def poll(self) -> int | None:
        return self._ended_within(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._ended_within(timeout)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def _ended_within(self, seconds: float | None) -> int | None:
        if self.returncode is None:
            ended = select.poll()  # not `select.select`: a test may have thousands of files open
            ended.register(self._status, select.POLLIN)
            if ended.poll(None if seconds is None else seconds * 1_000):
                self.returncode = int(self._line())
                self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The server of this process for one set of modules. Children are numbered by the kernel; none is waited for."""

    def __init__(self, modules: Sequence[str]) -> None:
        from benchmarks import processes
        from gateway import variables

        self._lock = threading.Lock()
        self._control, other = socket.socketpair()
        with other:
            isolated = variables.python("gateway")[1:-2]  # the interpreter's options, as for every other process
            self._process = processes.start(
                [sys.executable, *isolated, __file__, str(other.fileno()), *modules],
                pass_fds=(other.fileno(),),
                env=variables.for_child(),
                stdin=subprocess.DEVNULL,
            )

    def end(self) -> None:
        """End it, and with it what it forked."""
        self._control.close()
        self._process.wait()

    def start(
        self, arguments: Sequence[str], streams: Sequence[int], env: Mapping[str, str], cwd: Path | None = None
    ) -> Forked:
        """``python -m gateway ARGUMENTS`` with these descriptors as its standard input, output and error."""
        ours, theirs = socket.socketpair()
        message = json.dumps([list(arguments), dict(env), str(cwd or Path.cwd())]).encode()
        with theirs, self._lock:
            socket.send_fds(self._control, [len(message).to_bytes(4, "big") + message], [theirs.fileno(), *streams])
        return Forked(ours, arguments)


@functools.cache
def server(modules: tuple[str, ...]) -> ForkServer:
    return ForkServer(modules)


def run(
    arguments: Sequence[str], env: Mapping[str, str], modules: tuple[str, ...] = WORKING, timeout: float = 90.0
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as `subprocess.run` does with ``capture_output``."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, Path(os.devnull).open() as nothing:
        streams = [file.fileno() for file in (nothing, out, err)]
        process = server(modules).start(arguments, streams, env)
        try:
            code = process.wait(timeout)
        except BaseException:
            process.kill()
            raise
        return subprocess.CompletedProcess(list(arguments), code, _text(out), _text(err))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


# -- in the server


def _serve(control: socket.socket) -> list[str]:
    """Fork for each request until the other side is gone; in a child, return its arguments."""
    children: dict[int, socket.socket] = {}
    woken, waker = socket.socketpair()
    for end in (woken, waker):
        end.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([control, woken], [], [])
        if woken in ready:
            woken.recv(1 << 12)
            _tell_who_ended(children)
        if control in ready:
            head, descriptors, _, _ = socket.recv_fds(control, 4, 4)
            if not head:
                sys.exit(0)  # its children end with it
            arguments, env, cwd = json.loads(_exactly(control, int.from_bytes(head, "big")))
            status, *streams = descriptors
            parent, pid = os.getpid(), os.fork()
            if pid == 0:
                for end in (control, woken, waker, *children.values()):
                    end.detach()  # closed below by its number, which is something else's from then on
                _become(parent, streams, env, cwd)
                return list(arguments)
            for descriptor in streams:
                os.close(descriptor)
            children[pid] = socket.socket(fileno=status)
            children[pid].sendall(b"%d\n" % pid)


def _exactly(control: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += control.recv(count - len(data))
    return data


def _tell_who_ended(children: dict[int, socket.socket]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with children.pop(pid) as asked, contextlib.suppress(OSError):  # nobody asks any more
            asked.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def _become(parent: int, streams: Sequence[int], env: Mapping[str, str], cwd: str) -> None:
    """Make a new child what it would be as a program of its own."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    os.chdir(cwd)
    sys.stdin = io.TextIOWrapper(open(0, "rb", closefd=False))  # noqa: SIM115 - a descriptor, for good
    for name, number in (("stdout", 1), ("stderr", 2)):
        raw: Any = open(number, "wb", closefd=False)  # noqa: SIM115 - as above
        errors = "strict" if number == 1 else "backslashreplace"
        text = io.TextIOWrapper(raw, "utf-8", errors, newline="\n", line_buffering=number == 2 or raw.isatty())
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)


def _main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in sys.argv[2:]:
        importlib.import_module(name)
    gateway = importlib.import_module("gateway.cli")
    sys.argv = [str(Path(gateway.__file__ or "").parents[1] / "__main__.py"), *_serve(control)]
    gateway.main()


if __name__ == "__main__":
    _main()
